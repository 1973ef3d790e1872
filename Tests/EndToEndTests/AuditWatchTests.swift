import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// `bauta audit watch` as a process, while the log grows and its journal is sealed.
@Suite struct AuditWatchTests {
  private static let patience = Duration.seconds(60)

  /// Waits until the file has so many lines.
  private static func lines(_ count: Int, in path: String) async throws -> [String] {
    let end = ContinuousClock.now + patience
    while ContinuousClock.now < end {
      let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
      if lines.count >= count { return lines }
      try await Task.sleep(for: .milliseconds(50))
    }
    return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  private static func entries(_ count: Int, in directory: String) throws -> [String] {
    let writer = try AuditLogWriter(
      directory: directory, organization: try OrganizationName("alder.example"), logKey: LogSigningKey.generate())
    try writer.append(contentsOf: (0..<count).map { _ in AuditRecord.Draft(.roundStarted) })
    try writer.close()
    return try String(contentsOfFile: "\(directory)/journal", encoding: .utf8).split(separator: "\n").map(String.init)
  }

  @Test(.timeLimit(.minutes(5))) func followsAcrossANewJournalAndEndsWithZero() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let all = try Self.entries(6, in: runner.directory + "/made")
    let log = runner.directory + "/log"
    try FileManager.default.createDirectory(atPath: log, withIntermediateDirectories: true)
    func write(_ range: Range<Int>) throws {
      try range.map { all[$0] + "\n" }.joined().write(toFile: "\(log)/journal", atomically: false, encoding: .utf8)
    }
    try write(0..<2)
    let output = runner.directory + "/output"
    _ = FileManager.default.createFile(atPath: output, contents: nil)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: SessionRunner.products + "/bauta")
    process.arguments = ["audit", "watch", log, "--json"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    let ended = AsyncStream<Int32>.makeStream()
    process.terminationHandler = { ended.continuation.yield($0.terminationStatus) }
    try process.run()
    defer { if process.isRunning { process.terminate() } }
    #expect(try await Self.lines(2, in: output) == Array(all[..<2]))

    try FileManager.default.moveItem(atPath: "\(log)/journal", toPath: "\(log)/sealed")
    try write(2..<4)
    #expect(try await Self.lines(4, in: output) == Array(all[..<4]))

    let handle = try #require(FileHandle(forWritingAtPath: "\(log)/journal"))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data((all[4] + "\n" + all[5] + "\n").utf8))
    try handle.close()
    #expect(try await Self.lines(6, in: output) == all)

    process.interrupt()
    var statuses = ended.stream.makeAsyncIterator()
    #expect(await statuses.next() == 0)
  }
}
