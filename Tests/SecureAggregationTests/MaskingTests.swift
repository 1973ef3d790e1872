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
    var streams: Set<[UInt8]> = []
    for mask in [pair, own] {
      for section in [MaskSection.tensor, .counter] {
        var stream = try mask.stream(section)
        streams.insert(try start { try stream.fill($0) })
      }
    }
    #expect(streams.count == 4)
  }

  @Test("A stream may begin at any multiple of 64 bytes", arguments: MaskGenerator.allCases)
  func streamStart(generator: MaskGenerator) throws {
    let mask = try MaskingSample.masks(1, generator: generator)[0]
    for section in [MaskSection.tensor, .counter] {
      let whole: [UInt32] = try MaskingSample.keystream(mask, section, count: 2048)
      for byte in [0, 64, 4032, 4096, 8128] {
        var stream = try mask.stream(section, fromByte: UInt64(byte))
        var part = [UInt32](repeating: 0, count: 16)
        try part.withUnsafeMutableBytes { try stream.fill($0) }
        #expect(part == Array(whole[(byte / 4)..<(byte / 4 + 16)]))
      }
      #expect(throws: CryptographyError.misalignedSeek(byte: 32)) { _ = try mask.stream(section, fromByte: 32) }
    }
  }

  @Test(
    "Neither blocks, groups, batches nor lanes change the result",
    arguments: [1, 511, 512, 513, 1024, 1025, 4095, 4096, 4097, 9001], [Lanes.one, Lanes(count: 2), Lanes(count: 5)])
  func blocks(count: Int, lanes: Lanes) throws {
    let parameters = try parameters {
      $0.tensorCount = count
      $0.bits = 32
      $0.counters = [CounterGroup(name: "c", count: count, bound: 1, isSigned: true)]
    }
    let masks = try MaskingSample.masks(11, generator: .aes256CTR)
    for some in [[], Array(masks[..<1]), Array(masks[3..<9]), masks] {
      var accumulator = Accumulator(parameters: parameters)
      try accumulator.apply(some, lanes: lanes)
      // The same keystreams, each read in one piece.
      #expect(accumulator.tensors == (try MaskingSample.sum(some, .tensor, count: count)))
      #expect(accumulator.counters == (try MaskingSample.sum(some, .counter, count: count)))
      try accumulator.apply(some, removing: true, lanes: lanes)
      #expect(accumulator.tensors.allSatisfy { $0 == 0 } && accumulator.counters.allSatisfy { $0 == 0 })
    }
  }

  @Test("More masks than contexts are kept open")
  func batches() throws {
    let count = 1100
    let parameters = try parameters {
      $0.tensorCount = count
      $0.bits = 32
    }
    let masks = try MaskingSample.masks(2 * MaskExpansion.batchCount + 3, generator: .aes256CTR)
    var accumulator = Accumulator(parameters: parameters)
    try accumulator.apply(masks, lanes: Lanes(count: 2))
    #expect(accumulator.tensors == (try MaskingSample.sum(masks, .tensor, count: count)))
  }

  @Test("Lanes share a long vector and give what one lane gives")
  func lanes() throws {
    let parameters = try parameters {
      $0.tensorCount = 700_001
      $0.bits = 32
      $0.counters = [CounterGroup(name: "c", count: 300_001, bound: 1, isSigned: true)]
    }
    let masks = try MaskingSample.masks(3, generator: .aes256CTR)
    var serial = Accumulator(parameters: parameters)
    try serial.apply(masks)
    #expect(serial.tensors == (try MaskingSample.sum(masks, .tensor, count: 700_001)))
    for count in [2, 3, 64] {
      var parallel = Accumulator(parameters: parameters)
      try parallel.apply(masks, lanes: Lanes(count: count))
      #expect(parallel.tensors == serial.tensors && parallel.counters == serial.counters)
    }
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
