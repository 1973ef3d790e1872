import COpenSSL

/// What a digest is of. A role is a type, so that the compiler refuses one digest where another is meant.
public protocol DigestRole: Sendable {}

public enum PlainRole: DigestRole {}
public enum ManifestRole: DigestRole {}
public enum PlanRole: DigestRole {}
public enum ModelRole: DigestRole {}
public enum ProgramRole: DigestRole {}
public enum BindingRole: DigestRole {}
public enum ContextRole: DigestRole {}
public enum TranscriptRole: DigestRole {}
public enum TermRole: DigestRole {}
public enum MaskedInputRole: DigestRole {}
public enum LeafRole: DigestRole {}
public enum NodeRole: DigestRole {}
public enum MessageRole: DigestRole {}
public enum CertificateKeyRole: DigestRole {}
public enum SurvivorsRole: DigestRole {}
public enum CommitmentRole: DigestRole {}
public enum AggregateRole: DigestRole {}

public typealias SHA256Digest = Digest<PlainRole>
public typealias ManifestHash = Digest<ManifestRole>
public typealias PlanHash = Digest<PlanRole>
public typealias ModelHash = Digest<ModelRole>
public typealias ProgramHash = Digest<ProgramRole>
public typealias BindingDigest = Digest<BindingRole>
public typealias ContextDigest = Digest<ContextRole>
public typealias TranscriptDigest = Digest<TranscriptRole>
public typealias TermHash = Digest<TermRole>
public typealias MaskedInputHash = Digest<MaskedInputRole>
/// The RFC 6962 hash of an entry, 0x00 before it.
public typealias LeafHash = Digest<LeafRole>
public typealias MessageHash = Digest<MessageRole>
/// The SHA-256 of a certificate's SubjectPublicKeyInfo: a pin.
public typealias CertificateKeyHash = Digest<CertificateKeyRole>
public typealias SurvivorsHash = Digest<SurvivorsRole>
public typealias CommitmentHash = Digest<CommitmentRole>
public typealias AggregateHash = Digest<AggregateRole>

/// A SHA-256 digest (FIPS 180-4) of something in a stated role: 32 bytes, ordered as byte strings.
///
/// Digests are public; `==` is not constant in time.
public struct Digest<Role: DigestRole>: Hashable, Sendable, Comparable, CustomStringConvertible {
  private let storage: Bytes32

  public static var byteCount: Int { 32 }

  /// A digest received or stored.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there are exactly 32 bytes.
  public init(bytes: some Collection<UInt8>) throws(CryptographyError) {
    storage = try Bytes32(bytes, of: .digest)
  }

  /// A digest written as 64 lowercase hexadecimal digits.
  /// - Throws: ``CryptographyError/invalidText(_:)`` or ``CryptographyError/wrongLength(of:expected:actual:)``.
  public init(hexadecimal: String) throws(CryptographyError) {
    try self.init(bytes: try Hexadecimal.decode(hexadecimal))
  }

  /// The digest of `bytes`.
  public init(hashing bytes: some Collection<UInt8>) {
    storage = bytes.withContiguousBytes { SHA256.digest($0) }
  }

  // The same, not generic: callers are in other modules, where the generic one is not specialised.
  /// The digest of `bytes`.
  public init(hashing bytes: [UInt8]) { storage = bytes.withUnsafeBytes { SHA256.digest($0) } }

  /// The digest of the bytes in `buffer`.
  public init(hashing buffer: UnsafeRawBufferPointer) { storage = SHA256.digest(buffer) }

  /// The first 32 bytes of `buffer`, which has as many; of any alignment.
  public init(copying buffer: UnsafeRawBufferPointer) {
    precondition(buffer.count >= Bytes32.byteCount, "a digest has 32 bytes")
    storage = buffer.loadUnaligned(as: Bytes32.self)
  }

  /// The same digest in another role: a deliberate step, for the code that knows why it is right.
  public init<Other>(_ other: Digest<Other>) { storage = other.storage }

  init(storage: Bytes32) { self.storage = storage }

  /// 32 bytes.
  public var bytes: [UInt8] { storage.array }

  /// 64 lowercase digits.
  public var hexadecimal: String { storage.withUnsafeBytes { Hexadecimal.encode($0) } }

  public var description: String { hexadecimal }

  /// Copies the 32 bytes to memory of any alignment.
  func copyBytes(to target: UnsafeMutableRawPointer) { storage.copyBytes(to: target) }

  /// Reads the 32 bytes in place. The pointer is valid only during the call.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try storage.withUnsafeBytes(body)
  }

  public static func < (left: Self, right: Self) -> Bool { left.storage < right.storage }
}

/// SHA-256 of bytes that come in pieces.
public struct SHA256Hasher: ~Copyable, @unchecked Sendable {
  // Unchecked: the context is owned by this one value, and all its uses need exclusive access.
  private let context: OpaquePointer

  /// Stops the program if the system has no memory left.
  public init() { context = SHA256.startedContext() }

  deinit { EVP_MD_CTX_free(context) }

  public mutating func update(_ buffer: UnsafeRawBufferPointer) {
    SHA256.requireSuccess(EVP_DigestUpdate(context, buffer.baseAddress, buffer.count))
  }

  public mutating func update(_ bytes: some Collection<UInt8>) {
    bytes.withContiguousBytes { update($0) }
  }

  /// The 32 bytes of the digest.
  public consuming func finish() -> [UInt8] { finishStorage().array }

  /// The digest in a role.
  public consuming func finish<Role>(as role: Role.Type) -> Digest<Role> { Digest(storage: finishStorage()) }

  private borrowing func finishStorage() -> Bytes32 {
    Bytes32 { SHA256.requireSuccess(EVP_DigestFinal_ex(context, $0, nil)) }
  }
}

enum SHA256 {
  static func digest(_ buffer: UnsafeRawBufferPointer) -> Bytes32 {
    var digest = Bytes32()
    digest.withUnsafeMutableBytes {
      requireSuccess(EVP_Digest(buffer.baseAddress, buffer.count, $0.octets, nil, algorithm, nil))
    }
    return digest
  }

  static func startedContext() -> OpaquePointer {
    guard let context = EVP_MD_CTX_new() else { preconditionFailure("the system has no memory left for a hash") }
    requireSuccess(EVP_DigestInit_ex(context, algorithm, nil))
    return context
  }

  /// Hashing has no failing input: anything but success is a broken library or no memory.
  static func requireSuccess(_ status: Int32) { precondition(status == 1, "libcrypto failed to hash") }

  private static var algorithm: OpaquePointer {
    guard let algorithm = LibCrypto.sha256 else { preconditionFailure("libcrypto has no SHA-256") }
    return algorithm
  }
}
