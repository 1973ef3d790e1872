import Testing

@testable import Cryptography

@Suite struct SignatureTests {
  struct Vector: Decodable, Sendable {
    let seed, publicKey, message, signature: String
  }
  struct File: Decodable { let vectors: [Vector] }

  @Test func publishedSignatures() throws {
    let file = try vectors("ed25519", as: File.self)
    #expect(file.vectors.count == 4)
    for vector in file.vectors {
      let key = try IdentitySigningKey(seed: secret(try hex(vector.seed)))
      let message = try hex(vector.message)
      let signature = key.signRaw(message)
      let verifyingKey = try IdentityVerifyingKey(bytes: try hex(vector.publicKey))
      #expect(key.verifyingKey == verifyingKey)
      #expect(Hexadecimal.encode(signature.bytes) == vector.signature)
      #expect(verifyingKey.verifyRaw(signature, message: message))
      let seed = key.withSeed { Array($0) }
      #expect(Hexadecimal.encode(seed) == vector.seed)

      #expect(!verifyingKey.verifyRaw(signature, message: message + [0]))
      for index in 0..<64 {
        let twin = try Signature(bytes: altered(signature.bytes, at: index))
        #expect(!verifyingKey.verifyRaw(twin, message: message))
      }
      let otherKey = try IdentitySigningKey(seed: secret(altered(try hex(vector.seed), at: 31)))
      #expect(!otherKey.verifyingKey.verifyRaw(signature, message: message))
    }
  }

  /// S and S + L verify alike in a careless implementation; the second must not.
  @Test func malleableSignatureIsRefused() throws {
    let key = IdentitySigningKey.generate()
    let signature = key.signRaw([1, 2, 3])
    let order = try hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
    var bytes = signature.bytes
    var carry = 0
    for index in 0..<32 {
      let sum = Int(bytes[32 + index]) + Int(order[index]) + carry
      bytes[32 + index] = UInt8(sum & 0xFF)
      carry = sum >> 8
    }
    #expect(key.verifyingKey.verifyRaw(signature, message: [1, 2, 3]))
    #expect(!key.verifyingKey.verifyRaw(try Signature(bytes: bytes), message: [1, 2, 3]))
  }

  @Test func statementIsBoundToItsLabel() throws {
    let key = IdentitySigningKey.generate()
    let signature = key.sign(label: "bauta/v1/a", canonical: [1, 2])
    #expect(key.verifyingKey.verify(signature, label: "bauta/v1/a", canonical: [1, 2]))
    #expect(!key.verifyingKey.verify(signature, label: "bauta/v1/b", canonical: [1, 2]))
    #expect(!key.verifyingKey.verify(signature, label: "bauta/v1/a", canonical: [1, 3]))
    #expect(!key.verifyingKey.verify(signature, label: "bauta/v1/a", canonical: [1, 2, 0]))
    // The exact bytes under the signature.
    #expect(key.verifyingKey.verifyRaw(signature, message: [0] + Array("bauta/v1/a".utf8) + [0, 1, 2]))
  }

  @Test func statementsAndNotesAreApart() throws {
    let key = LogSigningKey.generate()
    let statement = key.sign(label: "bauta/v1/a", canonical: [1, 2])
    #expect(!key.verifyingKey.verifyNote(statement, text: [0] + Array("bauta/v1/a".utf8) + [0, 1, 2]))
    #expect(throws: CryptographyError.noteContainsNul) { try key.signNote(text: [0] + Array("bauta/v1/a".utf8)) }
    #expect(throws: CryptographyError.noteContainsNul) { try key.signNote(text: [0x61, 0]) }
  }

  @Test func notes() throws {
    let key = WitnessSigningKey.generate()
    let text = Array("example.org/log\n7\n".utf8)
    let signature = try key.signNote(text: text)
    #expect(key.verifyingKey.verifyNote(signature, text: text))
    for index in text.indices { #expect(!key.verifyingKey.verifyNote(signature, text: altered(text, at: index))) }
    #expect(!WitnessSigningKey.generate().verifyingKey.verifyNote(signature, text: text))
  }

  /// Points of small order, the identity and encodings of no canonical form.
  @Test(arguments: [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0200000000000000000000000000000000000000000000000000000000000000",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ])
  func unusableKeysAreRefused(text: String) throws {
    let bytes = try hex(text)
    #expect(throws: CryptographyError.invalidEncoding(of: .verifyingKey)) { try LogVerifyingKey(bytes: bytes) }
  }

  @Test func lengths() throws {
    for count in [0, 31, 33] {
      let bytes = [UInt8](repeating: 1, count: count)
      #expect(throws: CryptographyError.wrongLength(of: .verifyingKey, expected: 32, actual: count)) {
        try LogVerifyingKey(bytes: bytes)
      }
      #expect(throws: CryptographyError.wrongLength(of: .signingSeed, expected: 32, actual: count)) {
        _ = try LogSigningKey(seed: secret(bytes))
      }
    }
    for count in [0, 63, 65] {
      #expect(throws: CryptographyError.wrongLength(of: .signature, expected: 64, actual: count)) {
        try Signature(bytes: [UInt8](repeating: 1, count: count))
      }
    }
  }

  @Test func rolesHaveNames() {
    #expect([IdentityKeyRole.name, LogKeyRole.name, WitnessKeyRole.name] == ["identity", "log", "witness"])
  }
}
