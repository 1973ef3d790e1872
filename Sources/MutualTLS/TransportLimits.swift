import GRPCCore
import GRPCNIOTransportCore

/// Bounds and timing of a connection. The defaults suit model updates streamed in chunks of up to a few MiB.
public struct TransportLimits: Sendable, Hashable {
  /// Largest message that is received, in bytes. Larger ones end the call with `resourceExhausted`.
  public var maximumMessageByteCount = 4 * 1024 * 1024
  /// HTTP/2 flow control window of a stream and of the connection, in bytes. Bounds what a stream can have buffered.
  public var windowByteCount = 4 * 1024 * 1024
  /// Largest HTTP/2 frame, 16 KiB to 16 MiB.
  public var maximumFrameByteCount = 16 * 1024
  /// Calls that one connection may have open at a time (server).
  public var maximumConcurrentCalls = 64
  /// Connections that are open at a time, those in their handshake included (server).
  public var maximumConnections = 1024
  /// A ping is sent after this time without anything received.
  public var keepaliveInterval = Duration.seconds(20)
  /// How long the answer to a ping, or the acknowledgement of anything sent, may take before the connection is given up.
  public var keepaliveTimeout = Duration.seconds(20)
  /// How long open calls may go on when the server shuts down.
  public var shutdownGrace = Duration.seconds(5)

  public init() {}
}

extension TransportLimits {
  /// Within what HTTP/2 allows (RFC 9113, section 6.5.2).
  var frameByteCount: Int { min(max(maximumFrameByteCount, 1 << 14), (1 << 24) - 1) }

  var serverConnection: HTTP2ServerTransport.Config.Connection {
    var connection = HTTP2ServerTransport.Config.Connection.defaults
    // Connections of organisations that wait for a round stay open for as long as they wait.
    connection.maxIdleTime = nil
    connection.maxAge = nil
    connection.maxGraceTime = shutdownGrace
    connection.keepalive = HTTP2ServerTransport.Config.Keepalive(
      time: keepaliveInterval, timeout: keepaliveTimeout,
      // Peers are authenticated; their pings are what tells a long training from a dead connection.
      clientBehavior: .init(minPingIntervalWithoutCalls: .seconds(5), allowWithoutCalls: true))
    return connection
  }

  var clientConnection: HTTP2ClientTransport.Config.Connection {
    var connection = HTTP2ClientTransport.Config.Connection.defaults
    connection.maxIdleTime = nil
    connection.keepalive = HTTP2ClientTransport.Config.Keepalive(
      time: max(keepaliveInterval, .seconds(10)), timeout: keepaliveTimeout, allowWithoutCalls: true)
    return connection
  }
}
