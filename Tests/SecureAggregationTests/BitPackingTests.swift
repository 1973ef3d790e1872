import Testing

@testable import SecureAggregation

@Suite("Packing at full width")
struct WidePackingTests {
  private static let counts = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000, 1001]

  @Test("Bytes are those of the bits one by one, in place or not; bits above the width are dropped", arguments: 8...32)
  func bitwise(bits: Int) {
    var generator = SeededGenerator(seed: UInt64(bits))
    for count in Self.counts {
      let words = (0..<count).map { _ in UInt32(truncatingIfNeeded: generator.next()) }
      let expected = MaskingSample.packedBitwise(words, bits: bits)
      #expect(BitPacking.pack(words, bits: bits) == expected)
      // What stands before and after the words must stay.
      var guarded = [UInt32.max, UInt32.max] + words + [UInt32.max, UInt32.max]
      let packed = guarded.withUnsafeMutableBufferPointer {
        Array(BitPacking.packInPlace(UnsafeMutableBufferPointer(rebasing: $0[2..<(2 + count)]), bits: bits))
      }
      #expect(packed == expected)
      #expect(guarded.prefix(2).allSatisfy { $0 == .max } && guarded.suffix(2).allSatisfy { $0 == .max })
    }
  }

  @Test("Unpacking adds mod 2^32, from bytes at any address", arguments: 8...32)
  func unpacking(bits: Int) {
    var generator = SeededGenerator(seed: UInt64(100 + bits))
    let mask = EncodedTerm.wordMask(bits: bits)
    for count in Self.counts {
      let words = (0..<count).map { _ in UInt32(truncatingIfNeeded: generator.next()) }
      let start = (0..<count).map { _ in UInt32(truncatingIfNeeded: generator.next()) }
      for offset in 0..<4 {
        let bytes = [UInt8](repeating: 0xff, count: offset) + MaskingSample.packedBitwise(words, bits: bits)
        var sum = start
        bytes.withUnsafeBytes {
          BitPacking.addUnpacking(UnsafeRawBufferPointer(rebasing: $0[offset...]), bits: bits, to: &sum)
        }
        #expect(sum == zip(start, words).map { $0 &+ ($1 & mask) })
      }
    }
  }
}

@Suite("Adding a packed input in pieces")
struct PackedAdderTests {
  private static let shapes = [(0, 1), (1, 0), (7, 2), (8, 0), (37, 4), (64, 3), (1001, 17), (4096, 100)]

  private func accumulate(
    _ bytes: [UInt8], _ parameters: AggregationParameters, pieces: () -> Int
  ) -> (accumulator: Accumulator, adder: PackedAdder) {
    var accumulator = Accumulator(parameters: parameters)
    var adder = PackedAdder(parameters: parameters)
    var start = 0
    while start < bytes.count {
      let end = min(start + pieces(), bytes.count)
      bytes.withUnsafeBytes { adder.add(UnsafeRawBufferPointer(rebasing: $0[start..<end]), to: &accumulator) }
      start = end
    }
    return (accumulator, adder)
  }

  @Test("Any division gives the same sum", arguments: 8...32)
  func division(bits: Int) throws {
    var generator = SeededGenerator(seed: UInt64(bits))
    for (tensors, counters) in Self.shapes {
      let parameters = try MaskingSample.parameters(tensors: tensors, counters: counters, bits: bits)
      let term = MaskingSample.term(parameters, seed: generator.next())
      let bytes = Accumulator(term, bits: bits).packed()
      for largest in [1, 2, 3, bits, 100, 5000, 100_000] {
        let (sum, adder) = accumulate(bytes, parameters) { Int.random(in: 1...largest, using: &generator) }
        #expect(sum.tensors == term.tensors && sum.counters == term.counters)
        #expect(adder.isComplete && adder.isCanonical)
      }
      var twice = Accumulator(term, bits: bits)
      twice.add(packed: bytes)
      #expect(twice.tensors == term.tensors.map { $0 &* 2 } && twice.counters == term.counters.map { $0 &* 2 })
    }
  }

  @Test("A missing byte leaves it incomplete, one too many is not canonical", arguments: [8, 9, 13, 16, 31, 32])
  func length(bits: Int) throws {
    for (tensors, counters) in Self.shapes {
      let parameters = try MaskingSample.parameters(tensors: tensors, counters: counters, bits: bits)
      let term = MaskingSample.term(parameters, seed: 5)
      let bytes = Accumulator(term, bits: bits).packed()
      for piece in [1, 7, 100_000] {
        let short = accumulate(bytes.dropLast(), parameters) { piece }
        #expect(!short.adder.isComplete && short.adder.isCanonical)
        let long = accumulate(bytes + [0], parameters) { piece }
        #expect(long.adder.isComplete && !long.adder.isCanonical)
        #expect(long.accumulator.tensors == term.tensors && long.accumulator.counters == term.counters)
      }
    }
  }

  @Test("Every unused bit must be zero", arguments: [(1, 9), (3, 10), (5, 31), (37, 20), (9, 13)])
  func unusedBits(tensors: Int, bits: Int) throws {
    let parameters = try MaskingSample.parameters(tensors: tensors, counters: 2, bits: bits)
    let bytes = Accumulator(MaskingSample.term(parameters, seed: 6), bits: bits).packed()
    let last = (tensors * bits + 7) / 8 - 1
    let used = tensors * bits % 8
    try #require(used != 0)
    for bit in 0..<8 {
      var altered = bytes
      altered[last] ^= 1 << UInt8(bit)
      for piece in [1, 3, 100_000] {
        let adder = accumulate(altered, parameters) { piece }.adder
        #expect(adder.isComplete && adder.isCanonical == (bit < used))
      }
    }
  }
}
