import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation
import Synchronization
import Testing
import Training

@testable import FederationClient
@testable import FederationServer

/// Runs whose noise is a tree over the rounds, with real parties in one process, and a server that may be another in the
/// middle.
@Suite("Runs with tree aggregation", .serialized, .timeLimit(.minutes(4)))
struct TreeNoiseRunTests {
  private let federation: TestFederation

  init() throws { federation = try TestFederation(isInMemory: true) }

  /// - Parameter amount: a noise so large by default that it tells itself from any sum of gradients.
  private static func plan(
    rounds: Int, passes: Int = 1, amount: String = "noiseMultiplier: 1000", evaluation: String = "{rounds: none}"
  ) throws -> RunPlan {
    try TestFederation.noisedPlan(
      rounds: rounds, model: "{classWeights: uniform, l2: 0}",
      strategy: "name: FedSGD, learningRate: 0.001, expectedExamples: 17", evaluation: evaluation,
      privacy: "unit: record, noise: central, tree: {passes: \(passes)}, clip: 1, \(amount)")
  }

  private static func policy(epsilon: Double = 6, whenShort: String = "refuse") -> String {
    TestFederation.policy(
      privacy: "unit: record, epsilon: \(epsilon), delta: 1e-5, trustServer: true, whenShort: \(whenShort)")
  }

  private func agreement(_ plan: RunPlan) -> RunAgreement {
    RunAgreement(manifest: federation.manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
  }

  private func store(of agreement: RunAgreement) -> RunStore {
    RunStore(existing: "\(federation.root.path)/runs/\(agreement.run)")
  }

  /// Clients that take part to the end, beside what a test does to servers.
  private func withClients(
    of address: ServerAddress, policies: [Int: String] = [:], _ body: () async throws -> RunReport
  ) async throws -> RunReport {
    let federation = federation
    return try await withThrowingTaskGroup(of: Void.self) { group in
      for (index, party) in federation.parties.enumerated() {
        group.addTask {
          let link = AddressLink(address, party.name)
          _ = try await federation.takePart(
            party, link: link, policy: policies[index] ?? Self.policy(), patience: .seconds(60),
            idlePause: .milliseconds(20))
          await link.close()
        }
      }
      let report = try await body()
      try await group.waitForAll()
      return report
    }
  }

  /// A server process to the end of the run, or until it is stopped after the fit of a round.
  ///
  /// - Parameter seed: where a copy of the run's seed is put as soon as a sum is published.
  private func conduct(
    _ agreement: RunAgreement, at address: ServerAddress, until round: Int? = nil, copying seed: String? = nil,
    resuming progress: RunResumption? = nil, report: RunReport? = nil
  ) async throws -> RunReport {
    let path = store(of: agreement).treeSeedPath
    let process = try ServerProcess(federation) { event, server in
      guard case .openingCompleted(let opening, _) = event, opening.task == .fit else { return }
      if let seed, opening.round == 1 { try? FileManager.default.copyItem(atPath: path, toPath: seed) }
      guard opening.round == round else { return }
      server.control.ask(.pause(deadline: .now))
      server.hub.notify(.wake)
    }
    address.current.withLock { $0 = process }
    let report = try await process.conduct(agreement, federation, resuming: progress, report: report)
    try await process.end(report.state == .interrupted ? .paused : .shuttingDown)
    return report
  }

  // MARK: - What was published

  /// The published sum of each round in integers, from the models that the server stored.
  private func published(_ agreement: RunAgreement, _ noise: CentralNoise) throws -> [[Int64]] {
    try (1...agreement.plan.rounds).map { round in
      let artifact = try ModelArtifact(decoding: store(of: agreement).model(round: round))
      // Without momentum and penalty the velocity is the sum over the expected examples.
      let velocity = try #require(artifact.optimizer).velocity
      return velocity.map { Int64(($0 * 17 * noise.encoding.scale).rounded()) }
    }
  }

  /// Sums of clipped gradients as the round's rows have them at the model that the round began with, and how many rows.
  private func exact(_ agreement: RunAgreement, round: Int) throws -> (sum: [Double], rows: Int) {
    let plan = agreement.plan
    let before =
      round == 1
      ? try #require(
        RunProgression(plan: plan, run: agreement.run, features: TestFederation.columns).artifact)
      : try ModelArtifact(decoding: store(of: agreement).model(round: round - 1))
    let state = try #require(before.optimizer)
    let scaling = try #require(try before.preprocessing.publicScaling())
    var (sum, rows) = ([Double](repeating: 0, count: state.parameters.count), 0)
    for party in federation.parties {
      let data = try LocalData(path: federation.dataPath(party), plan: plan)
      let gradients = try PerExampleGradients(
        table: scaling.apply(plan.rows(of: data.train, inRound: round)), classWeights: before.classWeights,
        parameters: state.parameters)
      rows += gradients.count
      var gradient: [Double] = []
      for row in 0..<gradients.count {
        try gradients.write(row: row, into: &gradient)
        let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for index in sum.indices { sum[index] += gradient[index] * min(1, 1 / norm) }
      }
    }
    return (sum, rows)
  }

  /// Takes the noise that follows from the seed off everything that was published: what is left is the sum of the round's
  /// rows and nothing else. Any other noise of any node would leave hundreds of times as much.
  private func expectNoise(of seed: String, _ agreement: RunAgreement) throws {
    let noise = try #require(
      try NoiseAgreement(
        plan: agreement.plan, manifest: federation.manifest.manifest, features: TestFederation.columns.count))
    guard case .central(let central) = noise.form, let trees = noise.trees else {
      Issue.record("another form")
      return
    }
    let published = try published(agreement, central)
    var rowsInAll = 0
    for round in 1...agreement.plan.rounds {
      let opening = OpeningIdentifier(run: agreement.run, task: .fit, round: round, attempt: 1)
      let progression = RunProgression(plan: agreement.plan, run: agreement.run, features: TestFederation.columns)
      let context = try agreement.context(
        of: opening, cohort: federation.names.sorted(), features: TestFederation.columns, model: progression.modelHash)
      let zeros = try AggregateSum(
        words: Array(repeating: 0, count: 4), counters: [], survivors: federation.names,
        maskedInputRoot: MaskedInputRoot(hashing: [1]), context: context)
      let increment = try noise.published(
        zeros, of: opening, context: context, seed: TreeSeed(contentsOf: seed, run: agreement.run)
      ).integers
      let (exact, rows) = try exact(agreement, round: round)
      rowsInAll += rows
      // Each row is rounded by less than one unit.
      for index in increment.indices {
        let left = Double(published[round - 1][index] - increment[index])
        #expect(abs(left - exact[index] * central.encoding.scale) <= Double(rows + 1), "round \(round)")
      }
      #expect(increment.contains { abs(Double($0)) > 100 * central.encoding.scale })
    }
    // 40 rows each, of which a quarter is held out on average, once in every pass.
    #expect(rowsInAll.isMultiple(of: trees.passes) && (80 * trees.passes...155 * trees.passes).contains(rowsInAll))
  }

  // MARK: - Runs

  @Test("A run of seven rounds is charged for three nodes with its first, and every log says so")
  func wholeRun() async throws {
    let plan = try Self.plan(rounds: 7, amount: "epsilon: 6", evaluation: "{rounds: last, histogramBins: 8}")
    let run = agreement(plan)
    let address = ServerAddress()
    let copy = "\(federation.root.path)/seed-copy"
    let report = try await withClients(of: address) { try await conduct(run, at: address, copying: copy) }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == Array(1...7))
    let noise = try #require(try federation.noise(plan))
    for party in federation.parties {
      let ledger = try federation.ledger(party)
      #expect(ledger.entries.map(\.count) == [3, 0, 0, 0, 0, 0, 0, 1])
      #expect(ledger.entries.map(\.task) == Array(repeating: .fit, count: 7) + [.evaluate])
      #expect(ledger.entries.allSatisfy { $0.noise == .central })
      let spent = try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true)
      #expect(spent == noise.form.epsilon && spent <= 6 && spent > 5.88)
      // Over the control socket as on disk.
      let told = try StoredLedger.ledger(of: StoredLedger.lines(of: ledger))
      #expect(told.entries == ledger.entries)
      let charges = try federation.records(party).filter { $0.event == .privacyCharge }
      #expect(charges.count == 8 && charges.allSatisfy { $0.reason == CentralGaussian.trust })
      let charged = charges.map { $0.maskedInput?.epsilonCharged.flatMap { Double($0.text) } }
      #expect(charged[1...6].allSatisfy { $0 == 0 })
      #expect((charged[0] ?? 0) > 1 && (charged[7] ?? 0) > 0)
      #expect(federation.verify(party))
    }
    // The seed was there for its owner alone, and is gone with the run.
    #expect(try FileManager.default.attributesOfItem(atPath: copy)[.posixPermissions] as? Int == 0o600)
    #expect(!TreeSeed.isStored(at: store(of: run).treeSeedPath))
    let secret = try #require(try String(contentsOfFile: copy, encoding: .utf8).split(separator: " ").last).dropLast()
    for record in try federation.records(federation.server) { #expect(!"\(record)".contains(secret)) }
  }

  @Test("A server that is started again goes on with the same noise of every node", arguments: [3, 6])
  func restarted(after round: Int) async throws {
    let run = agreement(try Self.plan(rounds: 8, passes: 2))
    let address = ServerAddress()
    let copy = "\(federation.root.path)/seed-copy"
    let report = try await withClients(of: address) {
      let first = try await conduct(run, at: address, until: round, copying: copy)
      #expect(first.state == .interrupted && first.rounds.last?.round == round)
      #expect(TreeSeed.isStored(at: store(of: run).treeSeedPath))
      return try await conduct(
        run, at: address, resuming: try store(of: run).progress(), report: first)
    }
    #expect(report.state == .completed, "\(report.reason ?? "")")
    try expectNoise(of: copy, run)
    for party in federation.parties {
      #expect(try federation.ledger(party).entries.map(\.count) == [3, 0, 0, 0, 3, 0, 0, 0])
    }
    #expect(!TreeSeed.isStored(at: store(of: run).treeSeedPath))
  }

  enum Damage: String, CaseIterable, Sendable {
    case missing, ofAnotherRun, cutShort, readable

    func apply(to path: String) throws {
      switch self {
      case .missing: try FileManager.default.removeItem(atPath: path)
      case .ofAnotherRun:
        try FileManager.default.removeItem(atPath: path)
        try TreeSeed().store(path, run: RunIdentifier("another"))
      case .cutShort: truncate(path, 40)
      case .readable: try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
      }
    }
  }

  @Test("A run that goes on without its seed publishes nothing more, and ends by name", arguments: Damage.allCases)
  func withoutSeed(_ damage: Damage) async throws {
    let run = agreement(try Self.plan(rounds: 4))
    let address = ServerAddress()
    let report = try await withClients(of: address) {
      let first = try await conduct(run, at: address, until: 2)
      try damage.apply(to: store(of: run).treeSeedPath)
      return try await conduct(
        run, at: address, resuming: try store(of: run).progress(), report: first)
    }
    #expect(report.state == .failed && report.rounds.map(\.round) == [1, 2])
    #expect(report.reason?.contains("the run's noise cannot be made as it began") == true, "\(report.reason ?? "")")
    #expect(throws: (any Error).self) { try store(of: run).model(round: 3) }
    for party in federation.parties { #expect(try federation.ledger(party).entries.map(\.round) == [1, 2]) }
  }

  private final class Refusals: Sendable {
    let rules = Mutex<[String]>([])
  }

  /// The difference of two sums of a round has no noise in it. What prevents them is at the clients: each has closed the
  /// opening or released its shares, and a client that is started again remembers it.
  @Test("A server that was put back to before a round gets no second sum of it, under the same noise")
  func putBack() async throws {
    let run = agreement(try Self.plan(rounds: 4))
    let (files, copy) = (store(of: run).directory, "\(federation.root.path)/earlier")
    let address = ServerAddress()
    let first = try ServerProcess(federation) { event, server in
      guard case .openingCompleted(let opening, _) = event, opening.task == .fit else { return }
      if opening.round == 2 { try? FileManager.default.copyItem(atPath: files, toPath: copy) }
      guard opening.round == 3 else { return }
      server.control.ask(.pause(deadline: .now))
      server.hub.notify(.wake)
    }
    address.current.withLock { $0 = first }
    let federation = federation
    let refusals = Refusals()
    let report = try await withThrowingTaskGroup(of: Void.self) { group in
      for party in federation.parties {
        group.addTask {
          // Started again as often as it ends, as a service is, until the server has gone.
          while true {
            let link = AddressLink(address, party.name)
            let outcome = try await federation.takePart(
              party, link: link, policy: Self.policy(), patience: .seconds(3), idlePause: .milliseconds(20),
              progress: { event in
                if case .refused(_, let rule, _) = event { refusals.rules.withLock { $0.append(rule) } }
              })
            await link.close()
            if case .success = outcome { return }
            if case .failure(.refused(let refusal)) = outcome, refusal == .shuttingDown { return }
            guard !Task.isCancelled else { return }
          }
        }
      }
      let paused = try await first.conduct(run, federation)
      #expect(paused.state == .interrupted && paused.rounds.map(\.round) == [1, 2, 3])
      try await first.end(.paused)
      // Some had it from the first server.
      #expect(FileManager.default.fileExists(atPath: "\(files)/models/round-3.safetensors"))
      try FileManager.default.removeItem(atPath: files)
      try FileManager.default.moveItem(atPath: copy, toPath: files)
      let report = try await self.conduct(run, at: address, resuming: try self.store(of: run).progress())
      group.cancelAll()
      try await group.waitForAll()
      return report
    }
    #expect(report.state == .stopped, "\(report.reason ?? "")")
    #expect(!FileManager.default.fileExists(atPath: "\(files)/models/round-3.safetensors"))
    let rules = refusals.rules.withLock { Set($0) }
    #expect(rules == ["opening-closed"], "\(rules)")
    for party in federation.parties { #expect(try federation.ledger(party).entries.map(\.round) == [1, 2, 3]) }
  }

  @Test("A seed that an earlier server drew before it fixed the cohort is taken, and a cancelled run leaves none")
  func seedOfABeginning() throws {
    let run = agreement(try Self.plan(rounds: 4))
    let store = try RunStore(
      directory: "\(federation.root.path)/runs/\(run.run)", plan: run.plan, manifest: run.signedManifest)
    try store.makeTreeSeed(for: run.run)
    let first = try String(contentsOfFile: store.treeSeedPath, encoding: .utf8)
    try store.makeTreeSeed(for: run.run)
    #expect(try String(contentsOfFile: store.treeSeedPath, encoding: .utf8) == first)
    for state in RunReport.State.allCases {
      if !TreeSeed.isStored(at: store.treeSeedPath) { try store.makeTreeSeed(for: run.run) }
      try store.save(RunReport(run: run.run, state: state))
      let goesOn = [.queued, .running, .interrupted].contains(state)
      #expect(TreeSeed.isStored(at: store.treeSeedPath) == goesOn, "\(state)")
    }
    let error = #expect(throws: ServerError.self) { _ = try store.treeSeed(of: run.run) }
    #expect(error?.code == "run-noise-seed" && error?.message.contains("is missing") == true)
    try Data("not a seed\n".utf8).write(to: URL(fileURLWithPath: store.treeSeedPath))
    #expect(throws: ServerError.self) { try store.makeTreeSeed(for: run.run) }
  }

  @Test("Who stops when short stops before a pass that it cannot pay for, and not within one that it has paid for")
  func stopsBeforeAPass() async throws {
    let plan = try Self.plan(rounds: 6, passes: 2, amount: "epsilon: 4")
    let noise = try #require(try federation.noise(plan))
    let one = try PrivacyLedger().epsilon(
      of: nil, unit: .record, delta: 1e-5, with: [try #require(noise.charge(of: .fit))])
    #expect(one > 1 && one < noise.form.epsilon)
    let run = agreement(plan)
    let address = ServerAddress()
    let report = try await withClients(
      of: address, policies: [1: Self.policy(epsilon: one, whenShort: "stop")]
    ) { try await conduct(run, at: address) }
    #expect(report.state == .budgetSpent, "\(report.reason ?? "")")
    #expect(report.rounds.map(\.round) == [1, 2, 3])
    let ledger = try federation.ledger(federation.parties[1])
    #expect(ledger.entries.map(\.count) == [2, 0, 0])
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5, trustsServer: true) == one)
    // Nobody takes part in a run whose first pass is beyond its ceiling.
    #expect(!TreeSeed.isStored(at: store(of: run).treeSeedPath))
  }

  /// Its rows come to be in nodes that are completed without it, and were in none before it came.
  @Test("Who is lost before its first term and comes back pays for the nodes that its rows can still be in")
  func comesBack() async throws {
    let coordinator = try CoordinatorTests()
    let federation = coordinator.federation
    let policies = Dictionary(uniqueKeysWithValues: (0..<4).map { ($0, Self.policy()) })
    let plan = try Self.plan(rounds: 8, amount: "epsilon: 4")
    let outcome = try await coordinator.run(
      [0: [CoordinatorTests.kill(.advertiseKeys, .decided, in: .fit)]], plan: plan, policies: policies
    ) { name, message in
      // Late enough, as a rule, for a round or two to pass without it; whichever it misses, what follows holds.
      if name == federation.names[0], case .hello = message.body { .milliseconds(800) } else { nil }
    }
    #expect(outcome.report.state == .completed, "\(outcome.report.reason ?? "")")
    guard case .central(let noise)? = try federation.noise(plan)?.form else {
      Issue.record("another form")
      return
    }
    let tree = try #require(noise.tree)
    for (index, party) in federation.parties.enumerated() {
      let entries = try federation.ledger(party).entries
      var most = 0
      for entry in entries {
        let nodes = try tree.nodes(of: entry.round)
        #expect(entry.count == max(0, nodes - most), "\(party.name), round \(entry.round)")
        most = max(most, nodes)
      }
      #expect(index == 0 ? !entries.isEmpty : entries.map(\.count) == [4, 0, 0, 0, 0, 0, 0, 0])
    }
  }
}
