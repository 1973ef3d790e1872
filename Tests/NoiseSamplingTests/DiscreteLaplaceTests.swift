import Foundation
import Testing

@testable import NoiseSampling

@Suite("Discrete Laplace")
struct DiscreteLaplaceTests {
  private static func sampler(_ numerator: UInt64, _ denominator: UInt64, tolerance: UInt64 = 0) throws
    -> DiscreteLaplace
  {
    let scale = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    return try #require(DiscreteLaplace(scale: scale, extraTolerance: tolerance))
  }

  @Test(
    "has the exact probabilities, and 3 % more are rejected",
    arguments: [(1, 3), (1, 1), (7, 2), (20, 1), (355, 113), ((1 << 20) + 1, 1 << 20)] as [(UInt64, UInt64)])
  func hasItsProbabilities(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 30)
    let samples = try Self.sampler(numerator, denominator).samples(count: 100_000, using: &generator)
    let scale = Double(numerator) / Double(denominator)
    let distribution = Distribution.discreteLaplace(scale: scale)
    #expect(Statistics.chiSquareScore(samples, distribution) < Statistics.chiSquareLimit)
    #expect(Statistics.chiSquareScore(samples, .discreteLaplace(scale: 1.03 * scale)) > Statistics.chiSquareLimit)
    let scores = Statistics.momentScores(
      samples, mean: 0, variance: distribution.variance, fourth: distribution.fourthMoment)
    for score in scores { #expect(abs(score) < Statistics.momentLimit) }
  }

  @Test(
    "has the distribution function of a Laplace variable for large scales",
    arguments: [(1_000_000, 1), (1 << 40, 1), ((1 << 60) - 1, 1 << 20)] as [(UInt64, UInt64)])
  func largeScales(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 31)
    let samples = try Self.sampler(numerator, denominator).samples(count: 100_000, using: &generator)
    let scale = Double(numerator) / Double(denominator)
    func cumulative(_ value: Int64, _ scale: Double) -> Double {
      let x = (Double(value) + 0.5) / scale
      return x < 0 ? exp(x) / 2 : 1 - exp(-x) / 2
    }
    #expect(Statistics.kolmogorovScore(samples) { cumulative($0, scale) } < Statistics.kolmogorovLimit)
    #expect(Statistics.kolmogorovScore(samples) { cumulative($0, 1.03 * scale) } > Statistics.kolmogorovLimit)
  }

  @Test("is zero for the smallest scale")
  func tinyScale() throws {
    var generator = try Keystream(seed: 32)
    #expect(try Self.sampler(1, 1 << 20).samples(count: 20_000, using: &generator).allSatisfy { $0 == 0 })
  }

  @Test(
    "gives the same samples with hardly any digits of its probabilities",
    arguments: [(1, 3), (1, 1), (7, 2), (1 << 40, 1), ((1 << 60) - 1, 1 << 20)] as [(UInt64, UInt64)])
  func coarseBoundsGiveTheSame(numerator: UInt64, denominator: UInt64) throws {
    var (fine, coarse) = (try Keystream(seed: 33), try Keystream(seed: 33))
    let samples = try Self.sampler(numerator, denominator).samples(count: 250, using: &fine)
    let blunt = try Self.sampler(numerator, denominator, tolerance: 1 << 60)
    #expect(blunt.samples(count: 250, using: &coarse) == samples)
    #expect(fine.wordCount == coarse.wordCount)
  }

  @Test("Geometric counts that the first digits leave open are resolved")
  func resolvesCounts() throws {
    let geometric = GeometricCount(extraTolerance: 0)
    let bounds = Exponential.bounds(numerator: Natural(3), denominator: Natural(1), fractionBits: 63)
    let power = try #require(bounds.lower.word)
    // e⁻³ itself has these 63 digits, so what follows decides between two and three.
    let (_, isUndecided) = geometric.count(digits: power)
    #expect(isUndecided)
    for (following, count) in [(0, 3), (UInt64.max, 2)] as [(UInt64, UInt64)] {
      var uniform = LazyUniform(digits: power, count: 63)
      var generator = ScriptedWords([following])
      #expect(GeometricCount.resolve(&uniform, using: &generator) == count)
    }
    #expect(geometric.count(digits: power + 1) == (2, false))
    #expect(geometric.count(digits: power - 1) == (3, false))
    // Beyond the table.
    #expect(geometric.count(digits: 0).isUndecided)
    var uniform = LazyUniform(digits: 0, count: 63)
    var generator = ScriptedWords([1 << 63])
    #expect(GeometricCount.resolve(&uniform, using: &generator) == 44)
  }
}
