import Cryptography

/// The hash of a masked input whose bytes come in pieces: SHA-256 of canonical("bauta/v1/masked-input-bytes", bytes).
struct MaskedInputHasher: ~Copyable {
  private var hasher = SHA256Hasher()

  /// - Parameter byteCount: Number of bytes to come. It is hashed first: if another number comes, the result is the
  ///   hash of no masked input.
  init(byteCount: Int) {
    var encoder = CanonicalEncoder("bauta/v1/masked-input-bytes")
    encoder.append(UInt64(byteCount))
    hasher.update(encoder.finish())
  }

  mutating func update(_ bytes: UnsafeRawBufferPointer) { hasher.update(bytes) }

  consuming func finish() -> MaskedInputHash { hasher.finish(as: MaskedInputRole.self) }
}
