import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct OneRunAuditTests {
  private func audit(_ canaries: Int, _ guesses: Int, _ correct: Int) throws -> OneRunAudit {
    try OneRunAudit(canaries: canaries, guesses: guesses, correct: correct)
  }

  private func isClose(_ value: Double, _ expected: Double, within relative: Double) -> Bool {
    abs(value - expected) <= relative * abs(expected)
  }

  // MARK: - Values from elsewhere

  /// The formula of Corollary 5.4 in Python with SciPy 1.17's binomial distribution.
  @Test(
    arguments: [
      (1000, 1000, 1000, 3, 1e-5, 0.000326446200492296), (1000, 100, 83, 1, 1e-5, 0.015285739023091324),
      (1000, 250, 190, 0.5, 1e-5, 0.0004143534709863878), (3000, 750, 600, 1, 1e-5, 0.0008153866497899897),
      (10_000, 200, 174, 1.4, 1e-6, 0.008789543575726096), (50, 20, 15, 0.3, 0, 0.08423137561018862),
      (20_000, 20_000, 19_990, 8, 1e-5, 0.9361316780994672),
      (100_000, 3000, 2500, 1.5, 1e-7, 0.013060195305201775),
    ] as [(Int, Int, Int, Double, Double, Double)])
  func pValuesAsSciPyHasThem(
    canaries: Int, guesses: Int, correct: Int, epsilon: Double, delta: Double, expected: Double
  ) throws {
    let value = try audit(canaries, guesses, correct).pValue(epsilon: epsilon, delta: delta)
    #expect(isClose(value, expected, within: 1e-9), "\(value)")
  }

  @Test(
    arguments: [
      (1000, 1000, 1000, 1e-5, 0.95, 5.7822831), (1000, 100, 83, 1e-5, 0.95, 1.1274102),
      (3000, 750, 600, 1e-5, 0.95, 1.232217), (10_000, 200, 174, 1e-6, 0.99, 1.409642),
      (50, 20, 15, 0, 0.9, 0.3437848), (20_000, 20_000, 19_990, 1e-5, 0.95, 6.9828016),
      (100_000, 3000, 2500, 1e-7, 0.95, 1.5280119), (1000, 500, 250, 1e-5, 0.95, 0),
    ] as [(Int, Int, Int, Double, Double, Double)])
  func boundsAsSciPyHasThem(
    canaries: Int, guesses: Int, correct: Int, delta: Double, confidence: Double, expected: Double
  ) throws {
    let bound = try audit(canaries, guesses, correct).epsilonLowerBound(delta: delta, confidence: confidence)
    #expect(abs(bound - expected) < 1e-6, "\(bound)")
  }

  // MARK: - Values that can be derived

  /// All right without δ: q^r ≤ 1 − confidence, so that ε is the log-odds of its root.
  @Test(arguments: [1, 5, 50, 1000, 30_000], [0.5, 0.95, 0.999])
  func allRight(guesses: Int, confidence: Double) throws {
    let root = pow(1 - confidence, 1 / Double(guesses))
    let bound = try audit(guesses, guesses, guesses).epsilonLowerBound(delta: 0, confidence: confidence)
    #expect(abs(bound - max(0, log(root / (1 - root)))) < 1e-8)
  }

  /// Sums over all ways in which the guesses can come out, each with its own chance.
  @Test(arguments: [1, 2, 5, 11], [0, 0.3, 1, 4])
  func enumerated(guesses: Int, epsilon: Double) throws {
    let right = exp(epsilon) / (1 + exp(epsilon))
    var chances = [Double](repeating: 0, count: guesses + 1)
    for outcome in 0..<(1 << guesses) {
      let correct = outcome.nonzeroBitCount
      chances[correct] += pow(right, Double(correct)) * pow(1 - right, Double(guesses - correct))
    }
    for correct in 0...guesses {
      let beta = chances[correct...].reduce(0, +)
      let slopes = (0..<correct).map { chances[$0..<correct].reduce(0, +) / Double(correct - $0) }
      let expected = min(1, beta + 2 * Double(guesses + 3) * 0.01 * (slopes.max() ?? 0))
      let value = try audit(guesses + 3, guesses, correct).pValue(epsilon: epsilon, delta: 0.01)
      #expect(isClose(value, expected, within: 1e-12), "\(correct): \(value), \(expected)")
    }
  }

  /// Randomised response is as bad as ε allows: the bound is met exactly, and never passed with δ.
  @Test(arguments: [0.2, 1, 3], [0, 0.001, 0.05])
  func noMechanismExceedsIt(epsilon: Double, delta: Double) throws {
    let count = 8
    let honest = exp(epsilon) / (1 + exp(epsilon))
    for correct in 0...count {
      let bound = try audit(count, count, correct).pValue(epsilon: epsilon, delta: delta)
      func tail(_ right: Double) -> Double {
        (0..<(1 << count)).reduce(0) { sum, outcome in
          let hits = outcome.nonzeroBitCount
          guard hits >= correct else { return sum }
          return sum + pow(right, Double(hits)) * pow(1 - right, Double(count - hits))
        }
      }
      // With chance δ each coin is shown as it is; or all of them together.
      let each = tail(delta + (1 - delta) * honest)
      let together = delta + (1 - delta) * tail(honest)
      #expect(max(each, together) <= bound * (1 + 1e-12))
      if delta == 0 { #expect(isClose(bound, each, within: 1e-12)) }
    }
  }

  @Test func pValuesAreMonotone() throws {
    let counted = try (0...200).map { try audit(500, 200, $0).pValue(epsilon: 1, delta: 1e-5) }
    #expect(zip(counted, counted.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(counted[0] == 1 && counted[200] < 1e-3)
    let deltas = try [0, 1e-6, 1e-4, 1e-2].map { try audit(500, 200, 160).pValue(epsilon: 1, delta: $0) }
    #expect(zip(deltas, deltas.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// What is returned is rejected itself, and a little more is not.
  @Test func theBoundIsWhereTheLevelIs() throws {
    let found = try audit(2000, 400, 330)
    let bound = try found.epsilonLowerBound(delta: 1e-5, confidence: 0.95)
    #expect(try found.pValue(epsilon: bound, delta: 1e-5) <= 0.05)
    #expect(try found.pValue(epsilon: bound + 1e-6, delta: 1e-5) > 0.05)
  }

  @Test func aGuesserShowsNothing() throws {
    var random = SeededRandomness(seed: 5)
    var flagged = 0
    for _ in 0..<200 {
      let coins = (0..<400).map { _ in random.next() >> 63 == 1 }
      let scores = try CanaryScores(scores: coins.map { _ in random.normal() }, isIncluded: coins)
      if try scores.audit(guesses: 100).epsilonLowerBound(delta: 1e-5, confidence: 0.95) > 0 { flagged += 1 }
    }
    // 200 times a chance of at most 0.05; beyond 22 with a chance of 1e-4.
    #expect(flagged <= 22)
    #expect(try audit(100, 0, 0).epsilonLowerBound(delta: 1e-5, confidence: 0.95) == 0)
    #expect(try audit(100, 50, 0).epsilonLowerBound(delta: 0, confidence: 0.95) == 0)
  }

  @Test func whatIsRefused() throws {
    for (canaries, guesses, correct) in [(0, 0, 0), (5, 6, 1), (5, 4, 5), (5, 4, -1), ((1 << 22) + 1, 1, 1)] {
      #expect(throws: EmpiricalAuditError.counts(canaries: canaries, guesses: guesses, correct: correct)) {
        try OneRunAudit(canaries: canaries, guesses: guesses, correct: correct)
      }
    }
    let fair = try audit(5, 4, 3)
    #expect(throws: EmpiricalAuditError.epsilon(-1)) { try fair.pValue(epsilon: -1, delta: 0) }
    #expect(throws: EmpiricalAuditError.delta(2)) { try fair.pValue(epsilon: 1, delta: 2) }
    #expect(throws: EmpiricalAuditError.delta(2)) { try fair.epsilonLowerBound(delta: 2, confidence: 0.5) }
    #expect(throws: EmpiricalAuditError.confidence(1)) { try fair.epsilonLowerBound(delta: 0, confidence: 1) }
    #expect(throws: EmpiricalAuditError.self) { try fair.pValue(epsilon: .nan, delta: 0) }
    #expect(throws: EmpiricalAuditError.scores(found: 1, canaries: 2)) {
      try CanaryScores(scores: [1], isIncluded: [true, false])
    }
    #expect(throws: EmpiricalAuditError.shape(dimension: 1, rounds: 3)) {
      try OrthogonalCanaries(dimension: 1, rounds: 3, clip: 1)
    }
    #expect(throws: EmpiricalAuditError.clip(0)) { try OrthogonalCanaries(dimension: 4, rounds: 3, clip: 0) }
  }

  // MARK: - Guesses

  @Test func theSurestAreGuessed() throws {
    var scores = try CanaryScores(scores: [3, -2, 0.5, -0.1], isIncluded: [true, false, false, false])
    #expect(try (0...4).map { try scores.audit(guesses: $0).correct } == [0, 1, 2, 2, 3])
    // One of another run, surer than all but one; and one that is not a number.
    scores.append(try CanaryScores(scores: [-2.5, .nan], isIncluded: [true, false]))
    #expect(try (0...6).map { try scores.audit(guesses: $0).correct } == [0, 1, 1, 2, 2, 3, 4])
    #expect(throws: EmpiricalAuditError.counts(canaries: 6, guesses: 7, correct: 0)) { try scores.audit(guesses: 7) }
  }

  /// All of them where all are right; a part where only the surest are.
  @Test func aPilotChoosesHowMany() throws {
    var random = SeededRandomness(seed: 11)
    func pilot(noise: Double) throws -> Int {
      let coins = (0..<1000).map { _ in random.next() >> 63 == 1 }
      let scores = coins.map { ($0 ? 0.5 : -0.5) + noise * random.normal() }
      return try CanaryScores(scores: scores, isIncluded: coins)
        .guesses(canaries: 8000, delta: 1e-5, confidence: 0.95)
    }
    #expect(try pilot(noise: 0.01) == 8000)
    #expect(try (125...2000).contains(pilot(noise: 1.4)))
  }

  @Test func canariesThatSuffice() throws {
    func count(_ epsilon: Double, delta: Double = 1e-5) throws -> Int {
      try OneRunAudit.canaries(toShow: epsilon, delta: delta, confidence: 0.95)
    }
    func ceiling(_ count: Int, delta: Double = 1e-5) throws -> Double {
      try OneRunAudit.ceiling(canaries: count, delta: delta, confidence: 0.95)
    }
    #expect(try count(3) == 12_000 && count(8) == 24_000)
    #expect(try ceiling(12_000) < 8 && ceiling(24_000) > 8.1)
    // Out of reach: the number that shows most.
    #expect(try [12_000, 24_000, 48_000, 96_000].allSatisfy { try ceiling($0) <= ceiling(count(60)) })
    // A large δ leaves room for few.
    let few = try count(3, delta: 0.001)
    #expect(few < 1000)
    #expect(try ceiling(few, delta: 0.001) > ceiling(12_000, delta: 0.001))
  }

  // MARK: - Canaries

  @Test(arguments: [(4, 1), (5, 6), (2, 7), (6, 30)])
  func canariesAreOrthogonal(dimension: Int, rounds: Int) throws {
    let canaries = try OrthogonalCanaries(dimension: dimension, rounds: rounds, clip: 3)
    #expect(canaries.capacity == dimension / 2 * 2 * rounds)
    var gradient: [Double] = []
    let paths = (0..<canaries.capacity).map { canary in
      (0..<rounds).flatMap { round in
        canaries.write(canary, round: round, into: &gradient)
        #expect(isClose(norm(gradient), 24, within: 1e-12))
        return gradient
      }
    }
    for first in paths.indices {
      for second in paths.indices.dropFirst(first + 1) {
        let product = zip(paths[first], paths[second]).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(product) < 1e-9)
      }
    }
  }

  /// Clipped to the clip and added up, canaries are at ½ and −½, whatever others there are.
  @Test func scoresWithoutNoise() throws {
    let canaries = try OrthogonalCanaries(dimension: 5, rounds: 8, clip: 0.5)
    var random = SeededRandomness(seed: 2)
    let coins = (0..<canaries.capacity).map { _ in random.next() >> 63 == 1 }
    var scores = canaries.initialScores(count: coins.count)
    var gradient: [Double] = []
    for round in 0..<8 {
      var sum = KnownSum(dimension: 5, clip: 0.5)
      for canary in coins.indices where coins[canary] {
        canaries.write(canary, round: round, into: &gradient)
        sum.add(gradient)
      }
      canaries.score(sum.values, round: round, scores: &scores)
    }
    for (score, isIncluded) in zip(scores, coins) { #expect(abs(score - (isIncluded ? 0.5 : -0.5)) < 1e-12) }
  }

  @Test func knownSumsAreClipped() {
    var sum = KnownSum(dimension: 2, clip: 5)
    sum.add([3, 4])
    sum.add([-6, 8])
    sum.add([0, 0])
    #expect(sum.values == [0, 8])
  }
}
