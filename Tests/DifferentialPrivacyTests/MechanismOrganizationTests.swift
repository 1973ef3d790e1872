import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismRotationTests {
  private func rotation(_ dimension: Int, seed: UInt64 = 1) throws -> Rotation {
    var signs = SeededRandomness(seed: seed)
    return try Rotation(dimension: dimension, signs: &signs)
  }

  @Test(arguments: [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024), (1024, 1024), (1025, 2048)])
  func padsToAPowerOfTwo(dimension: Int, padded: Int) throws {
    #expect(try rotation(dimension).paddedDimension == padded)
  }

  @Test(arguments: [1, 2, 3, 7, 64, 100, 1000]) func isOrthogonalAndUndone(dimension: Int) throws {
    let rotation = try rotation(dimension)
    var randomness = SeededRandomness(seed: 31)
    let vector = randomness.vector(dimension: dimension, norm: 10)
    let rotated = try rotation.rotate(vector)
    #expect(abs(norm(rotated) - 10) < 1e-12)
    for (back, value) in zip(try rotation.undo(rotated), vector) { #expect(abs(back - value) < 1e-12) }
    #expect(try rotation.undo(rotated).count == dimension)
  }

  /// The images of the unit vectors are orthonormal and have entries ±1/√d only.
  @Test func imagesOfUnitVectors() throws {
    let rotation = try rotation(16, seed: 5)
    let images = try (0..<16).map { index in
      try rotation.rotate((0..<16).map { $0 == index ? 1 : 0 })
    }
    for first in 0..<16 {
      #expect(images[first].allSatisfy { $0.magnitude == 0.25 })
      for second in 0..<16 {
        let product = zip(images[first], images[second]).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(product == (first == second ? 1 : 0))
      }
    }
  }

  /// One coordinate's energy goes to all: that is what the rotation is for.
  @Test func spreads() throws {
    let rotation = try rotation(4096)
    let rotated = try rotation.rotate([100] + [Double](repeating: 0, count: 4095))
    #expect(rotated.allSatisfy { abs($0.magnitude - 100.0 / 64) < 1e-12 })
    // The even vector, which the plain transform would gather in one coordinate: signs prevent that.
    let even = try rotation.rotate([Double](repeating: 1, count: 4096))
    #expect(even.allSatisfy { $0.magnitude < 6 })
  }

  @Test func seedsDiffer() throws {
    let vector = (0..<64).map(Double.init)
    #expect(try rotation(64, seed: 1).rotate(vector) == rotation(64, seed: 1).rotate(vector))
    #expect(try rotation(64, seed: 1).rotate(vector) != rotation(64, seed: 2).rotate(vector))
    #expect(throws: MechanismError.parameter(.dimension)) { try rotation(0) }
    #expect(throws: MechanismError.shape(expected: 3, found: 4)) { try rotation(3).rotate([1, 2, 3, 4]) }
    #expect(throws: MechanismError.shape(expected: 4, found: 3)) { try rotation(3).undo([1, 2, 3]) }
  }
}

@Suite struct MechanismOrganizationTests {
  private func pipeline(
    _ dimension: Int, clip: Double, scaleExponent: Int, bias: ConditionalRounding.Bias = .none
  ) throws -> OrganizationContribution {
    var signs = SeededRandomness(seed: 77)
    let rotation = try Rotation(dimension: dimension, signs: &signs)
    let encoding = try IntegerEncoding(
      dimension: rotation.paddedDimension, clip: clip, scaleExponent: scaleExponent, bias: bias)
    return try OrganizationContribution(encoding: encoding, rotation: rotation)
  }

  @Test(arguments: ConditionalRounding.Bias.allCases)
  func neverExceedsTheSensitivity(bias: ConditionalRounding.Bias) throws {
    var randomness = SeededRandomness(seed: 41)
    let pipeline = try pipeline(50, clip: 1, scaleExponent: 5, bias: bias)
    var updates = [1.0, 1e300].flatMap { adversarialVectors(dimension: 50, norm: $0) }
    updates.append([.nan] + [Double](repeating: 1, count: 49))
    for length in [0.5, 0.999, 1, 1.001, 100] {
      updates += (0..<20).map { _ in randomness.vector(dimension: 50, norm: length) }
    }
    for update in updates {
      let (values, _) = try pipeline.integers(of: update, using: &randomness)
      #expect(squaredNorm(values) <= pipeline.encoding.rounding.squaredNormBound)
    }
    let (zero, outcome) = try pipeline.integers(of: updates[0].map { _ in .infinity }, using: &randomness)
    #expect(outcome == .notFinite && zero.allSatisfy { $0 == 0 })
  }

  /// decode ∘ encode, noise and rounding included, averages to the identity, on a grid as coarse as the clip.
  @Test(arguments: NoiseMechanism.allCases) func isUnbiased(mechanism: NoiseMechanism) throws {
    var randomness = SeededRandomness(seed: 42)
    let pipeline = try pipeline(11, clip: 4, scaleExponent: -1)
    let noise = try NoiseShare(mechanism: mechanism, centralVariance: 2, cohort: cohort(3))
    let update = randomness.vector(dimension: 11, norm: 3.9)
    let count = 4000
    var mean = [Double](repeating: 0, count: 11)
    for _ in 0..<count {
      let (term, outcome) = try pipeline.encode(update, adding: noise, using: &randomness)
      #expect(outcome == .within)
      let decoded = try pipeline.decode(words: try term.words(bits: 12), bits: 12)
      for index in mean.indices { mean[index] += decoded[index] / Double(count) }
    }
    // Noise of variance 1 and rounding of at most ¼, in units of 2: √1.25·2/√4000 = 0.035.
    for (value, expected) in zip(mean, update) { #expect(abs(value - expected) < 0.18) }
  }

  @Test func clipsToTheNormAndKeepsTheDirection() throws {
    var randomness = SeededRandomness(seed: 43)
    let pipeline = try pipeline(20, clip: 2, scaleExponent: 12)
    let update = randomness.vector(dimension: 20, norm: 50)
    let (values, outcome) = try pipeline.integers(of: update, using: &randomness)
    #expect(outcome == .clipped)
    let decoded = try pipeline.decode(words: try ModularWords.words(values, bits: 24), bits: 24)
    #expect(abs(norm(decoded) - 2) < 0.01)
    for (value, expected) in zip(decoded, update) { #expect(abs(value - expected / 25) < 0.002) }
  }

  @Test func sumsModuloTheWidth() throws {
    var randomness = SeededRandomness(seed: 44)
    let pipeline = try pipeline(30, clip: 1, scaleExponent: 9)
    let noise = try NoiseShare(mechanism: .skellam, centralVariance: 100, cohort: cohort(10, minimum: 6))
    let updates = (0..<10).map { _ in randomness.vector(dimension: 30, norm: 0.9) }
    var total = [UInt32](repeating: 0, count: 32)
    for update in updates {
      let words = try pipeline.encode(update, adding: noise, using: &randomness).term.words(bits: 16)
      #expect(words.allSatisfy { $0 < 1 << 16 })
      for index in total.indices { total[index] = (total[index] &+ words[index]) & 0xffff }
    }
    let decoded = try pipeline.decode(words: total, bits: 16)
    for index in 0..<30 {
      // Ten shares of variance 20 and rounding: √202.5/512 = 0.028.
      #expect(abs(decoded[index] - updates.reduce(0) { $0 + $1[index] }) < 0.14)
    }
  }

  @Test func refusesPartsThatDoNotGoTogether() throws {
    var signs = SeededRandomness(seed: 1)
    let rotation = try Rotation(dimension: 20, signs: &signs)
    let encoding = try IntegerEncoding(dimension: 20, clip: 1, scaleExponent: 9, bias: .none)
    #expect(throws: MechanismError.dimensions(20, 32)) {
      try OrganizationContribution(encoding: encoding, rotation: rotation)
    }
    let pipeline = try pipeline(20, clip: 1, scaleExponent: 9)
    #expect(throws: MechanismError.shape(expected: 20, found: 32)) {
      try pipeline.integers(of: [Double](repeating: 0, count: 32), using: &signs)
    }
    #expect(throws: MechanismError.shape(expected: 32, found: 20)) {
      try pipeline.decode(words: [UInt32](repeating: 0, count: 20), bits: 16)
    }
  }

  @Test(arguments: [8, 17, 31, 32]) func wordsAreCentred(bits: Int) throws {
    let half = Int64(1) << Int64(bits - 1)
    let values = [0, 1, -1, half - 1, -half]
    #expect(try ModularWords.centred(ModularWords.words(values, bits: bits), bits: bits) == values)
    // Just beyond: it wraps to the other end.
    #expect(
      try ModularWords.centred(ModularWords.words([half, -half - 1], bits: bits), bits: bits) == [-half, half - 1])
    #expect(throws: MechanismError.parameter(.bits)) { try ModularWords.words(values, bits: 7) }
    #expect(throws: MechanismError.parameter(.bits)) { try ModularWords.centred([1], bits: 33) }
  }
}

extension OrganizationContribution {
  /// The sum of updates in real units, from the sum modulo 2^bits: noise included, right unless it wrapped.
  ///
  /// - Throws: ``MechanismError/shape(expected:found:)``; ``MechanismError/parameter(_:)`` for `bits` outside 8…32.
  func decode(words: [UInt32], bits: Int) throws(MechanismError) -> [Double] {
    guard words.count == encoding.dimension else {
      throw .shape(expected: encoding.dimension, found: words.count)
    }
    return try rotation.undo(encoding.real(try ModularWords.centred(words, bits: bits)))
  }
}
