import COpenSSL

/// The stream cipher that expands a seed into masks, as the plan names it.
public enum MaskGenerator: String, Sendable, CaseIterable {
  case aes256CTR = "aes-256-ctr"
  /// For processors without AES instructions.
  case chacha20
}

/// 32 secret bytes that a mask grows from. Used for one mask stream and nothing else.
public struct MaskSeed: ~Copyable, Sendable {
  public static let byteCount = 32
  fileprivate let bytes: SecretBytes

  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there are exactly 32 bytes.
  public init(_ bytes: consuming SecretBytes) throws(CryptographyError) {
    guard bytes.count == Self.byteCount else {
      throw .wrongLength(of: .maskSeed, expected: Self.byteCount, actual: bytes.count)
    }
    self.bytes = bytes
  }
}

/// The keystream of a seed: a cipher in counter mode with a zero initial vector, from any multiple of 64 bytes.
///
/// AES-256-CTR per NIST SP 800-38A with a 128-bit big-endian counter; ChaCha20 per RFC 8439 with a zero nonce, whose
/// counter continues into the first nonce word, so that 2⁶⁴ bytes are reachable. `fill` allocates nothing. The expanded
/// key is kept by libcrypto and erased when the value ends; it is not in locked memory.
public struct MaskStream: ~Copyable, @unchecked Sendable {
  // Unchecked: the context is owned by this one value, and all its uses need exclusive access.
  private let context: OpaquePointer
  private let generator: MaskGenerator
  private var position: UInt64 = 0

  /// The bytes of one counter step that both generators share.
  public static let seekAlignment = 64

  /// A stream at byte 0.
  /// - Throws: ``CryptographyError/libraryUnavailable(_:)``, ``CryptographyError/operationFailed(_:)``.
  public init(seed: borrowing MaskSeed, generator: MaskGenerator) throws(CryptographyError) {
    try self.init(seed: seed, generator: generator, initialVector: Self.initialVector(generator, byte: 0))
  }

  /// A stream from an arbitrary initial vector of 16 bytes; for published vectors. `seek` counts from a zero vector.
  init(
    seed: borrowing MaskSeed, generator: MaskGenerator, initialVector: InitialVector
  ) throws(CryptographyError) {
    let algorithm =
      switch generator {
      case .aes256CTR: LibCrypto.aes256CTR
      case .chacha20: LibCrypto.chacha20
      }
    guard let algorithm, let context = EVP_CIPHER_CTX_new() else { throw .libraryUnavailable(.libcrypto) }
    let status = seed.bytes.withUnsafeBytes { key in
      withUnsafeBytes(of: initialVector) { EVP_EncryptInit_ex2(context, algorithm, key.octets, $0.octets, nil) }
    }
    guard status == 1 else {
      EVP_CIPHER_CTX_free(context)
      ERR_clear_error()
      throw .operationFailed(.maskExpansion)
    }
    self.context = context
    self.generator = generator
  }

  deinit { EVP_CIPHER_CTX_free(context) }

  /// Moves to a byte of the keystream, forwards or backwards, in constant time.
  /// - Throws: ``CryptographyError/misalignedSeek(byte:)`` unless it is a multiple of 64, and the position stays;
  ///   ``CryptographyError/operationFailed(_:)``, after which the stream gives nothing until a seek succeeds.
  public mutating func seek(toByte byte: UInt64) throws(CryptographyError) {
    guard byte % UInt64(Self.seekAlignment) == 0 else { throw .misalignedSeek(byte: byte) }
    let status = withUnsafeBytes(of: Self.initialVector(generator, byte: byte)) {
      EVP_EncryptInit_ex2(context, nil, nil, $0.octets, nil)
    }
    guard status == 1 else { throw failed() }
    position = byte
  }

  /// Overwrites `buffer` with the next bytes of the keystream.
  ///
  /// Fastest in blocks of 4 KiB, which stay in the first-level cache.
  /// - Throws: ``CryptographyError/keystreamExhausted`` if the stream would pass 2⁶⁴ − 1 bytes, and nothing is written;
  ///   ``CryptographyError/operationFailed(_:)``, after which the stream gives nothing until a seek succeeds.
  public mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(CryptographyError) {
    guard !buffer.isEmpty else { return }
    let (end, overflow) = position.addingReportingOverflow(UInt64(buffer.count))
    guard !overflow else { throw .keystreamExhausted }
    var filled = 0
    while filled < buffer.count {
      let count = min(buffer.count - filled, ZeroBlock.byteCount)
      var written: Int32 = 0
      let status = EVP_EncryptUpdate(context, buffer.octets + filled, &written, ZeroBlock.start, Int32(count))
      guard status == 1, Int(written) == count else { throw failed() }
      filled += count
    }
    position = end
  }

  /// The cipher is in an unknown state: no byte more may come from it.
  private mutating func failed() -> CryptographyError {
    position = .max
    ERR_clear_error()
    return .operationFailed(.maskExpansion)
  }

  /// The 16 bytes that libcrypto takes as initial vector, in memory order.
  typealias InitialVector = (UInt64, UInt64)

  private static func initialVector(_ generator: MaskGenerator, byte: UInt64) -> InitialVector {
    switch generator {
    case .aes256CTR: (0, (byte / 16).bigEndian)
    case .chacha20: ((byte / 64).littleEndian, 0)
    }
  }
}

/// Zeros to encrypt: the keystream itself is the ciphertext. Never written, kept for the life of the process.
private enum ZeroBlock {
  static let byteCount = 4096
  // Unsafe for the checker only: the memory is written before anybody has the pointer, and never again.
  nonisolated(unsafe) static let start: UnsafePointer<UInt8> = {
    let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: byteCount)
    return UnsafePointer(block.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount))
  }()
}
