import Cryptography

/// A term of the sum that is read in pieces, so that it need not be in memory whole.
///
/// Plaintext, and encoded once: every reading of a range gives the same integers. Several lanes may read at a time,
/// each another range.
public protocol TermSource: Sendable {
  var tensorCount: Int { get }
  var counterCount: Int { get }

  /// Writes the coordinates of `range`, as in ``EncodedTerm/tensors``, to the first words of the buffer; `range` lies
  /// in 0 ..< `tensorCount` and the buffer has as many words.
  func copyTensors(_ range: Range<Int>, into: UnsafeMutableBufferPointer<UInt32>)

  /// Writes the counters of `range`, as in ``EncodedTerm/counters``; otherwise as above.
  func copyCounters(_ range: Range<Int>, into: UnsafeMutableBufferPointer<UInt64>)
}

extension TermSource {
  /// Reads the term once, in order: coordinates of 4 bytes, then counters of 8, little-endian, as it is hashed and sealed.
  ///
  /// No piece has both. It lies in one space of locked memory, valid only during the call.
  package func forEachPiece<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    var memory = SecretBytes(count: 1 << 16)
    try memory.withUnsafeMutableBytes { (space) throws(E) in
      let (tensors, counters) = (space.bindMemory(to: UInt32.self), space.bindMemory(to: UInt64.self))
      try forEachRun(of: tensorCount, in: tensors, copy: copyTensors, body)
      try forEachRun(of: counterCount, in: counters, copy: copyCounters, body)
    }
  }

  private func forEachRun<Word: FixedWidthInteger, E: Error>(
    of count: Int, in space: UnsafeMutableBufferPointer<Word>,
    copy: (Range<Int>, UnsafeMutableBufferPointer<Word>) -> Void, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    let runs = WordRuns(wordCount: count, length: space.count)
    for index in 0..<runs.count {
      let words = UnsafeMutableBufferPointer(rebasing: space[..<runs[index].count])
      copy(runs[index], words)
      for position in words.indices { words[position] = words[position].littleEndian }
      try body(UnsafeRawBufferPointer(words))
    }
  }
}

extension EncodedTerm: TermSource {
  public var tensorCount: Int { tensors.count }
  public var counterCount: Int { counters.count }

  public func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
    _ = buffer.update(fromContentsOf: tensors[range])
  }

  public func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {
    _ = buffer.update(fromContentsOf: counters[range])
  }
}
