/// Adds one masked input to an accumulator as its bytes arrive, in order and in pieces of any length.
///
/// A piece may end inside a coordinate or a counter; what came of it waits here. Nothing is kept beside that. What
/// has been added stays added: a caller that may have to turn an input down checks its bytes first, or keeps them.
struct PackedAdder {
  /// Eight coordinates take whole bytes.
  private static let groupCount = 8

  private let tensorCount: Int
  private let counterCount: Int
  private let bits: Int
  /// Coordinates and counters added so far.
  private var added = 0
  /// The bits that came of the next one, lowest first.
  private var pending: UInt64 = 0
  private var pendingBits = 0
  /// False if unused bits are set or too many bytes came. Such bytes are not added.
  private(set) var isCanonical = true

  init(parameters: AggregationParameters) {
    self.init(
      tensorCount: parameters.tensorCount, counterCount: parameters.counterCount, bits: parameters.bits)
  }

  init(tensorCount: Int, counterCount: Int, bits: Int) {
    self.tensorCount = tensorCount
    self.counterCount = counterCount
    self.bits = bits
  }

  /// Whether every coordinate and counter was added; it says nothing about bytes that came after.
  var isComplete: Bool { added == tensorCount + counterCount }

  /// Adds the next bytes of the input to an accumulator of the same shape, always the same one.
  mutating func add(_ chunk: UnsafeRawBufferPointer, to accumulator: inout Accumulator) {
    precondition(
      accumulator.tensors.count == tensorCount && accumulator.counters.count == counterCount
        && accumulator.bits == bits, "the accumulator has another shape")
    accumulator.withUnsafeMutableWords { tensors, counters in
      var rest = chunk
      while !rest.isEmpty {
        let taken = addWhole(rest, to: tensors, counters)
        if taken > 0 {
          rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        } else {
          add(rest[0], to: tensors, counters)
          rest = UnsafeRawBufferPointer(rebasing: rest[1...])
        }
      }
    }
  }

  /// Adds as much as can be added in whole groups, and returns the number of bytes: zero unless at a border.
  private mutating func addWhole(
    _ bytes: UnsafeRawBufferPointer, to tensors: UnsafeMutableBufferPointer<UInt32>,
    _ counters: UnsafeMutableBufferPointer<UInt64>
  ) -> Int {
    guard pendingBits == 0 else { return 0 }
    if added < tensorCount {
      guard added % Self.groupCount == 0 else { return 0 }
      let groups = min(bytes.count / bits, (tensorCount - added) / Self.groupCount)
      let words = UnsafeMutableBufferPointer(rebasing: tensors[added...].prefix(groups * Self.groupCount))
      BitPacking.addUnpacking(UnsafeRawBufferPointer(rebasing: bytes[..<(groups * bits)]), bits: bits, to: words)
      added += words.count
      return groups * bits
    }
    let first = added - tensorCount
    let count = min(bytes.count / 8, counterCount - first)
    for index in 0..<count {
      counters[first + index] &+= UInt64(
        littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
    }
    added += count
    return 8 * count
  }

  /// Adds one byte, which may end a coordinate, begin the next, or both.
  private mutating func add(
    _ byte: UInt8, to tensors: UnsafeMutableBufferPointer<UInt32>, _ counters: UnsafeMutableBufferPointer<UInt64>
  ) {
    guard !isComplete else {
      isCanonical = false
      return
    }
    // Fewer bits than a word has are pending, and a counter's begin at a whole byte: 64 hold them.
    pending |= UInt64(byte) << UInt64(pendingBits)
    pendingBits += 8
    if added < tensorCount {
      guard pendingBits >= bits else { return }
      tensors[added] &+= UInt32(truncatingIfNeeded: pending) & EncodedTerm.wordMask(bits: bits)
      pending >>= UInt64(bits)
      pendingBits -= bits
      added += 1
      guard added == tensorCount else { return }
      // The counters begin at a new byte; what is left of this one must be zero.
      if pending != 0 { isCanonical = false }
    } else {
      guard pendingBits == 64 else { return }
      counters[added - tensorCount] &+= pending
      added += 1
    }
    pending = 0
    pendingBits = 0
  }
}
