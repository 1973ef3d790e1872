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

/// Runs whose noise comes from each organisation's own training, or from the server, with real parties in one process.
@Suite("Runs with local and with central noise", .serialized, .timeLimit(.minutes(4)))
struct NoisePlacementRunTests {
  private let federation: TestFederation

  init() throws { federation = try TestFederation(isInMemory: true) }

  private static func deadlines(accept: String) -> String { "accept: \(accept), fit: 20s, step: 20s, reconnect: 50ms" }

  private func localPlan(accept: String = "20s") throws -> RunPlan {
    try federation.localPlan(epsilon: 4, deadlines: Self.deadlines(accept: accept))
  }

  private func centralPlan(amount: String = "epsilon: 6", accept: String = "20s") throws -> RunPlan {
    try TestFederation.noisedPlan(
      rounds: 2, strategy: "name: FedSGD, learningRate: 1, expectedExamples: 120",
      evaluation: "{rounds: last, histogramBins: 8}", privacy: "unit: record, noise: central, clip: 1, \(amount)",
      deadlines: Self.deadlines(accept: accept))
  }

  private struct End {
    let report: RunReport
    let outcomes: [Result<ClientOutcome, ClientError>]
    let process: ServerProcess
  }

  private func carryOut(
    _ agreement: RunAgreement, policy: String, members: Range<Int> = 0..<4,
    progress: @escaping @Sendable (ClientEvent) -> Void = { _ in },
    onEvent: @escaping @Sendable (RunEvent) -> Void = { _ in }
  ) async throws -> End {
    let federation = federation
    let address = ServerAddress()
    let process = try ServerProcess(federation) { event, _ in onEvent(event) }
    address.current.withLock { $0 = process }
    return try await withThrowingTaskGroup(of: Result<ClientOutcome, ClientError>.self) { group in
      for party in federation.parties[members] {
        group.addTask {
          let link = AddressLink(address, party.name)
          let outcome = try await federation.takePart(
            party, link: link, policy: policy, patience: .seconds(60), idlePause: .milliseconds(20),
            progress: progress)
          await link.close()
          return outcome
        }
      }
      let report = try await process.conduct(agreement, federation)
      try await process.end(.shuttingDown)
      var outcomes: [Result<ClientOutcome, ClientError>] = []
      for try await outcome in group { outcomes.append(outcome) }
      return End(report: report, outcomes: outcomes, process: process)
    }
  }

  private func agreement(_ plan: RunPlan) -> RunAgreement {
    RunAgreement(manifest: federation.manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
  }

  private func models(_ end: End) throws -> Set<Data> {
    try Set(end.outcomes.map { try Data(contentsOf: URL(fileURLWithPath: try #require($0.get().modelPath))) })
  }

  /// The noise of a run as every side computes it.
  private func noise(_ plan: RunPlan) throws -> NoiseAgreement {
    try #require(try federation.noise(plan))
  }

  @Test("With local noise a run trains, every organisation is charged for every step, and no counts leave")
  func local() async throws {
    let plan = try localPlan()
    let end = try await carryOut(
      agreement(plan), policy: TestFederation.policy(privacy: "unit: record, epsilon: 4, delta: 1e-5"))
    #expect(end.report.state == .completed, "\(end.report.reason ?? "")")
    #expect(end.report.rounds.map(\.round) == [1, 2])
    #expect(end.report.rounds.allSatisfy { $0.survivors.count == 4 && $0.examples == 0 && $0.metrics.isEmpty })
    let models = try models(end)
    #expect(models.count == 1)
    let artifact = try ModelArtifact(decoding: Array(try #require(models.first)))
    #expect(artifact.round == 2 && artifact.model.parameters.contains { $0 != 0 })
    #expect(artifact.model.parameters.allSatisfy { $0.magnitude <= 8 })

    let noise = try noise(plan)
    let charge = try #require(noise.charge(of: .fit))
    for party in federation.parties {
      let ledger = try federation.ledger(party)
      #expect(ledger.entries.map(\.round) == [1, 2])
      #expect(ledger.entries.allSatisfy { $0.event == charge.event && $0.count == 3 && $0.noise == .local })
      #expect(abs(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) - noise.form.epsilon) < 1e-9)
      #expect(try federation.records(party).count { $0.event == .privacyCharge } == 2)
      #expect(federation.verify(party))
    }
  }

  @Test("Two fits of the same run are not the same: the noise is fresh")
  func localNoiseIsFresh() async throws {
    let policy = TestFederation.policy(privacy: "unit: record, epsilon: 20, delta: 1e-5")
    let first = try await carryOut(agreement(localPlan()), policy: policy)
    let second = try await carryOut(agreement(localPlan()), policy: policy)
    func parameters(_ end: End) throws -> [Double] {
      try ModelArtifact(decoding: Array(try #require(models(end).first))).model.parameters
    }
    #expect(try parameters(first) != parameters(second))
    #expect(try federation.ledger(federation.parties[0]).entries.count == 4)
  }

  @Test("A run that costs more than the ceiling is refused before anything is trained")
  func aboveTheCeiling() async throws {
    let events = Mutex<[ClientEvent]>([])
    let end = try await carryOut(
      agreement(localPlan()), policy: TestFederation.policy(privacy: "unit: record, epsilon: 1, delta: 1e-5")
    ) { event in events.withLock { $0.append(event) } }
    #expect(end.report.state != .completed)
    let rules = events.withLock { $0.compactMap { if case .refused(_, let rule, _) = $0 { rule } else { nil } } }
    // The run ends with the first refusals: not everybody has to come to its own.
    #expect(!rules.isEmpty && rules.allSatisfy { $0.contains("privacy.epsilon") })
    for party in federation.parties { #expect(try federation.ledger(party).entries.isEmpty) }
  }

  // MARK: - Noise that the server adds

  @Test("With central noise a run trains where policies trust the server, and every log says that they do")
  func central() async throws {
    let plan = try centralPlan()
    let run = agreement(plan)
    let policy = TestFederation.policy(privacy: "unit: record, epsilon: 6, delta: 1e-5, trustServer: true")
    let end = try await carryOut(run, policy: policy)
    #expect(end.report.state == .completed, "\(end.report.reason ?? "")")
    #expect(end.report.rounds.map(\.round) == [1, 2] && end.report.rounds.last?.metrics.isEmpty == false)
    let metrics = try #require(end.report.rounds.last?.metrics)
    #expect((metrics["rocAuc"] == nil) == (metrics["rocAucNoiseError"] == nil))
    #expect(try models(end).count == 1)
    for party in federation.parties {
      let ledger = try federation.ledger(party)
      #expect(ledger.entries.map(\.task) == [.fit, .fit, .evaluate])
      #expect(ledger.entries.allSatisfy { $0.noise == .central && $0.count == 1 })
      #expect(
        abs(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true) - noise(plan).form.epsilon)
          < 1e-9)
      let charges = try federation.records(party).filter { $0.event == .privacyCharge }
      #expect(charges.count == 3 && charges.allSatisfy { $0.reason == CentralGaussian.trust })
    }
  }

  @Test("A policy that does not trust the server refuses a plan with central noise, and says why")
  func distrust() async throws {
    let events = Mutex<[ClientEvent]>([])
    let end = try await carryOut(
      agreement(centralPlan()), policy: TestFederation.policy(privacy: "unit: record, epsilon: 6, delta: 1e-5")
    ) { event in events.withLock { $0.append(event) } }
    #expect(end.report.state != .completed)
    let reasons = events.withLock {
      $0.compactMap { if case .refused(_, _, let reasons) = $0 { reasons } else { nil } }
    }
    #expect(!reasons.isEmpty)
    #expect(reasons.allSatisfy { $0.joined().contains(CentralGaussian.trust) })
    for party in federation.parties { #expect(try federation.ledger(party).entries.isEmpty) }
  }

  @Test("The server's noise has the planned variance, comes once, is fresh each time, and keeps the terms bound")
  func centralVariance() throws {
    let plan = try centralPlan()
    let noise = try noise(plan)
    guard case .central(let central) = noise.form, let evaluation = central.evaluation else {
      Issue.record("another form")
      return
    }
    let run = agreement(plan)
    for (task, expected) in [
      (TaskKind.fit, central.model), (TaskKind.evaluate, evaluation.noise),
    ] {
      let progression = RunProgression(plan: plan, run: run.run, features: TestFederation.columns)
      let context = try run.context(
        of: OpeningIdentifier(run: run.run, task: task, round: 1, attempt: 1), cohort: federation.names.sorted(),
        features: TestFederation.columns, model: progression.modelHash)
      let parameters = context.parameters
      let sum = try AggregateSum(
        words: Array(repeating: 0, count: parameters.tensorCount),
        counters: Array(repeating: 0, count: parameters.counterCount), survivors: context.cohort.map(\.name),
        maskedInputRoot: MaskedInputRoot(hashing: [1]), context: context)
      var squares = 0.0
      var count = 0
      var seen = Set<[Int64]>()
      for _ in 0..<1000 {
        let published = try noise.published(sum, of: task, context: context)
        #expect(published.maskedInputRoot == sum.maskedInputRoot && published.survivors == sum.survivors)
        let values = task == .fit ? published.integers : published.counters
        seen.insert(values)
        squares += values.reduce(0) { $0 + Double($1) * Double($1) }
        count += values.count
      }
      #expect(seen.count > 990)
      let variance = Double(expected.variance.numerator) / Double(expected.variance.denominator)
      // 4000 draws at least: a standard deviation of 2.3 % and less.
      #expect(abs(squares / Double(count) / variance - 1) < 0.15)
    }
  }

  // MARK: - Sums over nearly the same organisations

  /// Two runs that begin with the same model, the second without the last organisation.
  private func twice(_ plan: RunPlan, policy: String) async throws -> (second: End, rules: [String]) {
    let first = try await carryOut(agreement(plan), policy: policy)
    #expect(first.report.state == .completed, "\(first.report.reason ?? "")")
    let rules = Mutex<[String]>([])
    let second = try await carryOut(agreement(plan), policy: policy, members: 0..<3) { event in
      if case .refused(_, let rule, _) = event { rules.withLock { $0.append(rule) } }
    }
    return (second, rules.withLock { $0 })
  }

  @Test("A server that is trusted with the noise sees sums without: of two that nearly agree, it gets one")
  func nearSetsOfCentralNoise() async throws {
    let policy = TestFederation.policy(privacy: "unit: record, epsilon: 60, delta: 1e-5, trustServer: true")
    let (second, rules) = try await twice(centralPlan(accept: "2s"), policy: policy)
    #expect(second.report.state == .stopped && second.report.rounds.isEmpty)
    #expect(rules == Array(repeating: "near-set-same-model", count: 3))
  }

  @Test("With local noise a term was paid for by itself: the next run with one organisation less is carried out")
  func nearSetsOfLocalNoise() async throws {
    let policy = TestFederation.policy(privacy: "unit: record, epsilon: 60, delta: 1e-5")
    let (second, rules) = try await twice(localPlan(accept: "2s"), policy: policy)
    #expect(second.report.state == .completed, "\(second.report.reason ?? "")")
    #expect(rules.isEmpty && second.report.rounds.allSatisfy { $0.survivors.count == 3 })
  }

  // MARK: - What the server stores and sends

  @Test("All that a trusted server stores and sends of a sum has the noise in it")
  func onlyNoisedSumsAreSeen() async throws {
    let plan = try centralPlan(amount: "noiseMultiplier: 65536")
    let run = agreement(plan)
    let end = try await carryOut(
      run, policy: TestFederation.policy(privacy: "unit: record, epsilon: 1, delta: 1e-5, trustServer: true"))
    #expect(end.report.state == .completed, "\(end.report.reason ?? "")")
    guard case .central(let central) = try noise(plan).form, let evaluation = central.evaluation else {
      Issue.record("another form")
      return
    }
    // 160 rows of norm 1 in all: the noise is not ten times as much with a chance below 1e-7.
    let mostOfRows = 160.0
    func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    func deviation(_ noise: CentralGaussian, scale: Double = 1) -> Double {
      noise.noiseMultiplier * Double(noise.squaredL2Sensitivity).squareRoot() / scale
    }
    let store = RunStore(existing: "\(federation.root.path)/runs/\(run.run)")
    let rounds = try (1...2).map { try ModelArtifact(decoding: try store.model(round: $0)) }
    // From zero on: learning rate 1, sums divided by 120. The penalty is nothing beside the noise.
    let starts = [[0, 0, 0, 0], rounds[0].model.parameters]
    let sums = zip(rounds, starts).map { artifact, start in
      zip(artifact.model.parameters, start).map { ($1 - $0) * 120 }
    }
    for sum in sums { #expect(norm(sum) > 10 * mostOfRows) }
    // 8 draws: chi-squared is outside of these with a chance of 1e-6.
    let squares =
      sums.reduce(0) { $0 + norm($1) * norm($1) } / pow(deviation(central.model, scale: central.encoding.scale), 2)
    #expect((0.1...48).contains(squares), "\(squares)")

    // The last sum that was stored and sent is that of the evaluation.
    let stored = try #require(try store.lastResult(of: run.run))
    #expect(stored.opening.task == .evaluate)
    let final = Array(try #require(try models(end).first))
    #expect(try final == store.model(round: 2))
    let context = try run.context(
      of: stored.opening, cohort: federation.names.sorted(), features: TestFederation.columns,
      model: ModelHash(hashing: final))
    let counts = try AggregateSum(decoding: stored.aggregate, context: context).counters.map(Double.init)
    #expect(counts.count == 16 && norm(counts) > 10 * mostOfRows)
    let counted = pow(norm(counts) / deviation(evaluation.noise), 2)
    #expect((1.5...64).contains(counted), "\(counted)")
  }

  @Test("Of a sum that could not be stored nothing is stored: made again it has other noise")
  func nothingOfASumThatIsNotStored() async throws {
    let run = agreement(try centralPlan())
    let store = RunStore(existing: "\(federation.root.path)/runs/\(run.run)")
    let end = try await carryOut(
      run, policy: TestFederation.policy(privacy: "unit: record, epsilon: 6, delta: 1e-5, trustServer: true"),
      onEvent: { event in
        // Where the sum is to go there is a directory.
        guard case .openingStarted = event else { return }
        try? FileManager.default.createDirectory(
          atPath: store.lastResultPath + "/taken", withIntermediateDirectories: true)
      })
    #expect(end.report.state == .failed && end.report.rounds.isEmpty)
    #expect(end.process.events.withLock { $0.contains { if case .openingStarted = $0 { true } else { false } } })
    #expect(try FileManager.default.contentsOfDirectory(atPath: store.directory + "/models").isEmpty)
    // What it hands out at the end is the model of before.
    let handedOut = try ModelArtifact(decoding: Array(Data(contentsOf: URL(fileURLWithPath: store.modelPath))))
    #expect(handedOut.model.parameters.allSatisfy { $0 == 0 })
  }
}
