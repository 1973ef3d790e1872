/// Why this side closes a connection that was accepted.
public enum ConnectionClosure: String, Sendable, Hashable, CaseIterable {
  /// The peer does not take what is sent to it: see ``TransportLimits/stallTimeout``.
  case slowReader = "slow-reader"
  /// The peer began something and does not finish it: see ``TransportLimits/stallTimeout``.
  case slowWriter = "slow-writer"
  /// The peer sends control frames of HTTP/2 faster than any purpose of them needs.
  case controlFlood = "control-flood"
  /// The organisation made a newer connection and has as many as it may have.
  case replaced
  /// Its key is not accepted any more.
  case keyWithdrawn = "key-withdrawn"
}

/// Told when an organisation's connection is there and when it is gone. Called on event loops: return at once.
///
/// An organisation that reconnects may be seen to connect again before its old connection is seen to end;
/// ``PeerIdentity/connection`` tells the two apart.
public protocol ConnectionObserver: Sendable {
  func connected(_ peer: PeerIdentity)
  /// This side is about to close the connection; ``disconnected(_:)`` follows. Not called for other endings.
  func closing(_ peer: PeerIdentity, because reason: ConnectionClosure)
  func disconnected(_ peer: PeerIdentity)
}

extension ConnectionObserver {
  public func closing(_ peer: PeerIdentity, because reason: ConnectionClosure) {}
}

/// An observer that does nothing.
public struct IgnoringConnections: ConnectionObserver {
  public init() {}
  public func connected(_ peer: PeerIdentity) {}
  public func disconnected(_ peer: PeerIdentity) {}
}
