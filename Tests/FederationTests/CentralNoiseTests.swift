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
}
