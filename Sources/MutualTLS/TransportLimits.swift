import GRPCCore
import GRPCNIOTransportCore

/// Bounds and timing of a connection. The defaults suit model updates streamed in chunks of up to a few MiB.
public struct TransportLimits: Sendable, Hashable {
  // MARK: Messages and streams

  /// Largest message that is received, in bytes. Larger ones end the call with `resourceExhausted`.
  public var maximumMessageByteCount = 4 * 1024 * 1024
  /// HTTP/2 flow control window of a stream and of the connection, in bytes. With the few messages that gRPC takes in
  /// advance it bounds what a stream can have buffered.
  public var windowByteCount = 4 * 1024 * 1024
  /// Largest HTTP/2 frame, 16 KiB to 16 MiB.
  public var maximumFrameByteCount = 16 * 1024
  /// Calls that one connection may have open at a time (server).
  public var maximumConcurrentCalls = 16
  /// Encrypted bytes that may wait for one peer to read them (server). A peer that grants large windows and reads nothing
  /// is closed as a slow reader when they are reached.
  public var maximumQueuedByteCount = 64 * 1024 * 1024

  // MARK: Connections of organisations (server)

  /// Connections of organisations that are open at a time. An organisation without one is refused when all are in use.
  public var maximumConnections = 1024
  /// Connections that one organisation may have open at a time. When one more comes, its oldest is closed: a connection
  /// that its owner has lost may linger here, and must not keep the next one out.
  public var maximumConnectionsPerOrganization = 4

  // MARK: Strangers (server)

  /// Connections that have not identified themselves yet, in all. When all are in use, the oldest of the address that
  /// has most of them gives way, so that strangers do not keep out organisations.
  public var maximumHandshakes = 256
  /// Connections of one address that have not identified themselves yet. Here and below, an address is one of IPv4, or
  /// one /64 network of IPv6.
  public var maximumHandshakesPerAddress = 32
  /// Handshakes that one address may begin per second in the long run.
  public var handshakesPerSecondPerAddress = 20.0
  /// Handshakes that one address may begin at once after it was silent.
  public var handshakeBurstPerAddress = 100
  /// Addresses whose rate is remembered; beyond, those that were silent the longest are forgotten.
  public var maximumTrackedAddresses = 8192

  // MARK: Time

  /// How long a peer may take for something that it has begun (server). One that in this time has not completed an
  /// HTTP/2 preface, frame or header block that it began is a slow writer; one that has not taken 64 KiB of what waits
  /// for it while more than that waits is a slow reader. Both are closed.
  public var stallTimeout = Duration.seconds(60)
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

  /// The payload of the one SETTINGS frame that a client sends: no pushes, window, frame size, size of a header list.
  var clientSettings: [UInt8] {
    let window = UInt32(min(max(windowByteCount, 1), Int(Int32.max)))
    let settings: [(UInt16, UInt32)] = [(2, 0), (4, window), (5, UInt32(frameByteCount)), (6, 1 << 14)]
    return settings.flatMap { identifier, value in
      withUnsafeBytes(of: identifier.bigEndian, Array.init) + withUnsafeBytes(of: value.bigEndian, Array.init)
    }
  }

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
