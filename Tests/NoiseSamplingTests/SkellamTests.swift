import Foundation
import Testing

@testable import NoiseSampling

@Suite("Skellam")
struct SkellamTests {
  private static func samples(_ numerator: UInt64, _ denominator: UInt64, count: Int, seed: UInt8) throws -> [Int64] {
    var generator = try Keystream(seed: seed)
    let variance = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    return try #require(Skellam(variance: variance)).samples(count: count, using: &generator)
  }

  @Test(
    "has the exact probabilities",
    arguments: [(1, 100), (1, 2), (1, 1), (10, 1), (100, 1), (1401, 2), (20_000, 3)] as [(UInt64, UInt64)])
  func hasItsProbabilities(numerator: UInt64, denominator: UInt64) throws {
    let samples = try Self.samples(numerator, denominator, count: 100_000, seed: 50)
    let variance = Double(numerator) / Double(denominator)
    #expect(Statistics.chiSquareScore(samples, .skellam(variance: variance)) < Statistics.chiSquareLimit)
    let fourth = variance + 3 * variance * variance
    for score in Statistics.momentScores(samples, mean: 0, variance: variance, fourth: fourth) {
      #expect(abs(score) < Statistics.momentLimit)
    }
    let (negative, positive) = (samples.count { $0 < 0 }, samples.count { $0 > 0 })
    let score = Statistics.binomialScore(negative, of: negative + positive, probability: 0.5)
    #expect(abs(score) < Statistics.momentLimit)
  }

  @Test("The same statistic rejects what only resembles it")
  func rejectsTwins() throws {
    let samples = try Self.samples(2, 1, count: 300_000, seed: 51)
    for wrong in [Distribution.skellam(variance: 2.06), .skellam(variance: 1.94), .discreteGaussian(variance: 2)] {
      #expect(Statistics.chiSquareScore(samples, wrong) > 2 * Statistics.chiSquareLimit)
    }
    let wide = try Self.samples(10_000, 1, count: 100_000, seed: 52)
    let wrong = Statistics.momentScores(wide, mean: 0, variance: 10_300, fourth: 3 * 10_300 * 10_300)
    #expect(abs(wrong[1]) > Statistics.momentLimit)
  }

  @Test(
    "has the distribution function of a normal variable for huge variances",
    arguments: [(10_000_000_000, 1), (1 << 40, 1), ((1 << 60) - 1, 1 << 20)] as [(UInt64, UInt64)])
  func hugeVariances(numerator: UInt64, denominator: UInt64) throws {
    let samples = try Self.samples(numerator, denominator, count: 100_000, seed: 53)
    let deviation = (Double(numerator) / Double(denominator)).squareRoot()
    let score = Statistics.kolmogorovScore(samples) { Distribution.normal((Double($0) + 0.5) / deviation) }
    #expect(score < Statistics.kolmogorovLimit)
    let wrong = Statistics.kolmogorovScore(samples) { Distribution.normal((Double($0) + 0.5) / (1.03 * deviation)) }
    #expect(wrong > Statistics.kolmogorovLimit)
  }

  @Test("Five shares add up to the whole in distribution, and not to that of four")
  func sumsAreSkellam() throws {
    let parts = try (60..<65 as Range<UInt8>).map { try Self.samples(7, 3, count: 50_000, seed: $0) }
    let sums = parts[0].indices.map { index in parts.reduce(0) { $0 + $1[index] } }
    #expect(Statistics.chiSquareScore(sums, .skellam(variance: 35 / 3)) < Statistics.chiSquareLimit)
    #expect(Statistics.chiSquareScore(sums, .skellam(variance: 28 / 3)) > Statistics.chiSquareLimit)
  }

  @Test("gives the same samples with hardly any digits of its probabilities")
  func coarseBoundsGiveTheSame() throws {
    var (fine, coarse) = (try Keystream(seed: 54), try Keystream(seed: 54))
    let variance = try #require(PositiveRational(numerator: 2001, denominator: 2))
    let sampler = try #require(Skellam(variance: variance))
    let blunt = try #require(
      Skellam(variance: variance, tuning: PoissonTuning(tailBits: 46, extraTolerance: 1 << 61)))
    #expect(sampler.samples(count: 500, using: &fine) == blunt.samples(count: 500, using: &coarse))
    #expect(fine.wordCount == coarse.wordCount)
  }
}
