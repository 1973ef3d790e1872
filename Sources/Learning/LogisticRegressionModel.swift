#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// 1 / (1 + e^-x) without overflow; 0 and 1 only where a double cannot say otherwise.
public func sigmoid(_ logit: Double) -> Double {
  if logit >= 0 { return 1 / (1 + exp(-logit)) }
  let power = exp(logit)
  return power / (1 + power)
}

/// −log of the probability the model gives to `label` (0 or 1), from the logit, without overflow.
public func logLoss(logit: Double, label: UInt8) -> Double {
  let margin = label == 1 ? logit : -logit
  return margin >= 0 ? log1p(exp(-margin)) : -margin + log1p(exp(margin))
}

/// How much an example of each class counts in training.
public struct ClassWeights: Sendable, Equatable {
  public let negative: Double
  public let positive: Double

  /// Every example counts the same.
  public static let uniform = ClassWeights(validatedNegative: 1, positive: 1)

  /// - Throws: `LearningError.model(.classWeights)` unless both are finite and above zero.
  public init(negative: Double, positive: Double) throws(LearningError) {
    guard negative.isFinite, positive.isFinite, negative > 0, positive > 0 else {
      throw .model(.classWeights(negative: negative, positive: positive))
    }
    self.init(validatedNegative: negative, positive: positive)
  }

  private init(validatedNegative negative: Double, positive: Double) {
    self.negative = negative
    self.positive = positive
  }
}

/// A logistic regression as a value: P(label = 1 | x) = sigmoid(weights · x + intercept).
public struct LogisticRegressionModel: Sendable, Equatable {
  public let featureNames: [String]
  /// One weight a feature.
  public let weights: [Double]
  public let intercept: Double

  /// Length of ``parameters`` for a number of features.
  public static func parameterCount(features: Int) -> Int { features + 1 }

  /// - Parameter parameters: weights in the order of the features, then the intercept.
  /// - Throws: `LearningError` for bad names, a wrong length or a value that is not finite.
  public init(featureNames: [String], parameters: [Double]) throws(LearningError) {
    try FeatureTable.check(featureNames: featureNames)
    let expected = Self.parameterCount(features: featureNames.count)
    guard parameters.count == expected else {
      throw .model(.parameterCount(expected: expected, found: parameters.count))
    }
    if let index = parameters.firstIndex(where: { !$0.isFinite }) { throw .model(.notFinite(index: index)) }
    self.featureNames = featureNames
    weights = Array(parameters.dropLast())
    intercept = parameters[expected - 1]
  }

  /// Weights in the order of the features, then the intercept.
  public var parameters: [Double] { weights + [intercept] }

  /// Log-odds a row of a table preprocessed as the training data was.
  ///
  /// - Throws: `LearningError.table(.differentFeatures)`.
  public func logits(_ table: FeatureTable) throws(LearningError) -> [Double] {
    guard table.featureNames == featureNames else {
      throw .table(.differentFeatures(expected: featureNames, found: table.featureNames))
    }
    return (0..<table.rowCount).map { row in
      var logit = intercept
      for (value, weight) in zip(table.row(row), weights) { logit += value * weight }
      return logit
    }
  }

  /// Probability of the positive class a row.
  ///
  /// - Throws: `LearningError.table(.differentFeatures)`.
  public func probabilities(_ table: FeatureTable) throws(LearningError) -> [Double] {
    try logits(table).map(sigmoid)
  }
}
