import Learning

/// DP-SGD of Abadi et al. 2016 inside one organisation: what leaves is private by itself, whoever else takes part.
///
/// A step draws every training row with probability q, independently (Poisson), clips each drawn example's gradient to L2
/// norm C, sums, adds noise to the sum, divides by q · expectedExamples and moves by ``FedSGD``. The sum is of integers
/// (``IntegerClipping``), the noise is the caller's and integer too; the noise multiplier is σ / ``IntegerClipping/bound``
/// with σ the noise's standard deviation in integer units.
///
/// Guarantee for one record added or removed: `steps` compositions of the Poisson-subsampled mechanism with rate
/// ``samplingProbability``; a further fit is charged again. It needs that rows, their number included, enter nowhere
/// else: preprocessing and class weights are public constants, and the result says ``expectedExamples``, never the true
/// number. Metrics stay with the organisation.
///
/// How long a step takes depends on how many rows are drawn: that is not hidden from who can time it.
public struct LocalDPSGD: Trainer {
  /// Preprocessed training rows, bounded by public constants.
  public let train: FeatureTable
  /// Preprocessed test rows.
  public let test: FeatureTable
  public let clipping: IntegerClipping
  /// ⌊q · 2^64⌋ / 2^64 for the q asked for.
  public var samplingProbability: Double { Double(threshold) * 0x1p-64 }
  /// The plan's public number of training examples an organisation.
  public let expectedExamples: Int
  public let learningRate: Double
  public let momentum: Double
  private let threshold: UInt64
  private let noise: @Sendable (Int) throws -> [Int64]
  private let words: @Sendable (Int) throws -> [UInt64]

  /// - Parameters:
  ///   - samplingProbability: above 0, at most ½. Full batches need no sampling: use FedSGD.
  ///   - expectedExamples: 1…10,000,000.
  ///   - noise: that many independent samples of exact integer noise, of a standard deviation in integer units that is the
  ///     noise multiplier times `clipping.bound`.
  ///   - words: that many uniform words of a cryptographic generator: which rows are drawn must stay secret.
  /// - Throws: `TrainingError` for settings out of range or tables with different features.
  public init(
    train: FeatureTable, test: FeatureTable, clipping: IntegerClipping, samplingProbability: Double,
    expectedExamples: Int, learningRate: Double, momentum: Double = 0,
    noise: @escaping @Sendable (Int) throws -> [Int64], words: @escaping @Sendable (Int) throws -> [UInt64]
  ) throws(TrainingError) {
    guard train.featureNames == test.featureNames else {
      throw .learning(.table(.differentFeatures(expected: train.featureNames, found: test.featureNames)))
    }
    guard samplingProbability >= 0x1p-32, samplingProbability <= 0.5 else {
      throw .optimization(.settings("samplingProbability is \(samplingProbability) and must be above 0, at most 0.5"))
    }
    guard 1...CounterLayout.maximumWeightCap ~= expectedExamples else {
      throw .optimization(.settings("expectedExamples is \(expectedExamples) and must be in 1…10000000"))
    }
    self.train = train
    self.test = test
    self.clipping = clipping
    threshold = UInt64(samplingProbability * 0x1p64)
    self.expectedExamples = expectedExamples
    self.learningRate = learningRate
    self.momentum = momentum
    self.noise = noise
    self.words = words
  }

  public func parameters() -> [Double] {
    Array(repeating: 0, count: LogisticRegressionModel.parameterCount(features: train.columnCount))
  }

  /// `configuration.steps` steps. `gradientTolerance` is not used: when to stop would depend on the data.
  ///
  /// - Throws: `TrainingError` for parameters of another length, noise or words of another number, or training that
  ///   diverges.
  public func fit(
    parameters: [Double], configuration: TrainerConfiguration
  ) throws(TrainingError) -> FitResult {
    try fit(parameters: parameters, configuration: configuration, further: { _ in [] }, observe: { _ in })
  }

  /// The same with examples whose gradients are given, and with a look at every step's sum, which nobody else is shown: for
  /// audits.
  ///
  /// - Parameters:
  ///   - further: gradients of a step's further examples, drawn and clipped as those of rows are.
  ///   - observe: is shown every step.
  package func fit(
    parameters: [Double], configuration: TrainerConfiguration, further: (_ step: Int) -> [[Double]],
    observe: (ObservedStep) throws(TrainingError) -> Void
  ) throws(TrainingError) -> FitResult {
    let descent: FedSGD
    var state: FedSGD.State
    do throws(LearningError) {
      descent = try FedSGD(
        expectedExamples: samplingProbability * Double(expectedExamples), learningRate: learningRate,
        momentum: momentum, l2: configuration.l2, rounds: configuration.steps)
      let zeros = Array(repeating: 0.0, count: parameters.count)
      state = try FedSGD.State(parameters: parameters, velocity: zeros, iterateSum: zeros, round: 0)
    } catch { throw .learning(error) }
    for step in 0..<configuration.steps {
      let gradients = try PerExampleGradients(
        table: train, classWeights: configuration.classWeights, parameters: state.parameters)
      let (sum, drawn) = try noisedSum(gradients, further: further(step), step: step)
      try observe(ObservedStep(step: step, rows: gradients, drawn: drawn, sum: sum))
      do throws(LearningError) { state = try descent.next(state, gradientSum: sum) } catch { throw .learning(error) }
    }
    return FitResult(
      parameters: descent.modelParameters(state), examples: expectedExamples,
      metrics: ["steps": Double(configuration.steps)])
  }

  /// Σ of the drawn examples' clipped gradients, with noise, in real units; and which rows were drawn.
  private func noisedSum(
    _ gradients: PerExampleGradients, further: [[Double]], step: Int
  ) throws(TrainingError) -> (sum: [Double], drawn: [Int]) {
    let count = gradients.count + further.count
    let (draws, noise): ([UInt64], [Int64])
    do { (draws, noise) = (try words(count), try self.noise(gradients.dimension)) } catch {
      throw .optimization(.randomness(step: step))
    }
    guard draws.count == count, noise.count == gradients.dimension else {
      throw .optimization(.randomness(step: step))
    }
    var sum = noise
    try gradients.add(clippedBy: clipping, to: &sum) { draws[$0] < threshold }
    for (draw, gradient) in zip(draws[gradients.count...], further) where draw < threshold {
      try clipping.add(gradient, to: &sum)
    }
    return (sum.map { Double($0) / clipping.scale }, (0..<gradients.count).filter { draws[$0] < threshold })
  }

  public func evaluate(
    parameters: [Double], configuration: TrainerConfiguration
  ) throws(TrainingError) -> EvaluationResult {
    try LogisticRegressionTrainer(train: train, test: test)
      .evaluate(parameters: parameters, configuration: configuration)
  }
}

/// A step of ``LocalDPSGD`` as an audit sees it.
package struct ObservedStep {
  /// In the fit, from 0.
  package let step: Int
  package let rows: PerExampleGradients
  /// The rows that were drawn; not those whose gradients were given.
  package let drawn: [Int]
  /// With noise, in real units.
  package let sum: [Double]
}
