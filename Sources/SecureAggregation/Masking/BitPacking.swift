/// Coordinates of `bits` bits each, packed without gaps: coordinate k occupies the bits k·bits ..< (k + 1)·bits of
/// the little-endian bit string. Unused bits of the last byte are zero.
///
/// `bits` is in 8…32. Bytes need no alignment. Widths of 8, 16 and 32 are plain copies; every other width shifts two
/// coordinates (above 28 bits, one) at a time through a 64-bit word.
enum BitPacking {
  static func byteCount(words: Int, bits: Int) -> Int { (words * bits + 7) / 8 }

  /// The low `bits` bits of each word.
  static func pack(_ words: [UInt32], bits: Int) -> [UInt8] {
    let total = byteCount(words: words.count, bits: bits)
    return [UInt8](unsafeUninitializedCapacity: total + overhang) { buffer, count in
      words.withUnsafeBytes { words in
        if let source = words.baseAddress, let destination = buffer.baseAddress {
          pack(source, count: words.count / 4, bits: bits, to: UnsafeMutableRawPointer(destination))
        }
      }
      count = total
    }
  }

  /// The low `bits` bits of each word, packed into the first bytes of the words' own memory.
  ///
  /// The rest of that memory is undefined after it. The result is valid as long as the memory is.
  static func packInPlace(_ words: UnsafeMutableBufferPointer<UInt32>, bits: Int) -> UnsafeRawBufferPointer {
    guard let start = words.baseAddress else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let raw = UnsafeMutableRawPointer(start)
    pack(raw, count: words.count, bits: bits, to: raw)
    return UnsafeRawBufferPointer(start: raw, count: byteCount(words: words.count, bits: bits))
  }

  /// Whether the bits after the last coordinate are zero.
  static func unusedBitsAreZero(_ bytes: some Collection<UInt8>, words: Int, bits: Int) -> Bool {
    let used = (words * bits) % 8
    guard used != 0, let last = bytes.suffix(1).first else { return true }
    return last >> UInt8(used) == 0
  }

  /// Adds the packed coordinates to `words`, mod 2^32.
  static func addUnpacking(_ bytes: UnsafeRawBufferPointer, bits: Int, to words: inout [UInt32]) {
    words.withUnsafeMutableBufferPointer { addUnpacking(bytes, bits: bits, to: $0) }
  }

  /// Adds the packed coordinates to `words`, mod 2^32; as many bytes as they pack to.
  static func addUnpacking(
    _ bytes: UnsafeRawBufferPointer, bits: Int, to words: UnsafeMutableBufferPointer<UInt32>
  ) {
    precondition(bytes.count == byteCount(words: words.count, bits: bits), "packed coordinates of another length")
    guard let sum = words.baseAddress, let packed = bytes.baseAddress else { return }
    switch bits {
    case 8:
      for index in 0..<words.count { sum[index] &+= UInt32(packed.load(fromByteOffset: index, as: UInt8.self)) }
    case 16:
      for index in 0..<words.count {
        let word = packed.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)
        sum[index] &+= UInt32(UInt16(littleEndian: word))
      }
    case 32:
      for index in 0..<words.count {
        sum[index] &+= UInt32(
          littleEndian: packed.loadUnaligned(fromByteOffset: 4 &* index, as: UInt32.self))
      }
    default:
      addUnpackingAnyWidth(bytes, bits: bits, to: words)
    }
  }

  /// Bytes that `pack` may write beyond the packed ones, unless they end the words' own memory.
  private static let overhang = 8

  /// Packs to the same memory or to another that has `overhang` bytes more than are needed.
  private static func pack(_ words: UnsafeRawPointer, count: Int, bits: Int, to bytes: UnsafeMutableRawPointer) {
    func word(_ index: Int) -> UInt32 { words.load(fromByteOffset: 4 * index, as: UInt32.self) }
    switch bits {
    case 8:
      for index in 0..<count {
        bytes.storeBytes(of: UInt8(truncatingIfNeeded: word(index)), toByteOffset: index, as: UInt8.self)
      }
    case 16:
      for index in 0..<count {
        bytes.storeBytes(
          of: UInt16(truncatingIfNeeded: word(index)).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
      }
    case 32:
      for index in 0..<count {
        bytes.storeBytes(of: word(index).littleEndian, toByteOffset: 4 * index, as: UInt32.self)
      }
    default:
      packAnyWidth(words, count: count, bits: bits, to: bytes)
    }
  }

  /// Every step stores more bytes than are complete, and the next overwrites the rest. In place this stays behind the
  /// words still to be read: two words end at byte 8·k + 8, and their step at ⌊2·k·bits/8⌋ + 8 at the latest.
  private static func packAnyWidth(
    _ words: UnsafeRawPointer, count: Int, bits: Int, to bytes: UnsafeMutableRawPointer
  ) {
    let width = UInt64(bits)
    let mask = UInt64(EncodedTerm.wordMask(bits: bits))
    func word(_ index: Int) -> UInt64 { UInt64(words.load(fromByteOffset: 4 * index, as: UInt32.self)) & mask }
    var pending: UInt64 = 0
    var pendingBits: UInt64 = 0
    var offset = 0
    var index = 0
    // With at most 7 bits pending, two coordinates of 28 bits make 63.
    let pairs = bits <= 28 ? count / 2 : 0
    while index < 2 * pairs {
      pending |= (word(index) | word(index + 1) &<< width) &<< pendingBits
      bytes.storeBytes(of: pending.littleEndian, toByteOffset: offset, as: UInt64.self)
      let filled = pendingBits &+ 2 &* width
      offset &+= Int(truncatingIfNeeded: filled &>> 3)
      pending &>>= filled & ~7
      pendingBits = filled & 7
      index &+= 2
    }
    while index < count {
      pending |= word(index) &<< pendingBits
      bytes.storeBytes(of: UInt32(truncatingIfNeeded: pending).littleEndian, toByteOffset: offset, as: UInt32.self)
      let filled = pendingBits &+ width
      offset &+= Int(truncatingIfNeeded: filled &>> 3)
      pending &>>= filled & ~7
      pendingBits = filled & 7
      index &+= 1
    }
    if pendingBits > 0 {
      bytes.storeBytes(of: UInt8(truncatingIfNeeded: pending), toByteOffset: offset, as: UInt8.self)
    }
  }

  /// Reads eight bytes from the one in which a coordinate begins, as long as there are eight.
  private static func addUnpackingAnyWidth(
    _ bytes: UnsafeRawBufferPointer, bits: Int, to words: UnsafeMutableBufferPointer<UInt32>
  ) {
    let mask = UInt64(EncodedTerm.wordMask(bits: bits))
    let whole = bytes.count >= 8 ? min(words.count, (8 * (bytes.count - 7) - 1) / bits + 1) : 0
    var bit = 0
    for index in 0..<whole {
      let group = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: bit &>> 3, as: UInt64.self))
      words[index] &+= UInt32(truncatingIfNeeded: (group &>> UInt64(truncatingIfNeeded: bit & 7)) & mask)
      bit &+= bits
    }
    for index in whole..<words.count {
      var group: UInt64 = 0
      for (place, byte) in bytes[(bit / 8)...].prefix(8).enumerated() { group |= UInt64(byte) << UInt64(8 * place) }
      words[index] &+= UInt32(truncatingIfNeeded: (group >> UInt64(bit % 8)) & mask)
      bit += bits
    }
  }
}
