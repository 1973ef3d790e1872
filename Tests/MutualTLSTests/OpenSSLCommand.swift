import Foundation

/// The `openssl` command: another implementation of the same formats' command-line side, and peers with settings that
/// this package cannot be given.
enum OpenSSLCommand {
  static let path: String? = ["/usr/bin/openssl", "/usr/local/bin/openssl", "/bin/openssl"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  static var isPresent: Bool { path != nil }

  struct Output: Sendable {
    let status: Int32
    let text: String
  }

  /// Runs to the end; standard output and error together. Waits on a thread of its own: the test's threads are few, and
  /// the peer may need them.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], program: String? = path
  ) async throws -> Output {
    try await offPool {
      let process = try make(arguments, environment: environment, program: program)
      let pipe = Pipe()
      process.standardOutput = pipe
      process.standardError = pipe
      try process.run()
      let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
      process.waitUntilExit()
      return Output(status: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
    }
  }

  private static func offPool<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
  }

  /// Runs `s_server` on a port it chooses, for as long as `body` runs.
  static func serving(_ arguments: [String], _ body: (Int) async throws -> Void) async throws {
    let process = try make(["s_server", "-accept", "127.0.0.1:0"] + arguments, environment: [:])
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    // It ends with its input.
    let input = Pipe()
    process.standardInput = input
    try process.run()
    defer {
      process.terminate()
      withExtendedLifetime(input) {}
    }
    let handle = output.fileHandleForReading
    try await body(try await offPool { try port(announcedBy: handle) })
  }

  /// s_server prints `ACCEPT 127.0.0.1:12345` once it listens.
  private static func port(announcedBy output: FileHandle) throws -> Int {
    var text = ""
    while true {
      if text.hasSuffix("\n"), let line = text.split(separator: "\n").last, line.hasPrefix("ACCEPT") {
        return Int(line.drop { $0 != ":" }.dropFirst()) ?? 0
      }
      guard let data = try output.read(upToCount: 1), !data.isEmpty else { throw CommandFailed(text: text) }
      text += String(decoding: data, as: UTF8.self)
    }
  }

  private static func make(
    _ arguments: [String], environment: [String: String], program: String? = path
  ) throws -> Process {
    guard let program else { throw CommandFailed(text: "no openssl command") }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    return process
  }

  struct CommandFailed: Error { let text: String }
}
