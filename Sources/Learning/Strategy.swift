/// What the server learns from a fit round, and all it learns.
public struct FitSum: Sendable, Equatable {
  /// Σ wᵢ·xᵢ with wᵢ = examplesᵢ / weightCap.
  public let weightedParameters: [Double]
  /// Σ examplesᵢ.
  public let examples: Int64
  /// The plan's public cap on one organisation's examples.
  public let weightCap: Int

  public init(weightedParameters: [Double], examples: Int64, weightCap: Int) {
    self.weightedParameters = weightedParameters
    self.examples = examples
    self.weightCap = weightCap
  }
}

/// What clients are told for one round.
public struct RoundConfiguration: Sendable, Equatable {
  public let round: Int
  /// How many of the available clients take part.
  public let clients: Int
  /// The round must not go below this many.
  public let minimumClients: Int
  /// Settings for the trainer that differ from the plan's, by name.
  public let settings: [String: Double]
}

/// How many clients take part; names as in Flower.
public struct StrategySettings: Sendable, Equatable {
  public let fractionFit: Double
  public let fractionEvaluate: Double
  public let minimumFitClients: Int
  public let minimumEvaluateClients: Int
  public let minimumAvailableClients: Int

  /// - Throws: `LearningError.strategy` for a fraction outside (0, 1] or a minimum below 1.
  public init(
    fractionFit: Double = 1, fractionEvaluate: Double = 1, minimumFitClients: Int = 3,
    minimumEvaluateClients: Int = 3, minimumAvailableClients: Int = 3
  ) throws(LearningError) {
    for fraction in [fractionFit, fractionEvaluate] where !(fraction > 0 && fraction <= 1) {
      throw .strategy(.fraction(fraction))
    }
    for minimum in [minimumFitClients, minimumEvaluateClients, minimumAvailableClients] where minimum < 1 {
      throw .strategy(.minimumClients(minimum))
    }
    self.fractionFit = fractionFit
    self.fractionEvaluate = fractionEvaluate
    self.minimumFitClients = minimumFitClients
    self.minimumEvaluateClients = minimumEvaluateClients
    self.minimumAvailableClients = minimumAvailableClients
  }
}

/// How a federation's model moves from round to round: a pure function of *sums*.
///
/// Rules that need one organisation's update (Krum, median, trimmed mean) cannot be written against this protocol, on
/// purpose. ``aggregateFit(_:parameters:)`` must be deterministic to the bit (element-wise IEEE double arithmetic, no
/// BLAS, no fused operations), because every client recomputes it.
public protocol Strategy: Sendable {
  /// The name a plan uses.
  var name: String { get }

  /// The parameters of round 1, `count` of them.
  func initialParameters(count: Int) -> [Double]

  /// - Throws: `LearningError.strategy(.tooFewClients)`.
  func configureFit(round: Int, available: Int) throws(LearningError) -> RoundConfiguration

  /// The next parameters, from the current ones and the sum of the round.
  ///
  /// - Throws: `LearningError.strategy` for a sum that no model follows from.
  func aggregateFit(_ sum: FitSum, parameters: [Double]) throws(LearningError) -> [Double]

  /// - Throws: `LearningError.strategy(.tooFewClients)`.
  func configureEvaluate(round: Int, available: Int) throws(LearningError) -> RoundConfiguration

  /// - Throws: `LearningError.strategy(.noExamples)`.
  func aggregateEvaluate(_ sums: EvaluationSums) throws(LearningError) -> BinaryMetrics
}

extension Strategy {
  /// Implements "Verified step": whether `next` is, bit for bit, what follows from `parameters` and `sum`.
  ///
  /// Does not show that `sum` is the sum of honest terms.
  ///
  /// - Throws: as ``aggregateFit(_:parameters:)``.
  public func follows(_ next: [Double], from parameters: [Double], sum: FitSum) throws(LearningError) -> Bool {
    let expected = try aggregateFit(sum, parameters: parameters)
    return expected.count == next.count && zip(expected, next).allSatisfy { $0.bitPattern == $1.bitPattern }
  }

  public func aggregateEvaluate(_ sums: EvaluationSums) throws(LearningError) -> BinaryMetrics {
    try sums.metrics()
  }
}

/// Federated averaging of McMahan et al. 2017: the mean of the clients' parameters, weighted by examples.
public struct FedAvg: Strategy {
  public let settings: StrategySettings
  /// Trainer settings by round, beyond the plan's.
  public let onFitConfig: @Sendable (_ round: Int) -> [String: Double]

  public init(settings: StrategySettings, onFitConfig: @escaping @Sendable (Int) -> [String: Double] = { _ in [:] }) {
    self.settings = settings
    self.onFitConfig = onFitConfig
  }

  public var name: String { "FedAvg" }

  public func initialParameters(count: Int) -> [Double] {
    Array(repeating: 0, count: count)
  }

  public func configureFit(round: Int, available: Int) throws(LearningError) -> RoundConfiguration {
    try configuration(
      round: round, available: available, fraction: settings.fractionFit, minimum: settings.minimumFitClients,
      trainer: onFitConfig(round))
  }

  public func configureEvaluate(round: Int, available: Int) throws(LearningError) -> RoundConfiguration {
    try configuration(
      round: round, available: available, fraction: settings.fractionEvaluate,
      minimum: settings.minimumEvaluateClients, trainer: [:])
  }

  private func configuration(
    round: Int, available: Int, fraction: Double, minimum: Int, trainer: [String: Double]
  ) throws(LearningError) -> RoundConfiguration {
    let needed = max(minimum, settings.minimumAvailableClients)
    guard available >= needed else { throw .strategy(.tooFewClients(available: available, needed: needed)) }
    let clients = max(minimum, Int(fraction * Double(available)))
    return RoundConfiguration(round: round, clients: clients, minimumClients: minimum, settings: trainer)
  }

  /// One organisation's term: w·x with w = examples / weightCap, one division, then one multiplication an element.
  ///
  /// - Throws: `LearningError.strategy(.examplesOutOfRange)` unless `1...weightCap` contains `examples`.
  public static func term(parameters: [Double], examples: Int, weightCap: Int) throws(LearningError) -> [Double] {
    guard examples >= 1, examples <= weightCap else {
      throw .strategy(.examplesOutOfRange(examples: examples, cap: weightCap))
    }
    let weight = Double(examples) / Double(weightCap)
    return parameters.map { $0 * weight }
  }

  /// (Σ w·x) / (Σ examples / weightCap): the total weight by one division, then one division an element.
  public func aggregateFit(_ sum: FitSum, parameters: [Double]) throws(LearningError) -> [Double] {
    guard sum.weightedParameters.count == parameters.count else {
      throw .strategy(.parameterCount(expected: parameters.count, found: sum.weightedParameters.count))
    }
    guard sum.examples > 0, sum.weightCap > 0 else { throw .strategy(.noExamples) }
    let weight = Double(sum.examples) / Double(sum.weightCap)
    let next = sum.weightedParameters.map { $0 / weight }
    if let index = next.firstIndex(where: { !$0.isFinite }) { throw .strategy(.notFinite(index: index)) }
    return next
  }
}
