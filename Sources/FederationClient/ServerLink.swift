import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS

/// The connection to the server: made when needed, over whichever of the server's addresses answers, the last good one
/// first.
///
/// Certificate, key, authorities, addresses and pins are those that the directory holds when a connection is made. When
/// they change, the next message goes over a new connection; the one before is closed in order, between two exchanges.
///
/// Sends nothing but what ``EgressRecorded`` proves to be on the record.
actor ServerLink: ServerExchange {
  private struct Connection {
    let transport: MutualTLSClientTransport
    let client: GRPCClient<MutualTLSClientTransport>
    let service: Task<Void, Never>
    let address: NetworkAddress

    var exporter: SHA256Digest? { try? SHA256Digest(hexadecimal: transport.peer.exporter) }
  }

  /// How long an exchange that is on the record may go on after this side was told to stop.
  static let grace = Duration.seconds(3)

  private let source: ConnectionSource
  private let limits: TransportLimits
  private let proxy: ProxySelection?
  private let egress: EgressRules
  private let progress: @Sendable (ClientEvent) -> Void
  private var current: Connection?
  /// What the connection was made from.
  private var access: ConnectionSource.Access?
  /// A certificate of whose key the server has not been told yet. Used once it has, or where the one before is refused.
  private var awaiting: ConnectionSource.Access?
  private var lastGood: NetworkAddress?
  /// Of what the owner was told last that it cannot be used.
  private var complaint: String?
  private var expiry = ExpiryWatch()
  /// Done when every connection that was let go is gone.
  private var ending: Task<Void, Never>?

  /// - Parameter traffic: is told of every byte that is written, connection by connection.
  init(
    source: ConnectionSource, limits: TransportLimits, traffic: some EgressObserver, proxy: ProxySelection? = nil,
    progress: @escaping @Sendable (ClientEvent) -> Void = { _ in }
  ) {
    self.source = source
    self.limits = limits
    self.proxy = proxy
    egress = EgressRules(paths: ["/\(WireLimits.service)/\(WireLimits.method)"], observer: traffic)
    self.progress = progress
  }

  /// The server as its certificate proved it, for records of what is sent to it.
  var destination: AuditRecord.Peer? {
    current.map {
      .init(
        name: $0.transport.peer.name, address: $0.address.description, tlsPeer: $0.transport.peer.fingerprint,
        exporter: $0.exporter)
    }
  }

  func announced(_ pins: Manifest.Pins) { source.announce(pins) }

  /// Connects if there is no connection, or if the one there is was made from a certificate or pins of before.
  ///
  /// - Throws: the error of the last address tried.
  func connect() async throws(TransportError) {
    try await refresh()
    guard current == nil, let access else { return }
    do throws(TransportError) {
      current = try await reach(access)
    } catch {
      // The server may have learnt of the new key in another way, and not know the old one any more.
      guard let awaiting, case .handshake(.refusedByPeer) = error else { throw error }
      current = try await reach(awaiting)
      adopt(awaiting)
    }
  }

  /// Sends one recorded message and returns the server's answer.
  ///
  /// When the task is cancelled, the answer is waited for a little longer: the message is on the record, and what became
  /// of it should be too.
  /// - Throws: `RPCError`; after one of code `unavailable` the connection is gone and ``connect()`` makes another.
  ///   `EgressFault` if something was about to leave that may not.
  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    // A record says over which connection: over another, made in between, it does not leave.
    guard let connection = current, connection.exporter == recorded.connection else {
      throw RPCError(code: .unavailable, message: "not connected")
    }
    let bytes = recorded.bytes
    let permitted = PermittedMessage(bytes)
    connection.transport.permit(permitted)
    defer { connection.transport.withdraw(permitted) }
    let call = Task {
      try await connection.client.unary(
        request: ClientRequest(message: bytes),
        descriptor: MethodDescriptor(
          service: ServiceDescriptor(fullyQualifiedService: WireLimits.service), method: WireLimits.method),
        serializer: RawBytesSerializer(), deserializer: RawBytesDeserializer(), options: .defaults
      ) { try $0.message }
    }
    do {
      return try await withTaskCancellationHandler {
        try await call.value
      } onCancel: {
        Task {
          try? await Task.sleep(for: Self.grace)
          call.cancel()
        }
      }
    } catch {
      // Too many messages: the connection is as good as before.
      if let error = error as? RPCError, error.code == .aborted { throw error }
      drop()
      if let fault = connection.transport.egressFault { throw fault }
      // Lost before the call began: as when it is lost in the middle, a new connection may do.
      if let error = error as? RuntimeError, error.code == .clientIsStopped {
        throw RPCError(code: .unavailable, message: "the connection is gone")
      }
      throw error
    }
  }

  /// Lets the connection go.
  func drop() {
    guard let connection = current else { return }
    current = nil
    connection.client.beginGracefulShutdown()
    connection.transport.closeNow()
    connection.service.cancel()
    ending = Task { [ending] in
      await ending?.value
      await connection.transport.waitForClose()
    }
  }

  /// Closes in order, so that the server sees an end and not a loss. Afterwards every connection is gone, and what was
  /// written to it has been told.
  func close() async {
    if let connection = current {
      current = nil
      connection.client.beginGracefulShutdown()
      await connection.service.value
      // One that was told to end before it had begun has left its connection open.
      connection.transport.closeNow()
      await connection.transport.waitForClose()
    }
    await ending?.value
  }

  // MARK: - Connecting

  /// - Throws: the error of the last address tried.
  private func reach(_ access: ConnectionSource.Access) async throws(TransportError) -> Connection {
    let known = lastGood.map { access.addresses.contains($0) ? [$0] : [] } ?? []
    var last = TransportError.nameNotFound(host: "")
    for address in known + access.addresses.filter({ !known.contains($0) }) {
      do throws(TransportError) {
        let proxy = proxy?.proxy(for: address)
        let transport = try await MutualTLSClientTransport.connect(
          host: address.host, port: address.port, context: access.context, limits: limits, via: proxy,
          egress: egress)
        let client = GRPCClient(transport: transport)
        let service = Task { try? await client.runConnections() } as Task<Void?, Never>
        lastGood = address
        progress(.connected(to: address, via: proxy.map { "\($0.host):\($0.port)" }))
        return Connection(
          transport: transport, client: client, service: Task { _ = await service.value }, address: address)
      } catch { last = error }
    }
    throw last
  }

  /// Reads the files anew if they have changed, and closes a connection that would not be made like that any more.
  private func refresh() async throws(TransportError) {
    if let access, !source.isOutdated(awaiting ?? access) {
      if let awaiting, source.isKnown(awaiting.key, in: awaiting) { await replace(with: awaiting) }
      expiry.look(at: (awaiting ?? access).certificates, progress)
      return
    }
    let isAsked = source.isInvalidated
    let fresh: ConnectionSource.Access
    do throws(TransportError) {
      fresh = try source.read()
    } catch {
      // Files that belong together are replaced one by one: until they fit each other, those of before are used.
      guard access != nil else { throw error }
      if isAsked || complaint != error.message {
        progress(.credentialsUnusable(code: error.code, reason: error.message))
      }
      complaint = error.message
      return
    }
    complaint = nil
    expiry.look(at: fresh.certificates, progress)
    guard let held = access else {
      access = fresh
      return
    }
    if !fresh.isSameIdentity(as: held), fresh.key != held.key, !source.isKnown(fresh.key, in: fresh) {
      awaiting = fresh
      await dropUnpinned(fresh)
      return
    }
    await replace(with: fresh)
  }

  private func replace(with fresh: ConnectionSource.Access) async {
    let isOther = access.map { !fresh.isSameIdentity(as: $0) } ?? true
    adopt(fresh)
    if isOther {
      await close()
      progress(.credentialsChanged(key: fresh.key))
    } else {
      await dropUnpinned(fresh)
    }
  }

  private func adopt(_ fresh: ConnectionSource.Access) {
    access = fresh
    awaiting = nil
  }

  /// A server whose key does not count any more is not spoken to any more.
  private func dropUnpinned(_ fresh: ConnectionSource.Access) async {
    guard let peer = current?.transport.peer, fresh.pins[peer.fingerprint] != peer.name else { return }
    await close()
  }
}
