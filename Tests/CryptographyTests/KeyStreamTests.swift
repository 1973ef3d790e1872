import Testing

@testable import Cryptography

@Suite struct KeyDerivationTests {
  struct Vector: Decodable { let secret, salt, info, derived: String }
  struct File: Decodable { let vectors: [Vector] }

  @Test func publishedDerivations() throws {
    let file = try vectors("hkdf", as: File.self)
    #expect(file.vectors.count == 3)
    for vector in file.vectors {
      let (input, salt, info) = (try hex(vector.secret), try hex(vector.salt), try hex(vector.info))
      let count = vector.derived.utf8.count / 2
      func derived(_ input: [UInt8], _ salt: [UInt8], _ info: [UInt8]) throws(CryptographyError) -> String {
        Hexadecimal.encode(revealed(try deriveKey(from: secret(input), salt: salt, info: info, count: count)))
      }
      #expect(try derived(input, salt, info) == vector.derived)
      #expect(try derived(altered(input, at: 0), salt, info) != vector.derived)
      // A longer salt of zeros is the same HMAC key, so the twin ends in a one.
      #expect(try derived(input, salt + [1], info) != vector.derived)
      #expect(try derived(input, salt, info + [0]) != vector.derived)
    }
  }

  @Test func shorterIsPrefix() throws {
    let input = secret([1, 2, 3])
    let long = revealed(try deriveKey(from: input, salt: [4], info: [5], count: 8160))
    for count in [1, 31, 32, 33, 100] {
      #expect(revealed(try deriveKey(from: input, salt: [4], info: [5], count: count)) == Array(long[..<count]))
    }
  }

  @Test func bounds() throws {
    for count in [-1, 0, 8161] {
      #expect(throws: CryptographyError.invalidDerivation) {
        _ = try deriveKey(from: secret([1]), salt: [], info: [], count: count)
      }
    }
    #expect(throws: CryptographyError.invalidDerivation) {
      _ = try deriveKey(from: SecretBytes(count: 0), salt: [], info: [], count: 32)
    }
    let longest = [UInt8](repeating: 7, count: 1024)
    _ = try deriveKey(from: secret([1]), salt: [], info: longest, count: 32)
    #expect(throws: CryptographyError.invalidDerivation) {
      _ = try deriveKey(from: secret([1]), salt: [], info: longest + [7], count: 32)
    }
  }
}

@Suite struct MaskStreamTests {
  struct Vector: Decodable { let key, initialVector, keystream: String }
  struct File: Decodable { let aes256CTR, chacha20: [Vector] }

  private func filled(_ stream: inout MaskStream, count: Int) throws(CryptographyError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: count)
    var failure: CryptographyError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(CryptographyError) { try stream.fill(buffer) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  private func stream(
    key: [UInt8], initialVector: [UInt8], _ generator: MaskGenerator
  ) throws(CryptographyError) -> MaskStream {
    var words: MaskStream.InitialVector = (0, 0)
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: initialVector) }
    return try MaskStream(seed: try MaskSeed(secret(key)), generator: generator, initialVector: words)
  }

  @Test func publishedKeystreams() throws {
    let file = try vectors("keystreams", as: File.self)
    #expect(file.aes256CTR.count == 1 && file.chacha20.count == 5)
    for (generator, list) in [(MaskGenerator.aes256CTR, file.aes256CTR), (.chacha20, file.chacha20)] {
      for vector in list {
        let (key, initialVector) = (try hex(vector.key), try hex(vector.initialVector))
        let expected = try hex(vector.keystream)
        var known = try stream(key: key, initialVector: initialVector, generator)
        #expect(try filled(&known, count: expected.count) == expected)
        var otherKey = try stream(key: altered(key, at: 31), initialVector: initialVector, generator)
        #expect(try filled(&otherKey, count: expected.count) != expected)
        var otherVector = try stream(key: key, initialVector: altered(initialVector, at: 15), generator)
        #expect(try filled(&otherVector, count: expected.count) != expected)
      }
    }
  }

  @Test func chachaSeeksByPublishedBlocks() throws {
    let blocks = try vectors("keystreams", as: File.self).chacha20
    var zeroKey = try MaskStream(seed: try MaskSeed(SecretBytes(count: 32)), generator: .chacha20)
    try zeroKey.seek(toByte: 64)
    #expect(Hexadecimal.encode(try filled(&zeroKey, count: 64)) == blocks[1].keystream)
    try zeroKey.seek(toByte: 0)
    #expect(Hexadecimal.encode(try filled(&zeroKey, count: 128)) == blocks[0].keystream + blocks[1].keystream)
  }

  /// Any division into fills, and any seek, gives the bytes of one long fill.
  @Test(arguments: MaskGenerator.allCases)
  func seekAndFillEqualSequentialFill(generator: MaskGenerator) throws {
    let seed = try MaskSeed(SecretBytes(randomCount: 32))
    var sequential = try MaskStream(seed: seed, generator: generator)
    let reference = try filled(&sequential, count: 50_000)
    var random = SplitMix64(state: 3)
    var pieces = try MaskStream(seed: seed, generator: generator)
    var position = 0
    while position < reference.count {
      let count = min(Int.random(in: 0...9000, using: &random), reference.count - position)
      #expect(try filled(&pieces, count: count) == Array(reference[position..<(position + count)]))
      position += count
    }
    for _ in 0..<200 {
      let start = Int.random(in: 0..<700, using: &random) * 64
      let count = Int.random(in: 0...5000, using: &random)
      try pieces.seek(toByte: UInt64(start))
      #expect(try filled(&pieces, count: count) == Array(reference[start..<(start + count)]))
    }
  }

  /// Where a 32-bit block counter would wrap, against values computed with another implementation.
  @Test(arguments: [
    (
      MaskGenerator.aes256CTR, UInt64(16) << 32,
      "641d1a3a80becff6f0f38f9764fdcf96367ef8288831557408e102950a16e26a15d6bffc44f4301e0e2e5139eca63af7"
        + "159f1c5464b25484730003d92630735e"
    ),
    (
      .chacha20, UInt64(64) << 32,
      "d838fb09536e2e3a10e8f23f486273a69f42d8e640d781ede384793c34c32564fc4361e5d5c5b620583b0528192f4c61"
        + "09f23a0e14398ee6537cdcf2cd610ea2"
    ),
  ])
  func counterCarries(generator: MaskGenerator, byte: UInt64, expected: String) throws {
    let seed = try MaskSeed(secret(Array(0..<32)))
    var jumped = try MaskStream(seed: seed, generator: generator)
    try jumped.seek(toByte: byte)
    #expect(Hexadecimal.encode(try filled(&jumped, count: 64)) == expected)
    var crossing = try MaskStream(seed: seed, generator: generator)
    try crossing.seek(toByte: byte - 4096)
    #expect(Hexadecimal.encode(try filled(&crossing, count: 4160).suffix(64)) == expected)
    try jumped.seek(toByte: 0)
    #expect(Hexadecimal.encode(try filled(&jumped, count: 64)) != expected)
  }

  @Test(arguments: MaskGenerator.allCases)
  func endOfTheStream(generator: MaskGenerator) throws {
    var stream = try MaskStream(seed: try MaskSeed(SecretBytes(count: 32)), generator: generator)
    try stream.seek(toByte: .max - 63)
    #expect(try filled(&stream, count: 63).count == 63)
    #expect(throws: CryptographyError.keystreamExhausted) { try filled(&stream, count: 1) }
    try stream.seek(toByte: 0)
    #expect(try filled(&stream, count: 1).count == 1)
  }

  @Test func misalignedSeekKeepsThePosition() throws {
    let seed = try MaskSeed(SecretBytes(randomCount: 32))
    var first = try MaskStream(seed: seed, generator: .aes256CTR)
    var second = try MaskStream(seed: seed, generator: .aes256CTR)
    for byte: UInt64 in [1, 16, 32, 63, 65] {
      #expect(throws: CryptographyError.misalignedSeek(byte: byte)) { try first.seek(toByte: byte) }
      #expect(try filled(&first, count: 100) == filled(&second, count: 100))
    }
  }

  @Test func generatorsAndSeedsDiffer() throws {
    let seed = try MaskSeed(secret([UInt8](repeating: 5, count: 32)))
    var aes = try MaskStream(seed: seed, generator: .aes256CTR)
    var chacha = try MaskStream(seed: seed, generator: .chacha20)
    var other = try MaskStream(seed: try MaskSeed(SecretBytes(count: 32)), generator: .aes256CTR)
    let bytes = try filled(&aes, count: 64)
    #expect(try bytes != filled(&chacha, count: 64))
    #expect(try bytes != filled(&other, count: 64))
    #expect(MaskGenerator.allCases.map(\.rawValue) == ["aes-256-ctr", "chacha20"])
    for count in [0, 31, 33] {
      #expect(throws: CryptographyError.wrongLength(of: .maskSeed, expected: 32, actual: count)) {
        _ = try MaskSeed(SecretBytes(count: count))
      }
    }
  }
}

@Suite struct CryptographyErrorTests {
  static let all: [CryptographyError] = [
    .libraryUnavailable(.libsodium), .operationFailed(.keyDerivation),
    .wrongLength(of: .scalar, expected: 32, actual: 31), .invalidEncoding(of: .groupElement), .identityElement,
    .weakAgreement, .notInvertible, .authenticationFailed, .noteContainsNul,
    .invalidOrganizationName(.hyphenAtEdge), .invalidText(.base64), .tooLong(maximum: 4),
    .malformedEncoding(.truncated), .malformedEncoding(.trailingBytes), .malformedField, .invalidDerivation,
    .misalignedSeek(byte: 3), .keystreamExhausted,
  ]

  @Test func codesAreStableNames() {
    #expect(Set(Self.all.map(\.code)).count == Self.all.count)
    for error in Self.all {
      #expect(error.code.allSatisfy { $0 == "-" || ("a"..."z").contains($0) })
      #expect(error.message.hasSuffix(".") && error.remedy.hasSuffix("."))
      #expect("\(error)" == error.message)
    }
  }

  @Test func blame() {
    #expect(CryptographyError.authenticationFailed.blame == .peer)
    #expect(CryptographyError.operationFailed(.maskExpansion).blame == .local)
    #expect(CryptographyError.misalignedSeek(byte: 1).blame == .caller)
  }
}
