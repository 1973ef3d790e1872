import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import SecureAggregation
import Synchronization

@testable import FederationClient

extension TestFederation {
  /// A plan with noise over the federation's columns, of the parts that differ.
  static func noisedPlan(
    rounds: Int, model: String = "{classWeights: uniform}", trainer: String = "{program: builtin}", strategy: String,
    evaluation: String = "{rounds: none}", privacy: String, deadlines: String = CoordinatorTests.deadlines
  ) throws -> RunPlan {
    try RunPlan(
      parsing: """
        schema: bauta/plan/1
        name: fraud
        task: {kind: train, label: y, features: [\(columns.joined(separator: ", "))]}
        data:
          set: claims
          testFraction: 0.25
          splitSeed: 3
          preprocessing: [publicScale]
          publicScale: {centre: 45, scale: 30, bound: 4}
        model: \(model)
        trainer: \(trainer)
        strategy: {\(strategy)}
        rounds: \(rounds)
        secureSum: {clip: 8, weightCap: 1000}
        evaluation: \(evaluation)
        deadlines: {\(deadlines)}
        privacy: {\(privacy), delta: 1e-5}

        """)
  }

  /// Training with noise for single rows, and an evaluation at the end.
  func privatePlan(
    rounds: Int = 3, epsilon: Double = 3, mechanism: String = "skellam", bins: Int = 16, minimum: Int = 3,
    deadlines: String = CoordinatorTests.deadlines
  ) throws -> RunPlan {
    try Self.noisedPlan(
      rounds: rounds,
      strategy: "name: FedSGD, learningRate: 1, expectedExamples: 120, minimumFitClients: \(minimum), "
        + "minimumEvaluateClients: \(minimum)",
      evaluation: "{rounds: last, histogramBins: \(bins)}",
      privacy: "unit: record, mechanism: \(mechanism), clip: 2, epsilon: \(epsilon)", deadlines: deadlines)
  }

  /// Training with noise of its own in each organisation, ε = 3.
  func localPlan(epsilon: Double = 3, deadlines: String = CoordinatorTests.deadlines) throws -> RunPlan {
    try Self.noisedPlan(
      rounds: 2,
      trainer: "{optimizer: dpsgd, steps: 3, learningRate: 0.5, samplingProbability: 0.25, expectedExamples: 30}",
      strategy: "name: FedAvg", privacy: "unit: record, noise: local, clip: 1, epsilon: \(epsilon)",
      deadlines: deadlines)
  }

  /// Noise that hides whole organisations.
  ///
  /// - Parameter clip: with what moves it, as the plan has it.
  func organizationPlan(rounds: Int = 1, epsilon: Double, clip: String = "2") throws -> RunPlan {
    try Self.noisedPlan(
      rounds: rounds, strategy: "name: FedAvg", privacy: "unit: organization, clip: \(clip), epsilon: \(epsilon)")
  }

  static func policy(privacy: String) -> String {
    Policy.template.replacingOccurrences(
      of: "privacy: {unit: none, epsilon: null, epsilonInAll: null, delta: null}", with: "privacy: {\(privacy)}")
  }

  /// - Parameter epsilon: the ceiling, at δ = 1e-5.
  static func privatePolicy(epsilon: Double = 3, unit: PrivacyUnit = .record, whenShort: String = "refuse") -> String {
    policy(privacy: "unit: \(unit.rawValue), epsilon: \(epsilon), delta: 1e-5, whenShort: \(whenShort)")
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

/// Every message that left, by organisation.
final class SentMessages: Sendable {
  private let messages = Mutex<[(OrganizationName, ClientMessage)]>([])
  func note(_ name: OrganizationName, _ message: ClientMessage) { messages.withLock { $0.append((name, message)) } }
  func all(of name: OrganizationName) -> [ClientMessage] {
    messages.withLock { $0.filter { $0.0 == name }.map(\.1) }
  }
}
