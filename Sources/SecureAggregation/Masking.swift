import Cryptography

/// Whether a mask is added to or taken from a vector.
enum MaskSign {
  case plus
  case minus

  var opposite: MaskSign {
    switch self {
    case .plus: .minus
    case .minus: .plus
    }
  }
}

/// Two keystreams of one mask and the sign with which it enters.
///
/// A class so that masks of many pairs can be kept in an array: the streams themselves cannot be copied.
final class Mask {
  var tensor: MaskStream
  var counter: MaskStream
  let sign: MaskSign

  private init(
    secret: borrowing SecretBytes, sign: MaskSign, generator: MaskGenerator, info: (String) -> [UInt8]
  ) throws(CryptographyError) {
    tensor = try Self.stream(secret, info: info("tensor"), generator: generator)
    counter = try Self.stream(secret, info: info("counter"), generator: generator)
    self.sign = sign
  }

  /// The mask of a pair as it enters the masked input of `owner`: HKDF of the Diffie-Hellman secret over
  /// (T1, lower, higher). The lower one in cohort order adds it, the higher one takes it away.
  ///
  /// Either of the pair's secrets with the other's public key gives it.
  static func pairwise(
    secret: borrowing Scalar, publicKey: GroupElement, addedBy owner: OrganizationName,
    with peer: OrganizationName, transcript: TranscriptDigest, generator: MaskGenerator
  ) throws(CryptographyError) -> Mask {
    let shared = try secret.sharedSecret(with: publicKey)
    return try Mask(secret: shared, sign: owner < peer ? .plus : .minus, generator: generator) { section in
      var encoder = CanonicalEncoder("bauta/v1/mask/\(section)")
      encoder.append(transcript)
      encoder.append(min(owner, peer))
      encoder.append(max(owner, peer))
      return encoder.finish()
    }
  }

  /// The self mask: HKDF of b over (T1, owner).
  static func own(
    secret: borrowing Scalar, owner: OrganizationName, transcript: TranscriptDigest, generator: MaskGenerator
  ) throws(CryptographyError) -> Mask {
    let bytes: SecretBytes = secret.withUnsafeBytes { buffer in SecretBytes.copying(buffer) }
    return try Mask(secret: bytes, sign: .plus, generator: generator) { section in
      var encoder = CanonicalEncoder("bauta/v1/mask/self/\(section)")
      encoder.append(transcript)
      encoder.append(owner)
      return encoder.finish()
    }
  }

  private static func stream(
    _ secret: borrowing SecretBytes, info: [UInt8], generator: MaskGenerator
  ) throws(CryptographyError) -> MaskStream {
    let seed = try MaskSeed(try deriveKey(from: secret, salt: [], info: info, count: 32))
    return try MaskStream(seed: seed, generator: generator)
  }
}

/// A vector of both sections to which masks and masked inputs are added: one for any number of organisations.
///
/// Words are kept mod 2^32 and 2^64 and reduced to `bits` when they are read: memory is O(dimension) however many
/// organisations take part.
struct Accumulator: Sendable {
  /// Bytes expanded of one mask before the next: the words under work stay in the first-level cache.
  static let blockByteCount = 4096

  private(set) var tensors: [UInt32]
  private(set) var counters: [UInt64]
  let bits: Int

  init(parameters: AggregationParameters) {
    tensors = [UInt32](repeating: 0, count: parameters.tensorCount)
    counters = [UInt64](repeating: 0, count: parameters.counterCount)
    bits = parameters.bits
  }

  init(_ term: EncodedTerm, bits: Int) {
    tensors = term.tensors
    counters = term.counters
    self.bits = bits
  }

  /// Adds every mask with its sign, or the opposite one to take it away again.
  ///
  /// Each mask must be fresh: its streams are read from the start. Blocks outside, masks inside.
  mutating func apply(_ masks: [Mask], removing: Bool = false, lanes: Lanes = .one) throws(CryptographyError) {
    var scratch = SecretBytes(count: Self.blockByteCount)
    try Self.apply(masks, to: &tensors, removing: removing, scratch: &scratch) {
      (mask, buffer) throws(CryptographyError) in try mask.tensor.fill(buffer)
    }
    try Self.apply(masks, to: &counters, removing: removing, scratch: &scratch) {
      (mask, buffer) throws(CryptographyError) in try mask.counter.fill(buffer)
    }
  }

  /// Adds a masked input whose length and padding were checked.
  mutating func add(packed bytes: [UInt8]) {
    let packedCount = BitPacking.byteCount(words: tensors.count, bits: bits)
    bytes.withUnsafeBytes { raw in
      BitPacking.addUnpacking(UnsafeRawBufferPointer(rebasing: raw[..<packedCount]), bits: bits, to: &tensors)
      for index in counters.indices {
        counters[index] &+= UInt64(
          littleEndian: raw.loadUnaligned(fromByteOffset: packedCount + 8 * index, as: UInt64.self))
      }
    }
  }

  /// Gives the memory back; the sum is gone.
  mutating func empty() {
    tensors = []
    counters = []
  }

  /// The bytes of a masked input: coordinates packed to `bits`, then the counters.
  func packed() -> [UInt8] { BitPacking.pack(tensors, bits: bits) + WordCoding.bytes(counters) }

  private static func apply<Word: FixedWidthInteger & UnsignedInteger>(
    _ masks: [Mask], to words: inout [Word], removing: Bool, scratch: inout SecretBytes,
    fill: (Mask, UnsafeMutableRawBufferPointer) throws(CryptographyError) -> Void
  ) throws(CryptographyError) {
    let size = MemoryLayout<Word>.size
    let blockCount = blockByteCount / size
    try words.withUnsafeMutableBufferPointer { (words) throws(CryptographyError) in
      try scratch.withUnsafeMutableBytes { (raw) throws(CryptographyError) in
        var start = 0
        while start < words.count {
          let count = min(blockCount, words.count - start)
          let block = UnsafeMutableBufferPointer(rebasing: words[start..<(start + count)])
          let keystream = UnsafeMutableRawBufferPointer(rebasing: raw[..<(count * size)])
          for mask in masks {
            try fill(mask, keystream)
            add(UnsafeRawBufferPointer(keystream), to: block, sign: removing ? mask.sign.opposite : mask.sign)
          }
          start += count
        }
      }
    }
  }

  @inline(__always)
  private static func add<Word: FixedWidthInteger & UnsignedInteger>(
    _ keystream: UnsafeRawBufferPointer, to block: UnsafeMutableBufferPointer<Word>, sign: MaskSign
  ) {
    let words = keystream.bindMemory(to: Word.self)
    switch sign {
    case .plus: for index in block.indices { block[index] &+= Word(littleEndian: words[index]) }
    case .minus: for index in block.indices { block[index] &-= Word(littleEndian: words[index]) }
    }
  }
}
