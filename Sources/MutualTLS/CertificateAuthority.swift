import COpenSSL
import Cryptography
import Foundation

/// From when until when a certificate is valid.
public struct CertificateValidity: Sendable, Hashable {
  public let notBefore: Date
  public let notAfter: Date

  public init(notBefore: Date, notAfter: Date) throws(CredentialError) {
    guard notBefore < notAfter else { throw .invalidValidity(detail: "it ends before it begins") }
    self.notBefore = notBefore
    self.notAfter = notAfter
  }

  /// How long before now a new certificate begins, in seconds. Its reader judges it by a clock of its own: with one that is
  /// behind the authority's by less than this, the certificate is good at once instead of "not yet valid". At the other end
  /// nothing is added: a clock that is behind accepts an expired certificate a little longer.
  public static let backdating: TimeInterval = 600

  /// `days` (1…36,500) from now; begins ``backdating`` ago.
  public static func days(_ days: Int) throws(CredentialError) -> CertificateValidity {
    guard (1...36_500).contains(days) else {
      throw .invalidValidity(detail: "\(days) days is not between 1 and 36,500")
    }
    return try lasting(TimeInterval(days) * 86_400)
  }

  /// `hours` (1…8,760) from now; begins ``backdating`` ago. For owners who renew by machine: with less than a few hours, a
  /// clock that is wrong or a renewal that is late ends the connections.
  public static func hours(_ hours: Int) throws(CredentialError) -> CertificateValidity {
    guard (1...8_760).contains(hours) else {
      throw .invalidValidity(detail: "\(hours) hours is not between 1 and 8,760")
    }
    return try lasting(TimeInterval(hours) * 3600)
  }

  private static func lasting(_ time: TimeInterval) throws(CredentialError) -> CertificateValidity {
    let now = Date()
    return try CertificateValidity(notBefore: now - backdating, notAfter: now + time)
  }
}

/// What a certificate may be used for.
public enum CertificateProfile: Sendable, Hashable {
  /// TLS client of an organisation: extended key usage clientAuth.
  case organization
  /// TLS server: extended key usage serverAuth, with further host names and IP addresses to reach it by.
  case server(hostNames: [String] = [], addresses: [String] = [])
}

/// The federation's own certificate authority: one self-signed certificate that signs leaves and nothing else.
///
/// Who is a member is decided by the pins of the manifest, not by this authority; it is the second of two locks.
public struct CertificateAuthority: Sendable {
  public let certificate: Certificate
  private let key: PrivateKey

  /// Joins an authority's certificate with its key.
  public init(certificate: Certificate, key: PrivateKey) throws(CredentialError) {
    guard certificate.isAuthority else { throw .notAnAuthority(subject: certificate.subject) }
    guard try key.publicKeyHash == certificate.publicKeyHash else { throw .keyDoesNotMatchCertificate }
    self.certificate = certificate
    self.key = key
  }

  /// Creates a self-signed authority: CA:TRUE with path length 0, key usage keyCertSign and cRLSign.
  ///
  /// - Parameter federation: becomes the common name, cut to 64 characters of UTF-8.
  public static func create(
    federation: String, key: PrivateKey, validity: CertificateValidity
  ) throws(CredentialError) -> CertificateAuthority {
    var name = federation
    while name.utf8.count > DistinguishedName.maximumCommonNameLength { name.removeLast() }
    let draft = try CertificateDraft(validity: validity, publicKey: key.handle)
    guard !name.isEmpty, DistinguishedName.setCommonName(of: draft.subject, to: name) else {
      throw .library(operation: "use the federation's name", detail: OpenSSLSupport.takeErrorDetail())
    }
    try draft.setIssuer(draft.subject)
    try draft.add(NID_basic_constraints, "critical,CA:TRUE,pathlen:0")
    try draft.add(NID_key_usage, "critical,keyCertSign,cRLSign")
    try draft.add(NID_subject_key_identifier, "hash")
    return try CertificateAuthority(certificate: draft.signed(with: key), key: key)
  }

  /// Issues a certificate for the key of `request`.
  ///
  /// Nothing of the request but its key is taken over: names and usage come from the parameters. The request's
  /// signature was verified when it was parsed.
  /// - Throws: `nameMismatch` when the request asks for another name than `name`; `invalidValidity` when the
  ///   certificate would outlive the authority; `invalidAddress`.
  public func issue(
    _ request: CertificateRequest, name: OrganizationName, profile: CertificateProfile,
    validity: CertificateValidity
  ) throws(CredentialError) -> Certificate {
    guard request.name == name else { throw .nameMismatch(expected: name.value, found: [request.name.value]) }
    let parsed = try request.makeHandle()
    defer { X509_REQ_free(parsed) }
    return try issue(publicKey: X509_REQ_get0_pubkey(parsed), name: name, profile: profile, validity: validity)
  }

  /// Issues a certificate for the same key, names and use as `old`, which this authority issued, with a new serial number.
  ///
  /// That `old` has expired does not matter. Whether its owner still belongs to the federation is for the caller to know.
  /// - Throws: `defect(unknownIssuer)` when this authority did not issue `old`; `notACertificate` when it is not one of a
  ///   member's; `invalidValidity`, `keyTooWeak`.
  public func renew(_ old: Certificate, validity: CertificateValidity) throws(CredentialError) -> Certificate {
    let parsed = try old.makeHandle()
    defer { X509_free(parsed) }
    let own = try certificate.makeHandle()
    defer { X509_free(own) }
    ERR_clear_error()
    let verified = X509_verify(parsed, X509_get0_pubkey(own))
    ERR_clear_error()
    guard old.issuer == certificate.subject && verified == 1 else {
      throw .defect(.unknownIssuer(issuer: old.issuer))
    }
    guard !old.isAuthority, let first = old.names.first, let name = try? OrganizationName(first) else {
      throw .notACertificate(detail: "it is not one that was issued to a member")
    }
    let publicKey = X509_get0_pubkey(parsed)
    if let publicKey { try SubjectPublicKey.requireStrength(ofKey: publicKey) }
    return try issue(publicKey: publicKey, name: name, profile: old.profile(of: parsed), validity: validity)
  }

  private func issue(
    publicKey: OpaquePointer?, name: OrganizationName, profile: CertificateProfile, validity: CertificateValidity
  ) throws(CredentialError) -> Certificate {
    guard validity.notAfter <= certificate.notAfter else {
      throw .invalidValidity(detail: "the certificate would outlive the authority that signs it")
    }
    let issuer = try certificate.makeHandle()
    defer { X509_free(issuer) }

    let draft = try CertificateDraft(validity: validity, publicKey: publicKey, issuer: issuer)
    guard DistinguishedName.setCommonName(of: draft.subject, to: name.value) else {
      throw .library(operation: "use the organisation's name", detail: OpenSSLSupport.takeErrorDetail())
    }
    try draft.setIssuer(X509_get_subject_name(issuer))
    try draft.add(NID_basic_constraints, "critical,CA:FALSE")
    try draft.add(NID_key_usage, "critical,digitalSignature")
    try draft.add(NID_ext_key_usage, profile.extendedKeyUsage)
    // With an empty subject the alternative name is the only one, and RFC 5280 wants it critical.
    let critical = name.value.utf8.count > DistinguishedName.maximumCommonNameLength ? "critical," : ""
    try draft.add(NID_subject_alt_name, critical + profile.alternativeNames(for: name))
    try draft.add(NID_subject_key_identifier, "hash")
    try draft.add(NID_authority_key_identifier, "keyid:always")
    return try draft.signed(with: key)
  }
}

extension Certificate {
  /// What the certificate, one of our own making, was issued for.
  fileprivate func profile(of handle: OpaquePointer) throws(CredentialError) -> CertificateProfile {
    let usage = X509_get_extended_key_usage(handle)
    switch usage {
    case UInt32(XKU_SSL_CLIENT): return .organization
    case UInt32(XKU_SSL_SERVER): return .server(hostNames: Array(names.dropFirst()), addresses: addresses)
    default: throw .notACertificate(detail: "it is not one that was issued to a member")
    }
  }
}

extension CertificateProfile {
  var extendedKeyUsage: String {
    switch self {
    case .organization: "clientAuth"
    case .server: "serverAuth"
    }
  }

  /// The extension's text. Every entry is parsed first, so none can carry syntax of its own.
  fileprivate func alternativeNames(for name: OrganizationName) throws(CredentialError) -> String {
    var entries = ["DNS:\(name.value)"]
    switch self {
    case .organization: break
    case .server(let hostNames, let addresses):
      guard hostNames.count + addresses.count < Certificate.maximumNameCount else {
        throw .inputTooLarge(what: "list of names", maximum: Certificate.maximumNameCount)
      }
      for hostName in hostNames where hostName != name.value {
        guard let valid = try? OrganizationName(hostName) else {
          throw .nameMismatch(expected: "a lowercase host name", found: [hostName])
        }
        entries.append("DNS:\(valid.value)")
      }
      for address in addresses {
        var storage = in6_addr()
        guard inet_pton(AF_INET, address, &storage) == 1 || inet_pton(AF_INET6, address, &storage) == 1 else {
          throw .invalidAddress(address)
        }
        entries.append("IP:\(address)")
      }
    }
    return entries.joined(separator: ",")
  }
}

/// A certificate being put together; freed with this object.
private final class CertificateDraft {
  private let handle: OpaquePointer
  private let issuer: OpaquePointer?

  /// - Parameter issuer: the authority's certificate; without one the draft is its own issuer.
  init(validity: CertificateValidity, publicKey: OpaquePointer?, issuer: OpaquePointer? = nil) throws(CredentialError) {
    ERR_clear_error()
    guard let handle = X509_new() else { throw CertificateDraft.failure("make a certificate") }
    self.handle = handle
    self.issuer = issuer
    guard X509_set_version(handle, 2) == 1, X509_set_pubkey(handle, publicKey) == 1,
      CertificateDraft.setRandomSerial(of: handle),
      ASN1_TIME_set(X509_getm_notBefore(handle), time_t(validity.notBefore.timeIntervalSince1970)) != nil,
      ASN1_TIME_set(X509_getm_notAfter(handle), time_t(validity.notAfter.timeIntervalSince1970)) != nil
    else { throw CertificateDraft.failure("make a certificate") }
  }

  deinit { X509_free(handle) }

  var subject: OpaquePointer? { X509_get_subject_name(handle) }

  func setIssuer(_ name: OpaquePointer?) throws(CredentialError) {
    guard X509_set_issuer_name(handle, name) == 1 else { throw CertificateDraft.failure("set the issuer") }
  }

  func add(_ identifier: Int32, _ value: String) throws(CredentialError) {
    var context = X509V3_CTX()
    X509V3_set_ctx(&context, issuer ?? handle, handle, nil, nil, 0)
    guard let made = X509V3_EXT_conf_nid(nil, &context, identifier, value) else {
      throw CertificateDraft.failure("encode the extension \(String(cString: OBJ_nid2sn(identifier)))")
    }
    defer { X509_EXTENSION_free(made) }
    guard X509_add_ext(handle, made, -1) == 1 else { throw CertificateDraft.failure("add an extension") }
  }

  func signed(with key: PrivateKey) throws(CredentialError) -> Certificate {
    guard X509_sign(handle, key.handle, OpenSSLSupport.signatureDigest(for: key.handle)) > 0 else {
      throw CertificateDraft.failure("sign the certificate")
    }
    return try Certificate(handle: handle)
  }

  /// 127 random bits: positive, and more than the 64 that RFC 5280's readers have come to ask for.
  private static func setRandomSerial(of handle: OpaquePointer) -> Bool {
    guard let number = BN_new() else { return false }
    defer { BN_free(number) }
    return BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1
      && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(handle)) != nil
  }

  private static func failure(_ operation: String) -> CredentialError {
    .library(operation: operation, detail: OpenSSLSupport.takeErrorDetail())
  }
}
