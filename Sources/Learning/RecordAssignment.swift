/// Training or test, and which batch: for every record a function of that record and a public seed alone.
///
/// ``StratifiedSplit`` shuffles all rows together, so that one record more or less moves others between training and test:
/// good for comparisons, wrong under differential privacy, whose bound is on what *one* record changes. Here adding or
/// removing a record leaves every other where it was. A record is in training or in test, never both, and in one batch.
/// Identical records go to the same place. Shares hold on average, not exactly: how many records are where depends on them.
public struct RecordAssignment: Sendable, Equatable {
  public let seed: UInt64

  public init(seed: UInt64) {
    self.seed = seed
  }

  /// Positions of the training and the test rows of a raw table, both ascending.
  ///
  /// - Parameter testFraction: above 0, below 1; a record is a test record with this probability, to within 2^-53.
  /// - Throws: `LearningError.split(.fraction)`.
  public func split(
    _ table: FeatureTable, testFraction: Double
  ) throws(LearningError) -> (train: [Int], test: [Int]) {
    guard testFraction > 0, testFraction < 1 else { throw .split(.fraction(testFraction)) }
    var (train, test): ([Int], [Int]) = ([], [])
    for row in 0..<table.rowCount {
      let position = Double(hash(table, row: row, purpose: 1) >> 11) * 0x1p-53
      if position < testFraction { test.append(row) } else { train.append(row) }
    }
    return (train, test)
  }

  /// The batch of every row, in `0..<count`.
  ///
  /// - Parameter count: 1…65536 batches.
  /// - Throws: `LearningError.privacy(.constant)` for another count.
  public func batches(_ table: FeatureTable, count: Int) throws(LearningError) -> [Int] {
    guard 1...65536 ~= count else {
      throw .privacy(.constant(name: "the number of batches", value: Double(count), requirement: "in 1…65536"))
    }
    return (0..<table.rowCount).map { row in
      Int(hash(table, row: row, purpose: 2).multipliedFullWidth(by: UInt64(count)).high)
    }
  }

  /// SplitMix64 over the bits of the record. Spreads records evenly; hides nothing and need not.
  private func hash(_ table: FeatureTable, row: Int, purpose: UInt64) -> UInt64 {
    func mixed(_ state: UInt64, _ word: UInt64) -> UInt64 {
      var generator = SplitMix64(seed: state ^ word)
      return generator.next()
    }
    var state = mixed(mixed(seed, purpose), UInt64(table.labels[row]))
    for value in table.row(row) {
      // 0 and −0 are the same value.
      state = mixed(state, value == 0 ? 0 : value.bitPattern)
    }
    return mixed(state, UInt64(table.columnCount))
  }
}
