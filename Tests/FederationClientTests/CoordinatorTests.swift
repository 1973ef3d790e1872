import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient
@testable import FederationServer

/// The way from one organisation's client to the coordinator's hub, without a network.
private actor HubLink: ServerExchange {
  private let hub: SessionHub
  private let spools: MaskedInputSpools
  private let name: OrganizationName
  private let delay: @Sendable (ClientMessage) -> Duration?
  private var isConnected = false
  private var count: UInt64 = 0

  init(
    _ hub: SessionHub, _ spools: MaskedInputSpools, _ name: OrganizationName,
    delay: @escaping @Sendable (ClientMessage) -> Duration?
  ) {
    self.hub = hub
    self.spools = spools
    self.name = name
    self.delay = delay
  }

  var destination: AuditRecord.Peer? { nil }

  func connect() async throws(TransportError) {
    guard !isConnected else { return }
    isConnected = true
    hub.notify(.connected(name))
  }

  /// The connection ends, in order or with its process.
  func close() async {
    guard isConnected else { return }
    isConnected = false
    hub.notify(.disconnected(name))
  }

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    let message = try ClientMessage(parsing: recorded.bytes)
    if let delay = delay(message) { try await Task.sleep(for: delay) }
    count += 1
    let receipt = Receipt(message: message.identifier, index: count, leaf: LeafHash(hashing: [1]))
    if case .segment(let segment) = message.body {
      let stored = spools.store(segment, from: name)
      return try ServerMessage(instruction: message.answers, receipt: receipt, body: .stored(stored)).encoded()
    }
    let (number, body) = await hub.exchange(message, from: name)
    return try ServerMessage(instruction: number, receipt: receipt, body: body).encoded()
  }
}

/// The coordinator with real clients in one process; members are killed, restarted and delayed as a test says.
@Suite("Coordinator", .serialized, .timeLimit(.minutes(5)))
struct CoordinatorTests {
  let federation: TestFederation

  init() throws { federation = try TestFederation(isInMemory: true) }

  struct Outcome {
    let report: RunReport
    let events: [RunEvent]

    var failedAttempts: Int {
      events.count { if case .attemptFailed = $0 { true } else { false } }
    }

    func survivors(of task: TaskKind) -> [OrganizationName]? {
      events.compactMap {
        if case .openingCompleted(let opening, let survivors) = $0, opening.task == task { survivors } else { nil }
      }.first
    }

    func answered(_ name: OrganizationName, _ stage: RoundStage, _ task: TaskKind) -> Bool {
      events.contains {
        if case .answered(name, stage, let opening) = $0 { opening.task == task } else { false }
      }
    }
  }

  static func kill(_ kind: OutboundKind, _ step: WritingStep, in task: TaskKind = .statistics) -> Killer {
    Killer { $0.kind == kind && $0.step == step && $0.opening?.task == task }
  }

  /// Long: a stage ends as soon as nobody is left to wait for.
  static let deadlines = "accept: 20s, fit: 20s, step: 20s, reconnect: 50ms"

  /// One run from its start to its end.
  ///
  /// - Parameters:
  ///   - losses: where the processes of a member are killed, one after the other. Each is followed by another process,
  ///     unless the member is among `gone`.
  ///   - members: who takes part at all.
  func run(
    _ losses: [Int: [Killer]] = [:], plan: RunPlan? = nil, gone: Set<Int> = [], members: [Int] = [0, 1, 2, 3],
    federation: TestFederation? = nil, graph: String = "complete", deadlines: String = deadlines,
    policies: [Int: String] = [:], bins: Int = 8, patience: Duration = .seconds(20),
    delay: @escaping @Sendable (OrganizationName, ClientMessage) -> Duration? = { _, _ in nil }
  ) async throws -> Outcome {
    let federation = federation ?? self.federation
    let plan = try plan ?? federation.plan(bins: bins, graph: graph, deadlines: deadlines)
    let agreement = RunAgreement(manifest: federation.manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
    let hub = SessionHub(hold: .seconds(5))
    let log = try federation.writer(federation.server)
    let store = try RunStore(
      directory: "\(federation.root.path)/runs/\(agreement.run)", plan: plan, manifest: federation.manifest)
    let collected = Collected()
    let spools = MaskedInputSpools(directory: "\(store.directory)/spool")
    let lobby = Lobby(
      hub: hub, membership: ServerMembership(federation.manifest), log: log, progress: { collected.append($0) })
    let coordinator = RunCoordinator(
      agreement: agreement, lobby: lobby, log: log, store: store, spools: spools, traffic: Traffic(),
      identity: try federation.server.identity(),
      settings: .init(patience: patience, farewell: .milliseconds(500)), progress: { collected.append($0) })
    let report = try await withThrowingTaskGroup(of: Void.self) { group in
      for index in members {
        group.addTask {
          try await Self.live(
            federation.parties[index], in: federation, hub: hub, spools: spools, losses: losses[index] ?? [],
            isGone: gone.contains(index), policy: policies[index] ?? Policy.template, delay: delay)
        }
      }
      let report = await coordinator.run()
      await hub.close()
      try await group.waitForAll()
      return report
    }
    try log.close()
    return Outcome(report: report, events: collected.all)
  }

  private final class Collected: Sendable {
    private let events = Mutex<[RunEvent]>([])
    func append(_ event: RunEvent) { events.withLock { $0.append(event) } }
    var all: [RunEvent] { events.withLock { $0 } }
  }

  private static func live(
    _ party: Party, in federation: TestFederation, hub: SessionHub, spools: MaskedInputSpools,
    losses: [Killer], isGone: Bool, policy: String,
    delay: @escaping @Sendable (OrganizationName, ClientMessage) -> Duration?
  ) async throws {
    let processes: [Killer?] = losses.map { $0 } + (isGone ? [] : [nil])
    for killer in processes {
      let link = HubLink(hub, spools, party.name) { delay(party.name, $0) }
      _ = try await federation.takePart(
        party, link: link, policy: policy, patience: .zero, idlePause: .zero, killedAt: killer?.observer)
      await link.close()
      if let killer { #expect(killer.hasStruck, "\(party.name)") }
    }
  }

  @Test(
    "A member that restarts anywhere in a sum holds nobody up, and takes part in the next",
    arguments: [
      (OutboundKind.advertiseKeys, WritingStep.persisted), (.advertiseKeys, .completed), (.shareKeys, .completed),
      (.maskedInput, .persisted), (.maskedInput, .completed), (.consistencyCheck, .persisted),
      (.consistencyCheck, .completed), (.unmasking, .persisted), (.unmasking, .completed),
    ])
  func restarts(_ kind: OutboundKind, _ step: WritingStep) async throws {
    let outcome = try await run([0: [Self.kill(kind, step)]])
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 0)
    #expect(outcome.survivors(of: .evaluate)?.count == 4)
    let name = federation.names[0]
    let isInSum: Bool =
      switch kind {
      case .consistencyCheck, .unmasking: true
      case .maskedInput: step == .completed
      case .hello, .acceptance, .refusal, .ready, .poll, .fetch, .pins, .witness, .advertiseKeys, .beaconReveal,
        .shareKeys,
        .maskedInputSegment,
        .complaint:
        false
      }
    #expect(outcome.survivors(of: .statistics)?.contains(name) == isInSum)
  }

  @Test("Shares that are needed are waited for: members lost with a persisted reply come back and release it")
  func resume() async throws {
    let lost = Self.kill(.unmasking, .persisted)
    let other = Self.kill(.unmasking, .recorded)
    // A third is lost for good, with nothing persisted: t = 3 of four need both that come back.
    let outcome = try await run([0: [lost], 1: [other], 3: [Self.kill(.unmasking, .decided)]], gone: [3])
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 0)
    #expect(outcome.survivors(of: .statistics)?.count == 4)
    for index in [0, 1] {
      #expect(outcome.answered(federation.names[index], .unmasking, .statistics))
      // The second copy of a reply whose record was there names that record.
      let sent = try federation.records(federation.parties[index]).filter {
        $0.event == .messageSent && $0.task == "statistics" && $0.message?.label.kind == "unmasking"
      }
      #expect(sent.map { $0.message?.label.resendOf } == (index == 0 ? [nil] : [nil, sent.first?.sequence]))
    }
  }

  @Test("Too many have released and too few come back: the round ends as unmaskable, and says who is missing")
  func unmaskable() async throws {
    let outcome = try await run(
      [0: [Self.kill(.consistencyCheck, .completed)], 1: [Self.kill(.unmasking, .decided)]], gone: [0, 1],
      deadlines: "accept: 3s, fit: 20s, step: 3s, reconnect: 50ms")
    #expect(outcome.report.state == .failed)
    let reason = try #require(outcome.report.reason)
    #expect(reason.contains("unmaskable"))
    #expect(reason.contains("alder.example, birch.example") && !reason.contains("cedar"))
    #expect(outcome.failedAttempts == 0)
  }

  @Test("At most n − t have released: the others try again without them")
  func retryWithoutReleased() async throws {
    let losses = Dictionary(uniqueKeysWithValues: (0..<3).map { ($0, [Self.kill(.unmasking, .decided)]) })
    let outcome = try await run(losses)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 1)
    #expect(outcome.survivors(of: .statistics) == Array(federation.names.prefix(3)))
    #expect(outcome.survivors(of: .fit)?.count == 4)
  }

  @Test("A sum that members refuse by their policy stops at once, and names them with their word")
  func nearSet() async throws {
    let first = try await run()
    #expect(first.report.state == .completed)
    let second = try await run(
      members: [0, 1, 2], deadlines: "accept: 300ms, fit: 20s, step: 20s, reconnect: 50ms")
    #expect(second.report.state == .stopped)
    #expect(second.failedAttempts == 1)
    let reason = try #require(second.report.reason)
    for name in federation.names.prefix(3) { #expect(reason.contains("\(name) refused (policy)"), "\(reason)") }
    #expect(reason.contains("0 are left") && !reason.contains("missing"), "\(reason)")
  }

  @Test("Who refuses the plan is not in the cohort, and the run goes on without it")
  func refusedPlan() async throws {
    let strict = Policy.template.replacingOccurrences(of: "minimum: 3 ", with: "minimum: 4 ")
    let outcome = try await run(policies: [3: strict])
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.survivors(of: .statistics) == Array(federation.names.prefix(3)))
  }

  @Test("What comes late of an attempt that is over counts for nothing, and its sender takes part in the next")
  func stragglers() async throws {
    let late = Set(federation.names.prefix(2))
    let outcome = try await run(
      deadlines: "accept: 20s, fit: 20s, step: 3s, reconnect: 50ms",
      delay: { name, message in
        guard late.contains(name), case .round(let payload) = message.body, payload.kind == "share-keys",
          payload.opening.task == .statistics, payload.opening.attempt == 1
        else { return nil }
        return .milliseconds(3500)
      })
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 1)
    #expect(outcome.survivors(of: .statistics)?.count == 4)
    let refused = outcome.events.contains { if case .refusedMessage = $0 { true } else { false } }
    #expect(!refused)
  }

  /// Two counters a bin of eight bytes each: 640 KiB, more than goes along with a message.
  private static let manyBins = 40_960

  @Test("A masked input that is too long for one message is uploaded in segments, each on the record, and summed")
  func longMaskedInput() async throws {
    let outcome = try await run(bins: Self.manyBins)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 0)
    #expect(outcome.survivors(of: .evaluate)?.count == 4)
    for party in federation.parties {
      let sent = try federation.records(party).filter { $0.event == .messageSent && $0.task == "evaluate" }
      let segments = sent.filter { $0.message?.label.kind == "masked-input-segment" }
      let total = segments.reduce(0) { $0 + Int($1.message?.bytes ?? 0) }
      #expect(segments.count == 2)
      #expect(total >= 16 * Self.manyBins && total <= 16 * Self.manyBins + 1024)
      #expect(!FileManager.default.fileExists(atPath: "\(federation.directory(party))/spool/masked-input"))
    }
    let spool = "\(federation.root.path)/runs/\(outcome.report.run)/spool"
    #expect(try FileManager.default.contentsOfDirectory(atPath: spool).isEmpty)
  }

  @Test(
    "A member that is lost in the middle of an upload leaves no trace in the sum",
    arguments: [WritingStep.recorded, .completed])
  func lostUpload(_ step: WritingStep) async throws {
    let outcome = try await run([0: [Self.kill(.maskedInputSegment, step, in: .evaluate)]], bins: Self.manyBins)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 0)
    #expect(outcome.survivors(of: .evaluate) == Array(federation.names.dropFirst()))
    #expect(outcome.survivors(of: .fit)?.count == 4)
    // The metrics are those of the others' rows: a sum with a trace of a masked term would be out of its bounds.
    #expect(outcome.report.rounds.last?.metrics.isEmpty == false)
  }

  @Test("A hundred and four organisations sum on a k-regular graph, and a lost nonce costs one attempt")
  func regularGraph() async throws {
    let large = try TestFederation(isInMemory: true, count: 104)
    let lost = Killer { $0.kind == .beaconReveal && $0.step == .persisted && $0.opening?.task == .fit }
    let other = Killer { $0.kind == .maskedInput && $0.step == .recorded && $0.opening?.task == .statistics }
    let outcome = try await run(
      [7: [other], 9: [lost]], members: Array(0..<104), federation: large, graph: "regular",
      deadlines: "accept: 100s, fit: 100s, step: 100s, reconnect: 50ms", patience: .seconds(200))
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.failedAttempts == 1)
    let statistics = try #require(outcome.survivors(of: .statistics))
    #expect(statistics == large.names.filter { $0 != large.names[7] })
    #expect(outcome.survivors(of: .evaluate)?.count == 104)
    // Shares went to neighbours only: fewer bytes than a share for everybody.
    let record = try large.records(large.parties[0]).first {
      $0.event == .messageSent && $0.message?.label.kind == "share-keys"
    }
    #expect(record != nil)
  }

  @Test("A report that says running after a server was killed is closed by the next server")
  func interruptedReport() throws {
    let runs = "\(federation.root.path)/runs"
    let names = ["20260301-093000-00000000000000aa", "20260302-093000-00000000000000bb"]
    for (name, state) in zip(names, [RunReport.State.running, .completed]) {
      try FileManager.default.createDirectory(atPath: "\(runs)/\(name)", withIntermediateDirectories: true)
      var report = RunReport(run: try RunIdentifier(name))
      report.state = state
      try report.write(to: "\(runs)/\(name)/report.json")
    }
    try RunArchive(path: runs).settleInterruptedRuns(resuming: false)
    let reports = try names.map { try RunReport(contentsOf: "\(runs)/\($0)/report.json") }
    #expect(reports.map(\.state) == [.failed, .completed])
    #expect(reports[0].reason?.hasPrefix("interrupted") == true)
    #expect(reports[1].reason == nil)
  }
}
