/// Rows of finite numbers with a binary label each.
///
/// Shape: ``rowCount`` × ``columnCount``, row-major in ``values``. Every value is finite, every label 0 or 1, feature
/// names are unique and not empty: a table that exists is valid. A table may have no rows.
public struct FeatureTable: Sendable, Equatable {
  /// Names of the columns, in order.
  public let featureNames: [String]
  /// `rowCount × columnCount` values, row after row.
  public let values: [Double]
  /// One label a row: 1 is the positive class.
  public let labels: [UInt8]

  /// - Throws: `LearningError.table`.
  public init(featureNames: [String], values: [Double], labels: [UInt8]) throws(LearningError) {
    try Self.check(featureNames: featureNames)
    let (cells, overflow) = featureNames.count.multipliedReportingOverflow(by: labels.count)
    guard !overflow, cells == values.count else {
      throw .table(.shape(values: values.count, features: featureNames.count, labels: labels.count))
    }
    if let cell = values.firstIndex(where: { !$0.isFinite }) {
      let (row, column) = cell.quotientAndRemainder(dividingBy: featureNames.count)
      throw .table(.notFinite(row: row, feature: featureNames[column]))
    }
    if let row = labels.firstIndex(where: { $0 > 1 }) {
      throw .table(.labelNotBinary(row: row, value: labels[row]))
    }
    self.init(validated: featureNames, values: values, labels: labels)
  }

  /// For values whose validity follows from that of another table.
  init(validated featureNames: [String], values: [Double], labels: [UInt8]) {
    self.featureNames = featureNames
    self.values = values
    self.labels = labels
  }

  /// Number of rows.
  public var rowCount: Int { labels.count }
  /// Number of features.
  public var columnCount: Int { featureNames.count }
  /// Number of rows labelled 1.
  public var positiveCount: Int { labels.reduce(0) { $0 + Int($1) } }

  /// The features of one row; `index` in `0..<rowCount`.
  public func row(_ index: Int) -> ArraySlice<Double> {
    values[index * columnCount..<(index + 1) * columnCount]
  }

  /// The rows at the given positions, in the order given. Positions are in `0..<rowCount`.
  public func selecting(rows: [Int]) -> FeatureTable {
    var values: [Double] = []
    values.reserveCapacity(rows.count * columnCount)
    var labels: [UInt8] = []
    labels.reserveCapacity(rows.count)
    for row in rows {
      values.append(contentsOf: self.row(row))
      labels.append(self.labels[row])
    }
    return FeatureTable(validated: featureNames, values: values, labels: labels)
  }

  /// The training and the test rows of a stratified split of this table.
  ///
  /// - Throws: `LearningError.split`.
  public func split(testFraction: Double, seed: UInt64) throws(LearningError) -> (
    train: FeatureTable, test: FeatureTable
  ) {
    let split = try StratifiedSplit(labels: labels, testFraction: testFraction, seed: seed)
    return (selecting(rows: split.train), selecting(rows: split.test))
  }

  /// All rows of tables with the same features, one table after the other.
  ///
  /// - Throws: `LearningError.table` where features differ or `tables` is empty.
  public static func concatenating(_ tables: [FeatureTable]) throws(LearningError) -> FeatureTable {
    guard let first = tables.first else { throw .table(.noFeatures) }
    for table in tables where table.featureNames != first.featureNames {
      throw .table(.differentFeatures(expected: first.featureNames, found: table.featureNames))
    }
    return FeatureTable(
      validated: first.featureNames, values: tables.flatMap(\.values), labels: tables.flatMap(\.labels))
  }

  /// Checks names once for every type that carries them.
  static func check(featureNames: [String]) throws(LearningError) {
    guard !featureNames.isEmpty else { throw .table(.noFeatures) }
    var seen: Set<String> = []
    for (index, name) in featureNames.enumerated() {
      guard !name.isEmpty else { throw .table(.emptyFeatureName(index: index)) }
      guard seen.insert(name).inserted else { throw .table(.duplicateFeature(name)) }
    }
  }
}
