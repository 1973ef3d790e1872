import Cryptography
import DifferentialPrivacy
import Federation
import Learning
import SecureAggregation
import Training

/// Terms of sums with differential privacy: what is computed from rows leaves this file with noise in it, or not at all.
extension TaskRunner {
  /// The term of a task: integers with this organisation's share of the noise.
  ///
  /// Rows that cannot be used contribute nothing, so that no single row decides whether the organisation takes part.
  ///
  /// - Parameter noise: of the run; its release of the task is what the term is charged as.
  /// - Throws: ``ClientError/data(_:)``, ``ClientError/federation(_:)``, ``ClientError/aggregation(_:)``.
  func noised(
    _ task: TaskKind, progression: RunProgression, noise: NoiseAgreement
  ) throws(ClientError) -> NoisedIntegers {
    guard let artifact = progression.artifact, let release = noise.release(of: task) else {
      throw .unexpected("a task without its model, or one that the plan does not have")
    }
    let encoding = noise.noise.encoding
    do {
      var randomness = try KeystreamRandomness(generator: plan.secureSum.generator)
      let term: NoisedIntegers
      switch task {
      case .statistics: throw ClientError.unexpected("statistics in a run with differential privacy")
      case .fit:
        term =
          plan.strategy.gradient == nil
          ? try update(artifact, encoding, try progression.rotation(), release.noise, &randomness)
          : try gradients(artifact, encoding, release.noise, &randomness)
      case .evaluate: term = try histogram(artifact, release, &randomness)
      }
      // Before anything is made of the numbers.
      try randomness.check()
      return term
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

  /// The record unit: every row's gradient, clipped, rounded and tested by itself, then the sum with noise.
  private func gradients(
    _ artifact: ModelArtifact, _ encoding: IntegerEncoding, _ noise: NoiseShare,
    _ randomness: inout KeystreamRandomness
  ) throws -> NoisedIntegers {
    guard let state = artifact.optimizer else { throw ClientError.unexpected("a fit without what it goes on from") }
    let gradients = try PerExampleGradients(
      table: try scaled(data.train, artifact), classWeights: artifact.classWeights, parameters: state.parameters)
    var contribution = RecordContribution(encoding: encoding)
    var gradient = [Double](repeating: 0, count: gradients.dimension)
    for row in 0..<gradients.count {
      // One that is not finite is written as zeros.
      try? gradients.write(row: row, into: &gradient)
      try contribution.add(gradient: gradient, using: &randomness)
    }
    return contribution.finish(adding: noise, using: &randomness)
  }

  /// The organisation unit: how far training moved the parameters, clipped and rotated as a whole.
  private func update(
    _ artifact: ModelArtifact, _ encoding: IntegerEncoding, _ rotation: Rotation, _ noise: NoiseShare,
    _ randomness: inout KeystreamRandomness
  ) throws -> NoisedIntegers {
    let trainer = try LogisticRegressionTrainer(
      train: try scaled(data.train, artifact), test: try scaled(data.test, artifact))
    let configuration = try TrainerConfiguration(
      l2: plan.model.l2, steps: plan.trainer.steps, classWeights: artifact.classWeights)
    // Rows that cannot be trained on move nothing.
    let fit = try? trainer.fit(parameters: artifact.model.parameters, configuration: configuration)
    let update = zip(fit?.parameters ?? artifact.model.parameters, artifact.model.parameters).map { $0 - $1 }
    let contribution = try OrganizationContribution(encoding: encoding, rotation: rotation)
    return try contribution.encode(update, adding: noise, using: &randomness).term
  }

  /// The scores of the held-out rows, a bin each.
  private func histogram(
    _ artifact: ModelArtifact, _ release: NoisedRelease, _ randomness: inout KeystreamRandomness
  ) throws -> NoisedIntegers {
    let vector = try NoisedEvaluationVector(
      bins: plan.evaluation.histogramBins, weightCap: plan.secureSum.weightCap, noiseBound: 0)
    let logits = try artifact.model.logits(try scaled(data.test, artifact))
    var contribution = try CounterContribution(count: release.dimension, sensitivity: .one)
    for (logit, label) in zip(logits, data.test.labels) where !logit.isNaN {
      try contribution.increment((label == 1 ? 0 : vector.bins) + vector.bin(logit: logit))
    }
    return contribution.finish(adding: release.noise, using: &randomness)
  }

  /// Rows as the model sees them; the other steps were taken when they were read.
  private func scaled(_ table: FeatureTable, _ artifact: ModelArtifact) throws(LearningError) -> FeatureTable {
    guard let scaling = try artifact.preprocessing.publicScaling() else { return table }
    return try scaling.apply(table)
  }
}
