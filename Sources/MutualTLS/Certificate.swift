import COpenSSL
import Cryptography
import Foundation

/// The SubjectPublicKeyInfo of a key, hashed: the form in which keys are pinned (RFC 7469, section 2.4).
enum SubjectPublicKey {
  static func hash(ofKey key: OpaquePointer) throws(CredentialError) -> CertificateKeyHash {
    var encoded: UnsafeMutablePointer<UInt8>?
    ERR_clear_error()
    let count = i2d_PUBKEY(key, &encoded)
    guard count > 0, let encoded else {
      throw .library(operation: "encode a public key", detail: OpenSSLSupport.takeErrorDetail())
    }
    defer { CRYPTO_free(encoded, nil, 0) }
    return CertificateKeyHash(hashing: UnsafeRawBufferPointer(start: encoded, count: Int(count)))
  }

  /// Refuses keys below 112 bits of security (RSA under 2048 bits, curves under 224).
  static func requireStrength(ofKey key: OpaquePointer) throws(CredentialError) {
    let bits = Int(EVP_PKEY_get_security_bits(key))
    guard bits >= 112 else { throw .keyTooWeak(securityBits: bits) }
  }
}

/// A parsed X.509 certificate as a value.
///
/// Parsing proves nothing about who issued it: trust is decided by the handshake or by ``CertificateAuthority``.
public struct Certificate: Sendable, Hashable {
  /// Largest PEM text or DER encoding that is parsed, in bytes.
  public static let maximumByteCount = 64 * 1024
  /// Most certificates of one text or file: a leaf with its intermediates, or authorities, usually one, two while one
  /// takes the place of another.
  public static let maximumCount = 8
  /// Most subject alternative names of each kind that are looked at.
  public static let maximumNameCount = 64

  /// The DER encoding.
  public let der: [UInt8]
  /// DNS names among the subject alternative names, lowercased. Entries that are not host names are left out.
  public let names: [String]
  /// IP addresses among the subject alternative names, in text form.
  public let addresses: [String]
  public let subject: String
  public let issuer: String
  /// SHA-256 of the SubjectPublicKeyInfo.
  public let publicKeyHash: CertificateKeyHash
  /// Lowercase hexadecimal, without leading zeros.
  public let serial: String
  public let validity: CertificateValidity
  public var notBefore: Date { validity.notBefore }
  public var notAfter: Date { validity.notAfter }
  /// Whether basic constraints say CA:TRUE and the key usage, if present, includes signing certificates.
  public let isAuthority: Bool

  /// Parses the first certificate of a PEM text.
  public init(pem: String) throws(CredentialError) { try self.init(pemBytes: Array(pem.utf8)) }

  init(pemBytes: [UInt8]) throws(CredentialError) {
    let (handles, fault) = try Certificate.parse(pem: pemBytes, maximumCount: 1)
    defer { for handle in handles { X509_free(handle) } }
    guard let first = handles.first else { throw .notACertificate(detail: fault ?? "no certificate found") }
    try self.init(handle: first)
  }

  /// Parses a DER encoding; trailing bytes are an error.
  public init(der: [UInt8]) throws(CredentialError) {
    guard der.count <= Certificate.maximumByteCount else {
      throw .inputTooLarge(what: "certificate", maximum: Certificate.maximumByteCount)
    }
    let handle = try Certificate.decode(der)
    defer { X509_free(handle) }
    try self.init(handle: handle)
  }

  /// Reads the first certificate of a PEM file.
  public init(contentsOfFile path: String) throws(CredentialError) {
    try self.init(pemBytes: OpenSSLSupport.readFile(path, maximum: Certificate.maximumByteCount))
  }

  /// As ``all(inPEM:)``, of a PEM file.
  public static func all(inFile path: String) throws(CredentialError) -> [Certificate] {
    try all(inPEM: OpenSSLSupport.readFile(path, maximum: maximumByteCount))
  }

  /// Every certificate of a PEM text, in order; 1 to ``maximumCount``. What stands between them is passed over.
  ///
  /// - Throws: `tooManyCertificates`; `notACertificate` when there is none or any of them is malformed; `inputTooLarge`.
  public static func all(inPEM pem: String) throws(CredentialError) -> [Certificate] {
    try all(inPEM: Array(pem.utf8))
  }

  private static func all(inPEM bytes: [UInt8]) throws(CredentialError) -> [Certificate] {
    // One more than is allowed, so that it is seen and not left out.
    let (handles, fault) = try parse(pem: bytes, maximumCount: maximumCount + 1)
    defer { for handle in handles { X509_free(handle) } }
    guard handles.count <= maximumCount else { throw .tooManyCertificates(maximum: maximumCount) }
    if let fault { throw .notACertificate(detail: fault) }
    var certificates: [Certificate] = []
    for handle in handles { certificates.append(try Certificate(handle: handle)) }
    return certificates
  }

  /// The first certificates, which the caller frees, and why the one after them is malformed, if it is. Never neither.
  private static func parse(
    pem bytes: [UInt8], maximumCount: Int
  ) throws(CredentialError) -> (handles: [OpaquePointer], fault: String?) {
    guard bytes.count <= maximumByteCount else {
      throw .inputTooLarge(what: "certificate", maximum: maximumByteCount)
    }
    ERR_clear_error()
    let handles = OpenSSLSupport.withMemoryBIO(over: bytes) { bio -> [OpaquePointer] in
      var found: [OpaquePointer] = []
      while found.count < maximumCount, let next = PEM_read_bio_X509(bio, nil, nil, nil) { found.append(next) }
      return found
    }
    // That no further one begins is how the end of the text is told.
    let last = ERR_peek_last_error()
    let isEnd = last == 0 || ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE
    let detail = OpenSSLSupport.takeErrorDetail()
    guard let handles else { throw .notACertificate(detail: detail) }
    return (handles, isEnd && !handles.isEmpty ? nil : detail)
  }

  /// PEM text with a final newline.
  public var pem: String {
    let body = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
    return "-----BEGIN CERTIFICATE-----\n\(body)\n-----END CERTIFICATE-----\n"
  }

  /// Copies what the library parsed.
  init(handle: OpaquePointer) throws(CredentialError) {
    var encoded: UnsafeMutablePointer<UInt8>?
    let count = i2d_X509(handle, &encoded)
    guard count > 0, let encoded else {
      throw .library(operation: "encode a certificate", detail: OpenSSLSupport.takeErrorDetail())
    }
    defer { CRYPTO_free(encoded, nil, 0) }
    guard let key = X509_get0_pubkey(handle) else {
      throw .notACertificate(detail: "its public key is of an unknown kind")
    }
    guard let notBefore = Certificate.date(X509_get0_notBefore(handle)),
      let notAfter = Certificate.date(X509_get0_notAfter(handle)),
      let validity = try? CertificateValidity(notBefore: notBefore, notAfter: notAfter)
    else { throw .notACertificate(detail: "its dates are malformed") }
    der = Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    names = SubjectAlternativeNames.hostNames(ofCertificate: handle)
    addresses = SubjectAlternativeNames.addresses(ofCertificate: handle)
    subject = Certificate.text(of: X509_get_subject_name(handle))
    issuer = Certificate.text(of: X509_get_issuer_name(handle))
    publicKeyHash = try SubjectPublicKey.hash(ofKey: key)
    serial = Certificate.serial(of: handle)
    self.validity = validity
    isAuthority = X509_check_ca(handle) == 1
  }

  /// A new library object of this certificate; the caller frees it.
  func makeHandle() throws(CredentialError) -> OpaquePointer { try Certificate.decode(der) }

  private static func decode(_ der: [UInt8]) throws(CredentialError) -> OpaquePointer {
    ERR_clear_error()
    let (handle, consumed) = der.withUnsafeBufferPointer { buffer -> (OpaquePointer?, Int) in
      var position = buffer.baseAddress
      let handle = d2i_X509(nil, &position, buffer.count)
      return (handle, handle == nil ? 0 : position! - buffer.baseAddress!)
    }
    guard let handle else { throw .notACertificate(detail: OpenSSLSupport.takeErrorDetail()) }
    guard consumed == der.count else {
      X509_free(handle)
      throw .notACertificate(detail: "bytes follow its end")
    }
    return handle
  }
}

// MARK: - Fields

extension Certificate {
  static func date(_ time: UnsafePointer<ASN1_TIME>?) -> Date? {
    var components = tm()
    guard let time, ASN1_TIME_to_tm(time, &components) == 1 else { return nil }
    return Date(timeIntervalSince1970: TimeInterval(timegm(&components)))
  }

  static func serial(of handle: OpaquePointer) -> String {
    guard let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(handle), nil) else { return "" }
    defer { BN_free(number) }
    guard let text = BN_bn2hex(number) else { return "" }
    defer { CRYPTO_free(text, nil, 0) }
    let digits = String(cString: text).lowercased().drop { $0 == "0" }
    return digits.isEmpty ? "0" : String(digits)
  }

  /// The name on one line in the form of RFC 2253; control characters are escaped.
  static func text(of name: OpaquePointer?) -> String {
    guard let name else { return "" }
    let bytes = OpenSSLSupport.collecting(maximum: 4096) { mutual_tls_print_name($0, name) == 1 }
    return bytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}

/// Reading of the subject alternative name extension.
enum SubjectAlternativeNames {
  static func hostNames(ofCertificate handle: OpaquePointer) -> [String] {
    guard let names = X509_get_ext_d2i(handle, NID_subject_alt_name, nil, nil) else { return [] }
    let stack = OpaquePointer(names)
    defer { GENERAL_NAMES_free(stack) }
    return hostNames(in: stack)
  }

  static func addresses(ofCertificate handle: OpaquePointer) -> [String] {
    guard let names = X509_get_ext_d2i(handle, NID_subject_alt_name, nil, nil) else { return [] }
    let stack = OpaquePointer(names)
    defer { GENERAL_NAMES_free(stack) }
    return entries(in: stack, kind: GEN_IPADD).compactMap { entry in
      let count = Int(ASN1_STRING_length(entry.d.iPAddress))
      guard let bytes = ASN1_STRING_get0_data(entry.d.iPAddress), count == 4 || count == 16 else { return nil }
      var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
      guard inet_ntop(count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return nil }
      return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  /// DNS entries that are host names, lowercased. Anything else (embedded NUL, control characters, other alphabets)
  /// is left out: it can neither equal an organisation's name nor be shown safely.
  static func hostNames(in stack: OpaquePointer) -> [String] {
    entries(in: stack, kind: GEN_DNS).compactMap { entry in
      let count = Int(ASN1_STRING_length(entry.d.dNSName))
      guard let bytes = ASN1_STRING_get0_data(entry.d.dNSName), (1...253).contains(count) else { return nil }
      let text = String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self).lowercased()
      let isHostName = text.utf8.count == count && text.utf8.allSatisfy(isHostNameByte)
      return isHostName ? text : nil
    }
  }

  private static func entries(in stack: OpaquePointer, kind: Int32) -> [GENERAL_NAME] {
    (0..<min(OPENSSL_sk_num(stack), Int32(Certificate.maximumNameCount))).compactMap { index in
      guard let entry = OPENSSL_sk_value(stack, index)?.assumingMemoryBound(to: GENERAL_NAME.self),
        entry.pointee.type == kind
      else { return nil }
      return entry.pointee
    }
  }

  private static func isHostNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
      UInt8(ascii: "."), UInt8(ascii: "*"):
      true
    default: false
    }
  }
}
