import Testing

@testable import Learning

@Suite struct NoisedEvaluationTests {
  private let vector: NoisedEvaluationVector

  init() throws {
    vector = try NoisedEvaluationVector(bins: 16, weightCap: 100_000, noiseBound: 1000)
  }

  /// 990 records, 90 positive, an area of about 0.84.
  private func scores(seed: UInt64) -> (logits: [Double], labels: [UInt8]) {
    var source = Congruential(state: seed)
    let labels: [UInt8] = (0..<990).map { $0 < 90 ? 1 : 0 }
    let logits = labels.map { label in
      let bell = (0..<12).reduce(-6.0) { sum, _ in sum + source.next() }
      return -1.5 + 2 * bell + (label == 1 ? 2.8 : 0)
    }
    return (logits, labels)
  }

  /// Rounded sums of twelve uniforms: near enough to normal for a test of the estimator.
  private func noise(_ count: Int, deviation: Double, from source: inout Congruential) -> [Int64] {
    (0..<count).map { _ in
      let bell = (0..<12).reduce(-6.0) { sum, _ in sum + source.next() }
      return Int64((bell * deviation).rounded())
    }
  }

  @Test func withoutNoiseItIsTheBinnedCurve() throws {
    let (logits, labels) = scores(seed: 1)
    let counters = try vector.encode(logits: logits, labels: labels)
    let evaluation = try vector.decode(counters, organizations: 1, noiseDeviation: 0)
    #expect(evaluation.positive.reduce(0, +) == 90 && evaluation.examples == 990)
    let binned = try BinaryMetrics(logits: logits.map { Double(vector.bin(logit: $0)) - 7.5 }, labels: labels)
    let metrics = try #require(evaluation.metrics)
    #expect(try abs(#require(metrics.rocAuc) - #require(binned.rocAuc)) < 1e-12)
    #expect(try abs(#require(metrics.averagePrecision) - #require(binned.averagePrecision)) < 1e-12)
    #expect(metrics.examples == 990 && evaluation.rocAucNoiseError == 0)
    let exact = try BinaryMetrics(logits: logits, labels: labels)
    #expect(abs(metrics.accuracy - exact.accuracy) < 1e-12)
    #expect(try abs(#require(metrics.rocAuc) - #require(exact.rocAuc)) < 0.02)
    #expect(abs(metrics.logLoss - exact.logLoss) < 0.05)
  }

  /// The sensitivity that is charged: Δ₁ = Δ₂ = 1.
  @Test func oneRecordIsOneCount() throws {
    let (logits, labels) = scores(seed: 2)
    let all = try vector.encode(logits: logits, labels: labels)
    for removed in [0, 89, 90, 500, 989] {
      var (fewerLogits, fewerLabels) = (logits, labels)
      fewerLogits.remove(at: removed)
      fewerLabels.remove(at: removed)
      let fewer = try vector.encode(logits: fewerLogits, labels: fewerLabels)
      #expect(zip(all, fewer).map { $0 - $1 }.sorted() == Array(repeating: 0, count: 31) + [1])
    }
    #expect(vector.layout.admits(all))
    let noised = all.enumerated().map { $1 - ($0 % 2 == 0 ? 1000 : 0) }
    #expect(vector.layout.admits(noised))
    #expect(!vector.layout.admits(all.map { _ in -101_001 }))
  }

  @Test(arguments: [(1.4, 0.03), (4.4, 0.07)])
  func noiseMovesTheEstimateAsFarAsSaid(deviation: Double, limit: Double) throws {
    let (logits, labels) = scores(seed: 3)
    let counters = try vector.encode(logits: logits, labels: labels)
    let exact = try #require(BinaryMetrics(logits: logits, labels: labels).rocAuc)
    var source = Congruential(state: 11)
    var (squares, expected) = (0.0, 0.0)
    for _ in 0..<400 {
      let noised = zip(counters, noise(32, deviation: deviation, from: &source)).map { $0 + $1 }
      let evaluation = try vector.decode(noised, organizations: 5, noiseDeviation: deviation)
      let error = try #require(evaluation.rocAuc) - exact
      squares += error * error / 400
      expected += try #require(evaluation.rocAucNoiseError) / 400
    }
    #expect(squares.squareRoot() < limit)
    #expect(expected > 0.5 * squares.squareRoot() && expected < 2 * squares.squareRoot())
  }

  /// The conditions of the nearest point: same total, nothing negative, one amount taken from all that stay.
  @Test func negativesAreProjectedAway() {
    var source = Congruential(state: 5)
    for _ in 0..<200 {
      let counters = noise(16, deviation: 20, from: &source).map { $0 + 4 }
      let total = counters.reduce(0, +)
      let values = NoisedEvaluation.nonNegative(counters[...])
      guard total > 0 else {
        #expect(values.allSatisfy { $0 == 0 })
        continue
      }
      #expect(abs(values.reduce(0, +) - Double(total)) < 1e-9 && values.allSatisfy { $0 >= 0 })
      let excesses = zip(counters, values).filter { $1 > 0 }.map { Double($0) - $1 }
      let excess = excesses.reduce(0, +) / Double(excesses.count)
      #expect(excesses.allSatisfy { abs($0 - excess) < 1e-9 } && excess >= -1e-9)
      for (counter, value) in zip(counters, values) where value == 0 { #expect(Double(counter) <= excess + 1e-9) }
    }
    #expect(NoisedEvaluation.nonNegative([3, 0, 5][...]) == [3, 0, 5])
    #expect(NoisedEvaluation.nonNegative([6, -2, 4][...]) == [5, 0, 3])
  }

  @Test func noRecordsLeftIsNoEstimate() throws {
    let nothing = try vector.decode(Array(repeating: -3, count: 32), organizations: 5, noiseDeviation: 4)
    #expect(nothing.metrics == nil && nothing.rocAuc == nil && nothing.rocAucNoiseError == nil)
    let oneClass = try vector.decode(
      Array(repeating: -3, count: 16) + Array(repeating: 3, count: 16), organizations: 5, noiseDeviation: 4)
    #expect(oneClass.rocAuc == nil)
    #expect(oneClass.metrics?.averagePrecision == nil && oneClass.metrics?.examples == 48)
  }

  @Test func refusesWhatTheBoundsRuleOut() throws {
    let good = Array(repeating: Int64(0), count: 32)
    var far = good
    far[7] = -5 * 101_000
    #expect(throws: Never.self) { try vector.decode(far, organizations: 5, noiseDeviation: 4) }
    far[7] -= 1
    #expect(throws: LearningError.vector(.implausible(group: "histograms"))) {
      try vector.decode(far, organizations: 5, noiseDeviation: 4)
    }
    far[7] = .min
    #expect(throws: LearningError.self) { try vector.decode(far, organizations: 5, noiseDeviation: 4) }
    #expect(throws: LearningError.vector(.length(expected: 32, found: 31))) {
      try vector.decode(Array(good.dropLast()), organizations: 5, noiseDeviation: 4)
    }
    for deviation in [-1, .nan, Double.infinity] {
      #expect(throws: LearningError.self) { try vector.decode(good, organizations: 5, noiseDeviation: deviation) }
    }
    #expect(throws: LearningError.self) { try vector.decode(good, organizations: -1, noiseDeviation: 1) }
    #expect(throws: LearningError.vector(.scoreNotANumber(row: 0))) { try vector.encode(logits: [.nan], labels: [0]) }
    #expect(throws: LearningError.self) { try vector.encode(logits: [1], labels: [0, 1]) }
    for bins in [0, 1, 3, 1026, -2] {
      #expect(throws: LearningError.privacy(.bins(bins))) {
        try NoisedEvaluationVector(bins: bins, weightCap: 10, noiseBound: 0)
      }
    }
    for noiseBound in [-1, NoisedEvaluationVector.maximumNoise + 1] {
      #expect(throws: LearningError.privacy(.noiseBound(noiseBound))) {
        try NoisedEvaluationVector(bins: 2, weightCap: 10, noiseBound: noiseBound)
      }
    }
    #expect(throws: LearningError.self) { try NoisedEvaluationVector(bins: 2, weightCap: 0, noiseBound: 0) }
    let small = try NoisedEvaluationVector(bins: 2, weightCap: 1, noiseBound: 0)
    #expect(throws: LearningError.self) { try small.encode(logits: [1, 2], labels: [0, 0]) }
  }

  @Test func extremeLogitsHaveBins() {
    #expect(vector.bin(logit: .infinity) == 15 && vector.bin(logit: -.infinity) == 0)
    #expect(vector.bin(logit: 1e-9) == 8 && vector.bin(logit: -1e-9) == 7)
  }
}
