import COpenSSL
import Cryptography
import Foundation

/// A PKCS #10 request (RFC 2986) whose own signature has been verified.
///
/// Holding one proves that whoever made it holds the private key; it does not prove who that is.
public struct CertificateRequest: Sendable, Hashable {
  /// Largest PEM text that is parsed, in bytes.
  public static let maximumByteCount = 16 * 1024

  /// PEM text with a final newline.
  public let pem: String
  /// The one DNS name that the request asks for.
  public let name: OrganizationName
  /// SHA-256 of the SubjectPublicKeyInfo: what a manifest will pin.
  public let publicKeyHash: CertificateKeyHash

  /// Makes a request for `name`, signed with `key`.
  public static func create(
    name: OrganizationName, key: PrivateKey
  ) throws(CredentialError) -> CertificateRequest {
    ERR_clear_error()
    guard let request = X509_REQ_new() else { throw failure("make a request") }
    defer { X509_REQ_free(request) }
    let subject = X509_REQ_get_subject_name(request)
    guard X509_REQ_set_version(request, 0) == 1, X509_REQ_set_pubkey(request, key.handle) == 1,
      DistinguishedName.setCommonName(of: subject, to: name.value)
    else { throw failure("make a request") }
    guard let alternative = X509V3_EXT_conf_nid(nil, nil, NID_subject_alt_name, "DNS:\(name.value)") else {
      throw failure("encode the name")
    }
    guard let extensions = OPENSSL_sk_new_null() else {
      X509_EXTENSION_free(alternative)
      throw failure("encode the name")
    }
    defer {
      X509_EXTENSION_free(alternative)
      OPENSSL_sk_free(extensions)
    }
    guard OPENSSL_sk_push(extensions, UnsafeRawPointer(alternative)) > 0,
      X509_REQ_add_extensions(request, extensions) == 1,
      X509_REQ_sign(request, key.handle, OpenSSLSupport.signatureDigest(for: key.handle)) > 0
    else { throw failure("sign the request") }
    guard
      let pem = OpenSSLSupport.collecting(
        maximum: maximumByteCount, { PEM_write_bio_X509_REQ($0, request) == 1 })
    else { throw failure("encode the request") }
    return try CertificateRequest(pem: String(decoding: pem, as: UTF8.self))
  }

  /// Parses a request, verifies its signature with the key it holds, and takes the one name it asks for.
  ///
  /// A common name, if there is one, must say the same as the subject alternative name.
  public init(pem: String) throws(CredentialError) {
    let bytes = Array(pem.utf8)
    guard bytes.count <= CertificateRequest.maximumByteCount else {
      throw .inputTooLarge(what: "certificate request", maximum: CertificateRequest.maximumByteCount)
    }
    let request = try CertificateRequest.parse(bytes)
    defer { X509_REQ_free(request) }
    guard let key = X509_REQ_get0_pubkey(request) else {
      throw .notARequest(detail: "its public key is of an unknown kind")
    }
    try SubjectPublicKey.requireStrength(ofKey: key)
    let verified = X509_REQ_verify(request, key)
    ERR_clear_error()
    guard verified == 1 else { throw .requestSignatureInvalid }

    name = try CertificateRequest.requestedName(of: request)
    publicKeyHash = try SubjectPublicKey.hash(ofKey: key)
    guard
      let normal = OpenSSLSupport.collecting(
        maximum: CertificateRequest.maximumByteCount, { PEM_write_bio_X509_REQ($0, request) == 1 })
    else { throw CertificateRequest.failure("encode the request") }
    self.pem = String(decoding: normal, as: UTF8.self)
  }

  /// A new library object of this request; the caller frees it.
  func makeHandle() throws(CredentialError) -> OpaquePointer { try CertificateRequest.parse(Array(pem.utf8)) }

  private static func parse(_ bytes: [UInt8]) throws(CredentialError) -> OpaquePointer {
    ERR_clear_error()
    let request = OpenSSLSupport.withMemoryBIO(over: bytes) { PEM_read_bio_X509_REQ($0, nil, nil, nil) }
    guard let request, let request else { throw .notARequest(detail: OpenSSLSupport.takeErrorDetail()) }
    return request
  }

  private static func requestedName(of request: OpaquePointer) throws(CredentialError) -> OrganizationName {
    var names: [String] = []
    if let extensions = X509_REQ_get_extensions(request) {
      defer { OPENSSL_sk_pop_free(extensions) { X509_EXTENSION_free(OpaquePointer($0)) } }
      if let alternatives = X509V3_get_d2i(extensions, NID_subject_alt_name, nil, nil) {
        let stack = OpaquePointer(alternatives)
        defer { GENERAL_NAMES_free(stack) }
        guard OPENSSL_sk_num(stack) == 1 else {
          throw .notARequest(detail: "it must ask for exactly one name")
        }
        names = SubjectAlternativeNames.hostNames(in: stack)
      }
    }
    guard names.count == 1, let name = try? OrganizationName(names[0]) else {
      throw .notARequest(detail: "it asks for no valid organisation name as a DNS subject alternative name")
    }
    if let common = DistinguishedName.commonName(of: X509_REQ_get_subject_name(request)), common != name.value {
      throw .nameMismatch(expected: name.value, found: [common])
    }
    return name
  }

  private static func failure(_ operation: String) -> CredentialError {
    .library(operation: operation, detail: OpenSSLSupport.takeErrorDetail())
  }
}

/// Distinguished names with nothing but a common name.
enum DistinguishedName {
  /// X.520's upper bound for a common name. Longer names live in the subject alternative name alone.
  static let maximumCommonNameLength = 64

  static func setCommonName(of name: OpaquePointer?, to text: String) -> Bool {
    guard text.utf8.count <= maximumCommonNameLength else { return true }
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, Int32(text.utf8.count), -1, 0) == 1
  }

  static func commonName(of name: OpaquePointer?) -> String? {
    let index = X509_NAME_get_index_by_NID(name, NID_commonName, -1)
    guard index >= 0, let entry = X509_NAME_get_entry(name, index), let value = X509_NAME_ENTRY_get_data(entry) else {
      return nil
    }
    var encoded: UnsafeMutablePointer<UInt8>?
    let count = ASN1_STRING_to_UTF8(&encoded, value)
    guard count >= 0, let encoded else { return nil }
    defer { CRYPTO_free(encoded, nil, 0) }
    return String(decoding: UnsafeBufferPointer(start: encoded, count: Int(count)), as: UTF8.self)
  }
}
