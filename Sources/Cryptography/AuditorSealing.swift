import CSodium

// Sealing to an auditor: a fresh key in a libsodium sealed box, and a stream of chunks under that key
// (`crypto_secretstream_xchacha20poly1305`), so that secrets of any length take the memory of one chunk.

/// The public half of an auditor's key: X25519, 32 bytes.
///
/// Its text is `bauta-auditor+CHECK+BASE64`, where CHECK is the first four bytes of ``digest`` in hexadecimal: a key that
/// was mistyped is not a key. It says nothing about whose key it is.
public struct AuditorPublicKey: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 32
  /// Longest text.
  public static let maximumTextBytes = 128
  private static let prefix = "bauta-auditor"
  private static let checkByteCount = 4

  fileprivate let storage: Bytes32

  /// A key received.
  /// - Throws: as ``ChannelPublicKey``: a key has one encoding, and one with which every agreement is known is refused.
  public init(bytes: some Collection<UInt8>) throws(CryptographyError) {
    storage = try Bytes32(try ChannelPublicKey(bytes: bytes).bytes, of: .channelKey)
  }

  /// Of a pair made here.
  fileprivate init(trusted storage: Bytes32) { self.storage = storage }

  /// Reads ``text``.
  /// - Throws: ``CryptographyError/invalidText(_:)`` for another form or another check; as for bytes.
  public init(_ text: String) throws(CryptographyError) {
    guard text.utf8.count <= Self.maximumTextBytes else { throw .tooLong(maximum: Self.maximumTextBytes) }
    // Base64 may hold plus signs too.
    let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == Self.prefix else { throw .invalidText(.base64) }
    let key = try AuditorPublicKey(bytes: try Base64.decode(String(parts[2]), maximum: Self.byteCount))
    guard key.text.utf8.elementsEqual(text.utf8) else { throw .invalidText(.base64) }
    self = key
  }

  /// 32 bytes.
  public var bytes: [UInt8] { storage.array }

  /// Names the key in records and in what members agree to.
  public var digest: SHA256Digest {
    var encoder = CanonicalEncoder("bauta/v1/auditor-key")
    encoder.append(bytes)
    return SHA256Digest(hashing: encoder.finish())
  }

  public var text: String {
    "\(Self.prefix)+\(Hexadecimal.encode(digest.bytes.prefix(Self.checkByteCount)))+\(Base64.encode(bytes))"
  }

  public var description: String { text }
}

/// An auditor's key pair.
public struct AuditorKeyPair: ~Copyable, Sendable {
  public static let secretByteCount = 32

  public let publicKey: AuditorPublicKey
  private let secret: SecretBytes

  /// A new pair from the system's generator.
  public static func generate() -> AuditorKeyPair { AuditorKeyPair(checked: SecretBytes(randomCount: secretByteCount)) }

  /// The pair of a stored secret key.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there are exactly 32 bytes.
  public init(secret: consuming SecretBytes) throws(CryptographyError) {
    guard secret.count == Self.secretByteCount else {
      throw .wrongLength(of: .auditorKey, expected: Self.secretByteCount, actual: secret.count)
    }
    self.init(checked: secret)
  }

  private init(checked secret: consuming SecretBytes) {
    Sodium.requireStarted()
    let key = Bytes32 { output in
      // A clamped scalar times the base point is never zero, so there is no failing input.
      let status = secret.withUnsafeBytes { crypto_scalarmult_curve25519_base(output, $0.octets) }
      precondition(status == 0, "libsodium failed to make an auditor's key")
    }
    publicKey = AuditorPublicKey(trusted: key)
    self.secret = secret
  }

  /// Reads the 32 bytes, to store them. The pointer is valid only during the call.
  public borrowing func withSecret<R: ~Copyable, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try secret.withUnsafeBytes(body)
  }

  /// Opens a sealed box.
  fileprivate borrowing func open(_ box: [UInt8]) throws(CryptographyError) -> SecretBytes {
    let overhead = crypto_box_sealbytes()
    guard box.count >= overhead else {
      throw .wrongLength(of: .sealedBox, expected: overhead, actual: box.count)
    }
    var plaintext = SecretBytes(count: box.count - overhead)
    let status = plaintext.withUnsafeMutableBytes { output in
      secret.withUnsafeBytes { secret in
        publicKey.storage.withUnsafePointer {
          crypto_box_seal_open(output.octets, box, UInt64(box.count), $0, secret.octets)
        }
      }
    }
    guard status == 0 else { throw .authenticationFailed }
    return plaintext
  }
}

/// What both ends of a sealed stream have in common.
public enum SealedStream {
  /// Plaintext bytes of every chunk but the last.
  public static let chunkByteCount = 1 << 16
  /// What a chunk is longer by when it is sealed.
  public static let chunkOverhead = Int(crypto_secretstream_xchacha20poly1305_ABYTES)
  /// Of the beginning: the sealed key and the stream's header.
  public static let prefixByteCount = sealedKeyByteCount + headerByteCount
  static let keyByteCount = Int(crypto_secretstream_xchacha20poly1305_KEYBYTES)
  static let headerByteCount = Int(crypto_secretstream_xchacha20poly1305_HEADERBYTES)
  static let sealedKeyByteCount = keyByteCount + crypto_box_sealbytes()

  /// Sealed bytes of so many plaintext bytes: there is always a last chunk, if an empty one.
  public static func byteCount(plaintext count: Int) -> Int {
    let chunks = max(1, (count + chunkByteCount - 1) / chunkByteCount)
    return prefixByteCount + count + chunks * chunkOverhead
  }

  /// The state of libsodium holds key and nonce: it lies in guarded memory.
  static func withState<R>(
    _ memory: inout SecretBytes, _ body: (UnsafeMutablePointer<crypto_secretstream_xchacha20poly1305_state>) -> R
  ) -> R {
    memory.withUnsafeMutableBytes { bytes in
      body(
        UnsafeMutableRawPointer(bytes.octets).bindMemory(
          to: crypto_secretstream_xchacha20poly1305_state.self, capacity: 1))
    }
  }

  static func makeState() -> SecretBytes { SecretBytes(count: crypto_secretstream_xchacha20poly1305_statebytes()) }
}

/// Encrypts a stream to an auditor; nobody else can read it, its writer included once this value has ended.
public struct SealedStreamWriter: ~Copyable, Sendable {
  /// Comes before the first chunk: the fresh key, sealed to the auditor, and the stream's header.
  public let prefix: [UInt8]
  private let associatedData: [UInt8]
  private var state: SecretBytes
  private var isFinished = false

  /// - Parameter associatedData: a canonical encoding of what is sealed, or its hash; authenticated with every chunk and
  ///   not contained.
  public init(to auditor: AuditorPublicKey, associatedData: [UInt8]) {
    Sodium.requireStarted()
    let key = SecretBytes(randomCount: SealedStream.keyByteCount)
    let sealedKey = [UInt8](count: SealedStream.sealedKeyByteCount) { output in
      let status = key.withUnsafeBytes { key in
        auditor.storage.withUnsafePointer { crypto_box_seal(output, key.octets, UInt64(key.count), $0) }
      }
      // Fails for keys of small order only, which are none.
      precondition(status == 0, "libsodium failed to seal a key")
    }
    var state = SealedStream.makeState()
    let header = [UInt8](count: SealedStream.headerByteCount) { output in
      let status = SealedStream.withState(&state) { state in
        key.withUnsafeBytes { crypto_secretstream_xchacha20poly1305_init_push(state, output, $0.octets) }
      }
      precondition(status == 0, "libsodium failed to begin a sealed stream")
    }
    prefix = sealedKey + header
    self.state = state
    self.associatedData = associatedData
  }

  /// Seals the next chunk: ``SealedStream/chunkByteCount`` bytes, fewer in the last one.
  ///
  /// A chunk of another length, or one after the last, stops the program: they are the caller's.
  public mutating func seal(_ chunk: UnsafeRawBufferPointer, isLast: Bool) -> [UInt8] {
    precondition(!isFinished, "a chunk after the last")
    precondition(
      isLast ? chunk.count <= SealedStream.chunkByteCount : chunk.count == SealedStream.chunkByteCount,
      "a chunk of another length")
    isFinished = isLast
    let tag = isLast ? crypto_secretstream_xchacha20poly1305_tag_final() : 0
    return [UInt8](count: chunk.count + SealedStream.chunkOverhead) { output in
      let status = SealedStream.withState(&state) { state in
        crypto_secretstream_xchacha20poly1305_push(
          state, output, nil, chunk.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(chunk.count),
          associatedData, UInt64(associatedData.count), tag)
      }
      precondition(status == 0, "libsodium failed to seal a chunk")
    }
  }
}

/// Decrypts what was sealed to an auditor, chunk by chunk and in order. An altered, missing, repeated or exchanged chunk is
/// noticed; that nothing is missing at the end, by the last one alone.
public struct SealedStreamReader: ~Copyable, Sendable {
  private let associatedData: [UInt8]
  private var state: SecretBytes
  /// Whether the last chunk was read.
  public private(set) var isFinished = false

  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/authenticationFailed`` for a
  ///   stream that is sealed to another key, or an altered prefix.
  public init(
    prefix: [UInt8], key: borrowing AuditorKeyPair, associatedData: [UInt8]
  ) throws(CryptographyError) {
    guard prefix.count == SealedStream.prefixByteCount else {
      throw .wrongLength(of: .sealedBox, expected: SealedStream.prefixByteCount, actual: prefix.count)
    }
    let streamKey = try key.open(Array(prefix[..<SealedStream.sealedKeyByteCount]))
    var state = SealedStream.makeState()
    let header = Array(prefix[SealedStream.sealedKeyByteCount...])
    let status = SealedStream.withState(&state) { state in
      streamKey.withUnsafeBytes { crypto_secretstream_xchacha20poly1305_init_pull(state, header, $0.octets) }
    }
    guard status == 0 else { throw .authenticationFailed }
    self.state = state
    self.associatedData = associatedData
  }

  /// Opens the next chunk into the first bytes of `plaintext`, which has room for ``SealedStream/chunkByteCount``.
  ///
  /// - Returns: how many there are.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/authenticationFailed``, also
  ///   for anything after the last chunk.
  public mutating func open(
    _ box: [UInt8], into plaintext: inout SecretBytes
  ) throws(CryptographyError) -> Int {
    let count = box.count - SealedStream.chunkOverhead
    guard count >= 0, count <= min(SealedStream.chunkByteCount, plaintext.count) else {
      throw .wrongLength(
        of: .sealedBox, expected: SealedStream.chunkByteCount + SealedStream.chunkOverhead, actual: box.count)
    }
    guard !isFinished else { throw .authenticationFailed }
    var tag: UInt8 = 0
    let status = plaintext.withUnsafeMutableBytes { output in
      SealedStream.withState(&state) { state in
        crypto_secretstream_xchacha20poly1305_pull(
          state, output.octets, nil, &tag, box, UInt64(box.count), associatedData, UInt64(associatedData.count))
      }
    }
    guard status == 0 else { throw .authenticationFailed }
    isFinished = tag == crypto_secretstream_xchacha20poly1305_tag_final()
    // Only the last chunk is shorter, so that a length has one division.
    guard isFinished || count == SealedStream.chunkByteCount else { throw .authenticationFailed }
    return count
  }
}
