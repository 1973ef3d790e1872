import CSodium

/// What a signature key is for. Keys of different roles are different types and different keys in the manifest.
public protocol KeyRole: Sendable {
  static var name: String { get }
}

/// Signs what an organisation or the server says in a round.
public enum IdentityKeyRole: KeyRole { public static let name = "identity" }
/// Signs the checkpoints of an organisation's log.
public enum LogKeyRole: KeyRole { public static let name = "log" }
/// Cosigns the checkpoints of others.
public enum WitnessKeyRole: KeyRole { public static let name = "witness" }

public typealias IdentitySigningKey = SigningKey<IdentityKeyRole>
public typealias IdentityVerifyingKey = VerifyingKey<IdentityKeyRole>
public typealias LogSigningKey = SigningKey<LogKeyRole>
public typealias LogVerifyingKey = VerifyingKey<LogKeyRole>
public typealias WitnessSigningKey = SigningKey<WitnessKeyRole>
public typealias WitnessVerifyingKey = VerifyingKey<WitnessKeyRole>

/// An Ed25519 signature (RFC 8032): 64 bytes, of which nothing is known until a key verifies it.
public struct Signature: Hashable, Sendable {
  public static let byteCount = 64
  public let bytes: [UInt8]

  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there are exactly 64 bytes.
  public init(bytes: [UInt8]) throws(CryptographyError) {
    guard bytes.count == Self.byteCount else {
      throw .wrongLength(of: .signature, expected: Self.byteCount, actual: bytes.count)
    }
    self.bytes = bytes
  }

  fileprivate init(unchecked bytes: [UInt8]) { self.bytes = bytes }
}

/// What is signed: the two forms can never be the same bytes, because no note contains a NUL.
private enum SignedBytes {
  /// 0x00 ‖ label ‖ 0x00 ‖ canonical.
  static func statement(label: String, canonical: [UInt8]) -> [UInt8] {
    precondition(!label.utf8.contains(0), "a signature label contains NUL")
    var statement: [UInt8] = []
    statement.reserveCapacity(label.utf8.count + canonical.count + 2)
    statement.append(0x00)
    statement.append(contentsOf: label.utf8)
    statement.append(0x00)
    statement.append(contentsOf: canonical)
    return statement
  }

  static func isNote(_ text: [UInt8]) -> Bool { !text.contains(0) }
}

/// The public half of an Ed25519 key in a stated role: 32 bytes.
public struct VerifyingKey<Role: KeyRole>: Hashable, Sendable {
  public static var byteCount: Int { 32 }
  private let storage: Bytes32

  /// A key received or stored.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/invalidEncoding(of:)`` if
  ///   the bytes are not the canonical encoding of a point of the prime-order group, or are its identity.
  public init(bytes: some Collection<UInt8>) throws(CryptographyError) {
    Sodium.requireStarted()
    storage = try Bytes32(bytes, of: .verifyingKey)
    guard storage.withUnsafePointer({ crypto_core_ed25519_is_valid_point($0) }) == 1 else {
      throw .invalidEncoding(of: .verifyingKey)
    }
  }

  /// Of a pair made here.
  fileprivate init(trusted storage: Bytes32) { self.storage = storage }

  /// 32 bytes.
  public var bytes: [UInt8] { storage.array }

  /// Whether `signature` is of this key over `0x00 ‖ label ‖ 0x00 ‖ canonical`.
  public func verify(_ signature: Signature, label: String, canonical: [UInt8]) -> Bool {
    verifyRaw(signature, message: SignedBytes.statement(label: label, canonical: canonical))
  }

  /// Whether `signature` is of this key over the text of a note. False for a text with a NUL byte.
  public func verifyNote(_ signature: Signature, text: [UInt8]) -> Bool {
    SignedBytes.isNote(text) && verifyRaw(signature, message: text)
  }

  /// Ed25519 over bare bytes. libsodium also refuses small-order and non-canonical components.
  func verifyRaw(_ signature: Signature, message: [UInt8]) -> Bool {
    Sodium.requireStarted()
    return storage.withUnsafePointer { key in
      crypto_sign_ed25519_verify_detached(signature.bytes, message, UInt64(message.count), key) == 0
    }
  }
}

/// The secret half of an Ed25519 key in a stated role.
public struct SigningKey<Role: KeyRole>: ~Copyable, Sendable {
  public static var seedByteCount: Int { 32 }

  public let verifyingKey: VerifyingKey<Role>
  /// seed ‖ public key, 64 bytes, as libsodium keeps it.
  private let expanded: SecretBytes

  /// A new key from the system's generator.
  public static func generate() -> SigningKey { SigningKey(checkedSeed: SecretBytes(randomCount: seedByteCount)) }

  /// The key of a stored seed (the "private key" of RFC 8032).
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there are exactly 32 bytes.
  public init(seed: consuming SecretBytes) throws(CryptographyError) {
    guard seed.count == Self.seedByteCount else {
      throw .wrongLength(of: .signingSeed, expected: Self.seedByteCount, actual: seed.count)
    }
    self.init(checkedSeed: seed)
  }

  private init(checkedSeed seed: consuming SecretBytes) {
    Sodium.requireStarted()
    var secret = SecretBytes(count: Int(crypto_sign_ed25519_SECRETKEYBYTES))
    let key = Bytes32 { publicKey in
      let status = seed.withUnsafeBytes { seedBytes in
        secret.withUnsafeMutableBytes { secretBytes in
          crypto_sign_ed25519_seed_keypair(publicKey, secretBytes.octets, seedBytes.octets)
        }
      }
      precondition(status == 0, "libsodium failed to expand a signing seed")
    }
    verifyingKey = VerifyingKey(trusted: key)
    expanded = secret
  }

  /// A signature over `0x00 ‖ label ‖ 0x00 ‖ canonical`, which is never the text of a note.
  ///
  /// Labels are constants of the protocol; one with a NUL byte stops the program.
  public borrowing func sign(label: String, canonical: [UInt8]) -> Signature {
    signRaw(SignedBytes.statement(label: label, canonical: canonical))
  }

  /// A signature over the text of a note.
  /// - Throws: ``CryptographyError/noteContainsNul``.
  public borrowing func signNote(text: [UInt8]) throws(CryptographyError) -> Signature {
    guard SignedBytes.isNote(text) else { throw .noteContainsNul }
    return signRaw(text)
  }

  /// Reads the 32-byte seed, to store it. The pointer is valid only during the call.
  public borrowing func withSeed<R: ~Copyable, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try expanded.withUnsafeBytes { (bytes) throws(E) in
      try body(UnsafeRawBufferPointer(rebasing: bytes[..<Self.seedByteCount]))
    }
  }

  /// Ed25519 over bare bytes; the callers keep notes and statements apart.
  borrowing func signRaw(_ message: [UInt8]) -> Signature {
    let bytes = [UInt8](count: Signature.byteCount) { output in
      let status = expanded.withUnsafeBytes { secret in
        crypto_sign_ed25519_detached(output, nil, message, UInt64(message.count), secret.octets)
      }
      precondition(status == 0, "libsodium failed to sign")
    }
    return Signature(unchecked: bytes)
  }
}
