import Testing

@testable import Cryptography

@Suite struct ChannelAgreementTests {
  /// RFC 7748 §5.2.
  static let multiplications = [
    (
      "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
      "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    ),
    (
      "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
      "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
      "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
    ),
  ]

  @Test(arguments: multiplications)
  func publishedMultiplications(scalar: String, point: String, product: String) throws {
    let pointBytes = try Bytes32(try hex(point), of: .channelKey)
    #expect(Hexadecimal.encode(revealed(try X25519.multiply(secret(try hex(scalar)), pointBytes))) == product)
    let twin = try Bytes32(altered(try hex(point), at: 5), of: .channelKey)
    #expect(Hexadecimal.encode(revealed(try X25519.multiply(secret(try hex(scalar)), twin))) != product)
    let otherScalar = secret(altered(try hex(scalar), at: 5))
    #expect(Hexadecimal.encode(revealed(try X25519.multiply(otherScalar, pointBytes))) != product)
  }

  /// RFC 7748 §5.2: the scalar becomes the point, the product the scalar.
  @Test func publishedIteration() throws {
    var point = [9] + [UInt8](repeating: 0, count: 31)
    var scalar = point
    for iteration in 1...1000 {
      let product = revealed(try X25519.multiply(secret(scalar), try Bytes32(point, of: .channelKey)))
      (point, scalar) = (scalar, product)
      if iteration == 1 {
        #expect(
          Hexadecimal.encode(scalar) == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
      }
    }
    #expect(Hexadecimal.encode(scalar) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
  }

  @Test(arguments: [
    ("0000000000000000000000000000000000000000000000000000000000000000", CryptographyError.weakAgreement),
    ("0100000000000000000000000000000000000000000000000000000000000000", .weakAgreement),
    ("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", .weakAgreement),
    ("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", .weakAgreement),
    ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", .weakAgreement),
    ("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", .invalidEncoding(of: .channelKey)),
    ("f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", .invalidEncoding(of: .channelKey)),
    ("0900000000000000000000000000000000000000000000000000000000000080", .invalidEncoding(of: .channelKey)),
  ])
  func unusableKeysAreRefused(text: String, error: CryptographyError) throws {
    let bytes = try hex(text)
    #expect(throws: error) { try ChannelPublicKey(bytes: bytes) }
  }

  @Test func usableKeysAreAccepted() throws {
    for text in [
      "0900000000000000000000000000000000000000000000000000000000000000",
      "e5ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] { #expect(Hexadecimal.encode(try ChannelPublicKey(bytes: try hex(text)).bytes) == text) }
    for _ in 0..<50 {
      let key = ChannelKeyPair.generate().publicKey
      #expect(try ChannelPublicKey(bytes: key.bytes) == key)
    }
    for count in [0, 31, 33] {
      #expect(throws: CryptographyError.wrongLength(of: .channelKey, expected: 32, actual: count)) {
        try ChannelPublicKey(bytes: [UInt8](repeating: 9, count: count))
      }
    }
  }

  struct Channel: ~Copyable {
    let lower: ChannelSessionKeys
    let upper: ChannelSessionKeys

    static func open() throws(CryptographyError) -> Channel {
      let first = ChannelKeyPair.generate()
      let second = ChannelKeyPair.generate()
      let lower = try first.sessionKeys(with: second.publicKey, asLowerIndex: true)
      let upper = try second.sessionKeys(with: first.publicKey, asLowerIndex: false)
      return Channel(lower: lower, upper: upper)
    }
  }

  @Test(arguments: [0, 1, 64, 1000])
  func bothDirections(count: Int) throws {
    let channel = try Channel.open()
    let message = randomBytes(count)
    let toUpper = channel.lower.seal(secret(message), associatedData: [1])
    let toLower = channel.upper.seal(secret(message), associatedData: [1])
    #expect(toUpper.count == count + ChannelSessionKeys.overheadByteCount)
    #expect(ChannelSessionKeys.overheadByteCount == 40)
    #expect(revealed(try channel.upper.open(toUpper, associatedData: [1])) == message)
    #expect(revealed(try channel.lower.open(toLower, associatedData: [1])) == message)
    // A box does not open for its own sender: the directions have different keys.
    #expect(throws: CryptographyError.authenticationFailed) {
      _ = try channel.lower.open(toUpper, associatedData: [1])
    }
  }

  @Test func everyByteIsAuthenticated() throws {
    let channel = try Channel.open()
    let box = channel.lower.seal(secret([1, 2, 3, 4]), associatedData: [5, 6])
    for index in box.indices {
      #expect(throws: CryptographyError.authenticationFailed) {
        _ = try channel.upper.open(altered(box, at: index), associatedData: [5, 6])
      }
    }
    for data: [UInt8] in [[], [5], [5, 7], [5, 6, 0]] {
      #expect(throws: CryptographyError.authenticationFailed) {
        _ = try channel.upper.open(box, associatedData: data)
      }
    }
    for count in [0, 24, 39] {
      #expect(throws: CryptographyError.wrongLength(of: .sealedBox, expected: 40, actual: count)) {
        _ = try channel.upper.open(Array(box.prefix(count)), associatedData: [5, 6])
      }
    }
    #expect(throws: CryptographyError.authenticationFailed) {
      _ = try channel.upper.open(Array(box.prefix(40)), associatedData: [5, 6])
    }
  }

  @Test func nonceIsFresh() throws {
    let channel = try Channel.open()
    let first = channel.lower.seal(secret([1]), associatedData: [])
    let second = channel.lower.seal(secret([1]), associatedData: [])
    #expect(first != second)
  }

  @Test func rolesMustDiffer() throws {
    let first = ChannelKeyPair.generate()
    let second = ChannelKeyPair.generate()
    let lower = try first.sessionKeys(with: second.publicKey, asLowerIndex: true)
    let alsoLower = try second.sessionKeys(with: first.publicKey, asLowerIndex: true)
    let box = lower.seal(secret([1]), associatedData: [])
    #expect(throws: CryptographyError.authenticationFailed) { _ = try alsoLower.open(box, associatedData: []) }
  }
}
