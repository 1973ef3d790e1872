import AuditLog
import Cryptography
import Federation
import FederationClient
import FederationWire
import Foundation
import Learning
import Synchronization
import Testing
import TransparencyLog

@testable import FederationServer

/// A client process of a running federation that is killed with SIGKILL at random moments and started again, with
/// everything that reaches the server on record there.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct KilledClientTests {
  private static let kills = 10
  /// Several kills long. Another run follows while there are kills to come.
  private static let rounds = 20

  /// What has reached the server from the organisation that is killed.
  private final class Recording: Sendable {
    private let payloads = Mutex<[MessageHash]>([])

    func add(_ bytes: [UInt8]) { payloads.withLock { $0.append(MessageHash(hashing: bytes)) } }
    var all: [MessageHash] { payloads.withLock { $0 } }
  }

  @Test("Killed at any moment, a client has every message that reached the server in its log, and the log verifies")
  func killed() async throws {
    let fixture = try await ServiceFixture(
      rounds: Self.rounds, deadlines: "accept: 5s, fit: 60s, step: 20s, reconnect: 1s")
    defer { fixture.remove() }
    let demo = "\(fixture.runner.directory)/demo"
    try admitManyNearSums(demo)
    let received = Recording()
    var settings = RunServer.Settings(patience: .seconds(60))
    settings.inspect = { name, bytes in if name.value == "alder.example" { received.add(bytes) } }
    let isKilling = Mutex(true)
    let serving = Task { [settings] in
      var reports: [RunReport] = []
      // One who dies between its statement and its reply ends a run: near sums of one model are refused. Then comes another.
      repeat { reports.append(try await Self.conduct(demo, settings)) } while isKilling.withLock { $0 }
      return reports
    }

    var generator = Xoshiro256StarStar(seed: 21)
    var struck = 0
    // One that ended by itself, with its run, was not killed.
    for number in 0..<3 * Self.kills where struck < Self.kills {
      let client = try start(fixture.runner.directory)
      // A part dies before it has connected, most in the middle of a sum: so many messages later, since what a client does
      // in a given time depends on the machine.
      let isEarly = number % 4 == 0
      let enough = received.all.count + (isEarly ? 0 : Int.random(in: 4...24, using: &generator))
      let deadline = ContinuousClock.now + .seconds(20)
      while client.isRunning, received.all.count < enough, .now < deadline {
        try await Task.sleep(for: .milliseconds(5))
      }
      try await Task.sleep(for: .milliseconds(Int.random(in: isEarly ? 20...300 : 0...60, using: &generator)))
      struck += client.isRunning ? 1 : 0
      kill(client.processIdentifier, SIGKILL)
      client.waitUntilExit()
      // Nothing writes the log now. What was on its way may arrive after the process is gone.
      try holdAgainstLog(received, demo, "kill \(number)")
      try await Task.sleep(for: .milliseconds(60))
      try holdAgainstLog(received, demo, "kill \(number), a little later")
    }
    #expect(struck == Self.kills)
    // It comes back, and its log goes on where it was.
    let last = try start(fixture.runner.directory)
    isKilling.withLock { $0 = false }
    let reports = try await serving.value
    // By itself after the run, or because it is told to.
    last.terminate()
    last.waitUntilExit()
    for report in reports {
      #expect(
        report.state == .completed || report.reason?.contains("refused (policy)") == true, "\(report.reason ?? "")")
    }
    #expect(reports.flatMap(\.rounds).contains { $0.cohort.contains("alder.example") })
    try holdAgainstLog(received, demo, "the end")
    #expect(received.all.count > 50)
    try holdAgainstIngress(received, demo)
    let audit = try await fixture.audit()
    #expect(audit.status == 0, "\(audit.output) \(audit.errors)")
    try await verifyIndependently(fixture.runner)
  }

  /// One run with the organisations that nobody kills.
  private static func conduct(_ demo: String, _ settings: RunServer.Settings) async throws -> RunReport {
    let server = try RunServer(directory: "\(demo)/hub", plan: "\(demo)/plan.yaml", settings: settings)
    let taking = try ServiceFixture.organizations.dropFirst().map { name in
      let client = try OrganizationClient(
        directory: "\(demo)/\(name)", data: "\(demo)/\(name)/data.csv", settings: .init(patience: .seconds(60)))
      return Task { try await client.takePart { _ in } }
    }
    let report = try await server.serve { _ in }
    // A run that ended early is an error to those who were in it.
    for task in taking { _ = await task.result }
    return report
  }

  /// The logs under a verifier that shares no code with ours, where there is the Python that it needs.
  private func verifyIndependently(_ runner: SessionRunner) async throws {
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("IndependentCheck/verify_log.py").path
    let outcome = try await runner.run(
      """
      for python in python3 /usr/bin/python3 ""; do $python -c 'import cryptography' 2> /dev/null && break; done
      [ "$python" ] || exit 77
      for name in \(ServiceFixture.organizations.joined(separator: " ")) hub; do
        $python '\(script)' --key demo/$name/log.vkey demo/$name || exit 1; done
      """)
    let mayBeAbsent = ProcessInfo.processInfo.environment["CI"] == nil
    #expect(outcome.status == 0 || (outcome.status == 77 && mayBeAbsent), "\(outcome.output) \(outcome.errors)")
  }

  /// Sums with and without the organisation that is killed differ by one term: by default a policy admits few of them.
  private func admitManyNearSums(_ demo: String) throws {
    for name in ServiceFixture.organizations {
      let path = "\(demo)/\(name)/policy.yaml"
      let policy = try String(contentsOfFile: path, encoding: .utf8)
      try #require(policy.contains("{count: 8, days: 30}"))
      try policy.replacingOccurrences(of: "{count: 8, days: 30}", with: "{count: 1000, days: 30}")
        .write(toFile: path, atomically: true, encoding: .utf8)
    }
  }

  private func start(_ directory: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "\(SessionRunner.products)/bauta")
    process.arguments = ["client", "--directory", "demo/alder", "--data", "demo/alder/data.csv", "--patience", "60"]
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    var environment = ProcessInfo.processInfo.environment
    environment["OPENBLAS_NUM_THREADS"] = "1"
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  /// Whatever has arrived has its record, with the same hash, in a log without gaps.
  private func holdAgainstLog(_ received: Recording, _ demo: String, _ moment: String) throws {
    let arrived = received.all
    var recorded: [MessageHash: Int] = [:]
    var reader = try AuditLogReader(directory: "\(demo)/alder")
    var next: UInt64 = 0
    while let entry = try reader.next() {
      #expect(entry.record.sequence == next, "\(moment)")
      next += 1
      guard entry.record.content.event == .messageSent, let message = entry.record.content.message else { continue }
      recorded[message.sha256, default: 0] += 1
    }
    let missing = arrived.filter { recorded[$0, default: 0] == 0 }
    #expect(missing.isEmpty, "\(moment): \(missing.count) of \(arrived.count) messages have no record")
  }

  /// The server's own log names the same payloads, in the order in which they came.
  private func holdAgainstIngress(_ received: Recording, _ demo: String) throws {
    var reader = try AuditLogReader(directory: "\(demo)/hub")
    var logged: [MessageHash: Int] = [:]
    while let entry = try reader.next() {
      let content = entry.record.content
      guard content.event == .messageReceived, content.source?.name?.value == "alder.example",
        let message = content.message
      else { continue }
      logged[message.sha256, default: 0] += 1
    }
    for hash in Set(received.all) { #expect(logged[hash] != nil) }
  }
}
