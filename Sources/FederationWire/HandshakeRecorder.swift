import AuditLog
import Cryptography
import Dispatch
import Foundation
import MutualTLS
import Synchronization

/// Puts every handshake on the record: who was at the other end, with which version, cipher, group and keys, and why it
/// was refused.
///
/// Accepted handshakes are recorded one by one, always. Refused ones are recorded one by one up to a rate, so that a
/// stranger cannot fill the disk: ``burst`` at once, then ``perSecond``. Those beyond it are counted, and their count
/// goes on record as one entry with the time of the first and the last and the number of addresses.
///
/// Handshakes finish on event loops, which must not wait for a disk: records are appended without waiting for it, and
/// the next message's record brings them to disk before anything is sent.
public final class HandshakeRecorder: HandshakeObserver {
  /// Refused handshakes that are recorded one by one at once.
  public static let burst = 20
  /// Refused handshakes that are recorded one by one in the long run, per second.
  public static let perSecond = 1.0
  /// How long after the first refusal that was only counted its count goes on record at the latest.
  public static let summaryInterval = Duration.seconds(60)
  /// Addresses that are told apart in one count.
  public static let maximumAddresses = 4096

  /// Calls a function after a while; a test calls it when it likes.
  public typealias Scheduler = @Sendable (Duration, @escaping @Sendable () -> Void) -> Void

  private struct Suppressed {
    var count = 0
    let first: Date
    var last: Date
    var addresses: Set<String> = []
  }

  private struct State {
    var bucket: TokenBucket
    var suppressed: Suppressed?
  }

  private let log: AuditLogWriter
  private let federation: String
  private let clock: @Sendable () -> Date
  private let schedule: Scheduler
  private let report: @Sendable (HandshakeEvent) -> Void
  private let state: Mutex<State>

  /// - Parameters:
  ///   - clock: gives the time by which the rate is measured.
  ///   - schedule: brings a count on record when nothing else happens.
  ///   - report: told of every handshake, for the operator's eyes.
  public init(
    log: AuditLogWriter, federation: String, clock: @escaping @Sendable () -> Date = { Date() },
    schedule: @escaping Scheduler = HandshakeRecorder.afterwards,
    report: @escaping @Sendable (HandshakeEvent) -> Void = { _ in }
  ) {
    self.log = log
    self.federation = federation
    self.clock = clock
    self.schedule = schedule
    self.report = report
    state = Mutex(
      State(bucket: TokenBucket(capacity: Self.burst, perSecond: Self.perSecond, at: Self.time(clock()))))
  }

  deinit { flush() }

  /// On a queue of the system.
  public static let afterwards: Scheduler = { delay, body in
    DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + delay / .seconds(1), execute: body)
  }

  public func handshake(_ event: HandshakeEvent) {
    report(event)
    switch event.outcome {
    case .established(let name, let fingerprint, let exporter):
      flush()
      append(established(event, name: name, fingerprint: fingerprint, exporter: exporter))
    case .refused(let refusal):
      if admits(event) { append(refused(event, refusal)) }
    }
  }

  /// Puts what was only counted so far on record. For the end of a service; otherwise it happens by itself.
  public func flush() {
    guard let suppressed = state.withLock({ $0.suppressed.take() }) else { return }
    append(summary(suppressed))
  }

  /// Whether a refusal is recorded by itself; counts it otherwise.
  private func admits(_ event: HandshakeEvent) -> Bool {
    let now = clock()
    let (admitted, isFirst) = state.withLock { state -> (Bool, Bool) in
      guard !state.bucket.take(at: Self.time(now)) else { return (true, false) }
      let isFirst = state.suppressed == nil
      var suppressed = state.suppressed ?? Suppressed(first: now, last: now)
      suppressed.count += 1
      suppressed.last = max(now, suppressed.first)
      if suppressed.addresses.count < Self.maximumAddresses { suppressed.addresses.insert(Self.host(event)) }
      state.suppressed = suppressed
      return (false, isFirst)
    }
    if isFirst { schedule(Self.summaryInterval) { [weak self] in self?.flush() } }
    return admitted
  }

  private static func time(_ date: Date) -> Duration { .seconds(date.timeIntervalSince1970) }

  /// The address without its port.
  private static func host(_ event: HandshakeEvent) -> String {
    let address = event.remoteAddress
    return address.lastIndex(of: ":").map { String(address[..<$0]) } ?? address
  }

  // MARK: Records

  private func append(_ draft: AuditRecord.Draft) {
    var draft = draft
    draft.federation = federation
    // A log that cannot be written stops the next message, which cannot be recorded either.
    _ = try? log.append(draft, durable: false, publishing: false)
  }

  private func established(
    _ event: HandshakeEvent, name: OrganizationName, fingerprint: CertificateKeyHash, exporter: String
  ) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(.handshake)
    draft.source = .init(
      name: name, address: event.remoteAddress, tlsPeer: fingerprint,
      exporter: try? SHA256Digest(hexadecimal: exporter))
    draft.handshake = parameters(of: event)
    draft.outcome = .succeeded
    return draft
  }

  private func refused(_ event: HandshakeEvent, _ refusal: HandshakeRefusal) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(.handshakeRefused)
    draft.source = .init(
      claimedName: event.peerNames.first, address: event.remoteAddress, tlsPeer: event.peerFingerprint)
    draft.handshake = parameters(of: event)
    draft.outcome = .refused
    draft.error = .init(refusal)
    return draft
  }

  private func summary(_ suppressed: Suppressed) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(.handshakeRefused)
    draft.outcome = .refused
    // A clock outside the years that a record can hold gives a count without times.
    draft.suppressed = .init(
      count: suppressed.count, first: AuditTime(suppressed.first), last: AuditTime(suppressed.last),
      addresses: suppressed.addresses.count)
    return draft
  }

  private func parameters(of event: HandshakeEvent) -> AuditRecord.Handshake? {
    event.version.map { .init(version: $0, cipher: event.cipher, group: event.group) }
  }
}
