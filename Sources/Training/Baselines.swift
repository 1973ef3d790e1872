import Learning

/// One organisation's raw rows, divided.
public struct OrganizationData: Sendable, Equatable {
  public let train: FeatureTable
  public let test: FeatureTable

  public init(train: FeatureTable, test: FeatureTable) {
    self.train = train
    self.test = test
  }

  /// - Throws: `TrainingError.learning(.split)`.
  public init(_ table: FeatureTable, testFraction: Double, seed: UInt64) throws(TrainingError) {
    do throws(LearningError) {
      (train, test) = try table.split(testFraction: testFraction, seed: seed)
    } catch { throw .learning(error) }
  }
}

/// What a federation is compared with, computed in the open on one machine: pooled training, each organisation alone,
/// and federated averaging in plain arithmetic. Every result is measured exactly on the pooled test rows.
public struct Baselines: Sendable {
  /// A trained model with the preprocessing it needs, and how it does.
  public struct Result: Sendable, Equatable {
    public let parameters: [Double]
    public let preprocessing: FittedPreprocessing
    public let classWeights: ClassWeights
    public let metrics: BinaryMetrics
  }

  public let organizations: [OrganizationData]
  public let preprocessing: Preprocessing
  public let l2: Double
  /// Whether classes are weighted by balanced weights.
  public let isBalanced: Bool
  /// Most optimiser steps of pooled and lone training, which run to convergence.
  static let convergenceSteps = 2000

  private let pooledTest: FeatureTable

  /// - Parameter organizations: at least one, all with the same features.
  /// - Throws: `TrainingError.learning(.table)`.
  public init(
    organizations: [OrganizationData], preprocessing: Preprocessing, l2: Double, isBalanced: Bool
  ) throws(TrainingError) {
    self.organizations = organizations
    self.preprocessing = preprocessing
    self.l2 = l2
    self.isBalanced = isBalanced
    pooledTest = try learning { () throws(LearningError) in
      try FeatureTable.concatenating(organizations.map(\.test))
    }
  }

  /// Trained to convergence on everybody's training rows together.
  public func pooled() throws(TrainingError) -> Result {
    let train = try learning { () throws(LearningError) in
      try FeatureTable.concatenating(organizations.map(\.train))
    }
    return try converged(train)
  }

  /// Trained to convergence on one organisation's training rows; its preprocessing and class weights are its own too.
  public func alone(_ index: Int) throws(TrainingError) -> Result {
    try converged(organizations[index].train)
  }

  /// Federated averaging over all organisations in plain arithmetic: what a secure run computes, up to quantisation.
  ///
  /// Statistics pass through `StatisticsVector`, so preprocessing and class weights are those of a secure run, bit for
  /// bit.
  ///
  /// - Parameters:
  ///   - rounds: at least 1.
  ///   - steps: optimiser steps a round.
  /// - Returns: one result a round.
  public func federated(
    rounds: Int, steps: Int, minimumRows: Int, weightCap: Int
  ) throws(TrainingError) -> [Result] {
    let transformed = organizations.map { preprocessing.transform($0.train) }
    let statistics = try learning { () throws(LearningError) in
      let vector = try StatisticsVector(featureNames: pooledTest.featureNames, weightCap: weightCap)
      var sum = Array(repeating: Int64(0), count: vector.layout.counterCount)
      for table in transformed {
        for (index, counter) in try vector.encode(table, minimumRows: minimumRows).enumerated() {
          sum[index] += counter
        }
      }
      return try vector.decode(sum)
    }
    let fitted = FittedPreprocessing(preprocessing, statistics: statistics)
    let configuration = try configuration(statistics, steps: steps)
    let test = try apply(fitted, pooledTest)
    var trainers: [LogisticRegressionTrainer] = []
    for organization in organizations {
      trainers.append(try LogisticRegressionTrainer(train: apply(fitted, organization.train), test: test))
    }
    var results: [Result] = []
    var parameters = trainers[0].parameters()
    for _ in 0..<rounds {
      parameters = try round(trainers, parameters, configuration, weightCap: weightCap)
      results.append(try result(trainers[0], parameters, fitted, configuration))
    }
    return results
  }

  private func round(
    _ trainers: [LogisticRegressionTrainer], _ parameters: [Double], _ configuration: TrainerConfiguration,
    weightCap: Int
  ) throws(TrainingError) -> [Double] {
    var sum = Array(repeating: 0.0, count: parameters.count)
    var examples: Int64 = 0
    for trainer in trainers {
      let fit = try trainer.fit(parameters: parameters, configuration: configuration)
      let term = try learning { () throws(LearningError) in
        try FedAvg.term(parameters: fit.parameters, examples: fit.examples, weightCap: weightCap)
      }
      for index in sum.indices { sum[index] += term[index] }
      examples += Int64(fit.examples)
    }
    return try learning { () throws(LearningError) in
      try FedAvg(settings: StrategySettings())
        .aggregateFit(
          FitSum(weightedParameters: sum, examples: examples, weightCap: weightCap), parameters: parameters)
    }
  }

  private func converged(_ train: FeatureTable) throws(TrainingError) -> Result {
    let statistics = FeatureStatistics(of: preprocessing.transform(train))
    let fitted = FittedPreprocessing(preprocessing, statistics: statistics)
    let configuration = try configuration(statistics, steps: Self.convergenceSteps)
    let trainer = try LogisticRegressionTrainer(train: apply(fitted, train), test: apply(fitted, pooledTest))
    let fit = try trainer.fit(parameters: trainer.parameters(), configuration: configuration)
    return try result(trainer, fit.parameters, fitted, configuration)
  }

  private func configuration(
    _ statistics: FeatureStatistics, steps: Int
  ) throws(TrainingError) -> TrainerConfiguration {
    let weights = try learning { () throws(LearningError) in
      isBalanced ? try statistics.balancedClassWeights() : .uniform
    }
    return try TrainerConfiguration(l2: l2, steps: steps, classWeights: weights)
  }

  private func result(
    _ trainer: LogisticRegressionTrainer, _ parameters: [Double], _ fitted: FittedPreprocessing,
    _ configuration: TrainerConfiguration
  ) throws(TrainingError) -> Result {
    let evaluation = try trainer.evaluate(parameters: parameters, configuration: configuration)
    let metrics = try learning { () throws(LearningError) in
      try BinaryMetrics(logits: evaluation.logits, labels: evaluation.labels)
    }
    return Result(
      parameters: parameters, preprocessing: fitted, classWeights: configuration.classWeights, metrics: metrics)
  }

  private func apply(_ fitted: FittedPreprocessing, _ table: FeatureTable) throws(TrainingError) -> FeatureTable {
    try learning { () throws(LearningError) in try fitted.apply(table) }
  }
}

/// Runs what throws `LearningError` where `TrainingError` is thrown.
private func learning<Value>(_ body: () throws(LearningError) -> Value) throws(TrainingError) -> Value {
  do throws(LearningError) { return try body() } catch { throw .learning(error) }
}
