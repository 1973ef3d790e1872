import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismRecordTests {
  static let encoding = Result { try IntegerEncoding(dimension: 12, clip: 0.5, scaleExponent: 6, bias: .exponential) }
  private var encoding: IntegerEncoding { get throws { try Self.encoding.get() } }

  /// What neighbours differ by: the sum before and after one example, whatever it is.
  @Test func noExampleChangesTheSumByMoreThanTheSensitivity() throws {
    var randomness = SeededRandomness(seed: 11)
    let encoding = try encoding
    var contribution = RecordContribution(encoding: encoding)
    var examples = adversarialVectors(dimension: 12, norm: 0.5)
    examples += adversarialVectors(dimension: 12, norm: 1e200)
    examples += [[Double](repeating: .nan, count: 12), [Double](repeating: .infinity, count: 12)]
    for length in [0, 1e-300, 0.01, 0.4999999, 0.5, 0.5000001, 7, 1e300] {
      examples += (0..<30).map { _ in randomness.vector(dimension: 12, norm: length) }
    }
    for example in examples {
      let before = contribution.sums
      try contribution.add(gradient: example, using: &randomness)
      let change = zip(contribution.sums, before).map { $0 - $1 }
      #expect(squaredNorm(change) <= encoding.rounding.squaredNormBound)
    }
    #expect(contribution.recordCount == examples.count)
    #expect(contribution.notFiniteCount == 2 && contribution.unmetCount == 0)
    #expect(contribution.clippedCount > 60)
  }

  /// Why each example is rounded on its own: two roundings of a sum differ by more than an example may.
  @Test func roundingTheSumInsteadExceedsTheSensitivity() throws {
    let rounding = try ConditionalRounding(dimension: 256, integerClip: 16, bias: .exponential)
    var randomness = SeededRandomness(seed: 12)
    let sum = randomness.vector(dimension: 256, norm: 1e4)
    let example = randomness.vector(dimension: 256, norm: 16)
    let with = zip(sum, example).map { $0 + $1 }
    var results: [[Int64]] = []
    for vector in [sum, with] {
      var result = [Int64](repeating: 0, count: 256)
      vector.withUnsafeBufferPointer { vector in
        result.withUnsafeMutableBufferPointer {
          ConditionalRounding.roundOnce(vector, into: $0, using: &randomness)
        }
      }
      results.append(result)
    }
    #expect(squaredNorm(zip(results[1], results[0]).map { $0 - $1 }) > rounding.squaredNormBound)
  }

  @Test func sumsWhatIsWithinTheClip() throws {
    var randomness = SeededRandomness(seed: 13)
    let encoding = try IntegerEncoding(dimension: 4, clip: 1, scaleExponent: 12, bias: .none)
    var contribution = RecordContribution(encoding: encoding)
    var expected = [Double](repeating: 0, count: 4)
    let count = 2000
    for _ in 0..<count {
      let gradient = randomness.vector(dimension: 4, norm: randomness.uniform())
      try contribution.add(gradient: gradient, using: &randomness)
      for index in expected.indices { expected[index] += gradient[index] }
    }
    #expect(contribution.clippedCount == 0)
    // Rounding: standard deviation at most ½·√2000/4096 = 0.0055.
    for (sum, value) in zip(encoding.real(contribution.sums), expected) { #expect(abs(sum - value) < 0.03) }
  }

  @Test func leavesWithNoiseAndDecodes() throws {
    var randomness = SeededRandomness(seed: 14)
    let encoding = try IntegerEncoding(dimension: 3, clip: 1, scaleExponent: 10, bias: .exponential)
    let noise = try NoiseShare(mechanism: .skellam, centralVariance: 900, cohort: cohort(4))
    var total = [UInt32](repeating: 0, count: 3)
    for _ in 0..<4 {
      var contribution = RecordContribution(encoding: encoding)
      for _ in 0..<50 { try contribution.add(gradient: [0.6, -0.8, 0], using: &randomness) }
      let words = try contribution.finish(adding: noise, using: &randomness).words(bits: 20)
      for index in words.indices { total[index] = (total[index] &+ words[index]) & 0xf_ffff }
    }
    let decoded = try RecordSum.decode(words: total, bits: 20, encoding: encoding)
    // Noise of four shares: √1200/1024 = 0.034; rounding √(200/4)/1024.
    for (value, expected) in zip(decoded, [120.0, -160, 0]) { #expect(abs(value - expected) < 0.25) }
    #expect(decoded[2] != 0 || decoded[0] != 120)
  }

  @Test func refusesOtherShapesAndStaysAsItWas() throws {
    var randomness = SeededRandomness(seed: 15)
    var contribution = RecordContribution(encoding: try encoding)
    try contribution.add(gradient: [Double](repeating: 0.1, count: 12), using: &randomness)
    let before = contribution.sums
    let error = #expect(throws: MechanismError.self) {
      try Self.add([Double](repeating: 0.1, count: 11), to: &contribution, using: &randomness)
    }
    #expect(error == .shape(expected: 12, found: 11))
    #expect(contribution.sums == before && contribution.recordCount == 1)
    let encoding = try encoding
    #expect(throws: MechanismError.shape(expected: 12, found: 1)) {
      try RecordSum.decode(words: [0], bits: 20, encoding: encoding)
    }
    for bits in [7, 33] {
      #expect(throws: MechanismError.parameter(.bits)) {
        try RecordSum.decode(words: [UInt32](repeating: 0, count: 12), bits: bits, encoding: encoding)
      }
    }
  }

  private static func add(
    _ gradient: [Double], to contribution: inout RecordContribution, using randomness: inout SeededRandomness
  ) throws {
    try contribution.add(gradient: gradient, using: &randomness)
  }

  @Test func reclippingKeepsTheIntegers() throws {
    let encoding = try encoding
    let other = try encoding.reclipped(to: 3.7)
    #expect(other.rounding == encoding.rounding && other.clip == 3.7)
    #expect(abs(other.scale - 32 / 3.7) < 1e-12)
    // A vector at either clip becomes the same integers.
    var first = SeededRandomness(seed: 16)
    var second = first
    var a = RecordContribution(encoding: encoding)
    var b = RecordContribution(encoding: other)
    try a.add(gradient: [1e6] + [Double](repeating: 0, count: 11), using: &first)
    try b.add(gradient: [1e6] + [Double](repeating: 0, count: 11), using: &second)
    #expect(abs(a.sums[0] - b.sums[0]) <= 1 && a.sums[0] >= 31)
    for clip in [0, -1, .nan, 0x1p41] {
      #expect(throws: MechanismError.parameter(.clip)) { try encoding.reclipped(to: clip) }
    }
    #expect(throws: MechanismError.parameter(.scale)) {
      try IntegerEncoding(dimension: 1, clip: 1, scaleExponent: 81, bias: .none)
    }
    #expect(throws: MechanismError.parameter(.scale)) {
      try IntegerEncoding(dimension: 1, clip: 1, scaleExponent: -1, bias: .none)
    }
  }
}

@Suite struct MechanismCounterTests {
  @Test func refusesMoreThanTheSensitivity() throws {
    var randomness = SeededRandomness(seed: 21)
    var counters = try CounterContribution(count: 3, sensitivity: try CounterSensitivity(squaredL2: 5, l1: 3))
    try counters.add([1, 2, 0])
    try counters.add([-1, 0, 2])
    try counters.add([1, -1, 1])
    for wrong in [[3, 0, 0], [2, 2, 0], [0, 0, .min], [.max, .max, .max]] as [[Int64]] {
      do {
        try counters.add(wrong)
        Issue.record("a contribution beyond the sensitivity was taken")
      } catch {
        #expect(error == .sensitivityExceeded)
      }
    }
    do {
      try counters.add([1, 1])
      Issue.record("a contribution of another length was taken")
    } catch {
      #expect(error == .shape(expected: 3, found: 2))
    }
    #expect(counters.sums == [1, 1, 3])
    let noise = try NoiseShare(mechanism: .distributedDiscreteGaussian, centralVariance: 4, cohort: cohort(3))
    let noised = counters.finish(adding: noise, using: &randomness)
    #expect(noised.values.count == 3)
    #expect("\(noised)" == "NoisedIntegers(3)")
  }

  @Test func countsABinForEachRecord() throws {
    var histogram = try CounterContribution(count: 4, sensitivity: .one)
    for bin in [0, 1, 1, 3] { try histogram.increment(bin) }
    #expect(histogram.sums == [1, 2, 0, 1])
    do {
      try histogram.increment(4)
      Issue.record("a bin that is not there was counted")
    } catch {
      #expect(error == .shape(expected: 4, found: 5))
    }
    try histogram.add([0, 0, -1, 0])
    do {
      try histogram.add([1, 1, 0, 0])
      Issue.record("a record was counted twice")
    } catch {
      #expect(error == .sensitivityExceeded)
    }
    #expect(histogram.sums == [1, 2, -1, 1])
  }

  @Test(arguments: [(0, 0), (1, 0), (0, 1), (1, 2), (5, 2), (1 << 62, 1 << 31)] as [(UInt64, UInt64)])
  func refusesWhatNoIntegersHave(squaredL2: UInt64, l1: UInt64) {
    #expect(throws: MechanismError.parameter(.sensitivity)) {
      try CounterSensitivity(squaredL2: squaredL2, l1: l1)
    }
  }
}
