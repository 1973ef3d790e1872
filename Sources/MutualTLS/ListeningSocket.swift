import Foundation
import NIOCore
import Synchronization

/// A TCP socket that listens already, so that a busy port is known before anything else is started.
final class ListeningSocket: Sendable {
  let port: Int
  /// `nil` once the descriptor was handed on.
  private let descriptor: Mutex<Int32?>

  /// - Parameters:
  ///   - host: an address of this machine, a name that resolves to one, `0.0.0.0` for all of IPv4, or `::` for all of both families.
  ///   - port: 0 to be assigned one.
  init(host: String, port: Int) throws(TransportError) {
    guard (0...65_535).contains(port) else { throw .invalidPort(port) }
    let address: SocketAddress
    do { address = try SocketAddress.makeAddressResolvingHost(host, port: port) } catch {
      throw .nameNotFound(host: host)
    }
    let family = address.protocol == .inet6 ? AF_INET6 : AF_INET
    let socket = Foundation.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw ListeningSocket.failure(errno, host: host, port: port) }
    var yes: Int32 = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    if family == AF_INET6 {
      // `::` serves both families, whatever the system's default is.
      var no: Int32 = 0
      setsockopt(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &no, socklen_t(MemoryLayout<Int32>.size))
    }
    let bound = address.withSockAddr { bind(socket, $0, socklen_t($1)) }
    // Two sockets may be bound to one port until one of them listens: a busy port can show at either call.
    guard bound == 0, listen(socket, 256) == 0 else {
      let error = ListeningSocket.failure(errno, host: host, port: port)
      close(socket)
      throw error
    }
    guard let assigned = ListeningSocket.port(of: socket) else {
      close(socket)
      throw .system(operation: "find the port that was assigned", reason: "the socket has no address")
    }
    self.port = assigned
    descriptor = Mutex(socket)
  }

  deinit {
    if let socket = descriptor.withLock({ $0 }) { close(socket) }
  }

  /// Hands the descriptor to the caller, who closes it; `nil` the second time.
  func take() -> Int32? { descriptor.withLock { $0.take() } }

  private static func port(of socket: Int32) -> Int? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard getsockname(socket, address, &length) == 0 else { return nil }
        // The port has the same place in the addresses of both families.
        return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
          Int(UInt16(bigEndian: $0.pointee.sin_port))
        }
      }
    }
  }

  private static func failure(_ code: Int32, host: String, port: Int) -> TransportError {
    switch code {
    case EADDRINUSE: .addressInUse(host: host, port: port)
    case EADDRNOTAVAIL: .addressUnavailable(host: host)
    case EACCES: .portNotPermitted(port: port)
    default: .system(operation: "listen on \(host), port \(port)", reason: String(cString: strerror(code)))
    }
  }
}

/// Socket options that both sides use.
enum SocketTuning {
  /// Reads of up to 256 KiB: fewer, larger pieces to decrypt.
  static let receiveAllocator = AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 65_536, maximum: 262_144)

  /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged, in milliseconds, before the kernel gives the
  /// connection up. Without it a vanished peer is noticed only after a quarter of an hour.
  static let userTimeout = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: 18))

  static func milliseconds(_ duration: Duration) -> Int {
    let (seconds, attoseconds) = duration.components
    return Int(seconds * 1000 + attoseconds / 1_000_000_000_000_000)
  }
}
