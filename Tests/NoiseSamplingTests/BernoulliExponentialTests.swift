import Foundation
import Testing

@testable import NoiseSampling

@Suite("Bernoulli with an exponential probability")
struct BernoulliExponentialTests {
  @Test(
    "has the exact probability, and the same statistic rejects a tenth more in the exponent",
    arguments: [(1, 20), (1, 3), (1, 1), (5, 2), (7, 1), (12_345, 6_789)] as [(UInt64, UInt64)])
  func hasItsProbability(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 10)
    let sampler = try #require(BernoulliExponential(numerator: numerator, denominator: denominator))
    let count = 200_000
    let successes = sampler.samples(count: count, using: &generator).count { $0 }
    let probability = exp(-Double(numerator) / Double(denominator))
    #expect(abs(Statistics.binomialScore(successes, of: count, probability: probability)) < Statistics.momentLimit)
    let wrong = exp(-1.1 * Double(numerator) / Double(denominator))
    #expect(abs(Statistics.binomialScore(successes, of: count, probability: wrong)) > Statistics.momentLimit)
    #expect(generator.wordCount == count)
  }

  @Test("is certain for a zero exponent, and never happens for a huge one")
  func extremes() throws {
    var generator = try Keystream(seed: 11)
    let certain = try #require(BernoulliExponential(numerator: 0, denominator: .max))
    let never = try #require(BernoulliExponential(numerator: .max, denominator: 1))
    #expect(certain.samples(count: 1000, using: &generator).allSatisfy { $0 })
    #expect(never.samples(count: 1000, using: &generator).allSatisfy { !$0 })
    // Digits next to the limit.
    for digits in [.max, .max - 1] as [UInt64] {
      var script = ScriptedWords([digits])
      #expect(certain.sample(using: &script))
    }
    var script = ScriptedWords([0, 0, 0, 1])
    #expect(!never.sample(using: &script))
    #expect(script.taken == 4)
    #expect(BernoulliExponential(numerator: 1, denominator: 0) == nil)
  }

  @Test("decides the same with hardly any digits of the probability", arguments: [0, 1, 2, 3, 40] as [UInt64])
  func coarseBoundsGiveTheSame(numerator: UInt64) throws {
    var (fine, coarse) = (try Keystream(seed: 12), try Keystream(seed: 12))
    let sampler = try #require(BernoulliExponential(numerator: numerator, denominator: 3))
    // Two binary digits.
    let blunt = try #require(BernoulliExponential(numerator: numerator, denominator: 3, extraTolerance: 1 << 62))
    #expect(sampler.samples(count: 2000, using: &fine) == blunt.samples(count: 2000, using: &coarse))
    #expect(fine.wordCount == coarse.wordCount)
  }

  @Test("compares digits with the true probability down to the last")
  func comparesAllDigits() throws {
    let sampler = try #require(BernoulliExponential(numerator: 1, denominator: 1))
    let bounds = Exponential.bounds(numerator: Natural(1), denominator: Natural(1), fractionBits: 192)
    let digits = [128, 64, 0].map { shift in
      ((bounds.lower >> shift) - ((bounds.lower >> (shift + 64)) << 64)).word ?? 0
    }
    // The probability cut after 192 digits is below it; its last digits plus three are above.
    var below = ScriptedWords([digits[0], digits[1], digits[2] - 3])
    #expect(sampler.sample(using: &below) && below.taken == 3)
    var above = ScriptedWords([digits[0], digits[1], digits[2] + 3])
    #expect(!sampler.sample(using: &above) && above.taken == 3)
  }
}
