import Testing

@testable import Learning

@Suite struct RecordAssignmentTests {
  private func table(rows: Int) throws -> FeatureTable {
    var source = Congruential(state: 17)
    return try makeTable(
      (0..<rows).map { _ in [source.next() * 100, source.next() - 0.5] },
      labels: (0..<rows).map { $0 % 10 == 0 ? 1 : 0 })
  }

  /// Test rows by their contents, without one of the rows or with all.
  private func testRows(
    _ table: FeatureTable, without removed: Int?, split: (FeatureTable) throws -> [Int]
  ) throws -> Set<[Double]> {
    let kept = table.selecting(rows: Array(0..<table.rowCount).filter { $0 != removed })
    return Set(try split(kept).map { Array(kept.row($0)) })
  }

  @Test func oneRecordMovesNoOther() throws {
    let table = try table(rows: 300)
    let assignment = RecordAssignment(seed: 4)
    func stable(_ table: FeatureTable) throws -> [Int] { try assignment.split(table, testFraction: 0.2).test }
    let all = try testRows(table, without: nil, split: stable)
    for removed in 0..<300 {
      let left = try testRows(table, without: removed, split: stable)
      #expect(left == all.subtracting([Array(table.row(removed))]))
    }
    // The twin: shuffling all rows together moves many records for one.
    func shuffled(_ table: FeatureTable) throws -> [Int] {
      try StratifiedSplit(labels: table.labels, testFraction: 0.2, seed: 4).test
    }
    let before = try testRows(table, without: nil, split: shuffled)
    #expect(try before.symmetricDifference(testRows(table, without: 5, split: shuffled)).count > 10)
  }

  @Test func sharesAreAsAskedAndDisjoint() throws {
    let table = try table(rows: 20_000)
    for (seed, fraction) in [(1, 0.2), (2, 0.5), (3, 0.01)] as [(UInt64, Double)] {
      let split = try RecordAssignment(seed: seed).split(table, testFraction: fraction)
      #expect((split.train + split.test).sorted() == Array(0..<20_000))
      #expect(split.train == split.train.sorted() && split.test == split.test.sorted())
      // Five standard deviations.
      let deviation = (fraction * (1 - fraction) * 20_000).squareRoot()
      #expect(abs(Double(split.test.count) - fraction * 20_000) < 5 * deviation)
    }
    let batches = try RecordAssignment(seed: 1).batches(table, count: 16)
    for batch in 0..<16 {
      #expect(abs(batches.count { $0 == batch } - 1250) < 175)
    }
    #expect(try RecordAssignment(seed: 1).batches(table, count: 1).allSatisfy { $0 == 0 })
  }

  @Test func dependsOnSeedValuesAndLabelOnly() throws {
    let table = try table(rows: 1000)
    let split = try RecordAssignment(seed: 1).split(table, testFraction: 0.5)
    #expect(try RecordAssignment(seed: 1).split(table, testFraction: 0.5) == split)
    #expect(try RecordAssignment(seed: 2).split(table, testFraction: 0.5) != split)
    let relabelled = try FeatureTable(
      featureNames: table.featureNames, values: table.values, labels: table.labels.map { 1 - $0 })
    #expect(try RecordAssignment(seed: 1).split(relabelled, testFraction: 0.5) != split)
    // Equal records stay together, minus zero is zero, and neighbouring columns are told apart.
    let twins = try makeTable([[0, 1], [-0.0, 1], [1, 0]], labels: [0, 0, 0])
    var apart = false
    for seed in 0..<32 as Range<UInt64> {
      let batches = try RecordAssignment(seed: seed).batches(twins, count: 64)
      #expect(batches[0] == batches[1])
      if batches[0] != batches[2] { apart = true }
    }
    #expect(apart)
  }

  /// The assignment is part of what a plan means: every version must make it.
  @Test func staysTheSameInEveryVersion() throws {
    let batches = try RecordAssignment(seed: 7).batches(table(rows: 12), count: 100)
    // Computed by another program.
    #expect(batches == [43, 66, 77, 93, 70, 1, 68, 84, 43, 35, 12, 69])
  }

  @Test func refusesFractionsAndCountsOutOfRange() throws {
    let table = try table(rows: 4)
    for fraction in [0, 1, -0.1, .nan] {
      #expect(throws: LearningError.self) { try RecordAssignment(seed: 1).split(table, testFraction: fraction) }
    }
    for count in [0, -1, 65537] {
      #expect(throws: LearningError.self) { try RecordAssignment(seed: 1).batches(table, count: count) }
    }
  }
}
