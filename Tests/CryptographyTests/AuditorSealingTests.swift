import Testing

@testable import Cryptography

@Suite("Sealing to an auditor")
struct AuditorSealingTests {
  private static let label = Array("what is sealed".utf8)

  private func seal(_ plaintext: [UInt8], to key: AuditorPublicKey) -> (prefix: [UInt8], boxes: [[UInt8]]) {
    var writer = SealedStreamWriter(to: key, associatedData: Self.label)
    var boxes: [[UInt8]] = []
    let size = SealedStream.chunkByteCount
    let count = max(1, (plaintext.count + size - 1) / size)
    for index in 0..<count {
      let chunk = Array(plaintext[(index * size)..<min((index + 1) * size, plaintext.count)])
      chunk.withUnsafeBytes { boxes.append(writer.seal($0, isLast: index == count - 1)) }
    }
    return (writer.prefix, boxes)
  }

  /// Everything, or the error; a stream without its last chunk counts as an error too.
  private func open(
    _ prefix: [UInt8], _ boxes: [[UInt8]], with key: borrowing AuditorKeyPair, label: [UInt8] = label
  ) throws -> [UInt8] {
    var reader = try SealedStreamReader(prefix: prefix, key: key, associatedData: label)
    var plaintext: [UInt8] = []
    var memory = SecretBytes(count: SealedStream.chunkByteCount)
    for box in boxes {
      let count = try reader.open(box, into: &memory)
      memory.withUnsafeBytes { plaintext += $0[..<count] }
    }
    guard reader.isFinished else { throw CryptographyError.malformedField }
    return plaintext
  }

  @Test(
    "What is sealed opens with the auditor's key, at every length",
    arguments: [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 200_000])
  func roundTrip(count: Int) throws {
    let key = AuditorKeyPair.generate()
    let plaintext = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let (prefix, boxes) = seal(plaintext, to: key.publicKey)
    #expect(try open(prefix, boxes, with: key) == plaintext)
    #expect(prefix.count + boxes.reduce(0) { $0 + $1.count } == SealedStream.byteCount(plaintext: count))
    // A fresh key each time: equal plaintexts have nothing in common.
    #expect(seal(plaintext, to: key.publicKey).boxes != boxes)
  }

  @Test("Another key, another label, and every alteration of a stream are refused")
  func alterations() throws {
    let key = AuditorKeyPair.generate()
    let other = AuditorKeyPair.generate()
    let (prefix, boxes) = seal([UInt8](repeating: 7, count: 150_000), to: key.publicKey)
    #expect(throws: CryptographyError.authenticationFailed) { try open(prefix, boxes, with: other) }
    #expect(throws: CryptographyError.authenticationFailed) { try open(prefix, boxes, with: key, label: [1]) }
    for byte in [0, 40, 79, 80, prefix.count - 1] {
      var altered = prefix
      altered[byte] ^= 1
      #expect(throws: CryptographyError.authenticationFailed) { try open(altered, boxes, with: key) }
    }
    for index in boxes.indices {
      var altered = boxes
      altered[index][altered[index].count / 2] ^= 1
      #expect(throws: CryptographyError.authenticationFailed) { try open(prefix, altered, with: key) }
    }
    #expect(throws: CryptographyError.malformedField) { try open(prefix, Array(boxes.dropLast()), with: key) }
    #expect(throws: CryptographyError.authenticationFailed) { try open(prefix, boxes + [boxes[0]], with: key) }
    #expect(throws: CryptographyError.authenticationFailed) {
      try open(prefix, [boxes[1], boxes[0], boxes[2]], with: key)
    }
    #expect(throws: CryptographyError.authenticationFailed) {
      try open(prefix, [boxes[0], Array(boxes[1].dropLast()), boxes[2]], with: key)
    }
    #expect(throws: CryptographyError.self) { try open(Array(prefix.dropLast()), boxes, with: key) }
  }

  @Test("A public key has one text, and a mistyped one is none")
  func publicText() throws {
    let key = AuditorKeyPair.generate().publicKey
    #expect(try AuditorPublicKey(key.text) == key)
    for place in key.text.indices {
      var characters = Array(key.text)
      let offset = key.text.distance(from: key.text.startIndex, to: place)
      characters[offset] = characters[offset] == "b" ? "c" : "b"
      #expect(throws: CryptographyError.self) { try AuditorPublicKey(String(characters)) }
    }
    #expect(throws: CryptographyError.self) { try AuditorPublicKey(key.text + " ") }
    #expect(throws: CryptographyError.self) { try AuditorPublicKey(String(key.text.dropLast())) }
    #expect(throws: CryptographyError.weakAgreement) { try AuditorPublicKey(bytes: [UInt8](repeating: 0, count: 32)) }
  }

  @Test("A stored secret gives the same pair")
  func storedSecret() throws {
    let key = AuditorKeyPair.generate()
    let copy = try AuditorKeyPair(secret: key.withSecret { SecretBytes.copying($0) })
    #expect(copy.publicKey == key.publicKey)
    #expect(throws: CryptographyError.self) { _ = try AuditorKeyPair(secret: SecretBytes(count: 31)) }
  }
}
