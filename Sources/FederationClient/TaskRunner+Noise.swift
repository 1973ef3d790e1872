import Cryptography
import DifferentialPrivacy
import Federation
import Learning
import SecureAggregation
import Synchronization
import Training

/// A term of a sum with differential privacy, before it is encoded.
enum PrivateTerm: Sendable {
  /// Coordinates of a fit, with a share of noise, unless the server is trusted to add it; and the bit that says whether
  /// the update was within the clip, with noise of its own, where the clip moves.
  case integers([Int64], counters: [Int64] = [])
  /// Of an evaluation.
  case counters([Int64])
  /// A model that was trained with noise: private by itself.
  case parameters([Double])
}

/// Terms of sums with differential privacy: what is computed from rows leaves this file with noise in it, or not
/// at all; but where the plan and the policy trust the server with the noise (`privacy.noise: central`).
extension TaskRunner {
  /// The term of a task: integers with this organisation's share of the noise, or a model that was trained with noise.
  ///
  /// Rows that cannot be used contribute nothing, so that no single row decides whether the organisation takes part.
  ///
  /// - Parameter noise: of the run; its charge of the task is what the term is charged as.
  /// - Throws: ``ClientError/data(_:)``, ``ClientError/federation(_:)``, ``ClientError/aggregation(_:)``.
  func noised(
    _ task: TaskKind, progression: RunProgression, noise: NoiseAgreement
  ) throws(ClientError) -> PrivateTerm {
    guard let artifact = progression.artifact, noise.charge(of: task) != nil else {
      throw .unexpected("a task without its model, or one that the plan does not have")
    }
    do {
      switch noise.form {
      case .distributed(let noisePlan):
        guard let release = noise.release(of: task) else { throw ClientError.unexpected("a task without noise") }
        return try shared(task, artifact, noisePlan, release, progression)
      case .central(let centralNoise): return try trustingServer(task, artifact, centralNoise)
      case .local(let localNoise): return .parameters(try trainedWithNoise(artifact, localNoise))
      }
    } catch let error as ClientError {
      throw error
    } catch let error as LearningError {
      throw .data(DataError(error))
    } catch let error as TrainingError {
      throw .data(DataError(error))
    } catch let error as MechanismError {
      throw .federation(.privacy(error))
    } catch let error as CryptographyError {
      throw .federation(.cryptography(error))
    } catch { throw .unexpected("a task that cannot be computed") }
  }

  /// Integers with this organisation's share of the noise.
  private func shared(
    _ task: TaskKind, _ artifact: ModelArtifact, _ noise: NoisePlan, _ release: NoisedRelease,
    _ progression: RunProgression
  ) throws -> PrivateTerm {
    var randomness = try KeystreamRandomness(generator: plan.secureSum.generator)
    let term: PrivateTerm
    switch task {
    case .statistics: throw ClientError.unexpected("statistics in a run with differential privacy")
    case .fit:
      term =
        plan.strategy.gradient == nil
        ? try update(artifact, noise, try progression.rotation(), &randomness)
        : .integers(
          try gradients(artifact, noise.encoding, &randomness).finish(adding: release.noise, using: &randomness).values)
    case .evaluate:
      term = .counters(
        try histogram(artifact, count: release.dimension).finish(adding: release.noise, using: &randomness).values)
    }
    // Before anything is made of the numbers.
    try randomness.check()
    return term
  }

  /// Clipped, rounded and tested as with shares of noise, and without any: the server is trusted to add it.
  private func trustingServer(
    _ task: TaskKind, _ artifact: ModelArtifact, _ noise: CentralNoise
  ) throws -> PrivateTerm {
    switch task {
    case .statistics: throw ClientError.unexpected("statistics in a run with differential privacy")
    case .fit:
      var randomness = try KeystreamRandomness(generator: plan.secureSum.generator)
      let sums = try gradients(artifact, noise.encoding, &randomness).finish(trusting: noise)
      try randomness.check()
      return .integers(sums)
    case .evaluate:
      return .counters(
        try histogram(artifact, count: 2 * plan.evaluation.histogramBins).finish(trusting: noise))
    }
  }

  /// The record unit inside the organisation: DP-SGD from the downloaded model on.
  ///
  /// How many rows there are is in nothing that it gives, nor in whether it gives anything.
  private func trainedWithNoise(_ artifact: ModelArtifact, _ noise: LocalNoise) throws -> [Double] {
    guard let settings = plan.trainer.local else { throw ClientError.unexpected("noise of a trainer that has none") }
    let randomness = try LocalRandomness(generator: plan.secureSum.generator)
    let clipping = try IntegerClipping(norm: noise.clip, scale: noise.scale)
    // What is charged for is what is clipped to.
    guard clipping.bound == noise.sensitivity else { throw ClientError.unexpected("noise for another clip") }
    let trainer = try LocalDPSGD(
      train: try scaled(data.train, artifact), test: try scaled(data.test, artifact), clipping: clipping,
      samplingProbability: noise.samplingProbability, expectedExamples: settings.expectedExamples,
      learningRate: settings.learningRate, momentum: settings.momentum,
      noise: { try randomness.noise(noise, count: $0) }, words: { try randomness.words(count: $0) })
    let fit = try trainer.fit(
      parameters: artifact.model.parameters,
      configuration: try TrainerConfiguration(
        l2: plan.model.l2, steps: plan.trainer.steps, classWeights: artifact.classWeights))
    return fit.parameters
  }

  /// The record unit: every row's gradient, clipped, rounded and tested by itself, then summed.
  private func gradients(
    _ artifact: ModelArtifact, _ encoding: IntegerEncoding, _ randomness: inout KeystreamRandomness
  ) throws -> RecordContribution {
    guard let state = artifact.optimizer else { throw ClientError.unexpected("a fit without what it goes on from") }
    let gradients = try PerExampleGradients(
      table: try scaled(plan.rows(of: data.train, inRound: artifact.round + 1), artifact),
      classWeights: artifact.classWeights, parameters: state.parameters)
    var contribution = RecordContribution(encoding: encoding)
    var gradient = [Double](repeating: 0, count: gradients.dimension)
    for row in 0..<gradients.count {
      // One that is not finite is written as zeros.
      try? gradients.write(row: row, into: &gradient)
      try contribution.add(gradient: gradient, using: &randomness)
    }
    return contribution
  }

  /// The organisation unit: how far training moved the parameters, clipped and rotated as a whole; and whether it was within
  /// the clip, where the clip moves.
  private func update(
    _ artifact: ModelArtifact, _ noise: NoisePlan, _ rotation: Rotation, _ randomness: inout KeystreamRandomness
  ) throws -> PrivateTerm {
    guard (artifact.clip == nil) == (noise.clipBit == nil) else {
      throw ClientError.unexpected("a clip that moves without noise for its bit, or the other way round")
    }
    let trainer = try LogisticRegressionTrainer(
      train: try scaled(data.train, artifact), test: try scaled(data.test, artifact))
    let configuration = try TrainerConfiguration(
      l2: plan.model.l2, steps: plan.trainer.steps, classWeights: artifact.classWeights)
    // Rows that cannot be trained on move nothing.
    let fit = try? trainer.fit(parameters: artifact.model.parameters, configuration: configuration)
    let update = zip(fit?.parameters ?? artifact.model.parameters, artifact.model.parameters).map { $0 - $1 }
    // The integers' bound, and so noise and charge, are the same for every clip.
    let encoding = try artifact.clip.map { (clip) throws(MechanismError) in try noise.encoding.reclipped(to: clip) }
    let contribution = try OrganizationContribution(encoding: encoding ?? noise.encoding, rotation: rotation)
    let (term, outcome) = try contribution.encode(update, adding: noise.model.noise, using: &randomness)
    guard let release = noise.clipBit else { return .integers(term.values) }
    var bit = try CounterContribution(count: release.dimension, sensitivity: .one)
    try bit.add([AdaptiveClipping.bit(for: outcome)])
    return .integers(term.values, counters: bit.finish(adding: release.noise, using: &randomness).values)
  }

  /// The scores of the held-out rows, a bin each, and no more in one than the plan foresees: before there is noise, for the
  /// bounds of the sum would cut that off along with what is too much.
  private func histogram(
    _ artifact: ModelArtifact, count: Int
  ) throws -> CounterContribution {
    let cap = plan.secureSum.weightCap
    let vector = try NoisedEvaluationVector(bins: plan.evaluation.histogramBins, weightCap: cap, noiseBound: 0)
    let logits = try artifact.model.logits(try scaled(data.test, artifact))
    var contribution = try CounterContribution(count: count, sensitivity: .one)
    var filled = [Int](repeating: 0, count: count)
    for (logit, label) in zip(logits, data.test.labels) where !logit.isNaN {
      let bin = (label == 1 ? 0 : vector.bins) + vector.bin(logit: logit)
      // One row more or less still changes one bin by one, or none.
      guard filled[bin] < cap else { continue }
      filled[bin] += 1
      try contribution.increment(bin)
    }
    return contribution
  }

  /// Rows as the model sees them; the other steps were taken when they were read.
  private func scaled(_ table: FeatureTable, _ artifact: ModelArtifact) throws(LearningError) -> FeatureTable {
    guard let scaling = try artifact.preprocessing.publicScaling() else { return table }
    return try scaling.apply(table)
  }
}

/// The randomness of one training with noise, checked each time before anything is made of it.
private final class LocalRandomness: Sendable {
  private let generator: Mutex<KeystreamRandomness>

  init(generator: MaskGenerator) throws(CryptographyError) {
    self.generator = Mutex(try KeystreamRandomness(generator: generator))
  }

  func noise(_ noise: LocalNoise, count: Int) throws -> [Int64] {
    try generator.withLock { generator in
      let samples = noise.samples(count: count, using: &generator)
      try generator.check()
      return samples
    }
  }

  func words(count: Int) throws -> [UInt64] {
    try generator.withLock { generator in
      let words = (0..<count).map { _ in generator.next() }
      try generator.check()
      return words
    }
  }
}
