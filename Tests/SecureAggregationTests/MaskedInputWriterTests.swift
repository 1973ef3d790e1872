import Cryptography
import Synchronization
import Testing

@testable import SecureAggregation

@Suite("Writing a masked input in chunks")
struct MaskedInputWriterTests {
  private static let chunk = MaskedInputWriter.chunkByteCount / 4
  private static let lanes = [1, 2, 3, 7].map { Lanes(count: $0) }

  private func inMemory(
    _ term: EncodedTerm, _ masks: [Mask], _ parameters: AggregationParameters
  ) throws -> [UInt8] {
    var accumulator = Accumulator(term, bits: parameters.bits)
    try accumulator.apply(masks)
    return accumulator.packed()
  }

  private func expectSame(
    tensors: Int, counters: Int, bits: Int, generator: MaskGenerator = .aes256CTR, lanes: Lanes
  ) throws {
    let parameters = try MaskingSample.parameters(
      tensors: tensors, counters: counters, bits: bits, generator: generator)
    let term = MaskingSample.term(parameters, seed: UInt64(tensors + bits))
    let masks = try MaskingSample.masks(3, generator: generator)
    let expected = try inMemory(term, masks, parameters)
    var written: [UInt8] = []
    let hash = try MaskedInputWriter.write(term, masks: masks, parameters: parameters, lanes: lanes) {
      written.append(contentsOf: $0)
    }
    #expect(written == expected, "\(tensors) coordinates of \(bits) bits, \(counters) counters, \(lanes)")
    #expect(hash == Transcript.maskedInput(expected))
  }

  @Test("The bytes are those of the way in memory, for every width", arguments: 8...32)
  func widths(bits: Int) throws {
    for lanes in Self.lanes {
      try expectSame(tensors: 1037, counters: 5, bits: bits, lanes: lanes)
      try expectSame(tensors: Self.chunk + 13, counters: 1, bits: bits, lanes: lanes)
    }
  }

  @Test("Nor do borders of blocks and chunks show", arguments: lanes)
  func borders(lanes: Lanes) throws {
    for tensors in [0, 1, 7, 8, 1023, 1024, 1025, Self.chunk - 1, Self.chunk, Self.chunk + 1, 5 * Self.chunk + 3] {
      try expectSame(tensors: tensors, counters: 2, bits: 21, lanes: lanes)
    }
    for counters in [1, 511, 512, 513, Self.chunk / 2 - 1, Self.chunk / 2, Self.chunk / 2 + 1, 2 * Self.chunk + 1] {
      try expectSame(tensors: 9, counters: counters, bits: 13, lanes: lanes)
      try expectSame(tensors: 0, counters: counters, bits: 13, lanes: lanes)
    }
    try expectSame(tensors: 2 * Self.chunk, counters: 0, bits: 32, lanes: lanes)
  }

  @Test("With either generator", arguments: MaskGenerator.allCases, lanes)
  func generators(generator: MaskGenerator, lanes: Lanes) throws {
    try expectSame(tensors: 2 * Self.chunk + 77, counters: Self.chunk, bits: 24, generator: generator, lanes: lanes)
  }

  @Test("The hash is that of the canonical encoding, whatever the pieces")
  func hash() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: 7 * $0) }
    var encoder = CanonicalEncoder("bauta/v1/masked-input-bytes")
    encoder.append(bytes)
    var hasher = MaskedInputHasher(byteCount: bytes.count)
    for start in stride(from: 0, to: 1000, by: 300) {
      bytes[start..<min(start + 300, 1000)].withUnsafeBytes { hasher.update($0) }
    }
    let expected = MaskedInputHash(hashing: encoder.finish())
    #expect(hasher.finish() == expected)
    #expect(Transcript.maskedInput(bytes) == expected)
  }

  @Test("A term of another shape is refused before anything is written")
  func shape() throws {
    let parameters = try MaskingSample.parameters(tensors: 10, counters: 2, bits: 20)
    for (tensors, counters) in [(9, 2), (10, 3), (12, 0)] {
      let other = try MaskingSample.parameters(tensors: tensors, counters: counters, bits: 20)
      #expect(throws: AggregationError.misuse(.wrongTermShape(tensors: tensors, counters: counters))) {
        try MaskedInputWriter.write(
          MaskingSample.term(other, seed: 1), masks: [], parameters: parameters, lanes: .one
        ) { _ in Issue.record("the sink was called") }
      }
    }
  }

  private struct SinkIsFull: Error, Equatable {}

  @Test("A sink that fails is not called again, and its error comes out", arguments: lanes)
  func failingSink(lanes: Lanes) throws {
    let parameters = try MaskingSample.parameters(tensors: 9 * Self.chunk, counters: 10, bits: 8)
    let term = MaskingSample.term(parameters, seed: 2)
    for failing in [1, 2, 5, 10] {
      var calls = 0
      #expect(throws: SinkIsFull()) {
        try MaskedInputWriter.write(term, masks: [], parameters: parameters, lanes: lanes) { _ in
          calls += 1
          if calls == failing { throw SinkIsFull() }
        }
      }
      #expect(calls == failing)
    }
  }

  /// A source that counts what was read.
  private final class CountingSource: TermSource {
    let tensorCount: Int
    let counterCount: Int
    let read = Atomic<Int>(0)
    let largest = Atomic<Int>(0)

    init(tensorCount: Int, counterCount: Int) {
      self.tensorCount = tensorCount
      self.counterCount = counterCount
    }

    func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
      note(4 * range.count)
      buffer.update(repeating: 1)
    }

    func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {
      note(8 * range.count)
      buffer.update(repeating: 1)
    }

    private func note(_ byteCount: Int) {
      read.add(byteCount, ordering: .sequentiallyConsistent)
      largest.max(byteCount, ordering: .sequentiallyConsistent)
    }
  }

  @Test("Never more than a chunk a lane is under work", arguments: lanes)
  func boundedMemory(lanes: Lanes) throws {
    let source = CountingSource(tensorCount: 20 * Self.chunk, counterCount: 5 * Self.chunk)
    let parameters = try MaskingSample.parameters(
      tensors: source.tensorCount, counters: source.counterCount, bits: 32)
    var handedOn = 0
    _ = try MaskedInputWriter.write(source, masks: [], parameters: parameters, lanes: lanes) { bytes in
      // The chunk in hand counts as under work.
      let underWork = source.read.load(ordering: .sequentiallyConsistent) - handedOn
      #expect(underWork <= lanes.count * MaskedInputWriter.chunkByteCount)
      handedOn += bytes.count
    }
    #expect(handedOn == source.read.load(ordering: .relaxed))
    #expect(source.largest.load(ordering: .relaxed) == MaskedInputWriter.chunkByteCount)
  }
}
