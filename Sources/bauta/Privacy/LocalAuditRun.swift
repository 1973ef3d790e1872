import Cryptography
import DifferentialPrivacy
import Federation
import Learning
import Synchronization
import Training

/// The training of one organisation by itself with canaries, and its auditor.
///
/// The auditor sees every step's noised sum, of which the server and the others see no more than what the model at the end
/// of a round makes of them. It knows the rows and which of them a step has drawn, for what is charged holds for every choice of
/// the others; it knows neither the coins, nor when a canary was drawn, nor the noise. The others' models are those that
/// change nothing.
struct LocalAuditRun {
  private let audit: PrivacyAudit
  private let noise: LocalNoise
  /// Of each canary, whether it is among the rows. The auditor does not look.
  private let isIncluded: [Bool]

  init(audit: PrivacyAudit, noise: LocalNoise, count: Int, randomness: inout AuditRandomness) {
    self.audit = audit
    self.noise = noise
    isIncluded = (0..<count).map { _ in randomness.next() >> 63 == 1 }
  }

  /// - Parameter finished: is called after each round.
  /// - Throws: what training or randomness throw.
  func scores(_ randomness: inout AuditRandomness, finished: () -> Void) throws -> CanaryScores {
    guard let settings = audit.plan.trainer.local else { throw MechanismError.parameter(.samplingProbability) }
    // A seed gives the same training again.
    let seed = audit.settings.seed == nil ? nil : randomness.next()
    let source = try SharedRandomness(seed: seed, generator: audit.plan.secureSum.generator)
    let noise = noise
    let trainer = try LocalDPSGD(
      train: audit.tables[0], test: audit.tables[0],
      clipping: try IntegerClipping(norm: noise.clip, scale: noise.scale),
      samplingProbability: noise.samplingProbability, expectedExamples: settings.expectedExamples,
      learningRate: settings.learningRate, momentum: settings.momentum,
      noise: { count in source.draw { noise.samples(count: count, using: &$0) } },
      words: { count in source.draw { generator in (0..<count).map { _ in generator.next() } } })
    let configuration = try TrainerConfiguration(
      l2: audit.plan.model.l2, steps: audit.plan.trainer.steps, classWeights: audit.start.classWeights)
    var held = audit.canaries.initialScores(count: isIncluded.count)
    var parameters = audit.start.model.parameters
    for round in 0..<audit.plan.rounds {
      let first = round * configuration.steps
      parameters = try trainer.fit(
        parameters: parameters, configuration: configuration, further: { canaries(in: first + $0) },
        observe: { (seen) throws(TrainingError) in
          let residual = zip(seen.sum, known(seen)).map { ($0 - $1) / noise.samplingProbability }
          audit.canaries.score(residual, round: first + seen.step, scores: &held)
        }
      ).parameters
      finished()
    }
    // Before anything is made of the numbers.
    try source.check()
    try randomness.check()
    return try CanaryScores(scores: held, isIncluded: isIncluded)
  }

  private func canaries(in step: Int) -> [[Double]] {
    isIncluded.indices.filter { isIncluded[$0] }.map {
      var gradient: [Double] = []
      audit.canaries.write($0, round: step, into: &gradient)
      return gradient
    }
  }

  /// What the rows that were drawn add to a step's sum.
  private func known(_ seen: ObservedStep) -> [Double] {
    var known = KnownSum(dimension: seen.rows.dimension, clip: noise.clip)
    var gradient: [Double] = []
    for row in seen.drawn {
      // One that is not finite is written as zeros.
      try? seen.rows.write(row: row, into: &gradient)
      known.add(gradient)
    }
    return known.values
  }
}

/// Randomness that closures draw from.
private final class SharedRandomness: Sendable {
  private let generator: Mutex<AuditRandomness>

  /// - Parameter seed: nil for numbers that none can foretell.
  init(seed: UInt64?, generator: MaskGenerator) throws {
    self.generator = Mutex(try AuditRandomness(seed: seed, generator: generator))
  }

  /// - Throws: `CryptographyError` if something went wrong while numbers were drawn.
  func check() throws { try generator.withLock { try $0.check() } }

  func draw<Value: Sendable>(_ body: (inout AuditRandomness) -> Value) -> Value {
    generator.withLock { generator in
      var drawn = generator
      defer { generator = drawn }
      return body(&drawn)
    }
  }
}
