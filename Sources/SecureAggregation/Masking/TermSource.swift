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
