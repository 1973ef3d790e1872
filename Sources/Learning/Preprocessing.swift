#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// sign(x) · log(1 + |x|): takes the skew out of counts and amounts, keeps zero and sign.
public func signedLog1p(_ value: Double) -> Double {
  value < 0 ? -log1p(-value) : log1p(value)
}

/// A step named in a plan's `data.preprocessing`.
public enum PreprocessingStep: String, Sendable, CaseIterable {
  case signedLog1p
  case standardize
  /// ``PublicScaling``, in the place of `standardize`: needs no statistics.
  case publicScale
}

/// The steps between a raw table and what a model is trained on: `signedLog1p`, then `standardize` or `publicScale`, each
/// optional.
public struct Preprocessing: Sendable, Equatable {
  public let steps: [PreprocessingStep]

  /// - Throws: `LearningError.preprocessing` for an unknown, repeated or misplaced step.
  public init(names: [String]) throws(LearningError) {
    var steps: [PreprocessingStep] = []
    for name in names {
      guard let step = PreprocessingStep(rawValue: name) else { throw .preprocessing(.unknownStep(name)) }
      steps.append(step)
    }
    guard steps == PreprocessingStep.allCases.filter(steps.contains),
      !(steps.contains(.standardize) && steps.contains(.publicScale))
    else { throw .preprocessing(.order(names)) }
    self.steps = steps
  }

  /// Names as a plan has them.
  public var names: [String] { steps.map(\.rawValue) }
  /// Whether means and standard deviations are needed.
  public var standardizes: Bool { steps.contains(.standardize) }
  /// Whether public constants are needed.
  public var scalesPublicly: Bool { steps.contains(.publicScale) }

  /// Applies the steps that need no statistics. What comes out is what statistics are computed of.
  public func transform(_ table: FeatureTable) -> FeatureTable {
    guard steps.contains(.signedLog1p) else { return table }
    return FeatureTable(
      validated: table.featureNames, values: table.values.map(signedLog1p), labels: table.labels)
  }
}

/// Mean and standard deviation a feature.
public struct Standardization: Sendable, Equatable {
  public let means: [Double]
  /// Above zero; 1 where a feature does not vary.
  public let standardDeviations: [Double]

  /// - Throws: `LearningError.preprocessing` where lengths differ, a value is not finite or a deviation not above zero.
  public init(means: [Double], standardDeviations: [Double]) throws(LearningError) {
    guard means.count == standardDeviations.count, means.allSatisfy(\.isFinite),
      standardDeviations.allSatisfy({ $0.isFinite && $0 > 0 })
    else { throw .preprocessing(.notStandardized) }
    self.init(validated: means, standardDeviations: standardDeviations)
  }

  init(validated means: [Double], standardDeviations: [Double]) {
    self.means = means
    self.standardDeviations = standardDeviations
  }

  /// Changes nothing: for plans without `standardize`.
  public static func identity(features: Int) -> Standardization {
    Standardization(
      validated: Array(repeating: 0, count: features), standardDeviations: Array(repeating: 1, count: features))
  }

  /// (x − mean) / standard deviation, column by column.
  ///
  /// - Throws: `LearningError.table` where the number of features differs or a result overflows.
  public func apply(_ table: FeatureTable) throws(LearningError) -> FeatureTable {
    guard table.columnCount == means.count else {
      throw .model(.parameterCount(expected: means.count, found: table.columnCount))
    }
    var values = table.values
    var index = 0
    for _ in 0..<table.rowCount {
      for column in 0..<means.count {
        values[index] = (values[index] - means[column]) / standardDeviations[column]
        index += 1
      }
    }
    return try FeatureTable(featureNames: table.featureNames, values: values, labels: table.labels)
  }
}
