import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Masking")
struct MaskingTests {
  private func transcript(_ text: String) -> TranscriptDigest { TranscriptDigest(hashing: Array(text.utf8)) }

  private func parameters(_ change: (inout ParameterSet) -> Void = { _ in }) throws -> AggregationParameters {
    var set = ParameterSet()
    change(&set)
    return try set.make()
  }

  private func expanded(_ masks: [Mask], _ parameters: AggregationParameters) throws -> [UInt8] {
    var accumulator = Accumulator(parameters: parameters)
    try accumulator.apply(masks)
    return accumulator.packed()
  }

  private func pairwise(
    _ secret: UInt32, _ publicKey: UInt32, _ owner: Int, _ peer: Int, _ text: String = "T"
  ) throws -> Mask {
    try Mask.pairwise(
      secret: Scalar(small: secret), publicKey: try Scalar(small: publicKey).timesBasePoint(),
      addedBy: organization(owner), with: organization(peer), transcript: transcript(text), generator: .aes256CTR)
  }

  @Test("The masks of a pair cancel, whoever computes them", arguments: MaskGenerator.allCases)
  func cancellation(generator: MaskGenerator) throws {
    let parameters = try parameters {
      $0.tensorCount = 5000
      $0.generator = generator
    }
    func mask(_ secret: UInt32, _ publicKey: UInt32, _ owner: Int, _ peer: Int) throws -> Mask {
      try Mask.pairwise(
        secret: Scalar(small: secret), publicKey: try Scalar(small: publicKey).timesBasePoint(),
        addedBy: organization(owner), with: organization(peer), transcript: transcript("T"), generator: generator)
    }
    let zero = [UInt8](repeating: 0, count: try expanded([], parameters).count)
    #expect(try expanded([mask(7, 11, 0, 1), mask(11, 7, 1, 0)], parameters) == zero)
    #expect(try expanded([mask(7, 11, 0, 1)], parameters) != zero)
    // The secret of either side recovers the mask of the other's input.
    #expect(try expanded([mask(7, 11, 1, 0)], parameters) == expanded([mask(11, 7, 1, 0)], parameters))
  }

  @Test("A mask depends on the secret, the pair and the transcript")
  func separation() throws {
    let parameters = try parameters()
    let inputs: [Mask] = [
      try pairwise(7, 11, 0, 1), try pairwise(7, 13, 0, 1), try pairwise(7, 11, 0, 2), try pairwise(7, 11, 1, 2),
      try pairwise(7, 11, 0, 1, "U"),
      try Mask.own(
        secret: Scalar(small: 7), owner: organization(0), transcript: transcript("T"), generator: .aes256CTR),
      try Mask.own(
        secret: Scalar(small: 7), owner: organization(1), transcript: transcript("T"), generator: .aes256CTR),
      try Mask.own(
        secret: Scalar(small: 8), owner: organization(0), transcript: transcript("T"), generator: .aes256CTR),
    ]
    let outputs = Set(try inputs.map { try expanded([$0], parameters) })
    #expect(outputs.count == inputs.count)
  }

  @Test("The two sections of a mask never share a keystream")
  func sections() throws {
    func start(_ fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 64)
      try bytes.withUnsafeMutableBytes { try fill($0) }
      return bytes
    }
    let pair = try pairwise(7, 11, 0, 1)
    let own = try Mask.own(
      secret: Scalar(small: 7), owner: organization(0), transcript: transcript("T"), generator: .aes256CTR)
    let streams = [
      try start { try pair.tensor.fill($0) }, try start { try pair.counter.fill($0) },
      try start { try own.tensor.fill($0) }, try start { try own.counter.fill($0) },
    ]
    #expect(Set(streams).count == 4)
  }

  @Test("Blocks do not change the result", arguments: [1, 511, 512, 513, 1024, 1025, 4097])
  func blocks(count: Int) throws {
    let parameters = try parameters {
      $0.tensorCount = count
      $0.bits = 32
      $0.counters = [CounterGroup(name: "c", count: count, bound: 1, isSigned: true)]
    }
    var accumulator = Accumulator(parameters: parameters)
    try accumulator.apply([try pairwise(3, 5, 0, 1), try pairwise(3, 9, 2, 1)])
    // The same keystreams, read in one piece.
    let plus = try pairwise(3, 5, 0, 1)
    let minus = try pairwise(3, 9, 2, 1)
    func words<Word: FixedWidthInteger>(_ fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> [Word] {
      var words = [Word](repeating: 0, count: count)
      try words.withUnsafeMutableBytes { try fill($0) }
      return words
    }
    let added: [UInt32] = try words { try plus.tensor.fill($0) }
    let taken: [UInt32] = try words { try minus.tensor.fill($0) }
    #expect(accumulator.tensors == zip(added, taken).map { $0 &- $1 })
    let addedCounters: [UInt64] = try words { try plus.counter.fill($0) }
    let takenCounters: [UInt64] = try words { try minus.counter.fill($0) }
    #expect(accumulator.counters == zip(addedCounters, takenCounters).map { $0 &- $1 })
    try accumulator.apply([try pairwise(3, 5, 0, 1), try pairwise(3, 9, 2, 1)], removing: true)
    #expect(accumulator.tensors.allSatisfy { $0 == 0 } && accumulator.counters.allSatisfy { $0 == 0 })
  }

  /// χ² of bytes against the uniform distribution, 255 degrees of freedom.
  private func chiSquare(_ bytes: ArraySlice<UInt8>) -> Double {
    var counts = [Double](repeating: 0, count: 256)
    for byte in bytes { counts[Int(byte)] += 1 }
    let expected = Double(bytes.count) / 256
    return counts.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
  }

  /// The value that a uniform source exceeds with a probability of 10⁻⁹.
  private static let rejection = 415.0

  @Test("A masked term looks uniform, and two maskings of it unrelated", arguments: MaskGenerator.allCases)
  func uniformity(generator: MaskGenerator) throws {
    let count = 1 << 16
    var parameters = ParameterSet()
    parameters.tensorCount = count
    parameters.bits = 8
    parameters.generator = generator
    parameters.counters = [CounterGroup(name: "c", count: count / 8, bound: 1000, isSigned: false)]
    let identities = (0..<3).map { _ in Identity() }
    var inputs: [[UInt8]] = []
    var term: EncodedTerm?
    for attempt in 0..<2 {
      let exchange = try Exchange(
        count: 3, parameters: parameters, binding: "attempt \(attempt)", identities: identities)
      if let term { exchange.members[1].term = term }
      term = exchange.members[1].term
      try exchange.advance(to: .maskedInputCollection)
      _ = try exchange.maskedInputMessage(1)
      inputs.append(try #require(exchange.bodies[exchange.members[1].name]))
    }
    let plain = Accumulator(try #require(term), bits: 8).packed()
    // Coordinates first, then the bytes of the counters.
    for section in [0..<count, count..<(2 * count)] {
      // The test can fail: the term itself is far from uniform.
      #expect(chiSquare(plain[section]) > Self.rejection)
      for input in inputs {
        #expect(chiSquare(input[section]) < Self.rejection)
        #expect(chiSquare(difference(input[section], plain[section])) < Self.rejection)
      }
      #expect(chiSquare(difference(inputs[0][section], inputs[1][section])) < Self.rejection)
    }
  }

  private func difference(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    zip(left, right).map { $0 &- $1 }[...]
  }
}
