import Cryptography
import Federation
import Foundation
import SecureAggregation
import Synchronization
import Testing

@testable import AuditLog
@testable import FederationClient

/// What an organisation keeps for an opening: when it is written, and that it is erased.
@Suite("Secrets kept for openings", .serialized, .timeLimit(.minutes(1)))
struct KeptSecretsTests: OpeningFederation {
  let runs: CoordinatorTests
  let key = AuditorKey()

  init() throws { runs = try CoordinatorTests() }

  @Test("The file is on disk before the record, and the record before the bytes")
  func order() async throws {
    let seen = Mutex<[String]>([])
    let directory = sealedDirectory(0)
    let party = federation.parties[0]
    let federation = federation
    let watch = Killer { point in
      guard point.kind == .maskedInput, point.opening?.task == .statistics else { return false }
      let files = (try? FileManager.default.contentsOfDirectory(atPath: directory))?.count ?? 0
      let records = (try? federation.records(party))?.count { $0.message?.label.kind == "masked-input" } ?? 0
      seen.withLock { $0.append("\(point.step.rawValue): \(files) files, \(records) records") }
      return point.step == .recorded
    }
    _ = try await runs.run([0: [watch]], policies: policies)
    #expect(
      seen.withLock { $0 } == [
        "decided: 0 files, 0 records", "persisted: 1 files, 0 records", "recorded: 1 files, 1 records",
      ])
    // Killed before it was sent: the next process erases what would open it, and says so.
    let attempts = try erased(0)
    #expect(attempts.map(\.task) == ["statistics"] && attempts.map(\.attempt) == [1])
    #expect(!files(0).contains { $0.contains("statistics") })
    #expect(files(0).contains { $0.contains("evaluate") })
  }

  @Test("What cannot be sealed is not sent")
  func unsealable() async throws {
    try Data().write(to: URL(fileURLWithPath: sealedDirectory(0)))
    let outcome = try await runs.run(policies: policies)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.survivors(of: .statistics) == Array(federation.names.dropFirst()))
    let records = try federation.records(federation.parties[0])
    #expect(records.contains { $0.message?.label.kind == "share-keys" })
    #expect(!records.contains { $0.message?.label.kind.hasPrefix("masked-input") == true })
  }

  @Test("Without the policy nothing is kept, and the record holds a commitment all the same, never twice the same")
  func policyOff() async throws {
    let outcome = try await runs.run()
    #expect(outcome.report.state == .completed)
    #expect((0..<4).allSatisfy { files($0).isEmpty })
    let commitments = try federation.parties.flatMap { try federation.records($0) }
      .filter { $0.message?.label.kind == "masked-input" }.map { $0.maskedInput?.commitment }
    #expect(commitments.count == 12 && commitments.allSatisfy { $0 != nil } && Set(commitments).count == 12)
    #expect(
      try refusal(0) { _ = try $0.request(run: outcome.report.run, task: .fit, round: 1) } == "opening-not-openable")
  }

  @Test("Files of an attempt that ended without a sum are gone with it")
  func abandoned() async throws {
    // Three of four are lost before they release anything; the next attempt is the sum, without the fourth.
    let losses = Dictionary(uniqueKeysWithValues: (0..<3).map { ($0, [CoordinatorTests.kill(.unmasking, .decided)]) })
    let outcome = try await runs.run(losses, policies: policies)
    #expect(outcome.report.state == .completed && outcome.failedAttempts == 1)
    let run = outcome.report.run
    for index in 0..<3 {
      #expect(files(index).filter { $0.contains("statistics") } == ["\(run)-statistics-0-2"])
      #expect(try erased(index).map(\.attempt) == [1])
    }
    #expect(!files(3).contains { $0.contains("statistics") })
    // Three are in the sum: one opening would leave one honest member of them.
    let code = try refusal(0) { _ = try $0.request(run: run, task: .statistics, round: 0) }
    #expect(code == "opening-beyond-honest-minimum")
  }

  @Test("When its time is over a file is erased, also by a client that only waits, and what is erased stays so")
  func window() async throws {
    let run = try await runs.run(policies: policies).report.run
    let party = federation.parties[0]
    let log = try federation.writer(party)
    let store = try ClientStore(path: federation.statePath(party), reviewedAgainst: log)
    let moment = Mutex(Date() + 29 * 86_400)
    let keeper = SealedSecretsKeeper(
      directory: sealedDirectory(0), store: store, log: log, now: { moment.withLock { $0 } })
    try keeper.tidy()
    #expect(files(0).count == 3)
    #expect(try erased(0).isEmpty)
    moment.withLock { $0 += 2 * 86_400 }
    let watching = Task { await keeper.watch(every: .milliseconds(5)) { Issue.record("\($0.message)") } }
    while try !store.sealedSecrets().isEmpty { try await Task.sleep(for: .milliseconds(5)) }
    watching.cancel()
    await watching.value
    #expect(files(0).isEmpty)
    #expect(try erased(0).count == 3)
    try keeper.tidy()
    #expect(try erased(0).count == 3)
    // What nothing is known of was never sent, and is removed.
    try Data([1]).write(to: URL(fileURLWithPath: "\(sealedDirectory(0))/\(run)-fit-9-1"))
    try Data([1]).write(to: URL(fileURLWithPath: "\(sealedDirectory(0))/\(run)-fit-9-2.tmp"))
    try keeper.tidy()
    #expect(files(0).isEmpty)
    #expect(try erased(0).count == 4)
    try log.close()
  }
}
