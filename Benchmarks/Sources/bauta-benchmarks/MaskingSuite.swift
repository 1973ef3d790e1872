import Cryptography
import Foundation

@testable import SecureAggregation

/// Bytes of mask expanded and added per second, against the cipher alone.
struct MaskingSuite {
  let effort: Effort

  /// One row: k masks over d coordinates on so many cores.
  private struct Case: Hashable {
    let dimension: Int
    let masks: Int
    let cores: Int
  }

  private var dimensions: [Int] { effort.isQuick ? [100_000, 1_000_000] : [10_000, 100_000, 1_000_000, 10_000_000] }

  /// Hundred masks of forty megabytes take seconds and show nothing that a million coordinates do not.
  private func maskCounts(_ dimension: Int) -> [Int] { dimension > 1_000_000 ? [1, 10] : [1, 10, 100] }

  func run() throws -> SuiteResult {
    let comparisons = try expansion()
    var section = Section(
      title: "Masking per neighbour",
      notes: [
        "k masks, half of them added and half taken away, over d coordinates of 4 bytes: k · 4 · d bytes of mask "
          + "expanded and added per second, against bytes that `openssl speed` only encrypts."
      ],
      columns: ["d", "k", "cores", "GB/s", "ratio to AES-256-CTR"])
    var goals: [Goal] = []
    for item in cases {
      guard let comparison = comparisons[item] else { continue }
      section.rows.append(
        [Figure.dimension(item.dimension), "\(item.masks)", "\(item.cores)"] + comparison.cells)
      if item.dimension == 1_000_000, item.masks > 1 {
        goals.append(
          Goal(
            text: "masking at d = 10^6, k = \(item.masks), cores: \(item.cores): at least 0.8 of AES-256-CTR",
            figure: comparison.ratios.text(2), isMet: comparison.ratios.median >= 0.8))
      }
    }
    return SuiteResult(sections: [section, try maskedInput(), try seeds()], goals: goals)
  }

  private var coreCounts: [Int] { Machine.cores > 1 ? [1, Machine.cores] : [1] }

  private var cases: [Case] {
    coreCounts.flatMap { cores in
      dimensions.flatMap { dimension in
        maskCounts(dimension).map { Case(dimension: dimension, masks: $0, cores: cores) }
      }
    }
  }

  private func expansion() throws -> [Case: Comparison] {
    let masks = try Self.masks(100)
    var comparisons: [Case: Comparison] = [:]
    // The first repetition warms up.
    for repetition in 0...effort.repetitions {
      for dimension in dimensions {
        var accumulator = Accumulator(parameters: try Self.parameters(dimension: dimension, bits: 32))
        for cores in coreCounts {
          let reference = try CipherReference.bytesPerSecond(cores: cores)
          for count in maskCounts(dimension) {
            // As many of each sign.
            let chosen = Array(masks[((masks.count - count) / 2)...].prefix(count))
            let elapsed = try measure(forAtLeast: effort.seconds) {
              try accumulator.apply(chosen, lanes: Lanes(count: cores))
            }
            guard repetition > 0 else { continue }
            comparisons[Case(dimension: dimension, masks: count, cores: cores), default: Comparison()].add(
              rate: Double(count * 4 * dimension) / elapsed.seconds(cores: cores), reference: reference)
          }
        }
        keep(accumulator)
      }
    }
    return comparisons
  }

  /// All that makes a masked input of a term: masks, packing and the hash.
  private func maskedInput() throws -> Section {
    let dimension = 1_000_000
    var section = Section(
      title: "A masked input, whole",
      notes: [
        "Expands and adds k masks, packs to B bits and hashes, chunk by chunk; d = 10^6. Bytes are those of mask."
      ],
      columns: ["B", "k", "cores", "GB/s", "ratio to AES-256-CTR"])
    let masks = try Self.masks(100)
    for bits in [20, 32] {
      let parameters = try Self.parameters(dimension: dimension, bits: bits)
      for cores in coreCounts {
        for count in [10, 100] {
          let chosen = Array(masks[((masks.count - count) / 2)...].prefix(count))
          var comparison = Comparison()
          for _ in 0..<effort.repetitions {
            let reference = try CipherReference.bytesPerSecond(cores: cores)
            let elapsed = try measure(forAtLeast: effort.seconds) {
              keep(
                try MaskedInputWriter.write(
                  UniformTerm(tensorCount: dimension), masks: chosen, parameters: parameters,
                  lanes: Lanes(count: cores)
                ) { keep($0.count) })
            }
            comparison.add(
              rate: Double(count * 4 * dimension) / elapsed.seconds(cores: cores), reference: reference)
          }
          section.rows.append(["\(bits)", "\(count)", "\(cores)"] + comparison.cells)
        }
      }
    }
    return section
  }

  /// What a neighbour costs before the first byte of its mask.
  private func seeds() throws -> Section {
    var agreement = Samples()
    var opening = Samples()
    let mask = try Self.masks(1)[0]
    let secret = Scalar.random()
    let publicKey = try Scalar.random().timesBasePoint()
    let (owner, peer) = (try OrganizationName("a.example"), try OrganizationName("b.example"))
    for _ in 0..<effort.repetitions {
      agreement.add(
        try measure(forAtLeast: effort.seconds) {
          keep(
            try Mask.pairwise(
              secret: secret, publicKey: publicKey, addedBy: owner, with: peer,
              transcript: TranscriptDigest(hashing: [0]), generator: .aes256CTR))
        }.cpu)
      opening.add(try measure(forAtLeast: effort.seconds) { keep(try mask.stream(.tensor)) }.cpu)
    }
    return Section(
      title: "What a mask costs beside its bytes", columns: ["step", "time"],
      rows: [
        [
          "agree on a seed: one multiplication on ristretto255 and two HKDF, once a pair and attempt",
          Figure.time(agreement.median),
        ],
        ["open a stream of it: the key schedule", Figure.time(opening.median)],
      ])
  }

  /// Masks as the organisation in the middle of a cohort has them.
  static func masks(_ count: Int) throws -> [Mask] {
    func name(_ number: Int) throws -> OrganizationName { try OrganizationName("org-\(1000 + number).example") }
    let transcript = TranscriptDigest(hashing: [0])
    let owner = try name(count / 2)
    return try (0..<count).map { number in
      try Mask.pairwise(
        secret: Scalar.random(), publicKey: try Scalar.random().timesBasePoint(), addedBy: owner,
        with: try name(number < count / 2 ? number : number + 1), transcript: transcript, generator: .aes256CTR)
    }
  }

  static func parameters(dimension: Int, bits: Int) throws -> AggregationParameters {
    try AggregationParameters(
      tensorCount: dimension, bits: bits, clip: 1, rounding: .nearest, counters: [], weightCap: 1,
      generator: .aes256CTR, minimumCohort: 3, minimumHonest: 2, assumedCorrupt: 1)
  }
}

/// A term whose coordinates are all one, made when it is read: takes no memory, and its sum is the number of those in it.
struct UniformTerm: TermSource {
  let tensorCount: Int
  var counterCount: Int { 0 }

  func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
    UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]).update(repeating: 1)
  }

  func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {}
}
