import Cryptography
import Foundation

/// AES-256-CTR under a fixed seed, which counts the words taken from it.
final class Keystream: RandomNumberGenerator {
  private(set) var wordCount = 0
  private var stream: MaskStream
  private let block = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: 512)
  private var position = 512

  init(seed: UInt8) throws {
    try initializeCryptography()
    var bytes = SecretBytes(count: MaskSeed.byteCount)
    bytes.withUnsafeMutableBytes { $0[0] = seed }
    stream = try MaskStream(seed: MaskSeed(bytes), generator: .aes256CTR)
  }

  deinit { block.deallocate() }

  func next() -> UInt64 {
    if position == block.count {
      do {
        try stream.fill(UnsafeMutableRawBufferPointer(block))
      } catch {
        preconditionFailure("the keystream of a test ended: \(error)")
      }
      position = 0
    }
    position += 1
    wordCount += 1
    return block[position - 1]
  }
}

/// Gives the words it was given, then ones.
struct ScriptedWords: RandomNumberGenerator {
  var words: [UInt64]
  private(set) var taken = 0

  init(_ words: [UInt64]) { self.words = words }

  mutating func next() -> UInt64 {
    defer { taken += 1 }
    return taken < words.count ? words[taken] : .max
  }
}

/// Tests of samples against exact probabilities. The seeds are fixed, so a test that passes always passes; the limits are
/// those that a correct sampler misses once in some ten thousand seeds.
enum Statistics {
  /// Standard deviations above the expectation, by the approximation of Wilson and Hilferty.
  static let chiSquareLimit = 3.7
  /// Of D √n.
  static let kolmogorovLimit = 2.2
  /// Standard deviations.
  static let momentLimit = 4.0

  /// Pearson's statistic over bins that expect at least ten and 1/400 of the samples, the outermost of which are open.
  static func chiSquareScore(_ samples: [Int64], _ distribution: Distribution) -> Double {
    var counts = [Int](repeating: 0, count: distribution.probabilities.count)
    for sample in samples {
      counts[Int(max(0, min(sample - distribution.first, Int64(counts.count - 1))))] += 1
    }
    let least = max(10, Double(samples.count) / 400)
    var bins: [(expected: Double, count: Int)] = [(0, 0)]
    for (probability, count) in zip(distribution.probabilities, counts) {
      if bins[bins.count - 1].expected >= least { bins.append((0, 0)) }
      bins[bins.count - 1].expected += probability * Double(samples.count)
      bins[bins.count - 1].count += count
    }
    if bins.count > 1, bins[bins.count - 1].expected < least {
      let last = bins.removeLast()
      bins[bins.count - 1].expected += last.expected
      bins[bins.count - 1].count += last.count
    }
    let freedom = Double(bins.count - 1)
    guard freedom > 0 else { return .nan }
    let statistic = bins.reduce(0) { $0 + pow(Double($1.count) - $1.expected, 2) / $1.expected }
    let spread = 2 / (9 * freedom)
    return (pow(statistic / freedom, 1 / 3) - (1 - spread)) / spread.squareRoot()
  }

  /// The largest distance of the two distribution functions, times √n.
  static func kolmogorovScore(_ samples: [Int64], _ cumulative: (Int64) -> Double) -> Double {
    let sorted = samples.sorted()
    let count = Double(sorted.count)
    var largest = 0.0
    var index = 0
    while index < sorted.count {
      let value = sorted[index]
      let before = Double(index) / count
      while index < sorted.count, sorted[index] == value { index += 1 }
      largest = max(
        largest, abs(cumulative(value) - Double(index) / count), abs(cumulative(value - 1) - before))
    }
    return largest * count.squareRoot()
  }

  /// Standard deviations between the mean of the samples and that of the distribution, and likewise for the mean of
  /// squared distances from the true mean, given the true fourth central moment.
  static func momentScores(_ samples: [Int64], mean: Double, variance: Double, fourth: Double) -> [Double] {
    let count = Double(samples.count)
    var (first, second) = (0.0, 0.0)
    for sample in samples {
      let distance = Double(sample) - mean
      first += distance
      second += distance * distance
    }
    return [
      first / count / (variance / count).squareRoot(),
      (second / count - variance) / ((fourth - variance * variance) / count).squareRoot(),
    ]
  }

  /// Standard deviations between a number of successes and its expectation.
  static func binomialScore(_ successes: Int, of count: Int, probability: Double) -> Double {
    (Double(successes) - Double(count) * probability)
      / (Double(count) * probability * (1 - probability)).squareRoot()
  }
}
