import Foundation
import Testing

/// Every session in `Sessions/`, typed into a shell.
@Suite struct CommandLineTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Sessions")

  static let sessions: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasSuffix(".txt") }.sorted()
  }()

  @Test func thereAreSessionsAndAProgram() {
    #expect(Self.sessions.count >= 7)
    #expect(SessionRunner.programExists, "no bauta in \(SessionRunner.products)")
  }

  @Test(.timeLimit(.minutes(2)), arguments: sessions)
  func session(_ name: String) async throws {
    let script = SessionScript(
      try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8))
    let runner = try SessionRunner()
    defer { runner.remove() }
    for step in script.steps {
      switch step {
      case .file(let file, let contents):
        try contents.write(toFile: "\(runner.directory)/\(file)", atomically: true, encoding: .utf8)
      case .fixture(let fixture, let line):
        let known = try #require(SessionFixture(rawValue: fixture), "\(name):\(line): unknown fixture")
        try known.make(in: runner.directory)
      case .command(let command):
        let outcome = try await runner.run(command.text)
        let place = "\(name):\(command.line): \(command.text)"
        #expect(outcome.status == command.status, "\(place)\n\(outcome.errors)\(outcome.output)")
        if let difference = SessionScript.difference(outcome.output, from: command.output) {
          Issue.record("\(place): standard output\n\(difference)")
        }
        if let difference = SessionScript.difference(outcome.errors, from: command.errors) {
          Issue.record("\(place): standard error\n\(difference)")
        }
      }
    }
  }

  /// The sessions can fail: a script that expects something else is noticed.
  @Test(arguments: [
    ("one\ntwo\n", ["one"]), ("one\n", ["one", "two"]), ("one\ntwo\n", ["…", "one"]), ("a b c", ["a … d"]),
    ("ab", ["a…b…b"]),
    ("", ["…x"]),
  ])
  func differencesAreFound(_ found: String, _ expected: [String]) {
    #expect(SessionScript.difference(found, from: expected) != nil)
  }

  @Test(arguments: [
    ("one\n\ntwo  \n", ["one", "two"]), ("one\ntwo\nthree\n", ["…", "three"]), ("a b c", ["a…c"]), ("", ["…"]),
    ("a\nb\na\nc\n", ["…", "a", "c"]),
  ])
  func agreementIsFound(_ found: String, _ expected: [String]) {
    #expect(SessionScript.difference(found, from: expected) == nil)
  }

  /// A reader that goes away early is no error and leaves no complaint.
  @Test func aClosedPipeIsQuiet() async throws {
    let runner = try SessionRunner()
    defer { runner.remove() }
    let outcome = try await runner.run("bauta data synthesize --help | head -n 1; bauta plan template | true")
    #expect(outcome.errors.isEmpty)
    #expect(outcome.status == 0)
  }
}
