/// Local statistics as exact integer counters for a secure sum, and the sum read back.
///
/// Groups: `label.count`, `label.positives` (one counter each), `feature.count`, `feature.sum`, `feature.sumOfSquares`
/// (one counter a feature). Sums are fixed point: every x and every x² of the transformed table is rounded to a
/// multiple of 2^-24, |x| ≤ 64, so that sums are exact integers whatever the order of addition.
///
/// Implements "Statistics" of the reopening rules: a column with fewer than `minimumRows` non-zero local rows
/// contributes zero, count too. For the label that is both classes: too few positives or too few negatives and neither
/// count leaves.
public struct StatisticsVector: Sendable, Equatable {
  /// Largest magnitude of a value after the steps that need no statistics.
  public static let valueLimit = 64.0
  static let scale = 0x1p24

  public let featureNames: [String]
  /// Most rows an organisation may contribute.
  public let weightCap: Int
  public let layout: CounterLayout

  /// - Throws: `LearningError` for bad names or a cap outside `1...CounterLayout.maximumWeightCap`.
  public init(featureNames: [String], weightCap: Int) throws(LearningError) {
    try FeatureTable.check(featureNames: featureNames)
    guard 1...CounterLayout.maximumWeightCap ~= weightCap else { throw .vector(.capOutOfRange(weightCap)) }
    self.featureNames = featureNames
    self.weightCap = weightCap
    let rows = Int64(weightCap)
    let features = featureNames.count
    layout = CounterLayout(groups: [
      CounterGroup(name: "label.count", count: 1, bound: rows, isSigned: false),
      CounterGroup(name: "label.positives", count: 1, bound: rows, isSigned: false),
      CounterGroup(name: "feature.count", count: features, bound: rows, isSigned: false),
      CounterGroup(name: "feature.sum", count: features, bound: rows << 30, isSigned: true),
      CounterGroup(name: "feature.sumOfSquares", count: features, bound: rows << 36, isSigned: false),
    ])
  }

  /// The local term.
  ///
  /// - Parameters:
  ///   - table: training rows after `Preprocessing.transform`.
  ///   - minimumRows: the policy's smallest number of non-zero rows of a column that may be counted.
  /// - Throws: `LearningError` for other features, more rows than the cap, or a value above ``valueLimit``.
  public func encode(_ table: FeatureTable, minimumRows: Int) throws(LearningError) -> [Int64] {
    guard table.featureNames == featureNames else {
      throw .table(.differentFeatures(expected: featureNames, found: table.featureNames))
    }
    guard table.rowCount <= weightCap else { throw .vector(.rowsAboveCap(rows: table.rowCount, cap: weightCap)) }
    guard minimumRows >= 0 else { throw .vector(.minimumRows(minimumRows)) }

    let features = featureNames.count
    var nonZero = Array(repeating: 0, count: features)
    var sums = Array(repeating: Int64(0), count: features)
    var squares = sums
    for row in 0..<table.rowCount {
      for (column, value) in table.row(row).enumerated() {
        guard value.magnitude <= Self.valueLimit else {
          throw .preprocessing(
            .valueTooLarge(row: row, feature: featureNames[column], limit: Self.valueLimit))
        }
        if value != 0 { nonZero[column] += 1 }
        sums[column] += Int64((value * Self.scale).rounded(.toNearestOrEven))
        squares[column] += Int64((value * value * Self.scale).rounded(.toNearestOrEven))
      }
    }

    let positives = table.positiveCount
    let labelCounts = min(positives, table.rowCount - positives) >= minimumRows
    var counters: [Int64] = labelCounts ? [Int64(table.rowCount), Int64(positives)] : [0, 0]
    counters.reserveCapacity(layout.counterCount)
    let counted = nonZero.map { $0 >= minimumRows }
    counters += counted.map { $0 ? Int64(table.rowCount) : 0 }
    counters += sums.indices.map { counted[$0] ? sums[$0] : 0 }
    counters += squares.indices.map { counted[$0] ? squares[$0] : 0 }
    return counters
  }

  /// The statistics that a term, or a sum of terms, stands for.
  ///
  /// - Throws: `LearningError.vector` for a wrong length or for counters that no honest terms can sum to.
  public func decode(_ counters: [Int64]) throws(LearningError) -> FeatureStatistics {
    guard counters.count == layout.counterCount else {
      throw .vector(.length(expected: layout.counterCount, found: counters.count))
    }
    let features = featureNames.count
    let counts = Array(counters[2..<2 + features])
    let sums = counters[(2 + features)..<(2 + 2 * features)]
    let squares = counters[(2 + 2 * features)...]
    guard counters[0] >= 0, 0...counters[0] ~= counters[1] else { throw .vector(.implausible(group: "label.count")) }
    guard counts.allSatisfy({ $0 >= 0 }) else { throw .vector(.implausible(group: "feature.count")) }
    for (count, sum) in zip(counts, sums) {
      guard sum.magnitude <= UInt64(count).multipliedClamped(by: 1 << 30) else {
        throw .vector(.implausible(group: "feature.sum"))
      }
    }
    for (count, square) in zip(counts, squares) {
      guard square >= 0, square.magnitude <= UInt64(count).multipliedClamped(by: 1 << 36) else {
        throw .vector(.implausible(group: "feature.sumOfSquares"))
      }
    }
    return FeatureStatistics(
      featureNames: featureNames, counts: counts, sums: sums.map { Double($0) / Self.scale },
      sumsOfSquares: squares.map { Double($0) / Self.scale }, examples: counters[0], positives: counters[1])
  }
}

extension UInt64 {
  fileprivate func multipliedClamped(by factor: UInt64) -> UInt64 {
    let (product, overflow) = multipliedReportingOverflow(by: factor)
    return overflow ? .max : product
  }
}
