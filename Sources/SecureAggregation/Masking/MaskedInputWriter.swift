import Cryptography
import Dispatch
import Synchronization

/// Masks, packs, hashes and hands on a term chunk by chunk.
///
/// Gives the bytes of ``Accumulator/packed()`` and the hash of ``Transcript/maskedInput(_:)`` without the vector or
/// the bytes ever being in memory whole: each lane has one chunk, and reads its next only after the last was handed
/// on.
struct MaskedInputWriter {
  /// Bytes of words in a chunk: 64 Ki coordinates or 32 Ki counters. Eight coordinates pack to whole bytes, and a
  /// seek needs a multiple of 64 bytes.
  static let chunkByteCount = 1 << 18

  /// Writes the masked input of a term.
  ///
  /// The lanes work on neighbouring chunks. Hash and sink get them in order and one at a time, but not always on the
  /// calling thread, while other lanes mask; all calls have returned when this does.
  ///
  /// - Parameters:
  ///   - source: The term in the shape of the parameters.
  ///   - masks: Of one attempt; each is read from its start.
  ///   - sink: Takes the next bytes; the pointer is valid only during the call. The division is unspecified.
  /// - Throws: ``AggregationError/misuse(_:)`` for another shape, before anything is written;
  ///   ``AggregationError/local(_:)`` if the cipher fails; what the sink throws. After a failure the sink is not
  ///   called again.
  static func write(
    _ source: some TermSource, masks: [Mask], parameters: AggregationParameters, lanes: Lanes,
    to sink: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> MaskedInputHash {
    guard source.tensorCount == parameters.tensorCount, source.counterCount == parameters.counterCount else {
      throw AggregationError.misuse(
        .wrongTermShape(tensors: source.tensorCount, counters: source.counterCount))
    }
    let chunks = Chunks(parameters: parameters)
    let turns = Turns(lanes: lanes)
    let failed = Atomic<Bool>(false)
    // Both are touched by the lane whose turn it is, and by nobody else.
    var hasher = MaskedInputHasher(byteCount: chunks.packedByteCount)
    var failure: (any Error)?
    let makeMemory = { LaneMemory(chunkByteCount: chunks.largestByteCount) }
    lanes.forEach(chunks.count, state: makeMemory) { index, memory in
      memory.withUnsafeMutableBytes { words, scratch in
        let result = Result { () throws(CryptographyError) in
          failed.load(ordering: .relaxed)
            ? UnsafeRawBufferPointer(rebasing: words[..<0])
            : try chunks.masked(index, of: source, masks: masks, words: words, scratch: scratch)
        }
        turns.take(index) {
          guard failure == nil else { return }
          do {
            let bytes = try result.mapError(AggregationError.local).get()
            hasher.update(bytes)
            try sink(bytes)
          } catch {
            failure = error
            failed.store(true, ordering: .relaxed)
          }
        }
      }
    }
    if let failure { throw failure }
    return hasher.finish()
  }
}

/// How a masked input is cut: chunks of coordinates, then chunks of counters.
private struct Chunks {
  private let tensors: WordRuns
  private let counters: WordRuns
  private let bits: Int

  init(parameters: AggregationParameters) {
    tensors = WordRuns(wordCount: parameters.tensorCount, length: MaskedInputWriter.chunkByteCount / 4)
    counters = WordRuns(wordCount: parameters.counterCount, length: MaskedInputWriter.chunkByteCount / 8)
    bits = parameters.bits
  }

  var count: Int { tensors.count + counters.count }

  var packedByteCount: Int {
    BitPacking.byteCount(words: tensors.wordCount, bits: bits) + 8 * counters.wordCount
  }

  /// Of the words of a chunk before they are packed.
  var largestByteCount: Int {
    max(4 * min(tensors.wordCount, tensors.length), 8 * min(counters.wordCount, counters.length))
  }

  /// Reads a chunk into `words`, masks it and packs it in place; the result lies in `words`.
  func masked(
    _ index: Int, of source: some TermSource, masks: [Mask], words: UnsafeMutableRawBufferPointer,
    scratch: UnsafeMutableRawBufferPointer
  ) throws(CryptographyError) -> UnsafeRawBufferPointer {
    if index < tensors.count {
      let run = tensors[index]
      let chunk = UnsafeMutableBufferPointer(rebasing: words.bindMemory(to: UInt32.self)[..<run.count])
      source.copyTensors(run, into: chunk)
      try MaskExpansion.add(masks, removing: false, to: chunk, first: run.lowerBound, scratch: scratch)
      return BitPacking.packInPlace(chunk, bits: bits)
    }
    let run = counters[index - tensors.count]
    let chunk = UnsafeMutableBufferPointer(rebasing: words.bindMemory(to: UInt64.self)[..<run.count])
    source.copyCounters(run, into: chunk)
    try MaskExpansion.add(masks, removing: false, to: chunk, first: run.lowerBound, scratch: scratch)
    for position in chunk.indices { chunk[position] = chunk[position].littleEndian }
    return UnsafeRawBufferPointer(chunk)
  }
}

/// What a lane works in: a chunk of the plain term, which masking turns into a public one, and keystreams.
private struct LaneMemory: ~Copyable {
  private var chunk: SecretBytes
  private var scratch = KeystreamMemory()

  init(chunkByteCount: Int) { chunk = SecretBytes(count: chunkByteCount) }

  mutating func withUnsafeMutableBytes(
    _ body: (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer) -> Void
  ) {
    chunk.withUnsafeMutableBytes { chunk in
      scratch.withUnsafeMutableBytes { scratch in body(chunk, scratch) }
    }
  }
}

/// Lets lanes do something one at a time in the order of their indices.
///
/// A lane takes an index only after its turn with the last one, so those under work are neighbours and at most as
/// many as there are lanes: none shares its gate with another.
private struct Turns {
  private let gates: [DispatchSemaphore]

  init(lanes: Lanes) {
    gates = (0..<lanes.count).map { _ in DispatchSemaphore(value: 0) }
    gates[0].signal()
  }

  /// Waits until all lower indices had their turn. Every index must take it.
  func take(_ index: Int, _ body: () -> Void) {
    gates[index % gates.count].wait()
    body()
    gates[(index + 1) % gates.count].signal()
  }
}
