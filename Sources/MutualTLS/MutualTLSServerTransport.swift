import Cryptography
import GRPCCore
import GRPCNIOTransportCore
import NIOCore
import NIOHTTP2
import NIOPosix
import Synchronization

/// A gRPC server transport over mutual TLS 1.3.
///
/// Give ``identityInterceptor`` to the `GRPCServer` as its first interceptor; handlers then find their peer in
/// ``PeerIdentity/current``. The socket listens from ``make(host:port:context:limits:observer:eventLoopGroup:)`` on,
/// so that a busy port is a typed error and ``port`` is known at once; connections are accepted when the server serves.
public final class MutualTLSServerTransport: ListeningServerTransport {
  public typealias Bytes = GRPCNIOTransportBytes

  /// The port on which the server listens; the assigned one when 0 was asked for.
  public let port: Int
  private let custom: HTTP2ServerTransport.Custom<MutualTLSListenerFactory>
  private let registry: ConnectionRegistry

  /// Starts listening.
  ///
  /// - Parameters:
  ///   - host: an address of this machine, or `0.0.0.0` or `::` for all.
  ///   - port: 0 to be assigned one.
  ///   - context: a context of the server role, or a ``ReloadableTLSContext`` to replace it while the server runs.
  ///   - observer: is told when organisations' connections come and go.
  /// - Throws: ``TransportError/addressInUse(host:port:)`` and its neighbours.
  public static func make(
    host: String, port: Int, context: any TLSContextProviding, limits: TransportLimits = TransportLimits(),
    observer: any ConnectionObserver = IgnoringConnections(),
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) throws(TransportError) -> MutualTLSServerTransport {
    precondition(context.current.role == .server, "a server needs a context of the server role")
    let socket = try ListeningSocket(host: host, port: port)
    return MutualTLSServerTransport(
      socket: socket, context: context, limits: limits, observer: observer, eventLoopGroup: eventLoopGroup)
  }

  private init(
    socket: ListeningSocket, context: any TLSContextProviding, limits: TransportLimits,
    observer: any ConnectionObserver,
    eventLoopGroup: any EventLoopGroup
  ) {
    port = socket.port
    registry = ConnectionRegistry(limits: limits, contexts: context, observer: observer)
    var config = HTTP2ServerTransport.Custom<MutualTLSListenerFactory>.Config.defaults
    config.connection = limits.serverConnection
    config.http2 = HTTP2ServerTransport.Config.HTTP2(
      maxFrameSize: limits.frameByteCount, targetWindowSize: limits.windowByteCount,
      maxConcurrentStreams: limits.maximumConcurrentCalls)
    config.rpc = HTTP2ServerTransport.Config.RPC(maxRequestPayloadSize: limits.maximumMessageByteCount)
    // The one public place where the channel of a stream can be reached before its first frame.
    config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
      stream.eventLoop.makeCompletedFuture {
        // Absent when the connection has just closed: then the request is answered as one without identity.
        let tls = try? stream.parent?.pipeline.syncOperations.handler(type: OpenSSLHandler.self)
        let identity = PeerIdentityHandler(connection: tls?.peer?.connection)
        try stream.pipeline.syncOperations.addHandler(identity, position: .first)
      }
    }
    let factory = MutualTLSListenerFactory(
      socket: socket, contexts: context, limits: limits, registry: registry, eventLoopGroup: eventLoopGroup)
    custom = HTTP2ServerTransport.Custom(listenerFactory: factory, config: config)
  }

  /// Turns the connection's verified peer into ``PeerIdentity/current``; must be the server's first interceptor.
  public var identityInterceptor: PeerIdentityInterceptor { PeerIdentityInterceptor(registry: registry) }

  /// The organisations that have a connection now.
  public var connectedOrganizations: Set<OrganizationName> { registry.connectedNames }

  /// Closes every connection whose key `verifier` does not accept for its name any more.
  public func disconnectPeers(refusedBy verifier: any PinVerifier) {
    registry.close(because: .keyWithdrawn) { peer in
      verifier.verify(fingerprint: peer.fingerprint, names: [peer.name.value]) != .accepted(name: peer.name)
    }
  }

  public var listeningAddress: GRPCNIOTransportCore.SocketAddress {
    get async throws {
      guard let address = await custom.listeningAddress else {
        throw RuntimeError(code: .serverIsStopped, message: "The server is not listening.")
      }
      return address
    }
  }

  public func configure(context: GRPCServerContext) { custom.configure(context: context) }

  public func listen(
    streamHandler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
  ) async throws {
    try await custom.listen(streamHandler: streamHandler)
  }

  public func beginGracefulShutdown() { custom.beginGracefulShutdown() }
}

/// Accepts connections on a socket that listens already, and puts TLS in front of gRPC's handlers.
struct MutualTLSListenerFactory: HTTP2ServerTransport.ListenerFactory {
  private typealias Connection = HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel

  let socket: ListeningSocket
  let contexts: any TLSContextProviding
  let limits: TransportLimits
  let registry: ConnectionRegistry
  let eventLoopGroup: any EventLoopGroup

  func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    guard let descriptor = socket.take() else {
      throw TransportError.system(operation: "listen", reason: "this transport has been used before")
    }
    return try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(SocketTuning.userTimeout, value: SocketTuning.milliseconds(limits.keepaliveTimeout))
      .childChannelOption(.recvAllocator, value: SocketTuning.receiveAllocator)
      .bind(descriptor) { channel in
        let configured: EventLoopFuture<Connection> = channel.eventLoop.makeCompletedFuture {
          try configure(channel)
        }.flatMap {
          // ALPN is required by the TLS handler itself, which also checks what was chosen.
          connectionConfigurator.configure(channel: channel, tls: .configured(requireALPN: true))
        }
        // Nobody else closes the channel of an initialiser that failed.
        configured.whenFailure { _ in channel.close(promise: nil) }
        // One that comes while the server ends is taken by nobody, and must not be released before its handlers are gone.
        configured.whenSuccess { connection in
          channel.closeFuture.whenComplete { _ in withExtendedLifetime(connection) {} }
        }
        return configured
      }
  }

  private func configure(_ channel: any Channel) throws {
    let context = contexts.current
    let number = ConnectionNumber.next()
    if let refusal = registry.admit(number, channel: channel) {
      context.observer.handshake(unheard(channel, refusal))
      throw refusal
    }
    let pipeline = channel.pipeline.syncOperations
    let end = { [registry] (reason: ConnectionClosure) in
      // One that is not entered yet has nobody to be told of.
      if !registry.close(because: reason, { $0.connection == number }) { channel.close(promise: nil) }
    }
    try pipeline.addHandler(
      StallGuard(
        timeout: TimeAmount(limits.stallTimeout), maximumQueuedByteCount: limits.maximumQueuedByteCount, end: end))
    try pipeline.addHandler(
      OpenSSLHandler(context: context, serverName: nil, number: number, registry: registry, established: nil))
    try pipeline.addHandler(
      HTTP2FrameRecutter(
        cutter: HTTP2FrameCutter(role: .server, maximumPayloadByteCount: limits.frameByteCount),
        watch: HTTP2FrameRecutter.Watch(timeout: TimeAmount(limits.stallTimeout), end: end)))
  }

  /// The event of a connection that was refused before anything was read from it.
  private func unheard(_ channel: any Channel, _ refusal: HandshakeRefusal) -> HandshakeEvent {
    HandshakeEvent(
      role: .server, version: nil, cipher: nil, group: nil, peerFingerprint: nil, peerNames: [], peerSerial: nil,
      remoteAddress: channel.remoteAddress.map(OpenSSLHandler.text) ?? "unknown", outcome: .refused(refusal))
  }
}

/// Numbers of connections within this process.
enum ConnectionNumber {
  private static let last = Atomic<UInt64>(0)

  static func next() -> UInt64 { last.add(1, ordering: .relaxed).newValue }
}
