/// Coordinates of `bits` bits each, packed without gaps: coordinate k occupies the bits k·bits ..< (k + 1)·bits of
/// the little-endian bit string. Unused bits of the last byte are zero.
enum BitPacking {
  static func byteCount(words: Int, bits: Int) -> Int { (words * bits + 7) / 8 }

  /// The low `bits` bits of each word.
  static func pack(_ words: [UInt32], bits: Int) -> [UInt8] {
    let total = byteCount(words: words.count, bits: bits)
    let mask = UInt64(EncodedTerm.wordMask(bits: bits))
    return [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      var pending: UInt64 = 0
      var pendingBits = 0
      var offset = 0
      for word in words {
        // At most 31 bits are pending, so 63 fit.
        pending |= (UInt64(word) & mask) << UInt64(pendingBits)
        pendingBits += bits
        if pendingBits >= 32 {
          raw.storeBytes(of: UInt32(truncatingIfNeeded: pending).littleEndian, toByteOffset: offset, as: UInt32.self)
          offset += 4
          pending >>= 32
          pendingBits -= 32
        }
      }
      while offset < total {
        raw[offset] = UInt8(truncatingIfNeeded: pending)
        pending >>= 8
        offset += 1
      }
      count = total
    }
  }

  /// Whether the bits after the last coordinate are zero.
  static func unusedBitsAreZero(_ bytes: some Collection<UInt8>, words: Int, bits: Int) -> Bool {
    let used = (words * bits) % 8
    guard used != 0, let last = bytes.suffix(1).first else { return true }
    return last >> UInt8(used) == 0
  }

  /// Adds the packed coordinates to `words`, mod 2^32.
  static func addUnpacking(_ bytes: UnsafeRawBufferPointer, bits: Int, to words: inout [UInt32]) {
    precondition(bytes.count == byteCount(words: words.count, bits: bits))
    let mask = UInt64(EncodedTerm.wordMask(bits: bits))
    let wholeWords = bytes.count / 4 * 4
    words.withUnsafeMutableBufferPointer { words in
      var pending: UInt64 = 0
      var pendingBits = 0
      var offset = 0
      for index in words.indices {
        while pendingBits < bits {
          if offset < wholeWords {
            let next = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            pending |= UInt64(next) << UInt64(pendingBits)
            offset += 4
            pendingBits += 32
          } else {
            pending |= UInt64(bytes[offset]) << UInt64(pendingBits)
            offset += 1
            pendingBits += 8
          }
        }
        words[index] &+= UInt32(truncatingIfNeeded: pending & mask)
        pending >>= UInt64(bits)
        pendingBits -= bits
      }
    }
  }
}
