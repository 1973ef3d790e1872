import Cryptography
import DifferentialPrivacy
import Learning
import SecureAggregation

/// How a model follows from sums with noise. All of it is post-processing: it costs no privacy.
extension RunProgression {
  /// The noise of the sums, as this side computes it.
  public func noise(_ manifest: Manifest) throws(FederationError) -> NoiseAgreement? {
    try NoiseAgreement(plan: plan, manifest: manifest, features: features.count)
  }

  /// The model before the first round, of public constants alone; nothing without differential privacy.
  mutating func beginPublicly() throws {
    guard plan.privacy.settings != nil, plan.task.kind == .train else { return }
    let count = LogisticRegressionModel.parameterCount(features: features.count)
    let state = try plan.strategy.gradient?.strategy(plan).initialState(count: count)
    try replace(
      with: LogisticRegressionModel(
        featureNames: features, parameters: state?.parameters ?? Array(repeating: 0, count: count)),
      preprocessing: publicPreprocessing(), classWeights: plan.model.classWeights.constants ?? .uniform,
      // No sum is behind it.
      context: ContextDigest(hashing: [UInt8]()), round: 0, optimizer: state, clip: plan.privacy.settings?.firstClip)
  }

  private func publicPreprocessing() throws(LearningError) -> FittedPreprocessing {
    guard let scale = plan.data.publicScale else {
      return FittedPreprocessing(plan.data.preprocessing, standardization: .identity(features: features.count))
    }
    return try FittedPreprocessing(plan.data.preprocessing, scaling: scale.scaling(features: features.count))
  }

  /// Whether what a model takes from public constants is what the plan has. Without differential privacy there is neither
  /// such a part, nor a clip or a gradient's state, which would tell two downloads apart that shape a term in the same way.
  func isPublicPart(_ artifact: ModelArtifact) -> Bool {
    guard plan.privacy.settings != nil else { return artifact.clip == nil && artifact.optimizer == nil }
    guard let expected = try? publicPreprocessing() else { return false }
    return artifact.preprocessing == expected && artifact.classWeights == plan.model.classWeights.constants
      && (artifact.optimizer != nil) == (plan.strategy.gradient != nil) && hasDueClip(artifact)
  }

  mutating func applyNoisedFit(_ sum: AggregateSum, round: Int) throws {
    guard let artifact else { throw ProgressionError.outOfOrder }
    let parameters: [Double]
    var state: FedSGD.State?
    if let gradient = plan.strategy.gradient, let optimizer = artifact.optimizer {
      let strategy = try gradient.strategy(plan)
      let next = try strategy.next(optimizer, gradientSum: sum.tensors)
      (parameters, state) = (strategy.modelParameters(next), next)
    } else if plan.privacy.settings?.placement == .local {
      parameters = sum.tensors.map { $0 / Double(sum.survivors.count) }
    } else {
      parameters = try averaged(sum, artifact)
    }
    try replace(
      with: LogisticRegressionModel(featureNames: features, parameters: parameters),
      preprocessing: artifact.preprocessing, classWeights: artifact.classWeights, context: sum.context, round: round,
      optimizer: state, clip: try nextClip(sum, artifact))
  }

  /// The organisation unit: the parameters, moved by the mean of the clipped updates, each organisation weighing the same.
  private func averaged(_ sum: AggregateSum, _ artifact: ModelArtifact) throws -> [Double] {
    let update = try rotation().undo(sum.tensors)
    let weight = unit(artifact) / Double(sum.survivors.count)
    let next = zip(artifact.model.parameters, update).map { $0 + $1 * weight }
    if let index = next.firstIndex(where: { !$0.isFinite }) { throw LearningError.strategy(.notFinite(index: index)) }
    return next
  }

  /// The public rotation of the round that is due, new in each: it follows from run and model.
  public func rotation() throws(MechanismError) -> Rotation {
    var encoder = CanonicalEncoder("bauta/v1/rotation")
    encoder.append(run.text)
    encoder.append(modelHash)
    var signs = PublicRandomness(seed: encoder.finish())
    return try Rotation(
      dimension: LogisticRegressionModel.parameterCount(features: features.count), signs: &signs)
  }

  /// Estimates; nil where the noise left no row.
  func noisedMetrics(_ sum: AggregateSum, _ noise: NoiseAgreement?) throws -> BinaryMetrics? {
    let bins = plan.evaluation.histogramBins
    // The bound was checked when the sum was decoded.
    let vector = try NoisedEvaluationVector(
      bins: bins, weightCap: plan.secureSum.weightCap, noiseBound: NoisedEvaluationVector.maximumNoise)
    let count = sum.survivors.count
    return try vector.decode(
      sum.counters, organizations: count, noiseDeviation: noise?.evaluationDeviation(organizations: count) ?? 0
    ).metrics
  }
}

/// Numbers that everybody may compute: SHA-256 of a seed and a counter.
private struct PublicRandomness: RandomNumberGenerator {
  private let seed: [UInt8]
  private var counter: UInt64 = 0
  private var words: [UInt64] = []

  init(seed: [UInt8]) { self.seed = seed }

  mutating func next() -> UInt64 {
    if let word = words.popLast() { return word }
    var encoder = CanonicalEncoder("bauta/v1/public-randomness")
    encoder.append(seed)
    encoder.append(counter)
    counter += 1
    let bytes = SHA256Digest(hashing: encoder.finish()).bytes
    words = stride(from: 0, to: 32, by: 8).map { start in
      bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
    }
    return words.removeLast()
  }
}
