import Foundation

/// Runs commands as a user does: in a shell, in a directory of their own, with the `bauta` that was just built.
struct SessionRunner {
  struct Outcome {
    let output: String
    let errors: String
    let status: Int32
  }

  /// The working directory; removed by ``remove()``.
  let directory: String
  private let home: String

  init() throws {
    home = NSTemporaryDirectory() + "bauta-session-\(UUID().uuidString)"
    directory = home + "/work"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  func remove() { try? FileManager.default.removeItem(atPath: home) }

  /// The directory with the test bundle: the program is built beside it.
  static var products: String {
    URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent().path
  }

  static var programExists: Bool { FileManager.default.isExecutableFile(atPath: products + "/bauta") }

  /// Runs one line of shell. Output goes through files, so that no pipe can fill up.
  func run(_ line: String) async throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", line]
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    var environment = ProcessInfo.processInfo.environment
    environment["PATH"] = "\(Self.products):\(environment["PATH"] ?? "/usr/bin:/bin")"
    environment["LC_ALL"] = "C"
    environment["TZ"] = "UTC"
    environment["OPENBLAS_NUM_THREADS"] = "1"
    process.environment = environment
    let (output, errors) = (home + "/output", home + "/errors")
    for path in [output, errors] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
    let status = try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Int32, any Error>) in
      process.terminationHandler = { ended.resume(returning: $0.terminationStatus) }
      do { try process.run() } catch { ended.resume(throwing: error) }
    }
    return Outcome(
      output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8), status: status)
  }
}
