import Foundation
import Learning
import Testing

@testable import Training

@Suite struct PerExampleGradientsTests {
  private let weights: ClassWeights
  private let table: FeatureTable

  init() throws {
    weights = try ClassWeights(negative: 0.6, positive: 2)
    table = try referenceProblem()
  }

  @Test func matchFiniteDifferencesExampleByExample() throws {
    let point = [1.5, -0.5, 0.25, -1.0]
    func loss(_ row: Int, _ parameters: [Double]) throws -> Double {
      let model = try LogisticRegressionModel(featureNames: table.featureNames, parameters: parameters)
      let logit = try model.logits(table.selecting(rows: [row]))[0]
      return (table.labels[row] == 1 ? 2 : 0.6) * logLoss(logit: logit, label: table.labels[row])
    }
    var rows = 0
    try PerExampleGradients(table: table, classWeights: weights, parameters: point).visit { row, gradient in
      rows += 1
      #expect(gradient.count == 4)
      for index in 0..<4 {
        var (above, below) = (point, point)
        above[index] += 1e-5
        below[index] -= 1e-5
        let slope = try (loss(row, above) - loss(row, below)) / 2e-5
        #expect(abs(slope - gradient[index]) < 1e-8)
      }
    }
    #expect(rows == 60)
  }

  @Test func addUpToTheFullGradient() throws {
    let objective = try LogisticRegressionObjective(table: table, classWeights: weights, l2: 0)
    var source = Congruential(state: 8)
    for spread in [0.0, 1, 40] {
      let point = (0..<4).map { _ in spread * (2 * source.next() - 1) }
      var full = Array(repeating: 0.0, count: 4)
      _ = objective.evaluate(at: point, gradient: &full)
      var sum = Array(repeating: 0.0, count: 4)
      try PerExampleGradients(table: table, classWeights: weights, parameters: point).visit { _, gradient in
        for index in 0..<4 { sum[index] += gradient[index] / 60 }
      }
      for index in 0..<4 { #expect(abs(sum[index] - full[index]) < 1e-12) }
    }
  }

  /// Sensitivity: no example's gradient sees another example.
  @Test func examplesDoNotSeeEachOther() throws {
    let point = [0.3, 0.2, -0.1, 0.7]
    let all = try PerExampleGradients(table: table, classWeights: weights, parameters: point)
    var (together, alone): ([Double], [Double]) = ([], [])
    for row in [0, 31, 59] {
      try all.write(row: row, into: &together)
      try PerExampleGradients(table: table.selecting(rows: [row]), classWeights: weights, parameters: point)
        .write(row: 0, into: &alone)
      #expect(together.map(\.bitPattern) == alone.map(\.bitPattern))
    }
  }

  @Test func clippedSumIsTheSumOfTheClipped() throws {
    let gradients = try PerExampleGradients(table: table, classWeights: weights, parameters: [0.3, 0.2, -0.1, 0.7])
    let clipping = try IntegerClipping(norm: 0.5, scale: 0x1p16)
    var expected: [Int64] = [7, -7, 0, 1]
    var clipped = 0
    try gradients.visit { row, gradient in
      guard row.isMultiple(of: 3) else { return }
      if gradient.reduce(0, { $0 + $1 * $1 }) > 0.25 { clipped += 1 }
      let integers = try #require(clipping.clip(gradient))
      for index in 0..<4 { expected[index] += integers[index] }
    }
    var sum: [Int64] = [7, -7, 0, 1]
    try gradients.add(clippedBy: clipping, to: &sum) { $0.isMultiple(of: 3) }
    #expect(sum == expected && clipped > 5)
    var short: [Int64] = [0, 0, 0]
    #expect(throws: TrainingError.learning(.privacy(.gradientCount(expected: 4, found: 3)))) {
      try gradients.add(clippedBy: clipping, to: &short)
    }
    var full = Array(repeating: Int64.max, count: 4)
    #expect(throws: TrainingError.optimization(.sumOverflows)) { try gradients.add(clippedBy: clipping, to: &full) }
  }

  @Test func refusesWhatIsNotFinite() throws {
    let huge = try FeatureTable(featureNames: ["a", "b"], values: [1e308, -1e308, 1, 1], labels: [0, 1])
    let heavy = try ClassWeights(negative: 10, positive: 10)
    var gradient = [5.0, 5, 5]
    let overflowing = try PerExampleGradients(table: huge, classWeights: heavy, parameters: [1, 0, 0])
    #expect(throws: TrainingError.optimization(.gradientNotFinite(row: 0))) {
      try overflowing.write(row: 0, into: &gradient)
    }
    #expect(gradient == [0, 0, 0])
    // ∞ − ∞ in the logit.
    let undefined = try PerExampleGradients(table: huge, classWeights: .uniform, parameters: [10, 10, 0])
    #expect(throws: TrainingError.optimization(.gradientNotFinite(row: 0))) {
      try undefined.write(row: 0, into: &gradient)
    }
    #expect(throws: Never.self) { try undefined.write(row: 1, into: &gradient) }
    #expect(throws: TrainingError.learning(.model(.notFinite(index: 1)))) {
      try PerExampleGradients(table: huge, classWeights: .uniform, parameters: [0, .nan, 0])
    }
    #expect(throws: TrainingError.learning(.model(.parameterCount(expected: 3, found: 2)))) {
      try PerExampleGradients(table: huge, classWeights: .uniform, parameters: [0, 0])
    }
  }
}

@Suite struct IntegerClippingTests {
  @Test func shortGradientsKeepTheirLength() throws {
    let clipping = try IntegerClipping(norm: 2, scale: 1024)
    #expect(clipping.bound == 2048)
    #expect(clipping.clip([1, -0.5, 0]) == [1024, -512, 0])
    #expect(clipping.clip([0, 0]) == [0, 0])
    // Cut off towards zero, on both sides.
    #expect(clipping.clip([0.0009, -0.0009, 1.9999 / 1024]) == [0, 0, 1])
    #expect(clipping.clip([.leastNonzeroMagnitude, 0]) == [0, 0])
  }

  @Test func nothingExceedsTheNorm() throws {
    var source = Congruential(state: 77)
    for (norm, scale) in [(1.0, 1.0), (1, 1000), (3.3, 77.7), (0.001, 1e6), (1, 0x1p30)] {
      let clipping = try IntegerClipping(norm: norm, scale: scale)
      for magnitude in [1e-3, 1, 1.0000001, 50, 1e150, 1e307] {
        let gradient = (0..<50).map { _ in magnitude * norm * (2 * source.next() - 1) }
        let integers = try #require(clipping.clip(gradient))
        #expect(clipping.admits(integers))
        for (integer, value) in zip(integers, gradient) where integer != 0 {
          #expect((integer < 0) == (value < 0))
        }
        // No more is lost than elements are cut off by.
        let length = integers.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        if magnitude > 1 { #expect(length > Double(clipping.bound) * (1 - 0x1p-19) - 50.0.squareRoot() - 1) }
      }
    }
  }

  @Test func theTestIsExact() throws {
    let clipping = try IntegerClipping(norm: 1, scale: 0x1p30)
    let bound = clipping.bound
    #expect(clipping.admits([bound, 0]) && clipping.admits([0, -bound]))
    #expect(!clipping.admits([bound, 1]) && !clipping.admits([bound + 1]) && !clipping.admits([.min]))
    // One off in 2^60, which doubles cannot tell.
    #expect(Double(bound) * Double(bound) + 1 == Double(bound) * Double(bound))
    #expect(!clipping.admits(Array(repeating: bound, count: 20)))
  }

  @Test func refusesWhatCannotBeClipped() throws {
    let clipping = try IntegerClipping(norm: 1, scale: 100)
    for value in [Double.nan, .infinity, -.infinity] { #expect(clipping.clip([0, value]) == nil) }
    for (norm, scale) in [(0, 1), (1, 0), (-1, -1), (.nan, 1), (1, .infinity), (0.5, 1), (2, 0x1p30)]
      as [(Double, Double)]
    {
      #expect(throws: TrainingError.self) { try IntegerClipping(norm: norm, scale: scale) }
    }
  }
}

@Suite struct GradientDescentTests {
  /// Without clipping that bites and without noise it is gradient descent, and ends where L-BFGS ends.
  @Test func endsAtTheOptimum() throws {
    let table = try referenceProblem()
    let weights = try ClassWeights(negative: 0.6, positive: 2)
    let descent = try FedSGD(
      expectedExamples: 60, learningRate: 0.5, momentum: 0.9, l2: 0.01, rounds: 3000, averagedRounds: 2)
    let parts = [Array(0..<13), Array(13..<40), Array(40..<60)].map(table.selecting(rows:))
    var states = [try descent.initialState(count: 4)]
    for _ in 0..<2 {
      var state = states[0]
      for _ in 0..<3000 {
        var sum = Array(repeating: 0.0, count: 4)
        for part in parts {
          try PerExampleGradients(table: part, classWeights: weights, parameters: state.parameters)
            .visit { _, gradient in for index in 0..<4 { sum[index] += gradient[index] } }
        }
        state = try descent.next(state, gradientSum: sum)
      }
      states.append(state)
    }
    // The same inputs give the same bits.
    #expect(states[1] == states[2])
    let trainer = try LogisticRegressionTrainer(train: table, test: table)
    let optimum = try trainer.fit(
      parameters: trainer.parameters(),
      configuration: TrainerConfiguration(l2: 0.01, steps: 500, classWeights: weights, gradientTolerance: 1e-10))
    for (found, expected) in zip(descent.modelParameters(states[1]), optimum.parameters) {
      #expect(abs(found - expected) < 1e-6)
    }
  }
}

extension PerExampleGradients {
  /// Every example's gradient in turn, in the order of the rows.
  ///
  /// - Throws: as ``write(row:into:)``, or what `body` throws.
  func visit(_ body: (_ row: Int, _ gradient: [Double]) throws -> Void) throws {
    var gradient = Array(repeating: 0.0, count: dimension)
    for row in 0..<count {
      try write(row: row, into: &gradient)
      try body(row, gradient)
    }
  }
}
