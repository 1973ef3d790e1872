import Foundation
import Testing

@testable import NoiseSampling

@Suite("Discrete Gaussian")
struct DiscreteGaussianTests {
  private static func sampler(_ numerator: UInt64, _ denominator: UInt64, tolerance: UInt64 = 0) throws
    -> DiscreteGaussian
  {
    let variance = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    return try #require(DiscreteGaussian(variance: variance, extraTolerance: tolerance))
  }

  @Test(
    "has the exact probabilities",
    arguments: [(1, 10), (1, 2), (1, 1), (7, 3), (10, 1), (99, 1), (801, 2), (1_048_575, 1_048_576)]
      as [(UInt64, UInt64)])
  func hasItsProbabilities(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 20)
    let samples = try Self.sampler(numerator, denominator).samples(count: 100_000, using: &generator)
    let distribution = Distribution.discreteGaussian(variance: Double(numerator) / Double(denominator))
    #expect(Statistics.chiSquareScore(samples, distribution) < Statistics.chiSquareLimit)
    let scores = Statistics.momentScores(
      samples, mean: 0, variance: distribution.variance, fourth: distribution.fourthMoment)
    for score in scores { #expect(abs(score) < Statistics.momentLimit) }
    // Symmetric, zero aside.
    let (negative, positive) = (samples.count { $0 < 0 }, samples.count { $0 > 0 })
    let score = Statistics.binomialScore(negative, of: negative + positive, probability: 0.5)
    #expect(abs(score) < Statistics.momentLimit)
  }

  @Test("The same statistic rejects what only resembles it")
  func rejectsTwins() throws {
    var generator = try Keystream(seed: 21)
    let samples = try Self.sampler(1, 1).samples(count: 250_000, using: &generator)
    for wrong in [
      .roundedGaussian(variance: 1), .discreteGaussian(variance: 1.03), .discreteGaussian(variance: 0.97),
      .skellam(variance: 1), .discreteLaplace(scale: 0.5.squareRoot()),
    ] as [Distribution] {
      #expect(Statistics.chiSquareScore(samples, wrong) > 2 * Statistics.chiSquareLimit)
    }
    let wide = try Self.sampler(10_000, 1).samples(count: 100_000, using: &generator)
    let right = Distribution.discreteGaussian(variance: 10_000)
    let wrong = Distribution.discreteGaussian(variance: 10_300)
    #expect(Statistics.chiSquareScore(wide, right) < Statistics.chiSquareLimit)
    let scores = Statistics.momentScores(wide, mean: 0, variance: wrong.variance, fourth: wrong.fourthMoment)
    #expect(abs(scores[1]) > Statistics.momentLimit)
    #expect(Statistics.kolmogorovScore(wide.map { $0 + 2 }, right.cumulative) > Statistics.kolmogorovLimit)
  }

  @Test(
    "has the distribution function of a normal variable for large σ",
    arguments: [(1_000_000, 1), (10_000_000_000, 1), (1 << 40, 1), ((1 << 60) - 1, 1 << 20)] as [(UInt64, UInt64)])
  func largeVariances(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 22)
    let samples = try Self.sampler(numerator, denominator).samples(count: 100_000, using: &generator)
    let variance = Double(numerator) / Double(denominator)
    let deviation = variance.squareRoot()
    let score = Statistics.kolmogorovScore(samples) { Distribution.normal((Double($0) + 0.5) / deviation) }
    #expect(score < Statistics.kolmogorovLimit)
    let wrong = Statistics.kolmogorovScore(samples) { Distribution.normal((Double($0) + 0.5) / (1.03 * deviation)) }
    #expect(wrong > Statistics.kolmogorovLimit)
    for score in Statistics.momentScores(samples, mean: 0, variance: variance, fourth: 3 * variance * variance) {
      #expect(abs(score) < Statistics.momentLimit)
    }
    for multiple in [2.0, 3, 4] {
      let beyond = samples.count { abs(Double($0)) > multiple * deviation }
      let probability = 2 * Distribution.normal(-multiple)
      let score = Statistics.binomialScore(beyond, of: samples.count, probability: probability)
      #expect(abs(score) < Statistics.momentLimit)
    }
    // Every residue: nothing is rounded to a grid.
    #expect(abs(Statistics.binomialScore(samples.count { $0 & 1 == 0 }, of: samples.count, probability: 0.5)) < 4)
  }

  @Test("is nearly always zero for tiny σ², and ends even for the smallest")
  func tinyVariances() throws {
    var generator = try Keystream(seed: 23)
    #expect(try Self.sampler(1, 100).samples(count: 20_000, using: &generator).allSatisfy { $0 == 0 })
    #expect(try Self.sampler(1, 1 << 20).samples(count: 20_000, using: &generator).allSatisfy { $0 == 0 })
    // ±1 with e^(−1/(2σ²)), in 20,000 samples some 13 times.
    let rare = try Self.sampler(1, 16).samples(count: 20_000, using: &generator).count { $0 != 0 }
    #expect((1...40).contains(rare))
  }

  @Test(
    "gives the same samples with hardly any digits of its probabilities",
    arguments: [(1, 100), (1, 1), (7, 3), (10_000, 1), (1 << 40, 1), ((1 << 60) - 1, 1 << 20)]
      as [(UInt64, UInt64)])
  func coarseBoundsGiveTheSame(numerator: UInt64, denominator: UInt64) throws {
    var (fine, coarse) = (try Keystream(seed: 24), try Keystream(seed: 24))
    let samples = try Self.sampler(numerator, denominator).samples(count: 250, using: &fine)
    // Four binary digits: the exact comparison decides a quarter of the trials.
    let blunt = try Self.sampler(numerator, denominator, tolerance: 1 << 60)
    #expect(blunt.samples(count: 250, using: &coarse) == samples)
    #expect(fine.wordCount == coarse.wordCount)
  }
}
