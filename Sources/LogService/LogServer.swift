import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A small HTTP/1.1 server for the public files of a log and for a witness.
///
/// Plain HTTP: what it serves is signed, and meant to be read. It knows nothing of who asks; where not everybody may,
/// put a proxy in front, or listen on a loopback address.
public final class LogServer: Sendable {
  /// The address that it listens on, with the port that the system chose if none was asked for.
  public let host: String
  public let port: Int
  private let listener: any Channel
  private let connections: Connections
  private let limits: HTTPLimits

  private init(listener: any Channel, host: String, connections: Connections, limits: HTTPLimits) {
    self.listener = listener
    self.host = host
    port = listener.localAddress?.port ?? 0
    self.connections = connections
    self.limits = limits
  }

  /// Starts serving.
  ///
  /// - Parameters:
  ///   - host: an address, or a name that stands for one.
  ///   - port: 0 for one that is free.
  /// - Throws: `cannotListen`.
  public static func start(
    _ site: LogSite, host: String = "127.0.0.1", port: Int, limits: HTTPLimits = HTTPLimits()
  ) async throws(LogServiceError) -> LogServer {
    let connections = Connections(maximum: limits.connections)
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        guard connections.add(channel) else {
          channel.close(promise: nil)
          return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
        }
        return channel.eventLoop.makeCompletedFuture {
          let headLimit = HeadLimit(maximum: limits.headBytes)
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(headLimit)
          try pipeline.addHandler(HTTPResponseEncoder())
          try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
          try pipeline.addHandler(RequestHandler(site: site, limits: limits, headLimit: headLimit))
        }
      }
    do {
      let listener = try await bootstrap.bind(host: host, port: port).get()
      return LogServer(listener: listener, host: host, connections: connections, limits: limits)
    } catch {
      throw .cannotListen(address: HTTPAddress.text(host, port), reason: HTTPAddress.reason(error))
    }
  }

  /// `http://HOST:PORT`.
  public var url: String { "http://\(HTTPAddress.text(host, port))" }

  /// Stops listening, lets answers that are under way come to their end for a while, and closes all connections.
  public func stop() async {
    try? await listener.close().get()
    let channels = connections.all
    for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    let deadline = MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: TimeAmount(limits.stopTime)) {
      for channel in channels { channel.close(promise: nil) }
    }
    for channel in channels { try? await channel.closeFuture.get() }
    deadline.cancel()
  }
}

/// The connections that are open, at most so many.
private final class Connections: Sendable {
  private let maximum: Int
  private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

  init(maximum: Int) {
    self.maximum = maximum
  }

  /// Whether there was room.
  func add(_ channel: any Channel) -> Bool {
    let key = ObjectIdentifier(channel)
    let isAdded = open.withLock { open in
      guard open.count < maximum else { return false }
      open[key] = channel
      return true
    }
    if isAdded { channel.closeFuture.whenComplete { [self] _ in _ = open.withLock { $0.removeValue(forKey: key) } } }
    return isAdded
  }

  var all: [any Channel] { open.withLock { Array($0.values) } }
}

/// Addresses and failures of the network in words.
enum HTTPAddress {
  static func text(_ host: String, _ port: Int) -> String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  static func reason(_ error: any Error) -> String {
    switch error {
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError:
      error.connectionErrors.first.map { reason($0.error) } ?? "no address of \(error.host) can be reached"
    case let error as ChannelError: error.description
    case let error as SocketAddressError.UnknownHost: "the name \(error.host) has no address"
    case _: "\(type(of: error))"
    }
  }
}
