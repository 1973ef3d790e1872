import Learning
import Testing

@testable import Training

@Suite struct LocalDPSGDTests {
  private let table: FeatureTable

  init() throws {
    table = try referenceProblem()
  }

  private func trainer(
    _ table: FeatureTable, norm: Double = 1000, scale: Double = 0x1p20, expectedExamples: Int = 60,
    learningRate: Double = 0.5, momentum: Double = 0,
    noise: @escaping @Sendable (Int) throws -> [Int64] = { Array(repeating: 0, count: $0) },
    words: @escaping @Sendable (Int) throws -> [UInt64] = { Array(repeating: 0, count: $0) }
  ) throws -> LocalDPSGD {
    try LocalDPSGD(
      train: table, test: table, clipping: IntegerClipping(norm: norm, scale: scale), samplingProbability: 0.5,
      expectedExamples: expectedExamples, learningRate: learningRate, momentum: momentum, noise: noise, words: words)
  }

  /// With every row drawn and no noise it is gradient descent on the sum over half the rows expected.
  @Test func withoutNoiseEndsAtTheOptimum() throws {
    let configuration = try TrainerConfiguration(l2: 0.02, steps: 4000)
    let found = try trainer(table, expectedExamples: 120, learningRate: 0.2, momentum: 0.9)
      .fit(parameters: [0, 0, 0, 0], configuration: configuration)
    let exact = try LogisticRegressionTrainer(train: table, test: table)
      .fit(parameters: [0, 0, 0, 0], configuration: TrainerConfiguration(l2: 0.02, steps: 500))
    for (one, other) in zip(found.parameters, exact.parameters) { #expect(abs(one - other) < 1e-4) }
    #expect(found.examples == 120)
  }

  @Test func oneRecordMovesTheSumByTheNormAtMost() throws {
    let configuration = try TrainerConfiguration(l2: 0, steps: 1)
    func step(_ table: FeatureTable) throws -> [Double] {
      try trainer(table, norm: 0.25, learningRate: 30).fit(parameters: [0, 0, 0, 0], configuration: configuration)
        .parameters
    }
    // learningRate / (q · expected) = 1: parameters are minus the sum.
    let all = try step(table)
    var largest = 0.0
    for removed in 0..<60 {
      let fewer = try step(table.selecting(rows: (0..<60).filter { $0 != removed }))
      let squares = zip(all, fewer).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      largest = max(largest, squares.squareRoot())
    }
    #expect(largest <= 0.25 + 1e-12 && largest > 0.2499)
  }

  @Test func noiseIsAddedOncePerStepInIntegerUnits() throws {
    let configuration = try TrainerConfiguration(l2: 0, steps: 1)
    let plain = try trainer(table, scale: 1024, learningRate: 30)
      .fit(parameters: [0, 0, 0, 0], configuration: configuration)
    let noised = try trainer(table, scale: 1024, learningRate: 30, noise: { (0..<$0).map { Int64($0) * 1024 - 512 } })
      .fit(parameters: [0, 0, 0, 0], configuration: configuration)
    #expect(zip(plain.parameters, noised.parameters).map { $0 - $1 } == [-0.5, 0.5, 1.5, 2.5])
  }

  @Test func rowsAreDrawnByTheirOwnWord() throws {
    let configuration = try TrainerConfiguration(l2: 0, steps: 1)
    func drawing(_ word: @escaping @Sendable (Int) -> UInt64) throws -> [Double] {
      try trainer(table, learningRate: 30, words: { (0..<$0).map(word) })
        .fit(parameters: [0, 0, 0, 0], configuration: configuration).parameters
    }
    // Below q · 2^64, to the last word.
    #expect(try drawing { _ in 1 << 63 } == [0, 0, 0, 0])
    let all = try drawing { _ in 1 << 63 - 1 }
    #expect(all != [0, 0, 0, 0])
    let even = try drawing { $0.isMultiple(of: 2) ? 0 : .max }
    let alone = try trainer(table.selecting(rows: Array(stride(from: 0, to: 60, by: 2))), learningRate: 30)
      .fit(parameters: [0, 0, 0, 0], configuration: configuration).parameters
    #expect(even == alone)
    #expect(even != all)
  }

  /// No single row decides whether a fit succeeds, for that would tell of it without noise.
  @Test func aRowWithoutAFiniteGradientContributesNothing() throws {
    let names = ["a", "b"]
    let others = (values: [1.0, 2, -1, 0.5, 3, -2], labels: [1, 0, 1] as [UInt8])
    // The logit is infinity minus infinity.
    let huge = [1e308, 1e308]
    let start = [100.0, -100, 0]
    let configuration = try TrainerConfiguration(l2: 0.1, steps: 3)
    func fit(_ values: [Double], _ labels: [UInt8]) throws -> FitResult {
      let table = try FeatureTable(featureNames: names, values: values, labels: labels)
      return try trainer(table, noise: { (0..<$0).map { Int64($0) } }).fit(
        parameters: start, configuration: configuration)
    }
    #expect(throws: TrainingError.self) {
      var gradient: [Double] = []
      let table = try FeatureTable(featureNames: names, values: huge, labels: [1])
      try PerExampleGradients(table: table, classWeights: configuration.classWeights, parameters: start)
        .write(row: 0, into: &gradient)
    }
    let without = try fit(others.values, others.labels)
    let with = try fit(huge + others.values, [1] + others.labels)
    #expect(with.parameters == without.parameters)
    // Nor does anything else say how many rows there are.
    #expect(with.examples == without.examples && with.metrics == without.metrics)
  }

  @Test("A row is never drawn more often than is charged for", arguments: [0x1p-32, 1e-9, 0.1, 1.0 / 3, 0.3, 0.5])
  func probabilityIsRoundedDown(_ probability: Double) throws {
    let drawn = try LocalDPSGD(
      train: table, test: table, clipping: IntegerClipping(norm: 1, scale: 1024), samplingProbability: probability,
      expectedExamples: 10, learningRate: 1, noise: { Array(repeating: 0, count: $0) },
      words: { Array(repeating: 0, count: $0) }
    ).samplingProbability
    #expect(drawn <= probability && drawn > probability * (1 - 0x1p-31))
  }

  @Test func evaluatesAsTheOtherTrainer() throws {
    let configuration = try TrainerConfiguration()
    let parameters = [1, -0.5, 0.25, 0.1]
    #expect(
      try trainer(table).evaluate(parameters: parameters, configuration: configuration)
        == LogisticRegressionTrainer(train: table, test: table)
        .evaluate(parameters: parameters, configuration: configuration))
    #expect(try trainer(table).parameters() == [0, 0, 0, 0])
  }

  @Test func refusesFaultyRandomness() throws {
    struct Exhausted: Error {}
    let configuration = try TrainerConfiguration(steps: 2)
    let faulty = [
      try trainer(table, noise: { Array(repeating: 0, count: $0 - 1) }),
      try trainer(table, noise: { _ in [] }),
      try trainer(table, noise: { _ in throw Exhausted() }),
      try trainer(table, words: { Array(repeating: 0, count: $0 + 1) }),
      try trainer(table, words: { _ in throw Exhausted() }),
    ]
    for trainer in faulty {
      #expect(throws: TrainingError.optimization(.randomness(step: 0))) {
        try trainer.fit(parameters: [0, 0, 0, 0], configuration: configuration)
      }
    }
    let overflowing = try trainer(table, noise: { Array(repeating: .max, count: $0) })
    #expect(throws: TrainingError.optimization(.sumOverflows)) {
      try overflowing.fit(parameters: [0, 0, 0, 0], configuration: configuration)
    }
    #expect(throws: TrainingError.self) { try trainer(table).fit(parameters: [0], configuration: configuration) }
  }

  @Test func refusesSettingsOutOfRange() throws {
    let clipping = try IntegerClipping(norm: 1, scale: 1024)
    func make(probability: Double, expected: Int, test: FeatureTable) throws -> LocalDPSGD {
      try LocalDPSGD(
        train: table, test: test, clipping: clipping, samplingProbability: probability, expectedExamples: expected,
        learningRate: 1, noise: { Array(repeating: 0, count: $0) }, words: { Array(repeating: 0, count: $0) })
    }
    for probability in [0, -1, 0.51, .nan, 1e-20] {
      #expect(throws: TrainingError.self) { try make(probability: probability, expected: 10, test: table) }
    }
    for expected in [0, -1, 10_000_001] {
      #expect(throws: TrainingError.self) { try make(probability: 0.1, expected: expected, test: table) }
    }
    let other = try FeatureTable(featureNames: ["z"], values: [1], labels: [1])
    #expect(throws: TrainingError.self) { try make(probability: 0.1, expected: 10, test: other) }
    #expect(try make(probability: 0.1, expected: 10, test: table).samplingProbability <= 0.1)
    let configuration = try TrainerConfiguration()
    #expect(throws: TrainingError.self) {
      try trainer(table, learningRate: -1).fit(parameters: [0, 0, 0, 0], configuration: configuration)
    }
  }
}
