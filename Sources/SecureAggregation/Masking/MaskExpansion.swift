import Cryptography
import Synchronization

/// Expands masks and adds them to words: the loop in which both sides of the secure sum spend their time.
///
/// Words are cut into blocks that stay in the first-level cache. For each block all masks are expanded and added,
/// `groupCount` at a time so that the words are read and written once for several masks; then comes the next block.
/// Blocks of 2 KiB were measured to be slower by a twentieth, and 8 KiB no faster.
enum MaskExpansion {
  /// Bytes of a block, a multiple of ``Cryptography/MaskStream/seekAlignment``.
  static let blockByteCount = 4096
  /// Masks whose blocks are added together. Their keystreams, the block and the cipher's input fit into 32 KiB.
  static let groupCount = 4
  /// Cipher contexts that one lane keeps at a time.
  static let batchCount = 128

  /// Adds every mask with its sign, or the opposite one to take it away again, to the coordinates from `first` on.
  ///
  /// - Parameters:
  ///   - first: Index in its section of the first word; a multiple of 16.
  ///   - scratch: Of ``KeystreamMemory``.
  /// - Throws: A failure of the cipher; some of the masks are in some of the words then.
  static func add(
    _ masks: [Mask], removing: Bool, to words: UnsafeMutableBufferPointer<UInt32>, first: Int,
    scratch: UnsafeMutableRawBufferPointer
  ) throws(CryptographyError) {
    try add(masks, .tensor, removing: removing, to: words, first: first, scratch: scratch)
  }

  /// As above for counters; `first` is a multiple of 8.
  static func add(
    _ masks: [Mask], removing: Bool, to words: UnsafeMutableBufferPointer<UInt64>, first: Int,
    scratch: UnsafeMutableRawBufferPointer
  ) throws(CryptographyError) {
    try add(masks, .counter, removing: removing, to: words, first: first, scratch: scratch)
  }

  private static func add<Word: FixedWidthInteger & UnsignedInteger>(
    _ masks: [Mask], _ section: MaskSection, removing: Bool, to words: UnsafeMutableBufferPointer<Word>, first: Int,
    scratch: UnsafeMutableRawBufferPointer
  ) throws(CryptographyError) {
    let size = MemoryLayout<Word>.size
    let blocks = WordRuns(wordCount: words.count, length: blockByteCount / size)
    var start = 0
    while start < masks.count {
      let batch = masks[start..<min(start + batchCount, masks.count)]
      var keystreams = KeystreamBatch(capacity: batch.count)
      try keystreams.open(batch, section, removing: removing, fromByte: UInt64(first) * UInt64(size))
      for index in 0..<blocks.count {
        try keystreams.addNext(to: UnsafeMutableBufferPointer(rebasing: words[blocks[index]]), scratch: scratch)
      }
      start += batch.count
    }
  }
}

/// Running keystreams of some masks: first those that are added, then those that are taken away, so that most groups
/// are of one kind.
private struct KeystreamBatch: ~Copyable {
  private struct Keystream: ~Copyable {
    var stream: MaskStream
    let isTakenAway: Bool

    /// −k is (k ^ ~0) + 1: a keystream enters a sum as its words ^ `flip`, and ``correction`` is added once.
    func flip<Word: FixedWidthInteger>() -> Word { isTakenAway ? ~0 : 0 }
    func correction<Word: FixedWidthInteger>() -> Word { isTakenAway ? 1 : 0 }
  }

  private let keystreams: UnsafeMutableBufferPointer<Keystream>
  private var count = 0

  init(capacity: Int) { keystreams = .allocate(capacity: capacity) }

  deinit {
    keystreams.extracting(0..<count).deinitialize()
    keystreams.deallocate()
  }

  /// Fills the batch; at most its capacity.
  mutating func open(
    _ masks: ArraySlice<Mask>, _ section: MaskSection, removing: Bool, fromByte byte: UInt64
  ) throws(CryptographyError) {
    for sign in [MaskSign.plus, .minus] {
      for mask in masks where (removing ? mask.sign.opposite : mask.sign) == sign {
        let stream = try mask.stream(section, fromByte: byte)
        keystreams.initializeElement(at: count, to: Keystream(stream: stream, isTakenAway: sign == .minus))
        count += 1
      }
    }
  }

  /// Moves every keystream on by the bytes of the block: groups of four, and two and one for the rest.
  @inline(__always)
  mutating func addNext<Word: FixedWidthInteger & UnsignedInteger>(
    to block: UnsafeMutableBufferPointer<Word>, scratch: UnsafeMutableRawBufferPointer
  ) throws(CryptographyError) {
    let byteCount = block.count * MemoryLayout<Word>.size
    var first = 0
    while first < count {
      let width = count - first >= MaskExpansion.groupCount ? MaskExpansion.groupCount : count - first >= 2 ? 2 : 1
      for slot in 0..<width {
        let start = slot * MaskExpansion.blockByteCount
        try keystreams[first + slot].stream.fill(
          UnsafeMutableRawBufferPointer(rebasing: scratch[start..<(start + byteCount)]))
      }
      let words = scratch.bindMemory(to: Word.self)
      if width == MaskExpansion.groupCount {
        addFour(first, words, to: block)
      } else if width == 2 {
        addTwo(first, words, to: block)
      } else {
        addOne(first, words, to: block)
      }
      first += width
    }
  }

  // The compiler turns the loops below into vector instructions.

  @inline(__always)
  private func addOne<Word: FixedWidthInteger & UnsignedInteger>(
    _ first: Int, _ words: UnsafeMutableBufferPointer<Word>, to block: UnsafeMutableBufferPointer<Word>
  ) {
    let flip: Word = keystreams[first].flip()
    let correction: Word = keystreams[first].correction()
    for index in block.indices { block[index] &+= (Word(littleEndian: words[index]) ^ flip) &+ correction }
  }

  @inline(__always)
  private func addTwo<Word: FixedWidthInteger & UnsignedInteger>(
    _ first: Int, _ words: UnsafeMutableBufferPointer<Word>, to block: UnsafeMutableBufferPointer<Word>
  ) {
    let stride = MaskExpansion.blockByteCount / MemoryLayout<Word>.size
    let (flip0, flip1): (Word, Word) = (keystreams[first].flip(), keystreams[first + 1].flip())
    let correction: Word = keystreams[first].correction() &+ keystreams[first + 1].correction()
    for index in block.indices {
      let sum =
        (Word(littleEndian: words[index]) ^ flip0) &+ (Word(littleEndian: words[index + stride]) ^ flip1)
      block[index] &+= sum &+ correction
    }
  }

  @inline(__always)
  private func addFour<Word: FixedWidthInteger & UnsignedInteger>(
    _ first: Int, _ words: UnsafeMutableBufferPointer<Word>, to block: UnsafeMutableBufferPointer<Word>
  ) {
    let stride = MaskExpansion.blockByteCount / MemoryLayout<Word>.size
    let (flip0, flip1): (Word, Word) = (keystreams[first].flip(), keystreams[first + 1].flip())
    let (flip2, flip3): (Word, Word) = (keystreams[first + 2].flip(), keystreams[first + 3].flip())
    if flip0 == flip3 {
      // All have the same sign; a − k is (a ^ ~0) + k, complemented again.
      for index in block.indices {
        let low = Word(littleEndian: words[index]) &+ Word(littleEndian: words[index + stride])
        let high = Word(littleEndian: words[index + 2 * stride]) &+ Word(littleEndian: words[index + 3 * stride])
        block[index] = ((block[index] ^ flip0) &+ low &+ high) ^ flip0
      }
      return
    }
    var correction: Word = 0
    for slot in 0..<4 { correction &+= keystreams[first + slot].correction() }
    for index in block.indices {
      let low = (Word(littleEndian: words[index]) ^ flip0) &+ (Word(littleEndian: words[index + stride]) ^ flip1)
      let high =
        (Word(littleEndian: words[index + 2 * stride]) ^ flip2)
        &+ (Word(littleEndian: words[index + 3 * stride]) ^ flip3)
      block[index] &+= low &+ high &+ correction
    }
  }
}

/// Room for the keystreams of a group, for one lane.
///
/// To get guarded memory takes longer than to expand a short mask, so it is kept for the next lane that asks, zeroed:
/// as many pieces as there were lanes at a time.
struct KeystreamMemory: ~Copyable {
  private static let free = Mutex<[Piece]>([])
  private let piece: Piece

  init() { piece = Self.free.withLock { $0.popLast() } ?? Piece() }

  deinit {
    piece.bytes.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0) }
    let piece = piece
    Self.free.withLock { $0.append(piece) }
  }

  mutating func withUnsafeMutableBytes<E: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    try piece.bytes.withUnsafeMutableBytes(body)
  }

  // Unchecked: a piece is in the list exactly while nobody uses it, and the lock hands it to one owner.
  private final class Piece: @unchecked Sendable {
    var bytes = SecretBytes(count: MaskExpansion.groupCount * MaskExpansion.blockByteCount)
  }
}
