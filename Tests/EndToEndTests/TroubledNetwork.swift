import Foundation
import Synchronization

/// A line between clients and their server that can be cut: a relay on loopback with a delay either way.
///
/// While it is dark nothing passes and nobody is told: what was sent waits or is lost, and whoever connects gets no answer.
/// That is what a dead link or a firewall that drops packets looks like from both ends.
final class TroubledNetwork: Sendable {
  private struct State {
    var isDark = false
    var isClosed = false
    var connections: Set<Int32> = []
  }

  private let state = Mutex(State())
  private let listener: Int32
  private let target: UInt16
  private let delay: useconds_t

  /// - Parameters:
  ///   - port: on which clients connect.
  ///   - target: the server's port.
  ///   - milliseconds: how long everything takes either way.
  init(from port: UInt16, to target: UInt16, milliseconds: UInt32) throws {
    self.target = target
    delay = milliseconds * 1000
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    guard Self.withAddress(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EADDRINUSE)
    }
    Thread { [self] in accept() }.start()
  }

  /// Cuts the line, or mends it. Connections from before are lost with a cut that lasts: their ends give them up.
  func setDark(_ isDark: Bool) { state.withLock { $0.isDark = isDark } }

  func close() {
    let connections = state.withLock { state in
      state.isClosed = true
      return state.connections
    }
    shutdown(listener, Int32(SHUT_RDWR))
    for connection in connections { shutdown(connection, Int32(SHUT_RDWR)) }
  }

  private var isClosed: Bool { state.withLock { $0.isClosed } }

  /// - Returns: false once the network is gone.
  private func waitForLight() -> Bool {
    while state.withLock({ $0.isDark && !$0.isClosed }) { usleep(5000) }
    return !isClosed
  }

  private func accept() {
    while waitForLight() {
      let client = Glibc.accept(listener, nil, nil)
      guard client >= 0 else { break }
      let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      guard waitForLight(), Self.withAddress(target, { connect(server, $0, $1) }) == 0 else {
        Glibc.close(client)
        Glibc.close(server)
        continue
      }
      state.withLock { $0.connections.formUnion([client, server]) }
      let ends = Mutex(2)
      for (from, to) in [(client, server), (server, client)] {
        Thread { [self] in
          pass(from, to)
          shutdown(from, Int32(SHUT_RD))
          shutdown(to, Int32(SHUT_WR))
          guard
            ends.withLock({
              $0 -= 1
              return $0 == 0
            })
          else { return }
          state.withLock { $0.connections.subtract([client, server]) }
          Glibc.close(client)
          Glibc.close(server)
        }.start()
      }
    }
    Glibc.close(listener)
  }

  private func pass(_ from: Int32, _ to: Int32) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(from, &buffer, buffer.count, 0)
      guard count > 0 else { return }
      usleep(delay)
      guard waitForLight() else { return }
      var sent = 0
      while sent < count {
        let written = buffer.withUnsafeBytes {
          send(to, $0.baseAddress?.advanced(by: sent), count - sent, Int32(MSG_NOSIGNAL))
        }
        guard written > 0 else { return }
        sent += written
      }
    }
  }

  private static func withAddress(_ port: UInt16, _ use: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        use($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }
}
