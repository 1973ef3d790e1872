import DifferentialPrivacy
import Federation
import FederationWire
import SecureAggregation

@testable import FederationClient

extension TestFederation {
  /// Training with noise for single rows, and an evaluation at the end.
  func privatePlan(
    rounds: Int = 3, epsilon: Double = 3, mechanism: String = "skellam", bins: Int = 16, minimum: Int = 3,
    deadlines: String = CoordinatorTests.deadlines
  ) throws -> RunPlan {
    try RunPlan(
      parsing: """
        schema: bauta/plan/1
        name: fraud
        task: {kind: train, label: y, features: [\(Self.columns.joined(separator: ", "))]}
        data:
          set: claims
          testFraction: 0.25
          splitSeed: 3
          preprocessing: [publicScale]
          publicScale: {centre: 45, scale: 30, bound: 4}
        model: {classWeights: uniform}
        strategy:
          name: FedSGD
          learningRate: 1
          expectedExamples: 120
          minimumFitClients: \(minimum)
          minimumEvaluateClients: \(minimum)
        rounds: \(rounds)
        secureSum: {weightCap: 1000}
        evaluation: {rounds: last, histogramBins: \(bins)}
        deadlines: {\(deadlines)}
        privacy: {unit: record, mechanism: \(mechanism), clip: 2, epsilon: \(epsilon), delta: 1e-5}

        """)
  }

  /// Training with noise of its own in each organisation, ε = 3.
  func localPlan() throws -> RunPlan {
    try RunPlan(
      parsing: """
        schema: bauta/plan/1
        name: fraud
        task: {kind: train, label: y, features: [\(Self.columns.joined(separator: ", "))]}
        data:
          set: claims
          testFraction: 0.25
          splitSeed: 3
          preprocessing: [publicScale]
          publicScale: {centre: 45, scale: 30, bound: 4}
        model: {classWeights: uniform}
        trainer: {optimizer: dpsgd, steps: 3, learningRate: 0.5, samplingProbability: 0.25, expectedExamples: 30}
        rounds: 2
        evaluation: {rounds: none}
        deadlines: {\(CoordinatorTests.deadlines)}
        privacy: {unit: record, noise: local, clip: 1, epsilon: 3, delta: 1e-5}

        """)
  }

  /// - Parameter epsilon: the ceiling, at δ = 1e-5.
  static func privatePolicy(epsilon: Double = 3, whenShort: String = "refuse") -> String {
    Policy.template.replacingOccurrences(
      of: "{unit: none, epsilon: null, epsilonInAll: null, delta: null}",
      with: "{unit: record, epsilon: \(epsilon), delta: 1e-5, whenShort: \(whenShort)}")
  }

  /// What single sums of a plan are charged as.
  func noise(_ plan: RunPlan) throws -> NoiseAgreement? {
    try NoiseAgreement(plan: plan, manifest: manifest.manifest, features: Self.columns.count)
  }

  /// ε of so many fits.
  func epsilon(fits: Int, of plan: RunPlan) throws -> Double {
    guard let event = try noise(plan)?.charge(of: .fit)?.event else { return 0 }
    return try PrivacyLedger().epsilon(of: nil, unit: .record, delta: 1e-5, with: [(event, fits)])
  }

  /// The ledger as it is on disk, between two processes.
  func ledger(_ party: Party) throws -> PrivacyLedger { try ClientStore(path: statePath(party)).ledger() }
}
