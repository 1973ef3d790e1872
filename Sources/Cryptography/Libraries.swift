import COpenSSL
import CSodium

/// Starts libsodium and finds the algorithms of libcrypto.
///
/// Every function of the module starts what it needs by itself; call this once at the start of a program to learn of a
/// broken installation as an error, where a later use would stop the program.
/// - Throws: ``CryptographyError/libraryUnavailable(_:)``.
public func initializeCryptography() throws(CryptographyError) {
  guard Sodium.isStarted else { throw .libraryUnavailable(.libsodium) }
  // ChaCha20 is not among them: a FIPS provider has none, and a plan that asks for it is an error where it is used.
  guard LibCrypto.sha256 != nil, LibCrypto.aes256CTR != nil, LibCrypto.hkdf != nil else {
    throw .libraryUnavailable(.libcrypto)
  }
}

/// Forbids core files of this process and, on Linux, reading its memory from other processes of the same user.
///
/// Cannot be undone by this function; debuggers and profilers cannot attach afterwards.
/// - Throws: ``CryptographyError/operationFailed(_:)``.
public func forbidCoreDumps() throws(CryptographyError) {
  guard bauta_forbid_core_dumps() == 0 else { throw .operationFailed(.processProtection) }
}

/// Random bytes for what is public: identifiers, salts, nonces. Secrets are made in ``SecretBytes``.
public func randomBytes(_ count: Int) -> [UInt8] {
  precondition(count >= 0, "a count of random bytes is negative")
  Sodium.requireStarted()
  return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    if let start = buffer.baseAddress { randombytes_buf(start, count) }
    initialized = count
  }
}

enum Sodium {
  /// sodium_init: 0 the first time, 1 afterwards, −1 if it failed. Safe to call from several threads.
  static let isStarted: Bool = sodium_init() >= 0

  /// libsodium without a source of randomness must not be used at all, so this stops the program.
  static func requireStarted() { precondition(isStarted, "libsodium did not start") }
}

/// Algorithms of libcrypto, looked up once.
///
/// The objects are immutable after the look-up and counted atomically; OpenSSL documents fetched algorithms as safe to
/// share between threads.
enum LibCrypto {
  nonisolated(unsafe) static let sha256: OpaquePointer? = EVP_MD_fetch(nil, "SHA2-256", nil)
  nonisolated(unsafe) static let aes256CTR: OpaquePointer? = EVP_CIPHER_fetch(nil, "AES-256-CTR", nil)
  nonisolated(unsafe) static let chacha20: OpaquePointer? = EVP_CIPHER_fetch(nil, "ChaCha20", nil)
  nonisolated(unsafe) static let hkdf: OpaquePointer? = EVP_KDF_fetch(nil, "HKDF", nil)
}
