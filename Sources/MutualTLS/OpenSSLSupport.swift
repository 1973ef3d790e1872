import COpenSSL
import Foundation

/// Small bridges between libcrypto's conventions and Swift's. Nothing here outlives a call.
enum OpenSSLSupport {
  /// Empties this thread's error queue and describes its first entry, the root of the failure.
  ///
  /// The text is the library's reason ("no certificate or crl found"); it never holds key material.
  static func takeErrorDetail() -> String {
    let code = ERR_peek_error()
    ERR_clear_error()
    return reason(of: code)
  }

  static func reason(of code: UInt) -> String {
    guard code != 0 else { return "no detail given" }
    if let text = ERR_reason_error_string(code) { return String(cString: text) }
    return "error \(String(code, radix: 16))"
  }

  /// Runs `body` with a read-only memory BIO over `bytes`; `nil` when the library has no memory for one.
  static func withMemoryBIO<R>(over bytes: [UInt8], _ body: (OpaquePointer) -> R) -> R? {
    bytes.withUnsafeBytes { buffer -> R? in
      guard let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(buffer.count)) else { return nil }
      defer { BIO_free(bio) }
      return body(bio)
    }
  }

  /// Collects what `body` writes; `nil` when it reports failure. At most `maximum` bytes are taken.
  static func collecting(maximum: Int, _ body: (OpaquePointer) -> Bool) -> [UInt8]? {
    guard let bio = BIO_new(BIO_s_mem()) else { return nil }
    defer { BIO_free(bio) }
    guard body(bio) else { return nil }
    let count = BIO_ctrl_pending(bio)
    guard count <= maximum else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    let read = bytes.withUnsafeMutableBytes { BIO_read(bio, $0.baseAddress, Int32($0.count)) }
    guard Int(read) == count else { return nil }
    return bytes
  }

  /// The digest that a signature with this key needs: none for Edwards curves, SHA-256 otherwise.
  static func signatureDigest(for key: OpaquePointer) -> OpaquePointer? {
    if EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1 { return nil }
    return EVP_sha256()
  }

  /// Reads a regular file of at most `maximum` bytes.
  static func readFile(_ path: String, maximum: Int) throws(CredentialError) -> [UInt8] {
    let (descriptor, _) = try RegularFile.open(path, maximum: maximum)
    defer { close(descriptor) }
    return try RegularFile.read(descriptor, path: path, maximum: maximum)
  }

  static func systemReason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
