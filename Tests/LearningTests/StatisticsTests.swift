import Testing

@testable import Learning

@Suite struct PreprocessingTests {
  @Test func signedLogarithm() {
    #expect(signedLog1p(0) == 0)
    #expect(abs(signedLog1p(1.718281828459045) - 1) < 1e-15)
    #expect(signedLog1p(-5) == -signedLog1p(5))
    #expect(signedLog1p(1e-300) == 1e-300)
  }

  @Test func stepsAreNamedAndOrdered() throws {
    #expect(try Preprocessing(names: ["signedLog1p", "standardize"]).standardizes)
    #expect(try Preprocessing(names: []).names.isEmpty)
    #expect(throws: LearningError.preprocessing(.unknownStep("log"))) { try Preprocessing(names: ["log"]) }
    for names in [["standardize", "signedLog1p"], ["standardize", "standardize"]] {
      #expect(throws: LearningError.preprocessing(.order(names))) { try Preprocessing(names: names) }
    }
  }

  @Test func standardizedColumnsHaveMeanZeroDeviationOne() throws {
    var source = Congruential(state: 5)
    let rows = (0..<200).map { _ in [source.next() * 1000, 7, source.next() - 3] }
    let table = try makeTable(rows, labels: Array(repeating: 0, count: 200))
    let preprocessing = try Preprocessing(names: ["signedLog1p", "standardize"])
    let fitted = FittedPreprocessing(
      preprocessing, statistics: FeatureStatistics(of: preprocessing.transform(table)))
    let statistics = FeatureStatistics(of: try fitted.apply(table))
    for column in [0, 2] {
      #expect(abs(statistics.sums[column]) < 1e-9)
      #expect(abs(statistics.sumsOfSquares[column] / 200 - 1) < 1e-9)
    }
    // A constant column becomes zero and does not divide by zero.
    #expect(fitted.standardization.standardDeviations[1] == 1)
    #expect(abs(statistics.sumsOfSquares[1]) < 1e-20)
  }

  @Test func refusesDeviationsOfZero() {
    #expect(throws: LearningError.self) { try Standardization(means: [0], standardDeviations: [0]) }
    #expect(throws: LearningError.self) { try Standardization(means: [0, 1], standardDeviations: [1]) }
    #expect(throws: LearningError.self) { try Standardization(means: [.nan], standardDeviations: [1]) }
  }

  @Test func overflowIsAnErrorNotAnInfinity() throws {
    let table = try makeTable([[1e308]], labels: [0])
    let tiny = try Standardization(means: [-1e308], standardDeviations: [1e-10])
    #expect(throws: LearningError.table(.notFinite(row: 0, feature: "x0"))) { try tiny.apply(table) }
  }
}

@Suite struct StatisticsVectorTests {
  private func tables() throws -> [FeatureTable] {
    var source = Congruential(state: 99)
    return try [150, 80, 210].map { count in
      let rows = (0..<count).map { _ in
        [source.next() * 12, source.next() - 0.5, source.next() < 0.3 ? 1 : 0, 3.25]
      }
      return try makeTable(rows, labels: (0..<count).map { $0 % 6 == 0 ? 1 : 0 })
    }
  }

  @Test func summedTermsEqualStatisticsOfAllRows() throws {
    let tables = try tables()
    let vector = try StatisticsVector(featureNames: tables[0].featureNames, weightCap: 1000)
    var sum = Array(repeating: Int64(0), count: vector.layout.counterCount)
    for table in tables {
      let term = try vector.encode(table, minimumRows: 10)
      #expect(vector.layout.admits(term))
      for (index, counter) in term.enumerated() { sum[index] += counter }
    }
    let decoded = try vector.decode(sum)
    let direct = FeatureStatistics(of: try FeatureTable.concatenating(tables))
    #expect(decoded.counts == direct.counts && decoded.examples == 440)
    #expect(decoded.positives == direct.positives)
    for column in 0..<4 {
      // Each of 440 values is rounded by at most 2^-25.
      #expect(abs(decoded.sums[column] - direct.sums[column]) <= 440 * 0x1p-25)
      #expect(abs(decoded.sumsOfSquares[column] - direct.sumsOfSquares[column]) <= 440 * 0x1p-25)
    }
    let (a, b) = (decoded.standardization(), direct.standardization())
    for column in 0..<4 {
      #expect(abs(a.means[column] - b.means[column]) < 1e-7)
      #expect(abs(a.standardDeviations[column] - b.standardDeviations[column]) < 1e-6)
    }
    #expect(a.standardDeviations[3] == 1)
    let weights = try decoded.balancedClassWeights()
    #expect(weights.positive == 440 / (2 * Double(direct.positives)))
    #expect(weights.negative == 440 / (2 * Double(440 - direct.positives)))
  }

  @Test func layoutIsInGroups() throws {
    let vector = try StatisticsVector(featureNames: ["a", "b"], weightCap: 100)
    let table = try FeatureTable(featureNames: ["a", "b"], values: [1, -0.5, 2, 0.25, 0, 0.75], labels: [0, 1, 1])
    let one: Int64 = 1 << 24
    #expect(vector.layout.counterCount == 8)
    #expect(
      try vector.encode(table, minimumRows: 1) == [3, 2, 3, 3, 3 * one, one / 2, 5 * one, one / 16 * 14])
    #expect(vector.layout.groups.map(\.isSigned) == [false, false, false, true, false])
    #expect(vector.layout.bounds == [100, 100, 100, 100, 100 << 30, 100 << 30, 100 << 36, 100 << 36])
  }

  @Test func rareColumnsContributeNothing() throws {
    let rows = (0..<30).map { [Double($0 < 9 ? 1 : 0), Double($0 < 10 ? 1 : 0)] }
    let table = try makeTable(rows, labels: (0..<30).map { $0 < 9 ? 1 : 0 })
    let vector = try StatisticsVector(featureNames: table.featureNames, weightCap: 100)
    let term = try vector.encode(table, minimumRows: 10)
    let one: Int64 = 1 << 24
    // Nine non-zero rows: count, sums and the label's counts stay at home; ten: they leave.
    #expect(term == [0, 0, 0, 30, 0, 10 * one, 0, 10 * one])
    let statistics = try vector.decode(term)
    #expect(statistics.standardization().means[0] == 0)
    #expect(statistics.standardization().standardDeviations[0] == 1)
    #expect(throws: LearningError.preprocessing(.oneClass(examples: 0, positives: 0))) {
      try statistics.balancedClassWeights()
    }
    // The rarer class counts, whichever it is.
    let inverted = try makeTable(rows, labels: (0..<30).map { $0 < 9 ? 0 : 1 })
    #expect(try vector.encode(inverted, minimumRows: 10).prefix(2) == [0, 0])
  }

  @Test func refusesValuesAndRowsBeyondTheBounds() throws {
    let vector = try StatisticsVector(featureNames: ["x0"], weightCap: 2)
    _ = try vector.encode(makeTable([[64], [-64]], labels: [0, 1]), minimumRows: 0)
    #expect(throws: LearningError.preprocessing(.valueTooLarge(row: 1, feature: "x0", limit: 64))) {
      try vector.encode(makeTable([[1], [-64.5]], labels: [0, 1]), minimumRows: 0)
    }
    #expect(throws: LearningError.vector(.rowsAboveCap(rows: 3, cap: 2))) {
      try vector.encode(makeTable([[1], [1], [1]], labels: [0, 1, 1]), minimumRows: 0)
    }
    #expect(throws: LearningError.vector(.minimumRows(-1))) {
      try vector.encode(makeTable([[1]], labels: [0]), minimumRows: -1)
    }
    #expect(throws: LearningError.table(.differentFeatures(expected: ["x0"], found: ["y"]))) {
      try vector.encode(makeTable([[1]], labels: [0], names: ["y"]), minimumRows: 0)
    }
  }

  @Test func refusesSumsThatCannotBe() throws {
    let vector = try StatisticsVector(featureNames: ["x0"], weightCap: 10)
    #expect(throws: LearningError.vector(.length(expected: 5, found: 4))) { try vector.decode([1, 1, 1, 1]) }
    for counters: [Int64] in [
      [-1, 0, 0, 0, 0], [1, 2, 0, 0, 0], [1, 1, -1, 0, 0], [1, 1, 1, 1 << 31, 0], [1, 1, 1, 0, -1],
      [1, 1, 1, 0, (1 << 36) + 1], [1, 1, 0, 1, 0], [1, 1, 1, .min, 0],
    ] {
      #expect(throws: LearningError.self) { try vector.decode(counters) }
    }
  }

  @Test func boundsOfAThousandOrganizationsDoNotWrap() throws {
    let statistics = try StatisticsVector(featureNames: ["x0"], weightCap: 100_000)
    try statistics.layout.check(organizations: 1000)
    #expect(throws: LearningError.vector(.boundWraps(group: "feature.sumOfSquares", organizations: 1343))) {
      try statistics.layout.check(organizations: 1343)
    }
    try EvaluationVector(bins: 1024, weightCap: 100_000).layout.check(organizations: 1000)
    for cap in [0, -1, CounterLayout.maximumWeightCap + 1] {
      #expect(throws: LearningError.vector(.capOutOfRange(cap))) {
        try StatisticsVector(featureNames: ["x0"], weightCap: cap)
      }
    }
  }
}
