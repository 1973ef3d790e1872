import Cryptography
import GRPCCore
import NIOCore
import NIOHPACK
import NIOHTTP2

/// Who is at the other end of a connection, as the TLS handshake proved it.
public struct PeerIdentity: Sendable, Hashable {
  /// The name for which the peer's key is pinned and which its certificate carries.
  public let name: OrganizationName
  /// SHA-256 of its SubjectPublicKeyInfo.
  public let fingerprint: CertificateKeyHash
  /// Address and port.
  public let remoteAddress: String
  /// The connection's exporter value in hexadecimal: equal on both sides, unique to the connection.
  public let exporter: String
  /// Number of the connection within this process. Tells a new connection of an organisation from its last one.
  public let connection: UInt64

  /// The identity of the peer whose request this task is serving. Set by ``PeerIdentityInterceptor``.
  @TaskLocal public static var current: PeerIdentity?

  /// ``current``, or the RPC error with which a request without identity is answered.
  public static func required() throws(RPCError) -> PeerIdentity {
    guard let current else { throw missing }
    return current
  }

  static let missing = RPCError(
    code: .unauthenticated, message: "The connection carries no verified identity of an organisation.")
}

/// How an identity travels from the connection to the interceptor: in metadata that only this process can write.
enum PeerIdentityHeaders {
  /// Every header with this prefix that a client sends is removed.
  static let prefix = "bauta-peer-"
  static let connection = "bauta-peer-connection"

  static func isReserved(_ name: String) -> Bool { name.lowercased().hasPrefix(prefix) }
}

/// First handler of every stream on the server: removes headers with the reserved prefix that the client sent and adds
/// the number of the connection the stream belongs to.
final class PeerIdentityHandler: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload

  /// `nil` when the connection has no verified peer; the interceptor then rejects the request.
  private let connection: UInt64?
  private var isFirst = true

  init(connection: UInt64?) { self.connection = connection }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let payload = unwrapInboundIn(data)
    guard case .headers(var frame) = payload else {
      context.fireChannelRead(data)
      return
    }
    var headers = HPACKHeaders()
    headers.reserveCapacity(frame.headers.count + 1)
    for (name, value, indexable) in frame.headers where !PeerIdentityHeaders.isReserved(name) {
      headers.add(name: name, value: value, indexing: indexable)
    }
    if isFirst, let connection { headers.add(name: PeerIdentityHeaders.connection, value: String(connection)) }
    isFirst = false
    frame.headers = headers
    context.fireChannelRead(wrapInboundOut(.headers(frame)))
  }
}

/// Gives every request the verified identity of its sender as ``PeerIdentity/current``, and answers requests without one
/// with `unauthenticated`. Must be the first interceptor of a server on ``MutualTLSServerTransport``.
public struct PeerIdentityInterceptor: ServerInterceptor {
  private let registry: ConnectionRegistry

  init(registry: ConnectionRegistry) { self.registry = registry }

  public func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next:
      @Sendable (
        _ request: StreamingServerRequest<Input>, _ context: ServerContext
      ) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    var values = request.metadata[stringValues: PeerIdentityHeaders.connection].makeIterator()
    guard let text = values.next(), values.next() == nil, let number = UInt64(text),
      let identity = registry.identity(ofConnection: number)
    else { return StreamingServerResponse(error: PeerIdentity.missing) }

    var request = request
    request.metadata.removeAllValues(forKey: PeerIdentityHeaders.connection)
    let response = try await PeerIdentity.$current.withValue(identity) { [request] in
      try await next(request, context)
    }
    // The body of a streaming handler runs after this function has returned.
    switch response.accepted {
    case .failure: return response
    case .success(let contents):
      return StreamingServerResponse(metadata: contents.metadata) { writer in
        try await PeerIdentity.$current.withValue(identity) { try await contents.producer(writer) }
      }
    }
  }
}
