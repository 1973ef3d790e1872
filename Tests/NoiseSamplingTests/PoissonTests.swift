import Foundation
import Testing

@testable import NoiseSampling

@Suite("Poisson")
struct PoissonTests {
  /// Blocks that end where the probability has fallen to an eighth, so that one proposal in five is in a tail.
  private static let shortBlocks = PoissonTuning(tailBits: 3, extraTolerance: 0)

  private static func sampler(_ numerator: UInt64, _ denominator: UInt64, tuning: PoissonTuning = .standard) throws
    -> Poisson
  {
    let mean = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    return try #require(Poisson(mean: mean, tuning: tuning))
  }

  @Test(
    "has the exact probabilities, in blocks of one value and in wider ones",
    arguments: [
      (1, 200), (1, 2), (1, 1), (5, 1), (505, 10), (2559, 10), (256, 1), (1025, 4), (1000, 1), (50_003, 10),
      (1_000_000, 7),
    ] as [(UInt64, UInt64)])
  func hasItsProbabilities(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 40)
    let sampler = try Self.sampler(numerator, denominator)
    let samples = sampler.samples(count: 100_000, using: &generator).map { Int64($0) }
    let mean = Double(numerator) / Double(denominator)
    #expect(Statistics.chiSquareScore(samples, .poisson(mean: mean)) < Statistics.chiSquareLimit)
    let scores = Statistics.momentScores(samples, mean: mean, variance: mean, fourth: mean * (1 + 3 * mean))
    for score in scores { #expect(abs(score) < Statistics.momentLimit) }
  }

  @Test("The same statistic rejects what only resembles it")
  func rejectsTwins() throws {
    var generator = try Keystream(seed: 41)
    let samples = try Self.sampler(50, 1).samples(count: 100_000, using: &generator).map { Int64($0) }
    let gaussian = Distribution.roundedGaussian(variance: 50)
    for wrong in [Distribution.poisson(mean: 50.4), .poisson(mean: 49.6)] {
      #expect(Statistics.chiSquareScore(samples, wrong) > 2 * Statistics.chiSquareLimit)
    }
    #expect(Statistics.chiSquareScore(samples.map { $0 - 50 }, gaussian) > 2 * Statistics.chiSquareLimit)
    let large = try Self.sampler(1_000_000, 1).samples(count: 100_000, using: &generator).map { Int64($0) }
    let deviant = large.map { 1_000_000 + Int64(Double($0 - 1_000_000) * 1.03) }
    let cumulative = Distribution.poisson(mean: 1_000_000).cumulative
    #expect(Statistics.kolmogorovScore(large, cumulative) < Statistics.kolmogorovLimit)
    #expect(Statistics.kolmogorovScore(deviant, cumulative) > Statistics.kolmogorovLimit)
  }

  @Test(
    "has the distribution function of a normal variable for huge means",
    arguments: [(10_000_000_000, 1), (1 << 40, 1), ((1 << 60) - 1, 1 << 21)] as [(UInt64, UInt64)])
  func hugeMeans(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 42)
    let samples = try Self.sampler(numerator, denominator).samples(count: 100_000, using: &generator)
    let mean = Double(numerator) / Double(denominator)
    let centered = samples.map { Int64($0) - Int64(numerator / denominator) }
    let shift = mean - Double(numerator / denominator)
    let score = Statistics.kolmogorovScore(centered) {
      Distribution.normal((Double($0) + 0.5 - shift) / mean.squareRoot())
    }
    #expect(score < Statistics.kolmogorovLimit)
    for score in Statistics.momentScores(centered, mean: shift, variance: mean, fourth: 3 * mean * mean) {
      #expect(abs(score) < Statistics.momentLimit)
    }
    #expect(abs(Statistics.binomialScore(samples.count { $0 & 1 == 0 }, of: samples.count, probability: 0.5)) < 4)
  }

  @Test(
    "has the same probabilities where its tails begin early",
    arguments: [(1, 2), (5, 1), (505, 10), (256, 1), (1000, 1)] as [(UInt64, UInt64)])
  func tailsAreExact(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 43)
    let sampler = try Self.sampler(numerator, denominator, tuning: Self.shortBlocks)
    let samples = sampler.samples(count: 20_000, using: &generator).map { Int64($0) }
    let mean = Double(numerator) / Double(denominator)
    #expect(Statistics.chiSquareScore(samples, .poisson(mean: mean)) < Statistics.chiSquareLimit)
    #expect(Statistics.chiSquareScore(samples, .poisson(mean: 1.05 * mean)) > Statistics.chiSquareLimit)
    // Proposals in a tail take more than two words.
    #expect(generator.wordCount > 41_000)
  }

  @Test(
    "gives the same samples with hardly any digits of its probabilities",
    arguments: [(1, 200), (1, 1), (505, 10), (256, 1), (100_003, 10)] as [(UInt64, UInt64)])
  func coarseBoundsGiveTheSame(numerator: UInt64, denominator: UInt64) throws {
    var (fine, coarse) = (try Keystream(seed: 44), try Keystream(seed: 44))
    let samples = try Self.sampler(numerator, denominator).samples(count: 1000, using: &fine)
    let tuning = PoissonTuning(tailBits: PoissonTuning.standard.tailBits, extraTolerance: 1 << 61)
    #expect(try Self.sampler(numerator, denominator, tuning: tuning).samples(count: 1000, using: &coarse) == samples)
    #expect(fine.wordCount == coarse.wordCount)
  }
}
