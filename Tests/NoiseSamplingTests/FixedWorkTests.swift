import Testing

@testable import NoiseSampling

/// What the documentation says of time: a trial takes the same words whatever comes of it, and how many trials there were
/// says nothing about the sample.
@Suite("The work of a sample does not depend on the sample")
struct FixedWorkTests {
  /// Standard deviations between the mean number of words for samples of a size below `least` and for
  /// the others.
  private static func score(count: Int, least: Int64, _ draw: () -> (size: Int64, words: Int)) -> Double {
    var (counts, sums, squares) = ([0.0, 0], [0.0, 0], [0.0, 0])
    for _ in 0..<count {
      let (size, words) = draw()
      let index = size >= least ? 1 : 0
      counts[index] += 1
      sums[index] += Double(words)
      squares[index] += Double(words * words)
    }
    let means = [sums[0] / counts[0], sums[1] / counts[1]]
    let variances = [0, 1].map { (squares[$0] / counts[$0] - means[$0] * means[$0]) / counts[$0] }
    return (means[1] - means[0]) / (variances[0] + variances[1]).squareRoot()
  }

  @Test("in words taken for a discrete Gaussian, a discrete Laplace and a Poisson variable")
  func wordsAreIndependent() throws {
    var generator = try Keystream(seed: 70)
    let parameter = try #require(PositiveRational(1000))
    let gaussian = try #require(DiscreteGaussian(variance: parameter))
    let laplace = try #require(DiscreteLaplace(scale: parameter))
    let poisson = try #require(Poisson(mean: parameter))
    func words(_ draw: () -> Int64) -> (Int64, Int) {
      let before = generator.wordCount
      let sample = draw()
      return (sample, generator.wordCount - before)
    }
    let scores = [
      Self.score(count: 50_000, least: 30) { words { abs(gaussian.sample(using: &generator)) } },
      Self.score(count: 50_000, least: 700) { words { abs(laplace.sample(using: &generator)) } },
      Self.score(count: 50_000, least: 30) {
        words { abs(Int64(poisson.sample(using: &generator)) - 1000) }
      },
    ]
    for score in scores { #expect(abs(score) < Statistics.momentLimit) }
  }

  @Test("The textbook's loop, a draw for each success, is told from it")
  func loopsAreNoticed() throws {
    var generator = try Keystream(seed: 71)
    let success = try #require(BernoulliExponential(numerator: 1, denominator: 1))
    let score = Self.score(count: 5000, least: 1) {
      let before = generator.wordCount
      var count: Int64 = 0
      while success.sample(using: &generator) { count += 1 }
      return (count, generator.wordCount - before)
    }
    #expect(score > 10 * Statistics.momentLimit)
  }

  @Test("Batches give what single draws give")
  func batches() throws {
    var (single, batch) = (try Keystream(seed: 72), try Keystream(seed: 72))
    let parameter = try #require(PositiveRational(numerator: 77, denominator: 5))
    let gaussian = try #require(DiscreteGaussian(variance: parameter))
    let skellam = try #require(Skellam(variance: parameter))
    #expect((0..<100).map { _ in gaussian.sample(using: &single) } == gaussian.samples(count: 100, using: &batch))
    #expect((0..<100).map { _ in skellam.sample(using: &single) } == skellam.samples(count: 100, using: &batch))
    var filled = [Int64](repeating: .min, count: 7)
    filled.withUnsafeMutableBufferPointer { skellam.fill($0, using: &batch) }
    #expect(filled == (0..<7).map { _ in skellam.sample(using: &single) })
    #expect(gaussian.samples(count: 0, using: &batch).isEmpty)
  }
}
