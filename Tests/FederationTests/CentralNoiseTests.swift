import DifferentialPrivacy
import Foundation
import SecureAggregation
import Testing

@testable import Federation

@Suite("Noise that the server adds")
struct CentralNoiseTests {
  static let plan = """
    schema: bauta/plan/1
    name: fraud
    task: {kind: train, label: y, features: [a, b]}
    data: {set: claims, preprocessing: [signedLog1p, publicScale], publicScale: {bound: 4}}
    model: {classWeights: uniform}
    strategy: {name: FedSGD, learningRate: 1, expectedExamples: 300}
    rounds: 4
    secureSum: {weightCap: 1000}
    evaluation: {rounds: last, histogramBins: 8}
    privacy: {unit: record, noise: central, clip: 1, epsilon: 3, delta: 1e-5}

    """

  private func agreement(_ text: String = plan) throws -> NoiseAgreement {
    try #require(
      try NoiseAgreement(plan: RunPlan(parsing: text), manifest: TestFederation().manifest(), features: 2))
  }

  @Test("The noise is calibrated to the target, evaluation included", arguments: [0.5, 3, 8])
  func calibration(epsilon: Double) throws {
    let agreement = try agreement(Self.plan.replacingOccurrences(of: "epsilon: 3", with: "epsilon: \(epsilon)"))
    #expect(agreement.form.epsilon <= epsilon && agreement.form.epsilon > 0.98 * epsilon)
    #expect(agreement.charges.map(\.count) == [4, 1])
    var composition = PrivacyComposition()
    for charge in agreement.charges { try composition.compose(charge.event, count: charge.count) }
    #expect(try composition.epsilon(delta: 1e-5) == agreement.form.epsilon)
    #expect(agreement.charge(of: .fit)?.count == 1 && agreement.charge(of: .evaluate)?.count == 1)
    #expect(agreement.release(of: .fit) == nil && agreement.distributed == nil)
  }

  @Test(
    "Plans whose parts do not go together are refused",
    arguments: [
      ("FedSGD, learningRate: 1, expectedExamples: 300", "FedAvg", "central noise is for the strategy FedSGD"),
      ("noise: central", "noise: central, mechanism: skellam", "noise that one party adds alone is discreteGaussian"),
    ])
  func refused(old: String, new: String, problem: String) throws {
    let error = federationError { try RunPlan(parsing: Self.plan.replacingOccurrences(of: old, with: new)) }
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "accepted")")
  }

  @Test("A policy allows it explicitly, or refuses it with the reason")
  func policy() throws {
    let plan = try RunPlan(parsing: Self.plan)
    func check(_ privacy: String) throws -> PolicyCheck? {
      let text = documentedPolicy.replacingOccurrences(
        of: "{unit: none, epsilon: null, delta: null}", with: "{unit: record, epsilon: 5, delta: 1e-5\(privacy)}")
      return try Policy(parsing: text).explain(plan).first { $0.rule == "privacy.trustServer" }
    }
    let refusal = try #require(try check(""))
    #expect(!refusal.isSatisfied && refusal.requirement.contains(CentralGaussian.trust))
    #expect(try check(", trustServer: false")?.isSatisfied == false)
    #expect(try check(", trustServer: true")?.isSatisfied == true)
    #expect(federationError { try check(", trustServer: \"true\"") } != nil)
    let distributed = try RunPlan(parsing: Self.plan.replacingOccurrences(of: "noise: central, ", with: ""))
    #expect(!(try Policy(parsing: documentedPolicy).explain(distributed).contains { $0.rule == "privacy.trustServer" }))
  }

  @Test("What an earlier run trusted the server with is a sum without noise to a policy that does not")
  func earlierCharges() throws {
    let distributed = try RunPlan(parsing: Self.plan.replacingOccurrences(of: "noise: central, ", with: ""))
    let central = try #require(try agreement().charge(of: .fit))
    let entry = LedgerEntry(
      dataSet: "/data.csv", run: try RunIdentifier("run-0"), task: .fit, round: 1, unit: .record, event: central.event,
      noise: .central, time: 0)
    let ledger = try PrivacyLedger(entries: [entry])
    #expect(ledger.sumsWithoutNoise(for: .record) == 1)
    #expect(ledger.sumsWithoutNoise(for: .record, trustsServer: true) == 0)
    #expect(try ledger.epsilon(of: nil, unit: .record, delta: 1e-5) == .infinity)
    let manifest = try TestFederation().manifest()
    func violated(_ plan: RunPlan, _ privacy: String) throws -> [String] {
      let text = documentedPolicy.replacingOccurrences(
        of: "{unit: none, epsilon: null, delta: null}", with: "{unit: record, epsilon: 30, delta: 1e-5\(privacy)}")
      return try Policy(parsing: text).explain(plan, manifest: manifest, featureCount: 2, ledger: (ledger, "/data.csv"))
        .filter { !$0.isSatisfied && $0.rule.hasPrefix("privacy.") }.map(\.rule)
    }
    let trusting = try RunPlan(parsing: Self.plan)
    // In the budget that is left it would find room.
    for plan in [distributed, trusting] { #expect(try violated(plan, ", trustServer: true").isEmpty) }
    #expect(
      try violated(distributed, "") == ["privacy.earlierSums", "privacy.epsilon", "privacy.epsilonInAll"])
    #expect(try violated(distributed, ", earlierSums: accept").isEmpty)
    // Leaving earlier sums out trusts nobody with later ones, whoever joins again.
    #expect(try violated(trusting, ", earlierSums: accept") == ["privacy.trustServer"])
    #expect(try violated(trusting, ", earlierSums: accept, whenShort: stop") == ["privacy.trustServer"])
  }

  @Test("Differences of sums are paid for where every term has noise in it, and nowhere else")
  func differences() throws {
    func covers(_ text: String) throws -> Bool { try RunPlan(parsing: text).privacy.coversDifferences }
    #expect(try !covers(Self.plan))
    #expect(try covers(Self.plan.replacingOccurrences(of: "noise: central, ", with: "")))
    #expect(try covers(NoisePlacementTests.local))
    #expect(!PrivacyModel.none.coversDifferences)
  }
}
