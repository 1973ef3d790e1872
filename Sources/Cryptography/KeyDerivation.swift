import COpenSSL

/// The longest `info` that every supported libcrypto accepts.
private let maximumInfoByteCount = 1024
/// 255 blocks of SHA-256.
private let maximumDerivedByteCount = 255 * 32

/// HKDF-SHA-256. Implements RFC 5869, extract then expand.
///
/// - Parameters:
///   - secret: input keying material; not empty.
///   - salt: public; may be empty.
///   - info: a canonical encoding of what the key is for; at most 1024 bytes.
///   - count: bytes to derive, 1 … 8160.
/// - Throws: ``CryptographyError/invalidDerivation`` if a bound is not met; ``CryptographyError/operationFailed(_:)``.
public func deriveKey(
  from secret: borrowing SecretBytes, salt: [UInt8], info: [UInt8], count: Int
) throws(CryptographyError) -> SecretBytes {
  guard secret.count > 0, info.count <= maximumInfoByteCount, (1...maximumDerivedByteCount).contains(count) else {
    throw .invalidDerivation
  }
  guard let algorithm = LibCrypto.hkdf else { throw .libraryUnavailable(.libcrypto) }
  var key = SecretBytes(count: count)
  let status = key.withUnsafeMutableBytes { output in
    secret.withUnsafeBytes { input in
      bauta_hkdf_sha256(
        algorithm, input.baseAddress, input.count, salt, salt.count, info, info.count, output.baseAddress,
        output.count)
    }
  }
  guard status == 1 else {
    ERR_clear_error()
    throw .operationFailed(.keyDerivation)
  }
  return key
}
