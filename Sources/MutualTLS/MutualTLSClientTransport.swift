import Cryptography
import Foundation
import GRPCCore
import GRPCNIOTransportCore
import NIOCore
import NIOPosix
import Synchronization

/// A gRPC client transport over one connection with mutual TLS 1.3.
///
/// It exists only once both sides have accepted each other's certificate. It never reconnects: when the connection is
/// lost, calls fail with `unavailable`, ``waitForClose()`` returns, and a new transport must be made.
public final class MutualTLSClientTransport: ClientTransport {
  public typealias Bytes = GRPCNIOTransportBytes

  /// The server, as its certificate and pin proved it; with the connection's exporter value.
  public let peer: PeerIdentity
  private let wrapped: HTTP2ClientTransport.WrappedChannel
  private let channel: any Channel
  private let permits: EgressPermits

  private init(
    peer: PeerIdentity, wrapped: HTTP2ClientTransport.WrappedChannel, channel: any Channel, permits: EgressPermits
  ) {
    self.permits = permits
    self.peer = peer
    self.wrapped = wrapped
    self.channel = channel
  }

  deinit {
    // gRPC's channel must not be released before its handlers are gone, which they are once it is closed.
    let wrapped = wrapped
    channel.close(promise: nil)
    channel.closeFuture.whenComplete { _ in withExtendedLifetime(wrapped) {} }
  }

  /// Connects, completes the handshake, and waits until the server has accepted this side's certificate.
  ///
  /// - Parameters:
  ///   - host: a host name (sent as SNI) or an IP address.
  ///   - context: a context of the client role.
  ///   - timeout: for the TCP connection, and for the answer of a proxy; the handshake has its own, in the context.
  ///   - proxy: opens a tunnel to the server, whose name it resolves itself. TLS goes through it from end to end.
  ///   - egress: what may be written, counted byte by byte; nil lets everything through and counts nothing.
  /// - Throws: ``TransportError``; a refusal by either side is `handshake`, with the reason.
  public static func connect(
    host: String, port: Int, context: TLSContext, limits: TransportLimits = TransportLimits(),
    timeout: Duration = .seconds(10), via proxy: HTTPProxy? = nil, egress: EgressRules? = nil,
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) async throws(TransportError) -> MutualTLSClientTransport {
    precondition(context.role == .client, "a client needs a context of the client role")
    guard (1...65_535).contains(port) else { throw .invalidPort(port) }
    let connector = ClientConnector(
      host: host, port: port, context: context, limits: limits, timeout: timeout, proxy: proxy,
      egress: egress, eventLoopGroup: eventLoopGroup)
    do {
      let peer = Mutex<PeerIdentity?>(nil)
      let channel = Mutex<(any Channel)?>(nil)
      let wrapped = try await HTTP2ClientTransport.WrappedChannel.wrapping(
        config: connector.config, serviceConfig: connector.serviceConfig
      ) { configure in
        let connected = try await connector.connect(configure)
        peer.withLock { $0 = connected.peer }
        channel.withLock { $0 = connected.configured.channel }
        return connected.configured
      }
      guard let peer = peer.withLock({ $0 }), let channel = channel.withLock({ $0 }) else {
        throw TransportError.handshake(.closedLocally)
      }
      return MutualTLSClientTransport(
        peer: peer, wrapped: wrapped, channel: channel, permits: connector.permits)
    } catch {
      throw connector.transportError(from: error)
    }
  }

  /// Lets one message go out once, over a connection made with ``EgressRules``.
  public func permit(_ message: PermittedMessage) { permits.add(message) }

  /// Takes back a permit that was not used: its call is over.
  public func withdraw(_ message: PermittedMessage) { permits.take(message) }

  /// What this side tried to write and did not, if that is why the connection is closed.
  public var egressFault: EgressFault? { permits.fault }

  /// Returns when the connection is gone, for whatever reason, and the last report about it was made.
  public func waitForClose() async {
    // The future of a closed channel never fails.
    try? await channel.closeFuture.get()
  }

  /// Closes the connection at once; calls in progress fail.
  public func closeNow() { channel.close(promise: nil) }

  public var retryThrottle: RetryThrottle? { wrapped.retryThrottle }

  public func connect() async throws { try await wrapped.connect() }

  public func beginGracefulShutdown() { wrapped.beginGracefulShutdown() }

  public func withStream<T: Sendable>(
    descriptor: MethodDescriptor, options: CallOptions,
    _ closure: (RPCStream<Inbound, Outbound>, ClientContext) async throws -> T
  ) async throws -> T {
    try await wrapped.withStream(descriptor: descriptor, options: options, closure)
  }

  public func config(forMethod descriptor: MethodDescriptor) -> MethodConfig? {
    wrapped.config(forMethod: descriptor)
  }
}

/// The steps from a host name to a channel on which both sides have accepted each other.
private struct ClientConnector: Sendable {
  typealias Configured = HTTP2ClientTransport.WrappedChannel.ConfiguredChannel
  typealias Configure = @Sendable (any Channel) -> EventLoopFuture<Configured>

  let host: String
  let port: Int
  let context: TLSContext
  let limits: TransportLimits
  let timeout: Duration
  let proxy: HTTPProxy?
  let egress: EgressRules?
  let eventLoopGroup: any EventLoopGroup
  let permits = EgressPermits()

  var config: HTTP2ClientTransport.WrappedChannel.Config {
    .defaults { config in
      config.http2.targetWindowSize = limits.windowByteCount
      config.http2.maxFrameSize = limits.frameByteCount
      config.http2.authority = authority
      config.connection = limits.clientConnection
    }
  }

  private var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  private func meter(_ rules: EgressRules) -> EgressMeter {
    EgressMeter(
      account: EgressAccount(
        expectation: .init(settings: limits.clientSettings, authority: authority, paths: rules.paths),
        permits: permits),
      observer: rules.observer)
  }

  /// The limit on messages is a property of methods in gRPC; this sets it for all of them.
  var serviceConfig: ServiceConfig {
    let names = [MethodConfig.Name(service: "", method: "")]
    return ServiceConfig(methodConfig: [
      MethodConfig(
        names: names, maxRequestMessageBytes: limits.maximumMessageByteCount,
        maxResponseMessageBytes: limits.maximumMessageByteCount)
    ])
  }

  func connect(_ configure: @escaping Configure) async throws -> (configured: Configured, peer: PeerIdentity) {
    let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
    let (configured, established) = try await ClientBootstrap(group: eventLoopGroup)
      .connectTimeout(TimeAmount(timeout))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelOption(SocketTuning.userTimeout, value: SocketTuning.milliseconds(limits.keepaliveTimeout))
      .channelOption(.recvAllocator, value: SocketTuning.receiveAllocator)
      .connect(host: proxy?.host ?? host, port: proxy?.port ?? port) { channel in
        let established = channel.eventLoop.makePromise(of: PeerIdentity.self)
        return channel.eventLoop.makeCompletedFuture {
          do {
            if let proxy {
              let tunnel = ProxyTunnelHandler(
                proxy: proxy, host: host, port: port, timeout: TimeAmount(timeout), fail: established.fail)
              try channel.pipeline.syncOperations.addHandler(tunnel)
            }
            let handler = try OpenSSLHandler(
              context: context, serverName: isAddress ? nil : host, number: ConnectionNumber.next(), registry: nil,
              established: established)
            try channel.pipeline.syncOperations.addHandler(handler)
          } catch {
            established.fail(error)
            throw error
          }
          try channel.pipeline.syncOperations.addHandler(
            HTTP2FrameRecutter(
              cutter: HTTP2FrameCutter(role: .client, maximumPayloadByteCount: limits.frameByteCount)))
          if let egress {
            let meter = NIOLoopBound(meter(egress), eventLoop: channel.eventLoop)
            try channel.pipeline.syncOperations.addHandler(meter.value)
            established.futureResult.whenSuccess { meter.value.established($0) }
          }
        }
        .flatMap { configure(channel) }
        .map { ($0, established.futureResult) }
      }
    do {
      return (configured, try await established.get())
    } catch {
      // The channel is this side's to close; it may be lingering, so that its own reason is not lost.
      configured.channel.close(promise: nil)
      try? await configured.channel.closeFuture.get()
      throw error
    }
  }

  func transportError(from error: any Error) -> TransportError {
    switch error {
    case let error as TransportError: error
    case let refusal as HandshakeRefusal: .handshake(refusal)
    case let error as CredentialError: .credential(error)
    case let error as NIOConnectionError: transportError(from: error)
    case ChannelError.connectTimeout: timedOut
    case let error as IOError: transportError(fromSystem: error)
    default: .system(operation: "connect to \(host), port \(port)", reason: "\(error)")
    }
  }

  private func transportError(from error: NIOConnectionError) -> TransportError {
    // A name that was found over one address family is found.
    if let first = error.connectionErrors.first { return transportError(from: first.error) }
    guard error.dnsAError != nil || error.dnsAAAAError != nil else { return timedOut }
    if let proxy { return .proxyUnusable(host: proxy.host, port: proxy.port, fault: .nameNotFound) }
    return .nameNotFound(host: host)
  }

  private func transportError(fromSystem error: IOError) -> TransportError {
    let reason = String(cString: strerror(error.errnoCode))
    switch error.errnoCode {
    case ETIMEDOUT: return timedOut
    case _ where proxy != nil: return unreachable(reason)
    case ECONNREFUSED: return .connectionRefused(host: host, port: port)
    default: return unreachable(reason)
    }
  }

  private var timedOut: TransportError {
    if let proxy { return .proxyUnusable(host: proxy.host, port: proxy.port, fault: .timedOut) }
    return .timedOut(host: host, port: port)
  }

  private func unreachable(_ reason: String) -> TransportError {
    if let proxy { return .proxyUnusable(host: proxy.host, port: proxy.port, fault: .unreachable(reason: reason)) }
    return .unreachable(host: host, port: port, reason: reason)
  }
}
