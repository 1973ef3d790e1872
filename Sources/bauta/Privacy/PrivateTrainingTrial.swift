import Cryptography
import DifferentialPrivacy
import Federation
import Learning
import Training

/// Training as a plan with FedSGD and the record unit foresees it, in one process and without a secure sum, which changes
/// nothing: clipping, rounding, noise and the model's steps are those of a run.
struct PrivateTrainingTrial: Sendable {
  let plan: RunPlan
  /// Rows of each organisation, in the clear: only for data that may be in one place.
  let train: [FeatureTable]
  let test: FeatureTable

  private static let otherStrategy = CommandError.usage(
    "--accuracy is for plans that train by FedSGD", remedy: "For such a plan: bauta plan template --privacy record")

  /// - Parameter tables: one an organisation, before preprocessing.
  init(plan: RunPlan, tables: [FeatureTable]) throws {
    guard plan.strategy.gradient != nil else { throw Self.otherStrategy }
    self.plan = plan
    let splits = try tables.map { try plan.split(plan.data.preprocessing.transform($0)) }
    train = splits.map(\.train)
    test = try FeatureTable.concatenating(splits.map(\.test))
  }

  /// ROC AUC on the pooled held-out rows.
  ///
  /// - Parameter noise: nil for none.
  func rocAuc(noise: NoisePlan?) throws -> Double? {
    let progression = RunProgression(plan: plan, run: try RunIdentifier("trial"), features: test.featureNames)
    guard let initial = progression.artifact, let strategy = try plan.gradientDescent, var state = initial.optimizer
    else { throw Self.otherStrategy }
    let scaling = try initial.preprocessing.publicScaling()
    func scaled(_ table: FeatureTable) throws -> FeatureTable { try scaling?.apply(table) ?? table }
    let rows = try train.map(scaled)
    var randomness = try KeystreamRandomness(generator: .aes256CTR)
    for _ in 0..<plan.rounds {
      let gradients = try rows.map {
        try PerExampleGradients(table: $0, classWeights: initial.classWeights, parameters: state.parameters)
      }
      let sum = try noise.map { try Self.noisedSum(gradients, $0, &randomness) } ?? Self.clippedSum(gradients, plan)
      state = try strategy.next(state, gradientSum: sum)
    }
    try randomness.check()
    let model = try LogisticRegressionModel(
      featureNames: test.featureNames, parameters: strategy.modelParameters(state))
    return try BinaryMetrics(logits: model.logits(scaled(test)), labels: test.labels).rocAuc
  }

  private static func noisedSum(
    _ gradients: [PerExampleGradients], _ noise: NoisePlan, _ randomness: inout KeystreamRandomness
  ) throws -> [Double] {
    var sum = [Int64](repeating: 0, count: noise.model.dimension)
    for organization in gradients {
      var contribution = RecordContribution(encoding: noise.encoding)
      var gradient = [Double](repeating: 0, count: organization.dimension)
      for row in 0..<organization.count {
        try organization.write(row: row, into: &gradient)
        try contribution.add(gradient: gradient, using: &randomness)
      }
      let term = contribution.finish(adding: noise.model.noise, using: &randomness).values
      for index in sum.indices { sum[index] &+= term[index] }
    }
    return noise.encoding.real(sum)
  }

  private static func clippedSum(_ gradients: [PerExampleGradients], _ plan: RunPlan) throws -> [Double] {
    let clip = plan.privacy.settings?.clip ?? .infinity
    var sum = [Double](repeating: 0, count: gradients.first?.dimension ?? 0)
    for organization in gradients {
      try organization.visit { _, gradient in
        let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let factor = norm > clip ? clip / norm : 1
        for index in sum.indices { sum[index] += factor * gradient[index] }
      }
    }
    return sum
  }
}
