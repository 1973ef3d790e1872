import Cryptography
import Learning
import SecureAggregation

/// How a run's model follows from its sums: the same pure function at the server and at every client.
///
/// Implements "Verified step" of the protocol: a client that has followed the run recomputes each model from the
/// published sum and refuses another one. It does not show that the sum is the sum of honest terms.
public struct RunProgression: Sendable {
  public let plan: RunPlan
  public let run: RunIdentifier
  /// Numeric columns in order, the same at every organisation.
  public let features: [String]
  /// Everything that the next task downloads: the schema before the statistics, a safetensors file after them.
  public private(set) var model: [UInt8]
  /// The model as values; `nil` before the statistics.
  public private(set) var artifact: ModelArtifact?
  /// Sums over the cohort; `nil` before they are known.
  public private(set) var statistics: FeatureStatistics?

  /// Before the first sum. With differential privacy there is a model already, made of public constants.
  public init(plan: RunPlan, run: RunIdentifier, features: [String]) {
    self.plan = plan
    self.run = run
    self.features = features
    self.model = Self.schema(plan: plan, features: features)
    // Without a model no task of the run is due: what cannot be made is refused there.
    try? beginPublicly()
  }

  public var modelHash: ModelHash { ModelHash(hashing: model) }

  /// What is the same for two downloads that shape a term in the same way, whatever run, round or metadata is written in
  /// them: for comparing openings with each other.
  ///
  /// Statistics are all the same to it: they are of the columns, whatever the plan calls the label.
  public func contentHash(of task: TaskKind) -> ModelHash {
    var encoder = CanonicalEncoder("bauta/v1/model-content")
    guard task != .statistics, let artifact else { return ModelHash(hashing: encoder.finish()) }
    let standardization = artifact.preprocessing.standardization
    let weights = [artifact.classWeights.negative, artifact.classWeights.positive]
    var vectors = [artifact.model.parameters, standardization.means, standardization.standardDeviations, weights]
    // Where the next gradient is taken.
    if let optimizer = artifact.optimizer { vectors.append(optimizer.parameters) }
    if let clip = artifact.clip { vectors.append([clip]) }
    for values in vectors {
      encoder.append(list: values) { (encoder: inout CanonicalEncoder, value: Double) in
        encoder.append(value.bitPattern)
      }
    }
    return ModelHash(hashing: encoder.finish())
  }

  /// The sums of the run, in order.
  public var steps: [(task: TaskKind, round: Int)] { plan.steps }

  /// Whether `opening` is what the plan foresees where this side's model stands.
  public func isNext(_ opening: OpeningIdentifier) -> Bool {
    guard opening.run == run, steps.contains(where: { $0 == (opening.task, opening.round) }) else { return false }
    return switch opening.task {
    case .statistics: artifact == nil && statistics == nil
    case .fit: artifact?.round == opening.round - 1
    case .evaluate: artifact?.round == opening.round
    }
  }

  /// Takes the model that the server hands out, where this side has not followed the run so far.
  ///
  /// - Throws: ``ProgressionError`` if it is not a model of this plan and these features.
  public mutating func adopt(model bytes: [UInt8]) throws(ProgressionError) {
    if bytes == Self.schema(plan: plan, features: features), plan.performs(.statistics) {
      model = bytes
      artifact = nil
      return
    }
    let decoded: ModelArtifact
    do { decoded = try ModelArtifact(decoding: bytes) } catch { throw .modelOfAnotherRun }
    guard decoded.model.featureNames == features, decoded.run == run.text, decoded.label == plan.task.label,
      decoded.positive == plan.task.positive, decoded.preprocessing.preprocessing == plan.data.preprocessing,
      isPublicPart(decoded)
    else { throw .modelOfAnotherRun }
    model = bytes
    artifact = decoded
  }

  /// Moves on by the sum of one opening.
  ///
  /// - Parameter noise: of the run; metrics then say how far it may have moved them.
  /// - Returns: the metrics of an evaluation; `nil` for other tasks.
  /// - Throws: ``ProgressionError`` if no model follows from the sum; nothing has changed then.
  public mutating func apply(
    _ sum: AggregateSum, of opening: OpeningIdentifier, noise: NoiseAgreement? = nil
  ) throws(ProgressionError) -> BinaryMetrics? {
    do throws(any Error) {
      switch opening.task {
      case .statistics:
        try applyStatistics(sum)
        return nil
      case .fit:
        if plan.privacy.settings == nil {
          try applyFit(sum, round: opening.round)
        } else {
          try applyNoisedFit(sum, round: opening.round)
        }
        return nil
      case .evaluate:
        if plan.privacy.settings != nil { return try noisedMetrics(sum, noise) }
        let layout = try EvaluationVector(bins: plan.evaluation.histogramBins, weightCap: plan.secureSum.weightCap)
        return try layout.decode(sum.counters).metrics()
      }
    } catch let error as LearningError {
      throw .learning(error)
    } catch {
      throw error as? ProgressionError ?? .outOfOrder
    }
  }

  private mutating func applyStatistics(_ sum: AggregateSum) throws {
    let vector = try StatisticsVector(featureNames: features, weightCap: plan.secureSum.weightCap)
    let statistics = try vector.decode(sum.counters)
    self.statistics = statistics
    guard plan.task.kind != .statistics else { return }
    let weights: ClassWeights =
      switch plan.model.classWeights {
      case .balanced: try statistics.balancedClassWeights()
      case .uniform: .uniform
      case .fixed(let weights): weights
      }
    let count = LogisticRegressionModel.parameterCount(features: features.count)
    try replace(
      with: LogisticRegressionModel(featureNames: features, parameters: strategy.initialParameters(count: count)),
      preprocessing: FittedPreprocessing(plan.data.preprocessing, statistics: statistics), classWeights: weights,
      context: sum.context, round: 0)
  }

  private mutating func applyFit(_ sum: AggregateSum, round: Int) throws {
    guard let artifact else { throw ProgressionError.outOfOrder }
    guard let examples = sum.counters.first else { throw ProgressionError.outOfOrder }
    let fit = FitSum(
      weightedParameters: sum.tensors, examples: examples, weightCap: plan.secureSum.weightCap)
    let parameters = try strategy.aggregateFit(fit, parameters: artifact.model.parameters)
    try replace(
      with: LogisticRegressionModel(featureNames: features, parameters: parameters),
      preprocessing: artifact.preprocessing, classWeights: artifact.classWeights, context: sum.context, round: round)
  }

  private var strategy: FedAvg {
    get throws(LearningError) {
      FedAvg(
        settings: try StrategySettings(
          fractionFit: plan.strategy.fractionFit, minimumFitClients: plan.strategy.minimumFitClients,
          minimumEvaluateClients: plan.strategy.minimumEvaluateClients,
          minimumAvailableClients: plan.strategy.minimumAvailableClients))
    }
  }

  mutating func replace(
    with model: LogisticRegressionModel, preprocessing: FittedPreprocessing, classWeights: ClassWeights,
    context: ContextDigest, round: Int, optimizer: FedSGD.State? = nil, clip: Double? = nil
  ) throws {
    let next = try ModelArtifact(
      model: model, preprocessing: preprocessing, classWeights: classWeights, label: plan.task.label,
      positive: plan.task.positive, run: run.text, context: context.hexadecimal, round: round, optimizer: optimizer,
      clip: clip, metadata: ["plan": plan.hash.hexadecimal])
    self.model = try next.encoded()
    self.artifact = next
  }

  /// What stands in for a model before there is one, so that the context binds the columns and what is done to them.
  private static func schema(plan: RunPlan, features: [String]) -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/schema")
    encoder.append(plan.task.label)
    encoder.append(plan.task.positive)
    encoder.append(list: features) { (encoder: inout CanonicalEncoder, name: String) in encoder.append(name) }
    encoder.append(list: plan.data.preprocessing.names) { (encoder: inout CanonicalEncoder, name: String) in
      encoder.append(name)
    }
    return encoder.finish()
  }
}
