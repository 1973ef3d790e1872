import DifferentialPrivacy
import Foundation
import SecureAggregation
import Testing

@testable import Federation

@Suite("Who adds the noise")
struct NoisePlacementTests {
  static let local = """
    schema: bauta/plan/1
    name: fraud
    task: {kind: train, label: y, features: [a, b]}
    data: {set: claims, preprocessing: [signedLog1p, publicScale], publicScale: {bound: 4}}
    model: {classWeights: uniform}
    trainer: {optimizer: dpsgd, steps: 5, learningRate: 0.5, samplingProbability: 0.1, expectedExamples: 100}
    strategy: {name: FedAvg}
    rounds: 4
    secureSum: {clip: 8}
    evaluation: {rounds: none}
    privacy: {unit: record, noise: local, clip: 1, epsilon: 3, delta: 1e-5}

    """

  private static func agreement(_ text: String, minimumCohort: Int = 3) throws -> NoiseAgreement {
    let manifest = try TestFederation().manifest(minimumCohort: minimumCohort)
    return try #require(try NoiseAgreement(plan: RunPlan(parsing: text), manifest: manifest, features: 2))
  }

  @Test("A plan with local noise is read, and charged for every step of every round")
  func localPlan() throws {
    let plan = try RunPlan(parsing: Self.local)
    #expect(plan.trainer.optimizer == .dpsgd && plan.trainer.steps == 5)
    let descent = try #require(plan.trainer.local)
    #expect(descent.learningRate == 0.5 && descent.momentum == 0)
    #expect(descent.samplingProbability == 0.1 && descent.expectedExamples == 100)
    let settings = try #require(plan.privacy.settings)
    #expect(settings.placement == .local && settings.mechanism == .distributedDiscreteGaussian)
    #expect(plan.steps.map(\.task) == [.fit, .fit, .fit, .fit] && plan.requiredStatistics == [])

    let agreement = try Self.agreement(Self.local)
    guard case .local(let noise) = agreement.form else {
      Issue.record("another form")
      return
    }
    #expect(noise.releases == 20 && noise.epsilon <= 3 && noise.epsilon > 2.9)
    let charge = try #require(agreement.charge(of: .fit))
    #expect(charge.event == noise.event && charge.count == 5)
    #expect(agreement.charge(of: .evaluate) == nil && agreement.release(of: .fit) == nil)
    #expect(agreement.charges.map(\.count) == [20])
  }

  @Test("A term is a model, clipped as without privacy, and nothing is counted")
  func layout() throws {
    let layout = try TaskLayout(
      task: .fit, plan: RunPlan(parsing: Self.local), manifest: TestFederation().manifest(), featureNames: ["a", "b"])
    #expect(layout.parameters.tensorCount == 3 && layout.parameters.counterCount == 0)
    #expect(layout.parameters.clip == 8 && layout.parameters.encoding == .clipped)
  }

  @Test("What the trainer computes is in the program's hash")
  func program() throws {
    let hash = try RunPlan(parsing: Self.local).programHash
    for (old, new) in [
      ("learningRate: 0.5", "learningRate: 0.25"), ("samplingProbability: 0.1", "samplingProbability: 0.2"),
      ("expectedExamples: 100", "expectedExamples: 101"), ("clip: 1,", "clip: 2,"),
      ("learningRate: 0.5", "learningRate: 0.5, momentum: 0.5"),
    ] {
      #expect(try RunPlan(parsing: Self.local.replacingOccurrences(of: old, with: new)).programHash != hash, "\(new)")
    }
  }

  @Test(
    "Plans whose parts do not go together are refused",
    arguments: [
      ("noise: local", "noise: distributed", "dpsgd adds noise as it trains"),
      ("noise: local", "noise: nowhere", "privacy.noise: expected one of"),
      ("unit: record", "unit: organization", "it needs privacy.unit: record"),
      ("noise: local", "noise: local, mechanism: skellam", "noise that one party adds alone is discreteGaussian"),
      (
        "{optimizer: dpsgd, steps: 5, learningRate: 0.5, samplingProbability: 0.1, expectedExamples: 100}",
        "{steps: 5}", "added by the optimizer dpsgd"
      ),
      ("optimizer: dpsgd, ", "", "it is of the optimizer dpsgd only"),
      ("samplingProbability: 0.1, ", "", "'trainer.samplingProbability' is missing"),
      ("samplingProbability: 0.1", "samplingProbability: 0.6", "a number above 0 and at most 0.5"),
      ("samplingProbability: 0.1", "samplingProbability: 0", "a number above 0 and at most 0.5"),
      ("expectedExamples: 100", "expectedExamples: 0", "trainer.expectedExamples"),
      (
        "{name: FedAvg}", "{name: FedSGD, learningRate: 1, expectedExamples: 10}",
        "trains a model of its own: write FedAvg"
      ),
      ("evaluation: {rounds: none}", "evaluation: {rounds: last}", "no counts of rows leave"),
      ("classWeights: uniform", "classWeights: balanced", "balanced weights follow from counts"),
      (
        "preprocessing: [signedLog1p, publicScale], publicScale: {bound: 4}", "preprocessing: [standardize]",
        "standardize needs statistics"
      ),
    ])
  func refused(old: String, new: String, problem: String) throws {
    let text = Self.local.replacingOccurrences(of: old, with: new)
    try #require(text != Self.local)
    let error = federationError { try RunPlan(parsing: text) }
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "accepted")")
  }

  @Test("Local noise counts on nobody: the cohort changes nothing")
  func countsOnNobody() throws {
    let text = Self.local.replacingOccurrences(of: "epsilon: 3", with: "noiseMultiplier: 1.25")
    let agreement = try Self.agreement(text)
    #expect(agreement.form.noiseMultiplier >= 1.25 && agreement.form.noiseMultiplier < 1.2502)
    let manifest = try TestFederation().manifest(assumedCorrupt: 0, minimumCohort: 3)
    let other = try #require(try NoiseAgreement(plan: RunPlan(parsing: text), manifest: manifest, features: 2))
    #expect(other.form == agreement.form)
  }

  // MARK: - The ledger

  private static func entry(_ event: PrivacyEvent, count: Int, round: Int) throws -> LedgerEntry {
    LedgerEntry(
      dataSet: "/data.csv", run: try RunIdentifier("run"), task: .fit, round: round, unit: .record, event: event,
      count: count, noise: .local, time: 0)
  }

  @Test("An entry for many steps costs what as many entries for one step cost")
  func ledgerCounts() throws {
    let event = try #require(try Self.agreement(Self.local).charge(of: .fit)).event
    let once = try PrivacyLedger(entries: [Self.entry(event, count: 6, round: 1)])
    let many = try PrivacyLedger(entries: (1...6).map { try Self.entry(event, count: 1, round: $0) })
    let single = try PrivacyLedger(entries: [Self.entry(event, count: 1, round: 1)])
    func epsilon(_ ledger: PrivacyLedger) throws -> Double {
      try ledger.epsilon(of: "/data.csv", unit: .record, delta: 1e-5)
    }
    #expect(try epsilon(once) == epsilon(many) && epsilon(once) > epsilon(single))
    // Of the whole run, and nothing for another unit.
    #expect(try once.epsilon(of: nil, unit: .organization, delta: 1e-5) == .infinity)
    for count in [0, -1] {
      #expect(throws: FederationError.self) { try PrivacyLedger(entries: [Self.entry(event, count: count, round: 1)]) }
    }
  }
}
