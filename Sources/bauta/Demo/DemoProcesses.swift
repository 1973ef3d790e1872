import Foundation
import Synchronization

/// The processes of a demonstration; none outlives it.
final class DemoProcesses: Sendable {
  private let started = Mutex<[Process]>([])

  /// Starts this very program with other arguments. Its output goes to files, which hold no reader up.
  func start(_ arguments: [String], output: String, errors: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try Self.ownPath())
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try Self.create(output)
    process.standardError = try Self.create(errors)
    try process.run()
    started.withLock { $0.append(process) }
    return process
  }

  /// Waits for every process but the first, the server, a few seconds at most: each ends with the run.
  func waitForClients() async {
    let deadline = ContinuousClock.now + .seconds(10)
    while started.withLock({ $0.contains { $0.isRunning } }), ContinuousClock.now < deadline {
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  func terminate() {
    started.withLock { processes in
      for process in processes where process.isRunning { process.terminate() }
    }
  }

  private static func ownPath() throws -> String {
    guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
      throw CommandError.missing(path: "/proc/self/exe", what: "link to this program")
    }
    return path
  }

  private static func create(_ path: String) throws -> FileHandle {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno))) }
    return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }
}

/// A port of the loopback interface that nothing listens on.
enum LoopbackPort {
  static func free() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw failure }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
      }
    }
    guard status == 0 else { throw failure }
    return Int(UInt16(bigEndian: address.sin_port))
  }

  private static var failure: CommandError {
    .unsuitable(
      path: "127.0.0.1", problem: "no port can be had: \(String(cString: strerror(errno)))",
      remedy: "Check that the loopback interface is up.")
  }
}
