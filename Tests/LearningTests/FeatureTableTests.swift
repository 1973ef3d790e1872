import Testing

@testable import Learning

@Suite struct FeatureTableTests {
  @Test func keepsShapeAndRows() throws {
    let table = try makeTable([[1, 2], [3, 4], [5, 6]], labels: [0, 1, 1])
    #expect(table.rowCount == 3 && table.columnCount == 2 && table.positiveCount == 2)
    #expect(Array(table.row(1)) == [3, 4])
    let selected = table.selecting(rows: [2, 0])
    #expect(selected.values == [5, 6, 1, 2] && selected.labels == [1, 0])
    let joined = try FeatureTable.concatenating([table, selected])
    #expect(joined.rowCount == 5 && joined.values.count == 10)
  }

  @Test func refusesWhatIsNoTable() {
    #expect(throws: LearningError.table(.noFeatures)) { try FeatureTable(featureNames: [], values: [], labels: []) }
    #expect(throws: LearningError.table(.duplicateFeature("a"))) {
      try FeatureTable(featureNames: ["a", "a"], values: [], labels: [])
    }
    #expect(throws: LearningError.table(.emptyFeatureName(index: 1))) {
      try FeatureTable(featureNames: ["a", ""], values: [], labels: [])
    }
    #expect(throws: LearningError.table(.shape(values: 3, features: 2, labels: 2))) {
      try FeatureTable(featureNames: ["a", "b"], values: [1, 2, 3], labels: [0, 1])
    }
    #expect(throws: LearningError.table(.notFinite(row: 1, feature: "b"))) {
      try FeatureTable(featureNames: ["a", "b"], values: [1, 2, 3, .nan], labels: [0, 1])
    }
    #expect(throws: LearningError.table(.labelNotBinary(row: 1, value: 2))) {
      try FeatureTable(featureNames: ["a"], values: [1, 2], labels: [0, 2])
    }
    #expect(throws: LearningError.table(.differentFeatures(expected: ["a"], found: ["b"]))) {
      try FeatureTable.concatenating([
        try FeatureTable(featureNames: ["a"], values: [], labels: []),
        try FeatureTable(featureNames: ["b"], values: [], labels: []),
      ])
    }
  }

  @Test func messagesStayOnOneLine() {
    let error = LearningError.table(.missingFeature("a\nb\u{1b}[31m" + String(repeating: "x", count: 100)))
    #expect(!error.message.contains("\n") && !error.message.contains("\u{1b}") && error.message.count < 120)
    #expect(error.code == "table-missing-feature" && error.blame == "caller" && error.remedy.hasSuffix("."))
  }
}

@Suite struct RandomNumberTests {
  /// The reference outputs that circulate with the algorithm.
  @Test func splitMix64ReferenceOutputs() {
    var generator = SplitMix64(seed: 1_234_567)
    #expect(
      (0..<5).map { _ in generator.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
      ])
  }

  /// The outputs that implementations of xoshiro256** compare themselves by: state 1, 2, 3, 4.
  @Test func xoshiroReferenceOutputs() {
    var generator = Xoshiro256StarStar(state: (1, 2, 3, 4))
    #expect((0..<4).map { _ in generator.next() } == [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240])
  }

  @Test func integersAreInRangeAndEven() {
    var generator = Xoshiro256StarStar(seed: 3)
    var counts = Array(repeating: 0, count: 7)
    for _ in 0..<70_000 { counts[Int(generator.integer(below: 7))] += 1 }
    #expect(counts.allSatisfy { abs($0 - 10_000) < 500 })
    #expect((0..<1000).allSatisfy { _ in 0..<1 ~= generator.unitInterval() })
  }
}

@Suite struct StratifiedSplitTests {
  private let labels: [UInt8] = (0..<40).map { $0 % 5 == 2 ? 1 : 0 }

  @Test func sameOnEveryMachine() throws {
    let split = try StratifiedSplit(labels: labels, testFraction: 0.25, seed: 7)
    #expect(split.test == [6, 9, 10, 17, 18, 28, 31, 32, 34, 36])
  }

  @Test func dividesEachClassInProportion() throws {
    for seed in 0..<20 as Range<UInt64> {
      let split = try StratifiedSplit(labels: labels, testFraction: 0.25, seed: seed)
      #expect(split.test.count == 10 && split.test.filter { labels[$0] == 1 }.count == 2)
      #expect((split.train + split.test).sorted() == Array(0..<40))
      #expect(split.train == split.train.sorted() && split.test == split.test.sorted())
    }
  }

  @Test func otherSeedsGiveOtherSplits() throws {
    let first = try StratifiedSplit(labels: labels, testFraction: 0.25, seed: 1)
    let second = try StratifiedSplit(labels: labels, testFraction: 0.25, seed: 2)
    #expect(first != second)
  }

  @Test func keepsBothClassesOnBothSides() throws {
    let split = try StratifiedSplit(labels: [0, 0, 0, 0, 1, 1], testFraction: 0.01, seed: 0)
    #expect(split.test.count == 2 && split.test.filter { $0 >= 4 }.count == 1)
  }

  @Test func refusesFractionsAndSingleRows() {
    for fraction in [0, 1, -0.1, 1.5, Double.nan] {
      #expect(throws: LearningError.self) {
        try StratifiedSplit(labels: labels, testFraction: fraction, seed: 0)
      }
    }
    #expect(throws: LearningError.split(.tooFewRows(label: 1, rows: 1))) {
      try StratifiedSplit(labels: [0, 0, 1], testFraction: 0.5, seed: 0)
    }
    #expect(throws: LearningError.split(.tooFewRows(label: 0, rows: 0))) {
      try StratifiedSplit(labels: [1, 1, 1], testFraction: 0.5, seed: 0)
    }
  }
}
