import AuditLog
import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import SecureAggregation
import ServiceControl
import Storage
import Synchronization
import Testing

@testable import FederationClient

/// The ledger on disk, and that nothing of a sum leaves before its charge.
@Suite("Privacy charges of one client", .timeLimit(.minutes(2)))
struct PrivacyChargeTests {
  private let federation: TestFederation
  private let run: HostileRun
  private var victim: Party { federation.parties[0] }
  private var path: String { federation.statePath(victim) }

  init() throws {
    federation = try TestFederation(isInMemory: true)
    run = try HostileRun(federation, plan: federation.privatePlan())
  }

  private func event(_ task: TaskKind = .fit) throws -> PrivacyEvent {
    try #require(try federation.noise(run.agreement.plan)?.release(of: task)).event
  }

  private func entry(_ run: String = "run-1", _ task: TaskKind = .fit, _ round: Int) throws -> LedgerEntry {
    LedgerEntry(
      dataSet: "/data/a.csv", run: try RunIdentifier(run), task: task, round: round, unit: .record,
      event: try event(task), time: 7)
  }

  private func insert(_ entry: LedgerEntry) throws {
    let store = try ClientStore(path: path)
    try store.write { try ClientStore.insert(entry, in: $0) }
  }

  // MARK: - The table

  @Test("What was charged is there after reopening, in order and to the last digit")
  func reopening() throws {
    let entries = [try entry(1), try entry("run-1", .evaluate, 1), try entry("run-2", .fit, 1)]
    for entry in entries { try insert(entry) }
    #expect(try federation.ledger(victim).entries == entries)
    let expected = try PrivacyLedger(entries: entries).epsilon(of: nil, unit: .record, delta: 1e-5)
    #expect(try federation.ledger(victim).epsilon(of: nil, unit: .record, delta: 1e-5) == expected)
  }

  private func entry(_ round: Int) throws -> LedgerEntry { try entry("run-1", .fit, round) }

  @Test(
    "The table takes no change and no removal, whoever opens the database",
    arguments: [
      ("UPDATE privacy_charge SET event = 'pure(epsilon=0.0)'", "a charge is never changed"),
      ("UPDATE OR REPLACE privacy_charge SET position = 2", "a charge is never changed"),
      ("UPDATE privacy_charge SET count = count + 1", "a charge is never changed"),
      ("UPDATE privacy_charge SET noise = 'local'", "a charge is never changed"),
      ("DELETE FROM privacy_charge", "a charge is never taken back"),
      ("DELETE FROM privacy_charge WHERE round = 1", "a charge is never taken back"),
      (
        """
        INSERT OR REPLACE INTO privacy_charge (data_set, run, task, round, event, time)
        VALUES ('/b', 'run-1', 'fit', 1, 'pure(epsilon=0.0)', 0)
        """, "a charge is never replaced"
      ),
      (
        """
        REPLACE INTO privacy_charge (position, data_set, run, task, round, event, time)
        VALUES (1, '/b', 'run-9', 'fit', 9, 'pure(epsilon=0.0)', 0)
        """, "a charge is never replaced"
      ),
      (
        """
        INSERT INTO privacy_charge (data_set, run, task, round, event, time)
        VALUES ('/b', 'run-1', 'fit', 2, 'pure(epsilon=0.0)', 0) ON CONFLICT DO UPDATE SET event = excluded.event
        """, "a charge is never replaced"
      ),
    ])
  func onlyGrows(statement: String, reason: String) throws {
    for round in 1...2 { try insert(entry(round)) }
    do {
      let database = try Database(path: path, migrations: ClientStore.migrations)
      do {
        try database.write { _ = try $0.execute(statement, []) }
        Issue.record("the ledger was changed")
      } catch { #expect("\(error)".contains(reason), "\(error)") }
      try database.close()
    }
    #expect(try federation.ledger(victim).entries == [entry(1), entry(2)])
  }

  @Test("There is one charge a run, task and round")
  func unique() throws {
    try insert(entry(1))
    #expect(throws: ClientError.self) { try insert(entry(1)) }
    for other in [try entry(2), try entry("run-1", .evaluate, 1), try entry("run-2", .fit, 1)] { try insert(other) }
    #expect(try federation.ledger(victim).entries.count == 4)
  }

  @Test(
    "On top of a charge that nobody can account for, nothing is charged", arguments: ["pure(epsilon=-1.0)", "?", ""])
  func unreadable(event: String) throws {
    try insert(entry(1))
    do {
      let database = try Database(path: path, migrations: ClientStore.migrations)
      try database.write {
        _ = try $0.execute(
          """
          INSERT INTO privacy_charge (data_set, run, task, round, unit, event, time)
          VALUES ('/b', 'run-3', 'fit', 1, 'record', ?, 0)
          """, [.text(event)])
      }
      try database.close()
    }
    #expect(throws: ClientError.self) { try federation.ledger(victim) }
  }

  @Test("A sum without noise counts once, pays for nothing, and leaves no account with a number")
  func withoutNoise() throws {
    let plain = try LedgerEntry(
      dataSet: "/data/a.csv", run: RunIdentifier("run-0"), task: .fit, round: 1, unit: .none, event: .unbounded, time: 7
    )
    for _ in 0..<2 { try insert(plain) }
    try insert(entry(1))
    let ledger = try federation.ledger(victim)
    #expect(ledger.entries == [plain, try entry(1)] && ledger.sumsWithoutNoise(for: .record) == 1)
    let opening = OpeningIdentifier(run: plain.run, task: .fit, round: 1, attempt: 1)
    #expect(ledger.charge(for: opening) == nil)
    for dataSet in [nil, "/data/a.csv"] {
      #expect(try ledger.epsilon(of: dataSet, unit: .record, delta: 1e-5) == .infinity)
      #expect(try ledger.epsilon(of: dataSet, unit: .record, delta: 1e-5, leavingOut: true) < 100)
    }
    #expect(try ledger.epsilon(of: "/data/b.csv", unit: .record, delta: 1e-5) == 0)
  }

  @Test("A state that took the place of a newer one leaves no account with a number")
  func forgotten() throws {
    try insert(entry(1))
    do {
      let database = try Database(path: path, migrations: ClientStore.migrations)
      try database.write { _ = try $0.execute("INSERT INTO lost_history (time) VALUES (5)", []) }
      try database.close()
    }
    let ledger = try federation.ledger(victim)
    #expect(ledger.isIncomplete)
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, leavingOut: true) < 100)
    #expect(try StoredLedger.ledger(of: StoredLedger.lines(of: ledger)).isIncomplete)
    #expect(try StoredLedger.ledger(of: StoredLedger.lines(of: ledger)).entries == ledger.entries)
  }

  @Test("A ledger of before noise had a place is read with shares of noise, once each, and takes new charges")
  func migration() throws {
    let old = [try entry(1), try entry(2)]
    do {
      let migrations = try #require(
        ClientStore.migrations.firstIndex { $0.identifier == ClientStore.noisePlacementMigration.identifier })
      let database = try Database(path: path, migrations: Array(ClientStore.migrations[..<migrations]))
      try database.write { transaction in
        for entry in old {
          _ = try transaction.execute(
            """
            INSERT INTO privacy_charge (data_set, run, task, round, unit, event, time)
            VALUES ('/data/a.csv', 'run-1', 'fit', ?1, 'record', ?2, 7)
            """, [.integer(Int64(entry.round)), .text(entry.event.canonical)])
        }
      }
      try database.close()
    }
    #expect(
      try federation.ledger(victim).entries == old && old.allSatisfy { $0.count == 1 && $0.noise == .distributed })
    let new = try placed(count: 5, noise: .local, round: 3)
    try insert(new)
    #expect(try federation.ledger(victim).entries == old + [new])
    let database = try Database(path: path, migrations: ClientStore.migrations)
    for statement in ["UPDATE privacy_charge SET count = 1", "DELETE FROM privacy_charge"] {
      #expect(throws: StorageError.self) { try database.write { _ = try $0.execute(statement, []) } }
    }
    try database.close()
  }

  private func placed(count: Int, noise: NoisePlacement, round: Int) throws -> LedgerEntry {
    LedgerEntry(
      dataSet: "/data/a.csv", run: try RunIdentifier("run-1"), task: .fit, round: round, unit: .record,
      event: .poissonSubsampledDiscreteGaussian(noiseMultiplier: 2, samplingProbability: 0.1), count: count,
      noise: noise, time: 7)
  }

  @Test(
    "A charge whose count or place of noise nobody can account for makes the ledger unreadable, by name",
    arguments: [
      ("9223372036854775807", "'local'", "record"), ("1000000000000", "'local'", "record"), ("2", "'nobody'", "record"),
      ("9223372036854775807", "'distributed'", "none"), ("1", "''", "record"),
    ])
  func hostileCounts(count: String, noise: String, unit: String) throws {
    for round in 1...2 { try insert(entry(round)) }
    func add(_ count: String, round: Int) throws {
      let database = try Database(path: path, migrations: ClientStore.migrations)
      defer { try? database.close() }
      try database.write {
        _ = try $0.execute(
          """
          INSERT INTO privacy_charge (data_set, run, task, round, unit, event, count, noise, time)
          VALUES ('/b', 'run-3', 'fit', \(round), '\(unit)', 'gaussian(noiseMultiplier=2.0)', \(count), \(noise), 0)
          """, [])
      }
    }
    for refused in ["0", "-1", "NULL", "'many'", "1.5"] {
      #expect(throws: (any Error).self, "\(refused)") { try add(refused, round: 1) }
    }
    #expect(try federation.ledger(victim).entries.count == 2)
    // Twice, so that a sum of both would overflow.
    for round in 1...2 { try add(count, round: round) }
    #expect(throws: ClientError.self) { try federation.ledger(victim) }
  }

  @Test("A client that runs tells the whole of a charge: how often, and who added the noise")
  func toldByAClientThatRuns() throws {
    let entries = [
      try entry(1), try placed(count: 7, noise: .local, round: 2), try placed(count: 1, noise: .central, round: 3),
    ]
    let ledger = try PrivacyLedger(entries: entries)
    let lines = try StoredLedger.lines(of: ledger)
    #expect(try StoredLedger.ledger(of: lines).entries == entries)
    for (old, new) in [("\"count\":7", "\"count\":0"), ("\"noise\":\"local\"", "\"noise\":\"none\"")] {
      let changed = lines.map { $0.replacingOccurrences(of: old, with: new) }
      #expect(changed != lines)
      #expect(throws: ControlError.self) { try StoredLedger.ledger(of: changed) }
    }
  }

  // MARK: - The gate

  /// One message of a sum of the run, under the accepted plan.
  private func send(
    _ body: ClientMessage.Body, _ charge: consuming PrivacyCharge, _ gate: EgressGate
  ) async throws -> Result<[UInt8], ClientError> {
    let policy = try Policy(parsing: TestFederation.privatePolicy(epsilon: 30))
    let accepted = try policy.decide(
      plan: run.agreement.plan, manifest: federation.manifest, featureCount: 3, ledger: (PrivacyLedger(), "/a"),
      at: Date())
    let kind = try #require(body.outboundKind)
    let message = ClientMessage(identifier: .random(), run: run.agreement.run, answers: 1, body: body)
    do throws(ClientError) {
      return .success(
        try await gate.send(
          OutboundMessage(message, draft: AuditRecord.Draft(.messageSent)), decision: accepted.decision(for: kind),
          charge: charge))
    } catch { return .failure(error) }
  }

  private func body(_ kind: OutboundKind, _ opening: OpeningIdentifier) -> ClientMessage.Body {
    if kind == .maskedInputSegment {
      return .segment(MaskedInputSegment(opening: opening, offset: 0, bytes: [1, 2, 3]))
    }
    let name =
      switch kind {
      case .advertiseKeys: "advertise-keys"
      case .beaconReveal: "beacon-reveal"
      case .shareKeys: "share-keys"
      case .maskedInput: "masked-input"
      case .consistencyCheck: "consistency-check"
      case .unmasking, .hello, .acceptance, .refusal, .ready, .poll, .fetch, .pins, .witness, .maskedInputSegment,
        .complaint:
        "unmasking"
      }
    return .round(RoundPayload(opening: opening, kind: name, payload: [1, 2, 3]))
  }

  @Test(
    "A message of a sum with noise leaves under the sum's own charge, and under no other",
    arguments: [
      OutboundKind.advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .maskedInputSegment, .consistencyCheck,
      .unmasking,
    ])
  func gate(kind: OutboundKind) async throws {
    let log = try federation.writer(victim)
    let server = ScriptedServer(logPath: federation.logPath(victim), [.body(.wait), .body(.wait)])
    let gate = EgressGate(link: server, log: log, backoff: Backoff(total: .zero), progress: { _ in })
    let ledger = try PrivacyLedger(entries: [entry(1), entry("run-2", .fit, 2), entry("run-1", .evaluate, 3)])
    func charge(_ opening: OpeningIdentifier) throws -> PrivacyCharge {
      guard let charge = ledger.proof(for: opening) else { throw ClientError.unexpected("no charge") }
      return charge
    }
    let size = log.size
    let unpaid = try await send(body(kind, run.opening(.fit, round: 1)), .notPrivate(), gate)
    #expect(unpaid.error?.message.contains("a message of a sum that was not charged") == true)
    for opening in [run.opening(.fit, round: 2), run.opening(.evaluate, round: 1)] {
      let misused = try await send(body(kind, opening), charge(run.opening(.fit, round: 1)), gate)
      #expect(misused.error?.message.contains("a message of a sum that was not charged") == true)
    }
    let otherRun = OpeningIdentifier(run: try RunIdentifier("run-2"), task: .fit, round: 2, attempt: 1)
    let misused = try await send(body(kind, run.opening(.fit, round: 2)), charge(otherRun), gate)
    #expect(misused.error != nil)
    #expect(log.size == size, "nothing was recorded")
    #expect(await server.arrivals.isEmpty)
    // In any attempt: all of them mask one term.
    for attempt in 1...2 {
      let opening = run.opening(.fit, round: 1, attempt: attempt)
      #expect(try await send(body(kind, opening), charge(opening), gate).value != nil)
    }
    #expect(await server.arrivals.count == 2)
    try log.close()
  }

  // MARK: - A client and its server

  private static let exact = TestFederation.privatePolicy(epsilon: 3)

  /// One process that ends where the killer says.
  private func start(_ script: [ScriptedServer.Reply], _ killer: Killer) async throws -> ScriptedServer {
    let server = ScriptedServer(logPath: federation.logPath(victim), script)
    let result = try await federation.takePart(
      victim, link: server, policy: Self.exact, patience: .zero, idlePause: .zero, killedAt: killer.observer)
    #expect(result.error?.code == "cancelled")
    #expect(killer.hasStruck)
    return server
  }

  private func charges() throws -> [AuditRecord] {
    try federation.records(victim).filter { $0.event == .privacyCharge }
  }

  private func term(_ opening: OpeningIdentifier) throws -> [UInt8]? {
    try ClientStore(path: path).opening(opening)?.term
  }

  @Test(
    "Killed between charge and sending, the charge stays; the next process makes it once more neither charge nor term",
    arguments: [WritingStep.decided, .persisted, .recorded, .sent])
  func killed(_ step: WritingStep) async throws {
    let opening = run.opening(.fit, round: 1)
    let server = try await start(
      [run.announcement(), run.task(opening), .body(.wait)],
      Killer { $0.kind == .advertiseKeys && $0.step == step })
    #expect(await server.kinds.contains("advertise-keys") == (step == .sent))
    let first = try term(opening)
    #expect(try federation.ledger(victim).entries.count == (step == .decided ? 0 : 1))
    #expect((first == nil) == (step == .decided))

    // The whole run fits exactly: what is paid of it does not count twice.
    let again = run.opening(.fit, round: 1, attempt: 2)
    let next = try await start(
      [run.announcement(), run.task(again), .body(.wait)],
      Killer { $0.kind == .advertiseKeys && $0.step == .sent })
    #expect(await next.kinds == ["hello", "acceptance", "advertise-keys"])
    let ledger = try federation.ledger(victim)
    #expect(ledger.entries.map(\.round) == [1])
    #expect(ledger.entries.first?.event == (try event()))
    #expect(ledger.entries.first?.dataSet == StoredLedger.dataSet(at: federation.dataPath(victim)))
    let second = try #require(try term(again))
    if let first { #expect(second == first) }
    #expect(try charges().count == 1)
  }

  @Test(
    "With local noise one training leaves an organisation in all attempts, and none that was killed before it was stored",
    arguments: [WritingStep.decided, .persisted, .recorded, .sent])
  func killedWithLocalNoise(_ step: WritingStep) async throws {
    let run = try HostileRun(federation, plan: federation.localPlan())
    let (opening, again) = (run.opening(.fit, round: 1), run.opening(.fit, round: 1, attempt: 2))
    let server = try await start(
      [run.announcement(), run.task(opening), .body(.wait)], Killer { $0.kind == .advertiseKeys && $0.step == step })
    let first = try term(opening)
    #expect((first == nil) == (step == .decided))
    if step == .decided { #expect(await server.kinds == ["hello", "acceptance"]) }
    #expect(try federation.ledger(victim).entries.map(\.count) == (step == .decided ? [] : [3]))
    _ = try await start(
      [run.announcement(), run.task(again), .body(.wait)], Killer { $0.kind == .advertiseKeys && $0.step == .sent })
    let second = try #require(try term(again))
    if let first { #expect(second == first) }
    let entries = try federation.ledger(victim).entries
    #expect(entries.count == 1 && entries.allSatisfy { $0.count == 3 && $0.noise == .local })
    #expect(try charges().count == 1)
  }

  @Test("A second and a third attempt at a sum cost nothing more")
  func attempts() async throws {
    let script = [run.announcement()] + (1...3).map { run.task(run.opening(.fit, round: 1, attempt: $0)) } + [run.end()]
    let seen = try await run.play(script, policy: Self.exact)
    #expect(seen.kinds == ["hello", "acceptance", "advertise-keys", "advertise-keys", "advertise-keys", "ready"])
    #expect(try federation.ledger(victim).entries.count == 1)
    let charged = seen.records.filter { $0.event == .privacyCharge }
    #expect(charged.count == 1)
    let sent = seen.records.first { $0.event == .messageSent && $0.message?.label.kind == "advertise-keys" }
    #expect(try #require(charged.first).sequence < #require(sent).sequence)
  }

  @Test("A plan that would pass the ceiling is refused before anything is trained, with the numbers and in one word")
  func ceiling() async throws {
    let policy = TestFederation.privatePolicy(epsilon: 2.5)
    let seen = try await run.play([run.announcement(), run.end(), run.end()], policy: policy)
    #expect(seen.kinds == ["hello", "refusal", "ready"])
    #expect(seen.refusalClasses == [.policy])
    #expect(seen.refusals == ["privacy.epsilon privacy.epsilonInAll"])
    #expect(try federation.ledger(victim).entries.isEmpty)

    // What was spent before counts: the plan alone would fit.
    try insert(entry("run-0", .fit, 1))
    let server = ScriptedServer(logPath: federation.logPath(victim), [run.announcement(), run.end(), run.end()])
    let reasons = Reasons()
    _ = try await federation.takePart(victim, link: server, policy: Self.exact, progress: { reasons.note($0) })
    // Data elsewhere: only the ceiling of all data together is passed.
    let said = try #require(reasons.all.first)
    #expect(reasons.all.count == 1 && said.contains("privacy.epsilonInAll"))
    #expect(said.contains("the policy says 3.000 at delta 1e-05, the plan ") && said.contains(" spent, 3."))
    #expect(try federation.ledger(victim).entries.count == 1)
    #expect(await server.kinds == ["hello", "refusal", "ready"])
  }

  /// What a client is shown of refusals.
  private final class Reasons: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func note(_ event: ClientEvent) {
      if case .refused(_, _, let reasons) = event { lines.withLock { $0 += reasons } }
    }
  }

  @Test("Who stops when short refuses the sum that the budget does not reach, in one word and with the numbers")
  func stop() async throws {
    let one = try federation.epsilon(fits: 1, of: run.agreement.plan)
    let server = ScriptedServer(
      logPath: federation.logPath(victim),
      [run.announcement(), run.task(run.opening(.fit, round: 1)), try result(), try next(), run.end(), run.end()])
    let reasons = Reasons()
    let result = try await federation.takePart(
      victim, link: server, policy: TestFederation.privatePolicy(epsilon: one, whenShort: "stop"),
      progress: { reasons.note($0) })
    #expect(result.value?.state == .stopped, "\(String(describing: result.error?.message))")
    #expect(await server.kinds == ["hello", "acceptance", "advertise-keys", "ready", "refusal", "ready"])
    let said = try #require(reasons.all.first)
    #expect(said.hasPrefix("fit of round 2 would take these data from ε = "))
    #expect(said.contains(", above the ceiling of ") && said.hasSuffix(" at δ = 1e-05"))
    #expect(try federation.ledger(victim).entries.map(\.round) == [1])
  }

  // MARK: - The end of a run that this process has not followed

  private func sum(_ progression: RunProgression, _ round: Int) throws -> AggregateSum {
    let context = try run.agreement.context(
      of: run.opening(.fit, round: round), cohort: federation.names, features: TestFederation.columns,
      model: progression.modelHash)
    return try AggregateSum(
      words: [1, 2, 3, 4], counters: [], survivors: federation.names, maskedInputRoot: .init(hashing: [1]),
      context: context)
  }

  private func result() throws -> ScriptedServer.Reply {
    var after = run.start
    let sum = try sum(after, 1)
    _ = try after.apply(sum, of: run.opening(.fit, round: 1))
    return .body(
      .result(
        OpeningResult(
          opening: run.opening(.fit, round: 1), aggregate: sum.encoded(), nextModel: after.modelHash,
          signer: try federation.server.identity())))
  }

  private func model(rounds: Int) throws -> [UInt8] {
    var progression = run.start
    for round in 1..<(rounds + 1) {
      _ = try progression.apply(sum(progression, round), of: run.opening(.fit, round: round))
    }
    return progression.model
  }

  private func next() throws -> ScriptedServer.Reply {
    run.task(run.opening(.fit, round: 2), model: try model(rounds: 1))
  }

  @Test("A process that comes back for the end takes the model; one that has missed nothing takes only its own")
  func end() async throws {
    let final = try model(rounds: 3)
    let fresh = try await run.play([run.announcement(), run.end(model: final, state: .completed)], policy: Self.exact)
    #expect(fresh.result.error?.message.contains("a final model that does not follow") == true)
    // That process had accepted the run: the next one has been away.
    let back = try await run.play(
      [run.announcement(), run.end(model: final, state: .budgetSpent), run.end()], policy: Self.exact)
    #expect(back.result.value?.state == .budgetSpent, "\(String(describing: back.result.error?.message))")
    let path = try #require(back.result.value?.modelPath)
    #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == final)
  }

  @Test("A process that has followed the run takes no other model than its own at the end")
  func otherEnd() async throws {
    let other = try model(rounds: 2)
    let seen = try await run.play(
      [
        run.announcement(), run.task(run.opening(.fit, round: 1)), try result(),
        run.end(model: other, state: .completed), run.end(),
      ], policy: Self.exact)
    #expect(seen.result.error?.message.contains("a final model that does not follow") == true)
  }
}
