/// Sums that give means, standard deviations and class weights: of one table, or of a whole federation.
public struct FeatureStatistics: Sendable, Equatable {
  public let featureNames: [String]
  /// Rows that were counted, a column. Organisations whose column has too few non-zero rows are not in it.
  public let counts: [Int64]
  /// Σx a column.
  public let sums: [Double]
  /// Σx² a column.
  public let sumsOfSquares: [Double]
  /// Rows whose label was counted.
  public let examples: Int64
  /// Positive ones among them.
  public let positives: Int64

  init(
    featureNames: [String], counts: [Int64], sums: [Double], sumsOfSquares: [Double], examples: Int64,
    positives: Int64
  ) {
    self.featureNames = featureNames
    self.counts = counts
    self.sums = sums
    self.sumsOfSquares = sumsOfSquares
    self.examples = examples
    self.positives = positives
  }

  /// The statistics of a table one may see all of, in plain double arithmetic, nothing held back.
  public init(of table: FeatureTable) {
    var sums = Array(repeating: 0.0, count: table.columnCount)
    var squares = sums
    for row in 0..<table.rowCount {
      for (column, value) in table.row(row).enumerated() {
        sums[column] += value
        squares[column] += value * value
      }
    }
    self.init(
      featureNames: table.featureNames, counts: Array(repeating: Int64(table.rowCount), count: table.columnCount),
      sums: sums, sumsOfSquares: squares, examples: Int64(table.rowCount), positives: Int64(table.positiveCount))
  }

  /// Population means and standard deviations.
  ///
  /// A column nobody counted has mean 0 and deviation 1. A column whose variance is within the error of the fixed-point
  /// sums (2^-22 · (1 + |mean|)) does not vary: deviation 1.
  public func standardization() -> Standardization {
    var means: [Double] = []
    var deviations: [Double] = []
    for column in featureNames.indices {
      guard counts[column] > 0 else {
        means.append(0)
        deviations.append(1)
        continue
      }
      let count = Double(counts[column])
      let mean = sums[column] / count
      let variance = sumsOfSquares[column] / count - mean * mean
      let varies = variance.isFinite && variance > 0x1p-22 * (1 + mean.magnitude)
      means.append(mean.isFinite ? mean : 0)
      deviations.append(varies ? variance.squareRoot() : 1)
    }
    return Standardization(validated: means, standardDeviations: deviations)
  }

  /// Balanced class weights: examples / (2 · examples of the class).
  ///
  /// - Throws: `LearningError.preprocessing(.oneClass)` where one class has no examples.
  public func balancedClassWeights() throws(LearningError) -> ClassWeights {
    guard positives > 0, positives < examples else {
      throw .preprocessing(.oneClass(examples: examples, positives: positives))
    }
    return try ClassWeights(
      negative: Double(examples) / (2 * Double(examples - positives)),
      positive: Double(examples) / (2 * Double(positives)))
  }
}
