import AuditLog
import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient
@testable import FederationServer

/// Whole runs whose clip follows the updates, with the real coordinator and real clients in one process.
@Suite("Runs with a clip that follows the updates", .serialized, .timeLimit(.minutes(4)))
struct AdaptiveClippingRunTests {
  private let coordinator: CoordinatorTests
  private var federation: TestFederation { coordinator.federation }

  init() throws { coordinator = try CoordinatorTests() }

  /// Little noise, so that it is seen where the clip goes.
  private func plan(clip: Double, rounds: Int = 5, learningRate: Double = 1) throws -> RunPlan {
    try federation.organizationPlan(
      rounds: rounds, epsilon: 64,
      clip: "\(clip), adaptiveClipping: {quantile: 0.5, learningRate: \(learningRate), bitShare: 0.3}")
  }

  private var policies: [Int: String] {
    Dictionary(
      uniqueKeysWithValues: (0..<4).map { ($0, TestFederation.privatePolicy(epsilon: 64, unit: .organization)) })
  }

  /// The models of a run as the server stored them, round by round.
  private func models(_ run: RunIdentifier, rounds: Int) throws -> [ModelArtifact] {
    try (1...rounds).map {
      let path = "\(federation.root.path)/runs/\(run)/models/round-\($0).safetensors"
      return try ModelArtifact(decoding: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
    }
  }

  /// That everybody has the model that the server has.
  private func checkSameModel(_ run: RunIdentifier) throws {
    let path = "runs/\(run)/model.safetensors"
    let served = try Data(contentsOf: URL(fileURLWithPath: "\(federation.root.path)/\(path)"))
    for party in federation.parties {
      let held = try Data(contentsOf: URL(fileURLWithPath: "\(federation.directory(party))/\(path)"))
      #expect(held == served, "\(party.name)")
    }
  }

  @Test(
    "A clip far too small grows and one far too large shrinks, everybody follows it, and update and bit are charged",
    arguments: [0x1p-10, 64])
  func follows(first: Double) async throws {
    let plan = try plan(clip: first)
    let sent = SentMessages()
    let outcome = try await coordinator.run(
      plan: plan, policies: policies,
      delay: { name, message in
        sent.note(name, message)
        return nil
      })
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    #expect(outcome.report.rounds.map(\.round) == [1, 2, 3, 4, 5])
    // The bits are no count of rows.
    #expect(outcome.report.rounds.allSatisfy { $0.examples == 0 && $0.survivors.count == 4 })
    let clips = [first] + (try models(outcome.report.run, rounds: 5).map { try #require($0.clip) })
    // Without noise √e a round: 12 times in five. Noise of the bits is far from hiding that.
    let moved = clips[5] / first
    #expect(first < 1 ? moved > 2 && moved < 13 : moved < 0.5 && moved > 1 / 13.0, "\(clips)")
    // Every step is the formula's, for some whole number as the noised sum of the bits.
    let step = try #require(plan.privacy.settings?.adaptiveClipping).step
    for (before, after) in zip(clips, clips.dropFirst()) {
      #expect((-12...12).contains { step.nextClip(after: before, sum: $0, organizations: 4) == after }, "\(clips)")
    }
    try checkSameModel(outcome.report.run)
    for party in federation.parties {
      try checkLedger(party, plan)
      try checkRecords(party, plan, clips: clips)
      try checkMessages(sent.all(of: party.name), plan)
      #expect(federation.verify(party))
    }
  }

  /// The mean of an organisation's terms at a clip, in the model's units, and of its bits.
  private func term(clip: Double, trials: Int = 60) throws -> (norm: Double, bit: Double) {
    let text = try plan(clip: 0.125, learningRate: 10).text
    let plan = try RunPlan(parsing: text.replacingOccurrences(of: "epsilon: 64.0", with: "noiseMultiplier: 0.001"))
    let noise = try #require(try federation.noise(plan))
    var progression = RunProgression(plan: plan, run: try RunIdentifier("one"), features: TestFederation.columns)
    let first = try #require(progression.artifact)
    try progression.adopt(
      model: ModelArtifact(
        model: first.model, preprocessing: first.preprocessing, classWeights: first.classWeights, label: first.label,
        positive: first.positive, run: first.run, context: first.context, round: 3, clip: clip
      ).encoded())
    let runner = TaskRunner(
      data: try LocalData(path: federation.dataPath(federation.parties[0]), plan: plan), plan: plan, minimumRows: 1)
    var (mean, bits) = ([Double](repeating: 0, count: 4), 0.0)
    for _ in 0..<trials {
      guard case .integers(let integers, let counters) = try runner.noised(.fit, progression: progression, noise: noise)
      else { throw ClientError.unexpected("another term") }
      #expect(integers.count == 4 && counters.count == 1)
      mean = zip(mean, integers).map { $0 + Double($1) / Double(trials) }
      bits += Double(counters[0]) / Double(trials)
    }
    let scale = try #require(noise.encoding).scale
    let unit = try progression.unit(#require(progression.artifact))
    return (mean.map { $0 * $0 }.reduce(0, +).squareRoot() / scale * unit, bits)
  }

  @Test("A term is clipped to the clip of the model, not the plan's, and its bit says whether it had to be")
  func terms() throws {
    // The update itself, at clips beyond its length: the plan's clip of an eighth would have cut it.
    let (whole, within) = try term(clip: 16)
    #expect(whole > 0.4 && whole < 4, "\(whole)")
    // A bit has noise of σ = ½; the mean of sixty has 0.065.
    #expect(abs(within - 1) < 0.5)
    let (same, alsoWithin) = try term(clip: 10)
    #expect(abs(same / whole - 1) < 0.02 && abs(alsoWithin - 1) < 0.5)
    for clip in [0.01, 0.2, whole * 0.9] {
      let (norm, bit) = try term(clip: clip)
      #expect(abs(norm / clip - 1) < 0.02, "\(clip): \(norm)")
      #expect(abs(bit + 1) < 0.5, "\(clip): \(bit)")
    }
    #expect(abs(try term(clip: whole * 1.1).bit - 1) < 0.5)
  }

  @Test("A clip without noise for its bit, or noise without a clip, makes no term")
  func mismatch() throws {
    let (moving, fixed) = (try plan(clip: 1), try plan(clip: 1).text)
    let start = try #require(fixed.range(of: "adaptiveClipping: {"))
    let end = try #require(fixed.range(of: "}, ", range: start.upperBound..<fixed.endIndex))
    let still = try RunPlan(parsing: fixed.replacingCharacters(in: start.lowerBound..<end.upperBound, with: ""))
    let data = try LocalData(path: federation.dataPath(federation.parties[0]), plan: moving)
    for (plan, other) in [(moving, still), (still, moving)] {
      let progression = RunProgression(plan: plan, run: try RunIdentifier("one"), features: TestFederation.columns)
      let noise = try #require(try federation.noise(other))
      #expect(throws: ClientError.self) {
        try TaskRunner(data: data, plan: plan, minimumRows: 1).noised(.fit, progression: progression, noise: noise)
      }
    }
  }

  /// One charge a round, of update and bit, that comes to what the plan says to the last bit.
  private func checkLedger(_ party: Party, _ plan: RunPlan) throws {
    let noise = try #require(try federation.noise(plan))
    let ledger = try federation.ledger(party)
    #expect(ledger.entries.map { "\($0.task.rawValue) \($0.round)" } == (1...plan.rounds).map { "fit \($0)" })
    let releases = try #require(noise.distributed).releases
    #expect(releases.count == 2)
    #expect(ledger.entries.allSatisfy { $0.event == .joint(releases.map(\.event)) && $0.count == 1 })
    #expect(try ledger.epsilon(of: nil, unit: .organization, delta: 1e-5) == noise.form.epsilon)
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
  }

  /// What the log says of every term: the clip of its round, and the noise at that clip in the model's units.
  private func checkRecords(_ party: Party, _ plan: RunPlan, clips: [Double]) throws {
    let noise = try #require(try federation.noise(plan)?.distributed)
    let records = try federation.records(party)
    let charges = records.filter { $0.event == .privacyCharge }
    let inputs = records.filter { $0.event == .messageSent && $0.message?.label.kind == "masked-input" }
    #expect(charges.map(\.round) == inputs.map(\.round) && inputs.map(\.round) == Array(1...plan.rounds))
    let deviation = noise.model.noise.variance(shares: 1).squareRoot() / noise.encoding.scale
    for (record, clip) in zip(inputs, clips) {
      let input = try #require(record.maskedInput)
      #expect(input.dimension == noise.model.dimension && input.counters == 1)
      let written = try #require(input.clip.flatMap { Double($0.text) })
      #expect(abs(written / clip - 1) < 1e-9, "\(written), \(clip)")
      let added = try #require(input.localNoise.flatMap { Double($0.text) })
      #expect(abs(added / (deviation * clip / clips[0]) - 1) < 1e-9)
    }
    let last = inputs.last?.maskedInput?.epsilonTotal
    #expect(last == AuditDecimal(noise.epsilon) && charges.last?.maskedInput?.epsilonTotal == last)
  }

  /// Everything that may leave, and no byte beside what is charged.
  private static let allowed: Set = [
    "hello", "acceptance", "ready", "poll", "fetch", "pins", "witness", "advertise-keys", "share-keys", "masked-input",
    "consistency-check", "unmasking",
  ]

  private func checkMessages(_ messages: [ClientMessage], _ plan: RunPlan) throws {
    let noise = try #require(try federation.noise(plan)?.distributed)
    let bit = try #require(noise.clipBit)
    var terms = 0
    for message in messages {
      #expect(Self.allowed.contains(message.kind), "\(message.kind)")
      guard case .round(let payload) = message.body else { continue }
      guard payload.kind == "masked-input" else {
        #expect(payload.body.isEmpty, "\(payload.kind)")
        continue
      }
      terms += 1
      // Four bytes a coordinate, eight for the bit's counter.
      #expect(payload.body.count == noise.model.dimension * 4 + bit.dimension * 8)
    }
    #expect(terms == plan.rounds)
  }

  @Test(
    "A member that is killed and comes back goes on with the clip of the round, and pays each sum once",
    arguments: [
      (OutboundKind.advertiseKeys, WritingStep.persisted), (.maskedInput, .completed), (.unmasking, .persisted),
      (.unmasking, .completed),
    ])
  func restarts(_ kind: OutboundKind, _ step: WritingStep) async throws {
    // Long enough that it is back before the end; killed when the clip is no longer the plan's.
    let plan = try plan(clip: 0x1p-10, rounds: 7)
    let killer = Killer { $0.kind == kind && $0.step == step && $0.opening?.round == 3 }
    let outcome = try await coordinator.run([0: [killer]], plan: plan, policies: policies)
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    let party = federation.parties[0]
    #expect(outcome.report.rounds.last?.survivors.contains(party.name.value) == true)
    try checkSameModel(outcome.report.run)
    let clips = [0x1p-10] + (try models(outcome.report.run, rounds: 7).map { try #require($0.clip) })
    #expect(Set(clips).count > 4, "\(clips)")
    // What it masked before and after was clipped to the clip of the round.
    var rounds: Set<Int> = []
    for record in try federation.records(party) where record.message?.label.kind == "masked-input" {
      let round = try #require(record.round)
      let written = try #require(record.maskedInput?.clip.flatMap { Double($0.text) })
      #expect(abs(written / clips[round - 1] - 1) < 1e-9, "round \(round)")
      rounds.insert(round)
    }
    #expect(rounds.contains(1) && rounds.contains(2) && rounds.contains(7))
    let charged = try federation.ledger(party).entries.map(\.round)
    #expect(charged.first == 1 && charged.last == 7 && Set(charged).count == charged.count)
    #expect(
      try federation.ledger(party).epsilon(of: nil, unit: .organization, delta: 1e-5)
        <= #require(try federation.noise(plan)).form.epsilon)
    let decisions = try federation.records(party).compactMap { $0.policy?.decision }
    #expect(!decisions.contains(.refused))
    #expect(federation.verify(party))
  }

  @Test("A server that ends and comes back has the clip with the model, and the run goes on with it")
  func serverReturns() async throws {
    let plan = try plan(clip: 0x1p-10, rounds: 4)
    let federation = federation
    let agreement = RunAgreement(manifest: federation.manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
    let policy = try #require(policies[0])
    let address = ServerAddress()
    let (report, outcomes) = try await withThrowingTaskGroup(of: ClientOutcome.self) { group in
      for party in federation.parties {
        group.addTask {
          let link = AddressLink(address, party.name)
          let outcome = try await federation.takePart(
            party, link: link, policy: policy, patience: .seconds(60), idlePause: .milliseconds(20))
          await link.close()
          return try outcome.get()
        }
      }
      let first = try ServerProcess(federation) { event, server in
        guard case .openingCompleted(let opening, _) = event, opening.round == 2 else { return }
        server.control.ask(.pause(deadline: .now))
        server.hub.notify(.wake)
      }
      address.current.withLock { $0 = first }
      let interrupted = try await first.conduct(agreement, federation)
      #expect(interrupted.state == .interrupted, "\(interrupted.reason ?? "")")
      try await first.end(.paused)
      let progress = try #require(
        try RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)").progress())
      let second = try ServerProcess(federation)
      address.current.withLock { $0 = second }
      let report = try await second.conduct(agreement, federation, resuming: progress, report: interrupted)
      try await second.end(.shuttingDown)
      var outcomes: [ClientOutcome] = []
      for try await outcome in group { outcomes.append(outcome) }
      return (report, outcomes)
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == [1, 2, 3, 4] && report.rounds.allSatisfy { $0.survivors.count == 4 })
    #expect(outcomes.map(\.state) == Array(repeating: .completed, count: 4))
    try checkSameModel(agreement.run)
    let clips = [0x1p-10] + (try models(agreement.run, rounds: 4).map { try #require($0.clip) })
    #expect(clips[2] > clips[0] && clips[4] > clips[2], "\(clips)")
    for party in federation.parties {
      try checkLedger(party, plan)
      try checkRecords(party, plan, clips: clips)
    }
  }
}
