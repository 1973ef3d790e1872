import Learning

/// Settings of a fit, from the plan and the round.
public struct TrainerConfiguration: Sendable, Equatable {
  /// Strength of the penalty on weights, at least 0.
  public let l2: Double
  /// Most optimiser steps in one fit, at least 1.
  public let steps: Int
  /// Weights of the classes, from counts summed over the cohort.
  public let classWeights: ClassWeights
  /// A fit ends early where no element of the gradient exceeds this.
  public let gradientTolerance: Double

  /// - Throws: `TrainingError.optimization(.settings)` for values out of range.
  public init(
    l2: Double = 0.001, steps: Int = 20, classWeights: ClassWeights = .uniform, gradientTolerance: Double = 1e-7
  ) throws(TrainingError) {
    guard l2.isFinite, l2 >= 0 else { throw .optimization(.settings("l2 is \(l2) and must be 0 or more")) }
    guard 1...1_000_000 ~= steps else {
      throw .optimization(.settings("steps is \(steps) and must be in 1…1000000"))
    }
    guard gradientTolerance >= 0 else {
      throw .optimization(.settings("gradientTolerance is \(gradientTolerance) and must be 0 or more"))
    }
    self.l2 = l2
    self.steps = steps
    self.classWeights = classWeights
    self.gradientTolerance = gradientTolerance
  }
}

/// What a fit leaves in the organisation: only `parameters` and `examples` go into a secure sum.
public struct FitResult: Sendable, Equatable {
  public let parameters: [Double]
  /// Rows trained on.
  public let examples: Int
  /// For the organisation's own eyes, by name: `loss`, `gradientNorm`, `steps`.
  public let metrics: [String: Double]

  public init(parameters: [Double], examples: Int, metrics: [String: Double]) {
    self.parameters = parameters
    self.examples = examples
    self.metrics = metrics
  }
}

/// What an evaluation says about a model.
public struct EvaluationResult: Sendable, Equatable {
  /// Mean log loss.
  public let loss: Double
  public let examples: Int
  /// By name, see `BinaryMetrics.named`.
  public let metrics: [String: Double]
  /// Log-odds of every evaluated row, from which an `EvaluationVector` is made.
  public let logits: [Double]
  /// The true classes, in the same order.
  public let labels: [UInt8]

  public init(loss: Double, examples: Int, metrics: [String: Double], logits: [Double], labels: [UInt8]) {
    self.loss = loss
    self.examples = examples
    self.metrics = metrics
    self.logits = logits
    self.labels = labels
  }
}

/// Trains and evaluates a model on one organisation's data; names as in Flower.
public protocol Trainer: Sendable {
  /// Initial parameters.
  func parameters() -> [Double]

  /// Trains from the given parameters on local training rows.
  ///
  /// - Throws: `TrainingError` for parameters of another length, or training that diverges.
  func fit(parameters: [Double], configuration: TrainerConfiguration) throws(TrainingError) -> FitResult

  /// Evaluates the given parameters on local test rows.
  ///
  /// - Throws: `TrainingError` for parameters of another length.
  func evaluate(
    parameters: [Double], configuration: TrainerConfiguration
  ) throws(TrainingError) -> EvaluationResult
}

/// Logistic regression by L-BFGS on OpenBLAS.
///
/// Minimises (1/n) Σᵢ s(yᵢ) · logLoss(w·xᵢ + b, yᵢ) + (l2/2) ‖w‖² over weights w and intercept b; n rows, class weights
/// s, intercept not penalised. Parameters are the weights in the order of the features, then the intercept.
/// The same inputs give the same bits on the same processor; other processors may differ in the last places, since
/// OpenBLAS chooses its kernels by processor.
public struct LogisticRegressionTrainer: Trainer {
  /// Preprocessed training rows.
  public let train: FeatureTable
  /// Preprocessed test rows.
  public let test: FeatureTable

  /// - Throws: `TrainingError.learning` where the tables' features differ.
  public init(train: FeatureTable, test: FeatureTable) throws(TrainingError) {
    guard train.featureNames == test.featureNames else {
      throw .learning(.table(.differentFeatures(expected: train.featureNames, found: test.featureNames)))
    }
    self.train = train
    self.test = test
  }

  public func parameters() -> [Double] {
    Array(repeating: 0, count: LogisticRegressionModel.parameterCount(features: train.columnCount))
  }

  public func fit(
    parameters: [Double], configuration: TrainerConfiguration
  ) throws(TrainingError) -> FitResult {
    _ = try model(parameters)
    do throws(OptimizationFault) {
      let objective = try LogisticRegressionObjective(
        table: train, classWeights: configuration.classWeights, l2: configuration.l2)
      let optimizer = LBFGS(
        maximumSteps: configuration.steps, gradientTolerance: configuration.gradientTolerance)
      let minimum = try optimizer.minimize(objective, from: parameters)
      return FitResult(
        parameters: minimum.point, examples: train.rowCount,
        metrics: [
          "loss": minimum.value, "gradientNorm": minimum.gradientNorm, "steps": Double(minimum.steps),
        ])
    } catch { throw .optimization(error) }
  }

  public func evaluate(
    parameters: [Double], configuration: TrainerConfiguration
  ) throws(TrainingError) -> EvaluationResult {
    let model = try model(parameters)
    do throws(LearningError) {
      let logits = try model.logits(test)
      let metrics = try BinaryMetrics(logits: logits, labels: test.labels)
      return EvaluationResult(
        loss: metrics.logLoss, examples: metrics.examples, metrics: metrics.named, logits: logits,
        labels: test.labels)
    } catch { throw .learning(error) }
  }

  private func model(_ parameters: [Double]) throws(TrainingError) -> LogisticRegressionModel {
    do throws(LearningError) {
      return try LogisticRegressionModel(featureNames: train.featureNames, parameters: parameters)
    } catch { throw .learning(error) }
  }
}
