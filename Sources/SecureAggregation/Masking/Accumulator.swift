import Cryptography
import Synchronization

/// A vector of both sections to which masks and masked inputs are added: one for any number of organisations.
///
/// Words are kept mod 2^32 and 2^64 and reduced to `bits` when they are read: memory is O(dimension) however many
/// organisations take part.
struct Accumulator: Sendable {
  /// The most words that one of several lanes takes at a time: few enough for lanes to end together, and so many that
  /// making the streams takes a hundredth of the time.
  private static let runWordCount = 1 << 16
  /// Bytes of keystream below which another lane costs more than it saves.
  private static let leastLaneByteCount = 1 << 18

  private(set) var tensors: [UInt32]
  private(set) var counters: [UInt64]
  let bits: Int

  /// Zeros.
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

  /// Adds every mask with its sign, or the opposite one to take it away again. The result is the same for any lanes.
  ///
  /// - Throws: A failure of the cipher; the accumulator is not usable then.
  mutating func apply(_ masks: [Mask], removing: Bool = false, lanes: Lanes = .one) throws(CryptographyError) {
    guard !masks.isEmpty else { return }
    let byteCount = (4 * tensors.count + 8 * counters.count) * masks.count
    let lanes = Lanes(count: min(lanes.count, byteCount / Self.leastLaneByteCount))
    let failure = Mutex<CryptographyError?>(nil)
    tensors.withUnsafeMutableBufferPointer { tensors in
      counters.withUnsafeMutableBufferPointer { counters in
        // Every lane works on words that no other one touches.
        let (tensors, counters) = (tensors, counters)
        let tensorRuns = Self.runs(tensors.count, lanes: lanes)
        let counterRuns = Self.runs(counters.count, lanes: lanes)
        lanes.forEach(tensorRuns.count + counterRuns.count, state: KeystreamMemory.init) { index, scratch in
          guard failure.withLock({ $0 == nil }) else { return }
          do throws(CryptographyError) {
            try scratch.withUnsafeMutableBytes { (scratch) throws(CryptographyError) in
              if index < tensorRuns.count {
                let run = tensorRuns[index]
                try MaskExpansion.add(
                  masks, removing: removing, to: UnsafeMutableBufferPointer(rebasing: tensors[run]),
                  first: run.lowerBound, scratch: scratch)
              } else {
                let run = counterRuns[index - tensorRuns.count]
                try MaskExpansion.add(
                  masks, removing: removing, to: UnsafeMutableBufferPointer(rebasing: counters[run]),
                  first: run.lowerBound, scratch: scratch)
              }
            }
          } catch {
            failure.withLock { $0 = error }
          }
        }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Adds a masked input whose length and unused bits were checked.
  mutating func add(packed bytes: [UInt8]) {
    var adder = PackedAdder(tensorCount: tensors.count, counterCount: counters.count, bits: bits)
    bytes.withUnsafeBytes { adder.add($0, to: &self) }
  }

  /// Gives the memory back; the sum is gone.
  mutating func empty() {
    tensors = []
    counters = []
  }

  /// The bytes of a masked input: coordinates packed to `bits`, then the counters.
  func packed() -> [UInt8] { BitPacking.pack(tensors, bits: bits) + WordCoding.bytes(counters) }

  /// For ``PackedAdder``, which alone knows which bytes belong where.
  mutating func withUnsafeMutableWords(
    _ body: (UnsafeMutableBufferPointer<UInt32>, UnsafeMutableBufferPointer<UInt64>) -> Void
  ) {
    tensors.withUnsafeMutableBufferPointer { tensors in
      counters.withUnsafeMutableBufferPointer { counters in body(tensors, counters) }
    }
  }

  /// As many runs for each lane, of whole blocks: only the last one ends inside a block.
  private static func runs(_ wordCount: Int, lanes: Lanes) -> WordRuns {
    let blockWordCount = MaskExpansion.blockByteCount / 4
    var pieces = lanes.count
    if lanes.count > 1 { pieces *= max(1, (wordCount / lanes.count + runWordCount - 1) / runWordCount) }
    let blocks = (wordCount + pieces * blockWordCount - 1) / (pieces * blockWordCount)
    return WordRuns(wordCount: wordCount, length: max(blocks, 1) * blockWordCount)
  }
}
