import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Encoding of values")
struct EncodedTermTests {
  private func context(_ change: (inout ParameterSet) -> Void = { _ in }) throws -> AggregationContext {
    var parameters = ParameterSet()
    parameters.tensorCount = 6
    parameters.clip = 1
    parameters.bits = 8
    change(&parameters)
    return try Exchange(count: 3, parameters: parameters).context
  }

  @Test("Values are clipped, scaled and rounded to nearest, ties to even")
  func nearest() throws {
    let context = try context()
    // n = 3, B = 8: 127 / 3 = 42, so s = 32.
    #expect(context.scale == 32)
    let values: [Double] = [0, 1, -1, 5, -.infinity, 2.5 / 32]
    let (term, clipped) = try EncodedTerm.encode(values: values, counters: [5, -6, 0, 6], context: context)
    #expect(term.tensors == [0, 32, 256 - 32, 32, 256 - 32, 2])
    #expect(clipped == 2)
    #expect(term.counters == [5, UInt64(bitPattern: -6), 0, 6])
  }

  @Test("What cannot be encoded is refused")
  func refusals() throws {
    let context = try context()
    let counters: [Int64] = [0, 0, 0, 0]
    func encode(_ values: [Double], _ counters: [Int64]) throws {
      _ = try EncodedTerm.encode(values: values, counters: counters, context: context)
    }
    let zeros = [Double](repeating: 0, count: 6)
    #expect(throws: AggregationError.misuse(.wrongTermShape(tensors: 5, counters: 4))) {
      try encode(Array(zeros.dropLast()), counters)
    }
    #expect(throws: AggregationError.misuse(.wrongTermShape(tensors: 6, counters: 3))) { try encode(zeros, [0, 0, 0]) }
    #expect(throws: AggregationError.misuse(.valueIsNotANumber(index: 3))) {
      try encode([0, 0, 0, .nan, 0, 0], counters)
    }
    for (bad, group, index) in [
      ([-1, 0, 0, 0], "examples", 0), ([1_000_001, 0, 0, 0], "examples", 0),
      ([0, 0, 0, -(1 << 40) - 1], "drift", 2), ([0, .min, 0, 0], "drift", 0),
    ] as [([Int64], String, Int)] {
      #expect(throws: AggregationError.misuse(.counterOutOfBounds(group: group, index: index))) {
        try encode(zeros, bad)
      }
    }
    try encode(zeros, [1_000_000, -(1 << 40), 1 << 40, 0])
  }

  @Test("Stochastic rounding takes the two neighbours and is unbiased")
  func stochastic() throws {
    let count = 40_000
    let context = try context {
      $0.tensorCount = count
      $0.rounding = .stochastic
    }
    var generator = SeededGenerator(seed: 7)
    let (term, _) = try EncodedTerm.encode(
      values: [Double](repeating: -2.25 / 32, count: count), counters: [0, 0, 0, 0], context: context,
      randomness: &generator)
    #expect(Set(term.tensors).sorted() == [256 - 3, 256 - 2])
    let down = term.tensors.filter { $0 == 256 - 3 }.count
    // Mean 10,000, standard deviation 87: six of them.
    #expect(abs(down - 10_000) < 520)
    let exact = try EncodedTerm.encode(
      values: [Double](repeating: 2.0 / 32, count: count), counters: [0, 0, 0, 0], context: context)
    #expect(Set(exact.term.tensors) == [2])
  }

  @Test("A stored term comes back, and a damaged one does not", arguments: [8, 13, 32])
  func storage(bits: Int) throws {
    let context = try context { $0.bits = bits }
    var generator = SeededGenerator(seed: 3)
    let term = try Exchange.randomTerm(context, using: &generator)
    let bytes = term.encoded()
    #expect(try EncodedTerm(decoding: bytes, context: context) == term)
    for count in 0..<bytes.count {
      #expect(throws: AggregationError.misuse(.storedTermIsCorrupt)) {
        try EncodedTerm(decoding: Array(bytes.prefix(count)), context: context)
      }
    }
    #expect(throws: AggregationError.misuse(.storedTermIsCorrupt)) {
      try EncodedTerm(decoding: bytes + [0], context: context)
    }
    let outside = EncodedTerm(
      tensors: [UInt32(1) << UInt32(bits - 1)] + term.tensors.dropFirst(), counters: term.counters)
    #expect(throws: AggregationError.misuse(.storedTermIsCorrupt)) {
      try EncodedTerm(decoding: outside.encoded(), context: context)
    }
    let short = EncodedTerm(tensors: Array(term.tensors.dropLast()), counters: term.counters)
    #expect(throws: AggregationError.misuse(.storedTermIsCorrupt)) {
      try EncodedTerm(decoding: short.encoded(), context: context)
    }
  }

  @Test("A term is never printed")
  func redaction() throws {
    let term = EncodedTerm(tensors: [123_456], counters: [654_321])
    for text in ["\(term)", String(describing: term), String(reflecting: term)] {
      #expect(!text.contains("123456") && !text.contains("654321"))
    }
    #expect(Mirror(reflecting: term).children.isEmpty)
  }

  @Test("The largest terms of a whole cohort do not wrap", arguments: [8, 16, 32])
  func extremes(bits: Int) throws {
    var parameters = ParameterSet()
    parameters.bits = bits
    parameters.clip = 0.7
    let exchange = try Exchange(count: 5, parameters: parameters)
    for member in exchange.members {
      let values = (0..<37).map { $0.isMultiple(of: 2) ? 0.7 : -0.7 }
      member.term = try EncodedTerm.encode(
        values: values, counters: [1_000_000, 1 << 40, -(1 << 40), 0], context: exchange.context
      ).term
    }
    try exchange.advance(to: .completed)
    let sum = try #require(exchange.server.result)
    let largest = Double(5 * Int(exchange.members[0].term.tensors[0])) / exchange.context.scale
    #expect(sum.tensors == (0..<37).map { $0.isMultiple(of: 2) ? largest : -largest })
    #expect(sum.counters == [5_000_000, 5 << 40, -(5 << 40), 0])
  }

  @Test("Integers are summed modulo 2^bits, whatever their size", arguments: [8, 20, 32])
  func integers(bits: Int) throws {
    var parameters = ParameterSet()
    parameters.bits = bits
    parameters.encoding = .integers(scale: 16)
    let exchange = try Exchange(count: 5, parameters: parameters)
    let largest: Int64 = (1 << (bits - 1)) - 1
    for (index, member) in exchange.members.enumerated() {
      let integers = (0..<37).map { $0 == 0 ? largest : Int64(index) - Int64($0 % 20) }
      member.term = try EncodedTerm(integers: integers, counters: [7, -1, 2, 3], context: exchange.context)
      #expect(try EncodedTerm(decoding: member.term.encoded(), context: exchange.context) == member.term)
    }
    try exchange.advance(to: .completed)
    let sum = try #require(exchange.server.result)
    // 5 · (2^(bits − 1) − 1) wraps twice.
    #expect(sum.integers.first == largest - 4)
    let others = (1..<37).map { (place: Int) -> Int64 in 10 - 5 * Int64(place % 20) }
    #expect(Array(sum.integers.dropFirst()) == others)
    #expect(sum.tensors == sum.integers.map { Double($0) / 16 })
    #expect(sum.counters == [35, -5, 10, 15])
  }

  @Test("A term is of its context's encoding, and the context of its scale")
  func encodings() throws {
    let clipped = try context()
    let integers = try context { $0.encoding = .integers(scale: 16) }
    let other = try context { $0.encoding = .integers(scale: 32) }
    #expect(Set([clipped, integers, other].map(\.digest)).count == 3)
    let counters: [Int64] = [0, 0, 0, 0]
    #expect(throws: AggregationError.misuse(.otherEncoding)) {
      try EncodedTerm(integers: [Int64](repeating: 0, count: 6), counters: counters, context: clipped)
    }
    #expect(throws: AggregationError.misuse(.otherEncoding)) {
      try EncodedTerm.encode(values: [Double](repeating: 0, count: 6), counters: counters, context: integers)
    }
    #expect(throws: AggregationError.misuse(.wrongTermShape(tensors: 5, counters: 4))) {
      try EncodedTerm(integers: [Int64](repeating: 0, count: 5), counters: counters, context: integers)
    }
    #expect(throws: AggregationError.misuse(.counterOutOfBounds(group: "examples", index: 0))) {
      try EncodedTerm(integers: [Int64](repeating: 0, count: 6), counters: [-1, 0, 0, 0], context: integers)
    }
    for scale in [3, 0, -2, .nan, .infinity, 0x1p41] {
      #expect(throws: AggregationError.parameters(.outOfRange(.scale))) {
        try context { $0.encoding = .integers(scale: scale) }
      }
    }
  }
}

@Suite("Packing of coordinates")
struct BitPackingTests {
  @Test("Every width comes back", arguments: 8...32)
  func roundTrip(bits: Int) throws {
    var generator = SeededGenerator(seed: UInt64(bits))
    for count in [0, 1, 2, 3, 5, 8, 31, 64, 100] {
      let mask = EncodedTerm.wordMask(bits: bits)
      let words = (0..<count).map { _ in UInt32.random(in: 0...mask, using: &generator) }
      // Bits above the width are dropped.
      let bytes = BitPacking.pack(words.map { $0 | ~mask }, bits: bits)
      #expect(bytes.count == (count * bits + 7) / 8)
      #expect(BitPacking.unusedBitsAreZero(bytes, words: count, bits: bits))
      var sum = [UInt32](repeating: 1, count: count)
      bytes.withUnsafeBytes { BitPacking.addUnpacking($0, bits: bits, to: &sum) }
      #expect(sum == words.map { $0 &+ 1 })
    }
  }

  @Test("The layout is little-endian and without gaps")
  func layout() {
    #expect(BitPacking.pack([0x3ff, 0, 0x2aa], bits: 10) == [0xff, 0x03, 0xa0, 0x2a])
    #expect(BitPacking.pack([0x0102_0304, 0xffff_ffff], bits: 32) == [4, 3, 2, 1, 0xff, 0xff, 0xff, 0xff])
    #expect(BitPacking.pack([0x1ff], bits: 9) == [0xff, 0x01])
    #expect(!BitPacking.unusedBitsAreZero([0xff, 0x03], words: 1, bits: 9))
  }
}
