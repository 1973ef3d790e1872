import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import SecureAggregation
import Testing

@testable import FederationClient

@Suite("A state and a log that do not belong together", .timeLimit(.minutes(1)))
struct StateRollbackTests {
  private let federation: TestFederation
  private let server: ColludingFederation
  private var victim: Party { federation.parties[0] }
  private var state: String { federation.statePath(victim) }

  init() throws {
    federation = try TestFederation()
    server = try ColludingFederation(federation)
  }

  private func start(
    policy: String = Policy.template, link: (any ServerExchange)? = nil, killedAt killer: Killer? = nil
  ) async throws -> Result<ClientOutcome, ClientError> {
    try await federation.takePart(
      victim, link: link ?? server, policy: policy, patience: .zero, idlePause: .zero, killedAt: killer?.observer)
  }

  /// Takes the files of the state, or the log's directory, aside.
  private func keep(_ path: String, as copy: String) throws {
    for suffix in ["", "-wal", "-shm"] where FileManager.default.fileExists(atPath: path + suffix) {
      try FileManager.default.copyItem(atPath: path + suffix, toPath: copy + suffix)
    }
  }

  private func remove(_ path: String) {
    for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
  }

  private func restore(_ copy: String, to path: String) throws {
    remove(path)
    try keep(copy, as: path)
  }

  private func acknowledge(_ reason: String = "restored from the backup") throws(ClientError) -> StateAcknowledgement {
    let log: AuditLogWriter
    let near: Policy.NearOpenings
    do {
      log = try federation.writer(victim)
      near = try Policy(parsing: Policy.template).cohort.nearOpenings
    } catch { throw .unexpected("a test that is not set up") }
    defer { try? log.close() }
    return try StateAcknowledgement.record(
      reason, path: federation.directory(victim), organization: victim.name, near: near,
      store: ClientStore(path: state), log: log, at: Date())
  }

  private func expectRefusal(_ code: String) async throws {
    let before = await server.sent.count
    let arrivals = await server.arrivals
    for _ in 0..<2 {
      let error = try await start().error
      #expect(error?.code == code)
      #expect(error?.blame == .local)
      #expect(
        error?.remedy.contains("bauta organization acknowledge --directory \(federation.directory(victim))") == true)
    }
    #expect(await server.sent.count == before)
    #expect(await server.arrivals == arrivals, "nothing left")
  }

  @Test("A state from an older copy lets nothing leave until the owner says what happened, and then under the budget")
  func older() async throws {
    let copy = "\(federation.root.path)/copy"
    _ = try await start(killedAt: Killer { $0.kind == .advertiseKeys && $0.step == .decided })
    try keep(state, as: copy)
    #expect(try await start().value?.state == .completed)
    try restore(copy, to: state)
    try await expectRefusal("state-older-than-log")

    let acknowledged = try acknowledge("restored from the backup of 1 March")
    #expect(acknowledged.isHistoryLost)
    guard case .olderThanLog(_, let version, let recorded) = acknowledged.fault else {
      Issue.record("\(acknowledged.fault)")
      return
    }
    #expect(version < recorded && acknowledged.version > recorded)
    let record = try #require(try federation.records(victim).last { $0.event == .stateAcknowledged })
    #expect(record.reason == "restored from the backup of 1 March")
    #expect(record.error?.code == "state-older-than-log")
    #expect(record.sequence == acknowledged.entry)
    #expect(federation.verify(victim))
    do {
      _ = try acknowledge()
      Issue.record("acknowledged twice")
    } catch { #expect(error.code == "nothing-to-acknowledge") }

    // The runs of the log are over for this organisation; others are charged as near to what is not remembered.
    let once = Policy.template.replacingOccurrences(of: "count: 8, days: 30", with: "count: 1, days: 30")
    await server.turnHostile([
      .announce(run: 1, otherPlan: false), .announce(run: 2, otherPlan: false),
      .attempt(.statistics, attempt: 1, absent: nil, otherModel: false),
      .announce(run: 3, otherPlan: false), .attempt(.statistics, attempt: 1, absent: nil, otherModel: false),
    ])
    _ = try await start(policy: once)
    #expect(await server.refusals == [.state, .policy])
    let rules = try federation.records(victim).compactMap { $0.policy?.decision == .refused ? $0.policy?.rule : nil }
    #expect(rules.contains("run-state-lost") && rules.contains("near-set-history-lost"))
    let history = try ClientStore(path: state).history(dataSet: federation.dataPath(victim))
    #expect(history.filter { $0.run == "run-2" }.map(\.isCharged) == [true])
  }

  @Test("A state that is missing is one from before everything")
  func missing() async throws {
    #expect(try await start().value?.state == .completed)
    remove(state)
    try await expectRefusal("state-missing")
    #expect(try acknowledge().isHistoryLost)
    await server.turnHostile([])
    #expect(try await start().value?.state == .stopped)
  }

  @Test("A log from an older copy is noticed by the state, also once it has grown again")
  func olderLog() async throws {
    let copy = "\(federation.root.path)/log-copy"
    _ = try await start(killedAt: Killer { $0.kind == .advertiseKeys && $0.step == .decided })
    try keep(federation.logPath(victim), as: copy)
    #expect(try await start().value?.state == .completed)
    try restore(copy, to: federation.logPath(victim))
    try await expectRefusal("log-shorter-than-state")
    do {
      let log = try federation.writer(victim)
      for _ in 0..<80 { try log.append(.init(.handshake)) }
      try log.close()
    }
    try await expectRefusal("log-other-than-state")
    let acknowledged = try acknowledge()
    #expect(!acknowledged.isHistoryLost)
    #expect(try ClientStore(path: state).lostAt == nil)
    await server.turnHostile([])
    #expect(try await start().value?.state == .stopped)
  }

  @Test("A new organisation, and one whose log holds other events only, has nothing to say")
  func fresh() async throws {
    do {
      let log = try federation.writer(victim)
      try log.append(.init(.approval))
      try log.close()
    }
    #expect(try await start().value?.state == .completed)
    #expect(try federation.records(victim).allSatisfy { $0.event != .messageSent || $0.stateVersion != nil })
  }

  @Test("An acknowledgement that is lost half-way is asked for again")
  func halfAcknowledged() async throws {
    #expect(try await start().value?.state == .completed)
    remove(state)
    do {
      // As after a power cut between the record and the state.
      let log = try federation.writer(victim)
      var draft = AuditRecord.Draft(.stateAcknowledged)
      draft.stateVersion = 1000
      try log.append(draft)
      try log.close()
    }
    try await expectRefusal("state-missing")
    #expect(try acknowledge().version > 1000)
    await server.turnHostile([])
    #expect(try await start().value?.state == .stopped)
  }
}
