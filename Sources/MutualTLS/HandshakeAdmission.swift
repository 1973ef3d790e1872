import Foundation
import NIOCore

/// What counts as one caller before it has identified itself: an IPv4 address, or the /64 network of an IPv6 address,
/// all of which one customer usually has.
enum CallerAddress: Hashable, Sendable {
  case ipv4(UInt32)
  case ipv6Network(UInt64)
  case unknown

  init(_ address: SocketAddress?) {
    switch address {
    case .v4(let address): self = .ipv4(UInt32(bigEndian: address.address.sin_addr.s_addr))
    case .v6(let address):
      let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
      // An IPv4 caller of a socket that serves both families.
      if bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
        self = .ipv4(bytes.suffix(4).reduce(0) { $0 << 8 | UInt32($1) })
      } else {
        self = .ipv6Network(bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
      }
    case .unixDomainSocket, nil: self = .unknown
    }
  }
}

/// Decides which strangers may begin a handshake, within bounds on their number and rate.
///
/// Times are durations since any fixed origin; this knows no clock.
struct HandshakeAdmission {
  enum Decision: Hashable {
    case admitted
    /// Admitted in the place of another connection, which must be closed.
    case admittedInPlaceOf(UInt64)
    case refused(HandshakeRefusal)
  }

  private let limits: TransportLimits
  private var rates: [CallerAddress: TokenBucket] = [:]
  /// Connections in their handshake, and whose they are.
  private var callers: [UInt64: CallerAddress] = [:]
  private var counts: [CallerAddress: Int] = [:]

  init(limits: TransportLimits) { self.limits = limits }

  var inHandshake: Int { callers.count }
  var trackedAddresses: Int { rates.count }

  /// - Parameter connection: its number; numbers grow with time.
  mutating func admit(_ connection: UInt64, from caller: CallerAddress, at now: Duration) -> Decision {
    guard takeToken(of: caller, at: now) else {
      return .refused(.handshakeRate(perSecond: limits.handshakesPerSecondPerAddress))
    }
    let own = counts[caller, default: 0]
    guard own < limits.maximumHandshakesPerAddress else {
      return .refused(.handshakeLimit(maximum: limits.maximumHandshakesPerAddress, isPerAddress: true))
    }
    guard callers.count >= limits.maximumHandshakes else {
      add(connection, caller)
      return .admitted
    }
    guard let most = counts.values.max(), most > own,
      let oldest = callers.filter({ counts[$0.value] == most }).keys.min()
    else { return .refused(.handshakeLimit(maximum: limits.maximumHandshakes, isPerAddress: false)) }
    end(oldest)
    add(connection, caller)
    return .admittedInPlaceOf(oldest)
  }

  /// The connection has identified itself, or is gone.
  mutating func end(_ connection: UInt64) {
    guard let caller = callers.removeValue(forKey: connection), let count = counts[caller] else { return }
    counts[caller] = count > 1 ? count - 1 : nil
  }

  private mutating func add(_ connection: UInt64, _ caller: CallerAddress) {
    callers[connection] = caller
    counts[caller, default: 0] += 1
  }

  private mutating func takeToken(of caller: CallerAddress, at now: Duration) -> Bool {
    if rates[caller] == nil {
      if rates.count >= limits.maximumTrackedAddresses { forget(at: now) }
      rates[caller] = TokenBucket(
        capacity: limits.handshakeBurstPerAddress, perSecond: limits.handshakesPerSecondPerAddress, at: now)
    }
    return rates[caller]?.take(at: now) ?? false
  }

  /// Makes room. An address that was forgotten begins with a full bucket, as any address does that never called: who has
  /// so many addresses gains nothing by it.
  private mutating func forget(at now: Duration) {
    rates = rates.filter { !$0.value.isFull(at: now) }
    guard rates.count >= limits.maximumTrackedAddresses else { return }
    // A quarter at a time, so that the sort is seldom.
    let kept = rates.sorted { $0.value.updated > $1.value.updated }.prefix(limits.maximumTrackedAddresses * 3 / 4)
    rates = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
  }
}
