import Testing

@testable import Cryptography

@Suite struct CanonicalEncodingTests {
  static let label = "bauta/v1/example"

  /// One field of each kind.
  struct Example: Equatable {
    var blob: [UInt8] = [1, 2, 3]
    var text = "München"
    var unsigned: UInt64 = 0x0102_0304_0506_0708
    var signed: Int64 = -2
    var flags = [true, false]
    var digest = SHA256Digest(hashing: Array("abc".utf8))
    var names = ["a", ""]

    func encoded(label: String = CanonicalEncodingTests.label) -> [UInt8] {
      var encoder = CanonicalEncoder(label)
      encoder.append(blob)
      encoder.append(text)
      encoder.append(unsigned)
      encoder.append(signed)
      for flag in flags { encoder.append(flag) }
      encoder.append(digest)
      encoder.append(list: names) { $0.append($1) }
      return encoder.finish()
    }
  }

  static func decode(_ bytes: [UInt8], label: String = label) throws(CryptographyError) -> Example {
    var decoder = try CanonicalDecoder(bytes, label: label)
    let example = Example(
      blob: try decoder.bytes(maximum: 3), text: try decoder.string(maximum: 16), unsigned: try decoder.uint64(),
      signed: try decoder.int64(), flags: [try decoder.flag(), try decoder.flag()], digest: try decoder.digest(),
      names: try decoder.list(maximum: 2) { (decoder) throws(CryptographyError) in try decoder.string(maximum: 1) })
    try decoder.finish()
    return example
  }

  /// Written by hand from the description of the encoding: a change of it is a change of the protocol.
  static let golden =
    "0000000000000010" + "62617574612f76312f6578616d706c65"  // label
    + "0000000000000003" + "010203" + "0000000000000008" + "4dc3bc6e6368656e" + "0102030405060708"
    + "fffffffffffffffe" + "01" + "00" + "0000000000000020"
    + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" + "0000000000000002"
    + "0000000000000001" + "61" + "0000000000000000"

  @Test func exactBytes() throws { #expect(Hexadecimal.encode(Example().encoded()) == Self.golden) }

  @Test func roundTrip() throws {
    #expect(try Self.decode(Example().encoded()) == Example())
    var other = Example()
    other.signed = .min
    other.unsigned = .max
    other.blob = []
    other.names = []
    other.flags = [false, true]
    #expect(try Self.decode(other.encoded()) == other)
  }

  /// No prefix of an encoding is an encoding.
  @Test func truncationAtEveryOffset() throws {
    let bytes = Example().encoded()
    for count in 0..<bytes.count {
      #expect(throws: CryptographyError.malformedEncoding(.truncated)) { try Self.decode(Array(bytes[..<count])) }
    }
  }

  @Test func trailingBytes() throws {
    for extra: [UInt8] in [[0], [1], [UInt8](repeating: 0, count: 8)] {
      #expect(throws: CryptographyError.malformedEncoding(.trailingBytes)) {
        try Self.decode(Example().encoded() + extra)
      }
    }
  }

  /// Every change of a byte gives an error or another value: no two encodings of one value.
  @Test func changeOfEveryByteIsSeen() {
    let bytes = Example().encoded()
    for index in bytes.indices {
      for mask: UInt8 in [0x01, 0x80, 0xFF] {
        var changed = bytes
        changed[index] ^= mask
        if let decoded = try? Self.decode(changed) {
          #expect(decoded != Example())
          #expect(decoded.encoded() == changed)
        }
      }
    }
  }

  @Test func labels() {
    let bytes = Example().encoded()
    for label in ["bauta/v1/exampl", "bauta/v1/examplf", "bauta/v1/example2", ""] {
      #expect(throws: CryptographyError.malformedEncoding(.wrongLabel)) { try Self.decode(bytes, label: label) }
    }
    #expect(throws: CryptographyError.malformedEncoding(.wrongLabel)) {
      try Self.decode(Example().encoded(label: "bauta/v1/other"))
    }
  }

  /// Declared lengths and counts far beyond the input or the bound take no memory.
  @Test(arguments: [4, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, UInt64.max])
  func oversizedLengths(length: UInt64) throws {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(length)
    encoder.append(UInt64(0))
    let bytes = encoder.finish()
    #expect(throws: CryptographyError.malformedEncoding(.fieldTooLong)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      _ = try decoder.bytes(maximum: 3)
    }
    #expect(throws: CryptographyError.malformedEncoding(.fieldTooLong)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      _ = try decoder.string(maximum: 3)
    }
    #expect(throws: CryptographyError.malformedEncoding(.fieldTooLong)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      _ = try decoder.list(maximum: 3) { (decoder) throws(CryptographyError) in try decoder.uint64() }
    }
  }

  @Test func countBeyondTheInput() throws {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(UInt64(1) << 40)
    let bytes = encoder.finish()
    #expect(throws: CryptographyError.malformedEncoding(.truncated)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      _ = try decoder.list(maximum: .max) { (decoder) throws(CryptographyError) in try decoder.uint64() }
    }
    #expect(throws: CryptographyError.malformedEncoding(.truncated)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      _ = try decoder.bytes(maximum: .max)
    }
  }

  @Test func flagsAndTextsHaveOneForm() throws {
    let start = CanonicalEncoder(Self.label).finish()
    for byte: UInt8 in [2, 0x80, 0xFF] {
      #expect(throws: CryptographyError.malformedEncoding(.invalidFlag)) {
        var decoder = try CanonicalDecoder(start + [byte], label: Self.label)
        _ = try decoder.flag()
      }
    }
    for bad: [UInt8] in [[0xFF], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80]] {
      var encoder = CanonicalEncoder(Self.label)
      encoder.append(bad)
      let bytes = encoder.finish()
      #expect(throws: CryptographyError.malformedEncoding(.invalidText)) {
        var decoder = try CanonicalDecoder(bytes, label: Self.label)
        _ = try decoder.string(maximum: 10)
      }
    }
  }

  @Test func digestsHave32Bytes() throws {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append([UInt8](repeating: 7, count: 31))
    let bytes = encoder.finish()
    #expect(throws: CryptographyError.wrongLength(of: .digest, expected: 32, actual: 31)) {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      let _: SHA256Digest = try decoder.digest()
    }
  }

  /// Moving bytes from one field to the next changes the encoding, which bare concatenation would not.
  @Test func fieldsDoNotRunTogether() {
    func encoded(_ first: String, _ second: String) -> [UInt8] {
      var encoder = CanonicalEncoder(Self.label)
      encoder.append(first)
      encoder.append(second)
      return encoder.finish()
    }
    #expect(encoded("ab", "c") != encoded("a", "bc"))
    #expect(encoded("abc", "") != encoded("", "abc"))
  }
}

@Suite struct TextEncodingTests {
  /// RFC 4648 §10.
  static let base64 = [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ]

  @Test(arguments: base64)
  func publishedBase64(plain: String, text: String) throws {
    #expect(Base64.encode(Array(plain.utf8)) == text)
    #expect(try Base64.decode(text, maximum: 6) == Array(plain.utf8))
  }

  @Test(arguments: [
    "Zg", "Zg=", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm9v====", "====", "Zg==Zg==", "Zm-_", "Zm9é", "=Zg=", "Z===",
  ])
  func otherBase64IsRefused(text: String) {
    #expect(throws: CryptographyError.invalidText(.base64)) { try Base64.decode(text, maximum: 100) }
  }

  @Test func base64RoundTripAndBound() throws {
    for count in 0..<200 {
      let bytes = randomBytes(count)
      let text = Base64.encode(bytes)
      #expect(try Base64.decode(text, maximum: count) == bytes)
      if count > 0 {
        #expect(throws: CryptographyError.tooLong(maximum: count - 1)) { try Base64.decode(text, maximum: count - 1) }
      }
    }
    #expect(throws: CryptographyError.tooLong(maximum: 3)) {
      try Base64.decode(String(repeating: "A", count: 100_000), maximum: 3)
    }
  }

  @Test func hexadecimal() throws {
    #expect(Hexadecimal.encode([0x00, 0x9F, 0xFF]) == "009fff")
    #expect(try Hexadecimal.decode("009fff") == [0x00, 0x9F, 0xFF])
    #expect(try Hexadecimal.decode("").isEmpty)
    for bad in ["0", "0g", "FF", " 0", "/0", ":0", "`0"] {
      #expect(throws: CryptographyError.invalidText(.hexadecimal)) { try Hexadecimal.decode(bad) }
    }
  }
}

@Suite struct OrganizationNameTests {
  @Test(arguments: [
    "a", "0", "hospital-a", "clinic.example.org", "a--b", "xn--bcher-kva.example", String(repeating: "a", count: 63),
    Array(repeating: String(repeating: "b", count: 62), count: 4).joined(separator: ".") + ".c",
  ])
  func accepted(text: String) throws {
    let name = try OrganizationName(text)
    #expect(name.value == text)
    #expect(name.description == text)
  }

  @Test(arguments: [
    ("", OrganizationNameFault.empty), (".", .labelEmpty), ("a.", .labelEmpty), (".a", .labelEmpty),
    ("a..b", .labelEmpty), ("-a", .hyphenAtEdge), ("a-", .hyphenAtEdge), ("a.-b.c", .hyphenAtEdge),
    ("a-.b", .hyphenAtEdge), ("A", .forbiddenCharacter), ("a b", .forbiddenCharacter), ("a+b", .forbiddenCharacter),
    ("a_b", .forbiddenCharacter), ("a/b", .forbiddenCharacter), ("a\n", .forbiddenCharacter),
    ("a\0", .forbiddenCharacter), ("é", .forbiddenCharacter), ("а", .forbiddenCharacter),
    (String(repeating: "a", count: 64), .labelTooLong), (String(repeating: "a.", count: 127), .tooLong),
    (String(repeating: "a", count: 1_000_000), .tooLong),
  ])
  func refused(text: String, fault: OrganizationNameFault) {
    #expect(throws: CryptographyError.invalidOrganizationName(fault)) { try OrganizationName(text) }
  }

  @Test func longestName() throws {
    let longest = String(repeating: "a.", count: 126) + "a"
    #expect(longest.utf8.count == 253)
    #expect(try OrganizationName(longest).value == longest)
  }

  @Test func orderIsThatOfTheBytes() throws {
    let names = try ["a-b", "a", "b", "a.b", "a0"].map { text throws(CryptographyError) in try OrganizationName(text) }
    #expect(names.sorted().map(\.value) == ["a", "a-b", "a.b", "a0", "b"])
  }
}
