import Cryptography
import NIOCore
import Synchronization

/// The connections of one server: how many there are, and whose.
final class ConnectionRegistry: Sendable {
  private struct Peer {
    let identity: PeerIdentity
    let channel: any Channel
    /// Closing takes a moment, in which it counts no more and is asked nothing more.
    var isClosing = false
  }

  private struct State {
    var admission: HandshakeAdmission
    /// Channels in their handshake, by connection.
    var handshaking: [UInt64: any Channel] = [:]
    var peers: [UInt64: Peer] = [:]
  }

  private let limits: TransportLimits
  private let observer: any ConnectionObserver
  private let contexts: any TLSContextProviding
  private let now: @Sendable () -> Duration
  private let state: Mutex<State>

  /// - Parameters:
  ///   - contexts: the verifier of the current one is asked once more when a connection is entered.
  ///   - now: time since any fixed origin.
  init(
    limits: TransportLimits, contexts: any TLSContextProviding, observer: any ConnectionObserver,
    now: @escaping @Sendable () -> Duration = ConnectionRegistry.elapsed
  ) {
    self.limits = limits
    self.contexts = contexts
    self.observer = observer
    self.now = now
    state = Mutex(State(admission: HandshakeAdmission(limits: limits)))
  }

  private static let origin = ContinuousClock.now
  static let elapsed: @Sendable () -> Duration = { origin.duration(to: ContinuousClock.now) }

  // MARK: Handshakes

  /// Enters a connection that was just accepted and has not identified itself; says why not when there is no place.
  func admit(_ connection: UInt64, channel: any Channel) -> HandshakeRefusal? {
    let caller = CallerAddress(channel.remoteAddress)
    let time = now()
    let (refusal, displaced) = state.withLock { state -> (HandshakeRefusal?, (any Channel)?) in
      switch state.admission.admit(connection, from: caller, at: time) {
      case .refused(let refusal): return (refusal, nil)
      case .admitted:
        state.handshaking[connection] = channel
        return (nil, nil)
      case .admittedInPlaceOf(let other):
        state.handshaking[connection] = channel
        return (nil, state.handshaking.removeValue(forKey: other))
      }
    }
    if let refusal { return refusal }
    let reason = HandshakeRefusal.handshakeLimit(maximum: limits.maximumHandshakes, isPerAddress: false)
    displaced?.pipeline.fireUserInboundEventTriggered(RefuseHandshake(refusal: reason))
    channel.closeFuture.whenComplete { [self] _ in endHandshake(connection) }
    return nil
  }

  private func endHandshake(_ connection: UInt64) {
    state.withLock { state in
      state.handshaking[connection] = nil
      state.admission.end(connection)
    }
  }

  // MARK: Organisations

  /// Enters a connection whose peer has identified itself. Says why not when there is no place or when the key was
  /// withdrawn since it was checked: the withdrawal closes connections that are entered, and this refuses those that
  /// were not yet.
  func connected(_ identity: PeerIdentity, channel: any Channel) -> HandshakeRefusal? {
    endHandshake(identity.connection)
    let (refusal, replaced) = state.withLock { enter(Peer(identity: identity, channel: channel), in: &$0) }
    if let refusal { return refusal }
    if case .refused(let reason) = decision(on: identity) {
      state.withLock { $0.peers[identity.connection] = nil }
      // They were told apart as replaced already.
      for peer in replaced { close(peer, because: .replaced) }
      return .unpinnedKey(fingerprint: identity.fingerprint, reason: reason)
    }
    observer.connected(identity)
    for peer in replaced { close(peer, because: .replaced) }
    return nil
  }

  private func enter(_ peer: Peer, in state: inout State) -> (refusal: HandshakeRefusal?, replaced: [Peer]) {
    let open = state.peers.values.filter { !$0.isClosing }
    let own = open.filter { $0.identity.name == peer.identity.name }
      .sorted { $0.identity.connection < $1.identity.connection }
    var surplus = max(0, own.count + 1 - max(1, limits.maximumConnectionsPerOrganization))
    if open.count - surplus >= limits.maximumConnections {
      guard own.count > surplus else { return (.connectionLimit(maximum: limits.maximumConnections), []) }
      surplus += 1
    }
    for old in own.prefix(surplus) { state.peers[old.identity.connection]?.isClosing = true }
    state.peers[peer.identity.connection] = peer
    return (nil, Array(own.prefix(surplus)))
  }

  private func decision(on identity: PeerIdentity) -> PinDecision {
    let verifier = contexts.current.verifier
    let decision = verifier.verify(fingerprint: identity.fingerprint, names: [identity.name.value])
    guard case .accepted(let name) = decision, name != identity.name else { return decision }
    return .refused(reason: "the key is pinned for \(name.value) now")
  }

  func disconnected(_ identity: PeerIdentity) {
    let known = state.withLock { $0.peers.removeValue(forKey: identity.connection) != nil }
    if known { observer.disconnected(identity) }
  }

  func identity(ofConnection number: UInt64) -> PeerIdentity? {
    state.withLock { state in
      guard let peer = state.peers[number], !peer.isClosing else { return nil }
      return peer.identity
    }
  }

  var connectedNames: Set<OrganizationName> {
    state.withLock { Set($0.peers.values.filter { !$0.isClosing }.map(\.identity.name)) }
  }

  // MARK: Closing

  /// Says whether there was one to close.
  @discardableResult
  func close(because reason: ConnectionClosure, _ isChosen: (PeerIdentity) -> Bool) -> Bool {
    let chosen = state.withLock { state in
      let chosen = state.peers.values.filter { !$0.isClosing && isChosen($0.identity) }
      for peer in chosen { state.peers[peer.identity.connection]?.isClosing = true }
      return chosen
    }
    for peer in chosen { close(peer, because: reason) }
    return !chosen.isEmpty
  }

  private func close(_ peer: Peer, because reason: ConnectionClosure) {
    observer.closing(peer.identity, because: reason)
    peer.channel.close(promise: nil)
  }
}

/// Tells a connection's TLS handler to give up a handshake.
struct RefuseHandshake: Sendable {
  let refusal: HandshakeRefusal
}
