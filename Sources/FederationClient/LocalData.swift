import Cryptography
import Federation
import Learning
import SecureAggregation
import Training

/// The organisation's rows, read once for a run and never changed.
struct LocalData: Sendable {
  let features: [String]
  /// After the steps that need no statistics.
  let train: FeatureTable
  let test: FeatureTable

  /// Reads, checks and splits the rows as the plan says.
  ///
  /// - Throws: ``ClientError/data(_:)`` naming file, row and column.
  init(path: String, plan: RunPlan) throws(ClientError) {
    do throws(TrainingError) {
      // With differential privacy no single row decides whether the organisation takes part.
      let table = try CSVTable.load(
        path: path, label: plan.task.label, positive: plan.task.positive,
        labels: plan.privacy.settings == nil ? .twoClasses : .oneAgainstRest, features: plan.task.features.columns)
      do throws(LearningError) { try self.init(table, plan: plan) } catch { throw .learning(error) }
    } catch { throw .data(DataError(error)) }
  }

  /// Splits rows that were read as the plan says.
  init(_ table: FeatureTable, plan: RunPlan) throws(LearningError) {
    let split = try plan.split(table)
    features = table.featureNames
    train = plan.data.preprocessing.transform(split.train)
    test = plan.data.preprocessing.transform(split.test)
  }
}

/// What a task gives: integers to be encoded, and figures for the organisation's own eyes.
struct LocalResult: Sendable {
  var values: [Double] = []
  var counters: [Int64] = []
  var loss: Double?
  var clipped = 0
}

/// Computes the organisation's term of each sum.
struct TaskRunner: Sendable {
  let data: LocalData
  let plan: RunPlan
  /// The policy's smallest number of non-zero rows that may be counted.
  let minimumRows: Int

  /// - Parameter artifact: the model downloaded; `nil` for statistics.
  /// - Throws: ``ClientError/data(_:)``.
  func run(_ task: TaskKind, artifact: ModelArtifact?) throws(ClientError) -> LocalResult {
    do {
      switch task {
      case .statistics: return try statistics()
      case .fit: return try fit(try required(artifact))
      case .evaluate: return try evaluate(try required(artifact))
      }
    } catch let error as ClientError {
      throw error
    } catch let error as LearningError {
      throw .data(DataError(error))
    } catch let error as TrainingError {
      throw .data(DataError(error))
    } catch { throw .unexpected("a task that cannot be computed") }
  }

  private func required(_ artifact: ModelArtifact?) throws(ClientError) -> ModelArtifact {
    guard let artifact else { throw .unexpected("a task without its model") }
    return artifact
  }

  private func statistics() throws -> LocalResult {
    let vector = try StatisticsVector(featureNames: data.features, weightCap: plan.secureSum.weightCap)
    return LocalResult(counters: try vector.encode(data.train, minimumRows: minimumRows))
  }

  private func trainer(_ artifact: ModelArtifact) throws -> (LogisticRegressionTrainer, TrainerConfiguration) {
    let standardization = artifact.preprocessing.standardization
    let standardizes = plan.data.preprocessing.standardizes
    let trainer = try LogisticRegressionTrainer(
      train: standardizes ? standardization.apply(data.train) : data.train,
      test: standardizes ? standardization.apply(data.test) : data.test)
    let configuration = try TrainerConfiguration(
      l2: plan.model.l2, steps: plan.trainer.steps, classWeights: artifact.classWeights)
    return (trainer, configuration)
  }

  private func fit(_ artifact: ModelArtifact) throws -> LocalResult {
    let (trainer, configuration) = try trainer(artifact)
    let fit = try trainer.fit(parameters: artifact.model.parameters, configuration: configuration)
    let clip = plan.secureSum.clip
    let clipped = fit.parameters.map { min(max($0, -clip), clip) }
    let count = zip(fit.parameters, clipped).count { $0 != $1 }
    return LocalResult(
      values: try FedAvg.term(parameters: clipped, examples: fit.examples, weightCap: plan.secureSum.weightCap),
      counters: [Int64(fit.examples), Int64(count)], loss: fit.metrics["loss"], clipped: count)
  }

  private func evaluate(_ artifact: ModelArtifact) throws -> LocalResult {
    let (trainer, configuration) = try trainer(artifact)
    let evaluation = try trainer.evaluate(parameters: artifact.model.parameters, configuration: configuration)
    let vector = try EvaluationVector(bins: plan.evaluation.histogramBins, weightCap: plan.secureSum.weightCap)
    return LocalResult(
      counters: try vector.encode(logits: evaluation.logits, labels: evaluation.labels), loss: evaluation.loss)
  }
}

extension RunPlan.FeatureSelection {
  /// As the CSV reader takes it.
  var columns: Training.FeatureSelection {
    switch self {
    case .all: .all
    case .named(let names): .list(names)
    }
  }
}
