import Cryptography
import NIOCore
import Synchronization

/// Told when an organisation's connection is there and when it is gone. Called on event loops: return at once.
///
/// An organisation that reconnects may be seen to connect again before its old connection is seen to end;
/// ``PeerIdentity/connection`` tells the two apart.
public protocol ConnectionObserver: Sendable {
  func connected(_ peer: PeerIdentity)
  func disconnected(_ peer: PeerIdentity)
}

/// An observer that does nothing.
public struct IgnoringConnections: ConnectionObserver {
  public init() {}
  public func connected(_ peer: PeerIdentity) {}
  public func disconnected(_ peer: PeerIdentity) {}
}

/// The connections of one server: how many there are, and whose.
final class ConnectionRegistry: Sendable {
  private struct State {
    var open = 0
    var peers: [UInt64: (identity: PeerIdentity, channel: any Channel)] = [:]
  }

  let maximum: Int
  private let observer: any ConnectionObserver
  private let state = Mutex(State())

  init(maximum: Int, observer: any ConnectionObserver) {
    self.maximum = maximum
    self.observer = observer
  }

  /// Counts a connection that was just accepted, before it has identified itself; false when there are too many.
  func admit(_ channel: any Channel) -> Bool {
    let admitted = state.withLock { state in
      guard state.open < maximum else { return false }
      state.open += 1
      return true
    }
    if admitted {
      channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.open -= 1 } }
    }
    return admitted
  }

  func connected(_ identity: PeerIdentity, channel: any Channel) {
    state.withLock { $0.peers[identity.connection] = (identity, channel) }
    observer.connected(identity)
  }

  func disconnected(_ identity: PeerIdentity) {
    let known = state.withLock { $0.peers.removeValue(forKey: identity.connection) != nil }
    if known { observer.disconnected(identity) }
  }

  func identity(ofConnection number: UInt64) -> PeerIdentity? {
    state.withLock { $0.peers[number]?.identity }
  }

  var connectedNames: Set<OrganizationName> {
    state.withLock { Set($0.peers.values.map(\.identity.name)) }
  }

  func close(_ isChosen: (PeerIdentity) -> Bool) {
    let channels = state.withLock { state in state.peers.values.filter { isChosen($0.identity) }.map(\.channel) }
    for channel in channels { channel.close(promise: nil) }
  }
}
