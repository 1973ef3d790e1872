import Cryptography
import Foundation

/// The Unix socket `control.sock` in a service's directory (0700): only its owner can open it.
enum ControlSocket {
  static let name = "control.sock"
  /// How long one side may keep the other waiting in the middle of a line.
  static let stallSeconds = 10

  static func path(in directory: String) -> String { "\(directory)/\(name)" }

  /// Listens, in the place of a socket that nobody listens on.
  ///
  /// - Throws: ``ControlError``.
  static func listen(in directory: String) throws(ControlError) -> Int32 {
    try withShortPath(directory) { (address, length, socket) throws(ControlError) in
      if connect(socket, address, length) == 0 { throw .alreadyRunning(directory: directory) }
      // The caller holds the lock of the directory's log: whoever listened here has ended.
      guard unlink(path(in: directory)) == 0 || errno == ENOENT else { throw failure("remove", directory) }
    }.close()
    return try withShortPath(directory) { (address, length, socket) throws(ControlError) in
      guard bind(socket, address, length) == 0, chmod(path(in: directory), 0o600) == 0,
        Glibc.listen(socket, 16) == 0
      else { throw failure("listen on", directory) }
    }.descriptor
  }

  /// - Throws: ``ControlError/notRunning(directory:)`` where nobody listens.
  static func open(in directory: String) throws(ControlError) -> Int32 {
    try withShortPath(directory) { (address, length, socket) throws(ControlError) in
      guard connect(socket, address, length) == 0 else {
        if errno == ENOENT || errno == ECONNREFUSED { throw .notRunning(directory: directory) }
        throw failure("open", directory)
      }
    }.descriptor
  }

  /// Whether the process at the other end is its owner's, or root's.
  static func isTrusted(_ socket: Int32) -> Bool {
    // The kernel's `struct ucred`: process, user, group, 32 bits each.
    var credentials: [UInt32] = [0, .max, .max]
    var length = socklen_t(12)
    guard getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, length == 12 else { return false }
    return credentials[1] == geteuid() || credentials[1] == 0
  }

  static func limitStalls(of socket: Int32, reading: Bool) {
    var time = timeval(tv_sec: stallSeconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    if reading { setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, size) }
  }

  /// All of it, or false. A peer that is gone is an error and not a signal.
  static func write(_ bytes: [UInt8], to socket: Int32) -> Bool {
    bytes.withUnsafeBytes { bytes in
      var sent = 0
      while sent < bytes.count {
        let count = send(socket, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        sent += count
      }
      return true
    }
  }

  private struct Opened {
    let descriptor: Int32
    func close() { Glibc.close(descriptor) }
  }

  /// A socket's address holds 107 bytes of path, and a directory's may be longer: it is named by its descriptor.
  private static func withShortPath(
    _ directory: String, _ use: (UnsafePointer<sockaddr>, socklen_t, Int32) throws(ControlError) -> Void
  ) throws(ControlError) -> Opened {
    let folder = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw failure("open", directory) }
    defer { close(folder) }
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw failure("open a socket for", directory) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array("/proc/self/fd/\(folder)/\(name)".utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let result: Result<Void, ControlError> = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        do throws(ControlError) {
          return .success(try use(pointer, socklen_t(MemoryLayout<sockaddr_un>.size), socket))
        } catch { return .failure(error) }
      }
    }
    if case .failure(let error) = result {
      close(socket)
      throw error
    }
    return Opened(descriptor: socket)
  }

  private static func failure(_ operation: String, _ directory: String) -> ControlError {
    .system(operation: operation, path: path(in: directory), reason: String(cString: strerror(errno)))
  }
}

/// Reads lines of bounded length from a socket, blocking.
struct ControlReader {
  let socket: Int32
  let maximumBytes: Int
  private var buffer: [UInt8] = []

  init(socket: Int32, maximumBytes: Int) {
    self.socket = socket
    self.maximumBytes = maximumBytes
  }

  enum Line {
    case line([UInt8])
    case end
    case tooLong
    case failed
  }

  mutating func next() -> Line {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = Array(buffer[..<end])
        buffer.removeSubrange(...end)
        return .line(line)
      }
      guard buffer.count < maximumBytes else { return .tooLong }
      var chunk = [UInt8](repeating: 0, count: 65_536)
      let count = chunk.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .failed }
      guard count > 0 else { return .end }
      buffer += chunk[..<count]
    }
  }
}
