import Cryptography
import NIOCore
import NIOEmbedded
import Synchronization

@testable import MutualTLS

/// Handshake events of one side, for tests that run on one thread.
final class EventList: HandshakeObserver {
  private let list = Mutex<[HandshakeEvent]>([])

  func handshake(_ event: HandshakeEvent) { list.withLock { $0.append(event) } }

  var events: [HandshakeEvent] { list.withLock { $0 } }

  var refusals: [HandshakeRefusal] {
    events.compactMap { if case .refused(let refusal) = $0.outcome { refusal } else { nil } }
  }
}

/// Identities that a suite makes once: making them costs more than what is done with them.
struct LinkParts: Sendable {
  let federation: TestFederation
  let server: TLSIdentity
  let client: TLSIdentity

  init(federation: TestFederation, server: TLSIdentity, client: TLSIdentity) {
    self.federation = federation
    self.server = server
    self.client = client
  }

  init() throws {
    federation = try TestFederation()
    server = try federation.identity("server.example", profile: .server(addresses: ["127.0.0.1"]))
    client = try federation.identity("alpha.example")
  }

  func context(_ role: TLSRole, observer: any HandshakeObserver) throws -> TLSContext {
    let own = role == .server ? server : client
    let peer = role == .server ? client : server
    return try TLSContext(
      role: role, identity: own, authorities: [federation.authority.certificate],
      verifier: pins((peer, role == .server ? "alpha.example" : "server.example")), observer: observer)
  }
}

/// One end of a connection in memory.
final class LinkEnd {
  /// Keeps what comes out of the TLS handler.
  private final class Probe: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var received: [UInt8] = []
    var errors: [any Error] = []
    var isInactive = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      received += Array(unwrapInboundIn(data).readableBytesView)
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { errors.append(error) }
    func channelInactive(context: ChannelHandlerContext) { isInactive = true }
  }

  let role: TLSRole
  let channel: EmbeddedChannel
  let handler: OpenSSLHandler
  let context: TLSContext
  let events = EventList()
  private let probe = Probe()

  init(
    role: TLSRole, parts: LinkParts, loop: EmbeddedEventLoop, context: TLSContext? = nil,
    registry: ConnectionRegistry? = nil
  ) throws {
    self.role = role
    self.context = try context ?? parts.context(role, observer: events)
    handler = try OpenSSLHandler(
      context: self.context, serverName: role == .client ? "localhost" : nil, number: ConnectionNumber.next(),
      registry: registry, established: nil)
    channel = EmbeddedChannel(loop: loop)
    try channel.pipeline.syncOperations.addHandlers([handler, probe])
  }

  var received: [UInt8] { probe.received }
  var errors: [any Error] { probe.errors }
  var isClosed: Bool { probe.isInactive }

  func connect() throws {
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 4242), promise: nil)
  }

  func deliver(_ bytes: some Collection<UInt8>) {
    guard channel.isActive, !bytes.isEmpty else { return }
    channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
    channel.pipeline.fireChannelReadComplete()
  }

  /// What this end has sent since the last call.
  func takeSent() throws -> [UInt8] {
    var sent: [UInt8] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) { sent += Array(buffer.readableBytesView) }
    return sent
  }

  /// The transport under TLS is gone, without a word.
  func cut() throws {
    guard channel.isActive else { return }
    try channel.pipeline.syncOperations.context(handlerType: OpenSSLHandler.self).close(promise: nil)
  }

  func end() { _ = try? channel.finish(acceptAlreadyClosed: true) }
}

/// Both ends of a connection in memory, on a clock that stands still until it is moved.
final class MemoryLink {
  let loop = EmbeddedEventLoop()
  let client: LinkEnd
  let server: LinkEnd

  /// - Parameters: what the server has instead of its own context, and its table of connections.
  init(_ parts: LinkParts, server context: TLSContext? = nil, registry: ConnectionRegistry? = nil) throws {
    client = try LinkEnd(role: .client, parts: parts, loop: loop)
    server = try LinkEnd(role: .server, parts: parts, loop: loop, context: context, registry: registry)
  }

  func end(_ role: TLSRole) -> LinkEnd { role == .client ? client : server }

  func connect() throws {
    try server.connect()
    try client.connect()
  }

  /// Carries bytes between the two until neither has more; `alter` sees every flight on its way, numbered from 0 in
  /// each direction.
  func exchange(_ alter: (_ sender: TLSRole, _ flight: Int, _ bytes: [UInt8]) throws -> [UInt8] = { $2 }) throws {
    var flights: [TLSRole: Int] = [:]
    var isQuiet = false
    while !isQuiet {
      isQuiet = true
      for sender in [TLSRole.client, .server] {
        let bytes = try end(sender).takeSent()
        guard !bytes.isEmpty else { continue }
        isQuiet = false
        let flight = flights[sender, default: 0]
        flights[sender] = flight + 1
        end(sender == .client ? .server : .client).deliver(try alter(sender, flight, bytes))
      }
    }
  }

  /// A handshake that both sides accept: the server sends one byte, from which the client knows.
  func establish() throws {
    try connect()
    try exchange()
    server.channel.writeAndFlush(ByteBuffer(bytes: [42]), promise: nil)
    try exchange()
  }

  func finish() {
    client.end()
    server.end()
    loop.advanceTime(by: .seconds(60))
  }
}
