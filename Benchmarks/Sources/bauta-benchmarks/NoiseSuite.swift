import Cryptography
import NoiseSampling

/// Drawing noise: samples a second of one core, and the bytes of randomness that one takes.
///
/// Both of ours draw from the keystream that masks come from. The reference is that keystream alone, at the bytes that the
/// samples took.
struct NoiseSuite {
  let effort: Effort

  /// σ in units of the integers; squared, since parameters are variances.
  private static let deviations: [UInt64] = [10, 100, 1000, 10_000, 100_000, 1 << 20]

  func run() throws -> SuiteResult {
    var section = Section(
      title: "Noise",
      notes: [
        "A vector of 10^6 coordinates, one core, processor time, with the set-up of the sampler. The share is the time that "
          + "AES-256-CTR by itself takes for the bytes, of that of the samples."
      ],
      columns: ["distribution", "σ", "10^6 samples", "samples/s", "bytes a sample", "share of the cipher"])
    var goals: [Goal] = []
    for deviation in Self.deviations {
      guard let variance = PositiveRational(deviation * deviation) else { continue }
      let gaussian = try measured { words in
        guard let sampler = DiscreteGaussian(variance: variance) else {
          throw BenchmarkError.noFigure(command: "noise")
        }
        keep(sampler.samples(count: Self.count, using: &words))
      }
      let skellam = try measured { words in
        guard let sampler = Skellam(variance: variance) else { throw BenchmarkError.noFigure(command: "noise") }
        keep(sampler.samples(count: Self.count, using: &words))
      }
      for (name, figures) in [("discrete Gaussian", gaussian), ("Skellam", skellam)] {
        section.rows.append([
          name, Figure.grouped(Int(deviation)), Figure.time(figures.seconds.median),
          Figure.decimals(Double(Self.count) / figures.seconds.median, 0), Figure.decimals(figures.bytes, 1),
          figures.shares.text(2),
        ])
        goals.append(
          Goal(
            text: "\(name), σ = \(Figure.grouped(Int(deviation))): at most 1 s for 10^6 coordinates on one core",
            figure: Figure.time(figures.seconds.median), isMet: figures.seconds.median <= 1))
      }
    }
    return SuiteResult(sections: [section], goals: goals)
  }

  private static let count = 1_000_000

  private struct Figures {
    var seconds = Samples()
    var shares = Samples()
    /// Of randomness, for one sample.
    var bytes = 0.0
  }

  private func measured(_ draw: (inout KeystreamWords) throws -> Void) throws -> Figures {
    var figures = Figures()
    for repetition in 0..<effort.repetitions {
      var words = try KeystreamWords(seed: UInt8(repetition))
      let drawing = try measure { try draw(&words) }
      let alone = try KeystreamWords(seed: UInt8(repetition))
      let cipher = measure { alone.skip(words.count) }
      keep(alone)
      figures.seconds.add(drawing.cpu)
      figures.shares.add(cipher.cpu / drawing.cpu)
      figures.bytes = Double(8 * words.count) / Double(Self.count)
    }
    return figures
  }
}

/// The words of a mask stream, in blocks of 4 KiB.
private final class KeystreamWords: RandomNumberGenerator {
  private(set) var count = 0
  private var stream: MaskStream
  private let block = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: 512)
  private var position = 512

  init(seed: UInt8) throws {
    var bytes = SecretBytes(count: MaskSeed.byteCount)
    bytes.withUnsafeMutableBytes { $0[0] = seed }
    stream = try MaskStream(seed: MaskSeed(bytes), generator: .aes256CTR)
  }

  deinit { block.deallocate() }

  func next() -> UInt64 {
    if position == block.count { refill() }
    position += 1
    count += 1
    return block[position - 1]
  }

  /// Generates so many words without looking at them.
  func skip(_ words: Int) {
    for _ in 0..<(words / block.count) { refill() }
  }

  private func refill() {
    do {
      try stream.fill(UnsafeMutableRawBufferPointer(block))
    } catch {
      preconditionFailure("the keystream of a benchmark ended: \(error)")
    }
    position = 0
  }
}
