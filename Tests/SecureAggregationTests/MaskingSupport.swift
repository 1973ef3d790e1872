import Cryptography
import Testing

@testable import SecureAggregation

/// Masks and what they are worth, computed the slow and obvious way.
enum MaskingSample {
  /// A self mask and pairwise masks of both signs.
  static func masks(_ count: Int, generator: MaskGenerator) throws -> [Mask] {
    let transcript = TranscriptDigest(hashing: Array("T".utf8))
    let owner = try organization(count / 2)
    let secret = Scalar(small: 77)
    return try (0..<count).map { index in
      if index == count / 2 {
        return try Mask.own(secret: secret, owner: owner, transcript: transcript, generator: generator)
      }
      return try Mask.pairwise(
        secret: secret, publicKey: try Scalar(small: UInt32(1000 + index)).timesBasePoint(), addedBy: owner,
        with: organization(index), transcript: transcript, generator: generator)
    }
  }

  /// The first words of a keystream, read in one piece.
  static func keystream<Word: FixedWidthInteger>(_ mask: Mask, _ section: MaskSection, count: Int) throws -> [Word] {
    var words = [Word](repeating: 0, count: count)
    var stream = try mask.stream(section)
    try words.withUnsafeMutableBytes { try stream.fill($0) }
    return words.map { Word(littleEndian: $0) }
  }

  /// All masks with their signs.
  static func sum<Word: FixedWidthInteger>(_ masks: [Mask], _ section: MaskSection, count: Int) throws -> [Word] {
    var sum = [Word](repeating: 0, count: count)
    for mask in masks {
      let words: [Word] = try keystream(mask, section, count: count)
      for index in 0..<count {
        switch mask.sign {
        case .plus: sum[index] &+= words[index]
        case .minus: sum[index] &-= words[index]
        }
      }
    }
    return sum
  }

  static func parameters(
    tensors: Int, counters: Int, bits: Int, generator: MaskGenerator = .aes256CTR
  ) throws -> AggregationParameters {
    var set = ParameterSet()
    set.tensorCount = tensors
    set.bits = bits
    set.generator = generator
    set.counters =
      counters == 0 ? [] : [CounterGroup(name: "c", count: counters, bound: 1 << 62, isSigned: true)]
    return try set.make()
  }

  /// A term of any integers that fit; whether they are within the bound does not matter to masking.
  static func term(_ parameters: AggregationParameters, seed: UInt64) -> EncodedTerm {
    var generator = SeededGenerator(seed: seed)
    let mask = EncodedTerm.wordMask(bits: parameters.bits)
    return EncodedTerm(
      tensors: (0..<parameters.tensorCount).map { _ in UInt32(truncatingIfNeeded: generator.next()) & mask },
      counters: (0..<parameters.counterCount).map { _ in generator.next() })
  }

  /// The bits of the coordinates one by one.
  static func packedBitwise(_ words: [UInt32], bits: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: (words.count * bits + 7) / 8)
    for (index, word) in words.enumerated() {
      for bit in 0..<bits where word >> UInt32(bit) & 1 == 1 {
        let place = index * bits + bit
        bytes[place / 8] |= 1 << UInt8(place % 8)
      }
    }
    return bytes
  }
}
