import COpenSSL
import Cryptography
import Foundation

extension Certificate {
  /// Checks a certificate that any authority issued for a member's request, as every peer will in its handshakes.
  ///
  /// In this order: same public key as `request`; strength of the key; not an authority's; key usage, where present, with
  /// digitalSignature; extended key usage with clientAuth (`organization`) or serverAuth (`server`); `name` among the DNS
  /// subject alternative names, and for a server its further names; valid at `now`; a chain to one of `authorities` at
  /// OpenSSL's security level 2 (no SHA-1), where an intermediate authority may be the anchor. Revocation is not asked
  /// about: the manifest says who is accepted.
  ///
  /// - Parameters:
  ///   - intermediates: certificates that came along and are not trusted by themselves.
  ///   - now: the moment at which leaf and issuers must be valid.
  /// - Throws: ``CredentialError/defect(_:)``, `keyTooWeak`, `notAnAuthority`, `library`.
  public func check(
    issuedFor request: CertificateRequest, name: OrganizationName, profile: CertificateProfile,
    authorities: [Certificate], intermediates: [Certificate] = [], at now: Date = Date()
  ) throws(CredentialError) {
    guard publicKeyHash == request.publicKeyHash else {
      throw .defect(.otherKey(expected: request.publicKeyHash, found: publicKeyHash))
    }
    let handle = try makeHandle()
    defer { X509_free(handle) }
    if let key = X509_get0_pubkey(handle) { try SubjectPublicKey.requireStrength(ofKey: key) }
    try Certificate.checkUsage(of: handle, profile: profile)
    try checkNames(name, profile: profile)
    switch expiry(at: now) {
    case .valid, .expiresSoon: break
    case .expired(let date): throw .defect(.expired(since: date))
    case .notYetValid(let date): throw .defect(.notYetValid(until: date))
    }
    try ChainCheck.verify(handle, of: self, profile: profile, authorities, intermediates, at: now)
  }

  private static func checkUsage(of handle: OpaquePointer, profile: CertificateProfile) throws(CredentialError) {
    // Not only CA:TRUE: whatever some verifier would take for an issuer's.
    let keyUsage = X509_get_key_usage(handle)
    let isUnrestricted = keyUsage == UInt32.max
    let signsCertificates = !isUnrestricted && keyUsage & UInt32(KU_KEY_CERT_SIGN) != 0
    guard X509_check_ca(handle) == 0 && !signsCertificates else { throw .defect(.isAuthority) }
    guard isUnrestricted || keyUsage & UInt32(KU_DIGITAL_SIGNATURE) != 0 else {
      throw .defect(.keyUsageLacksSignature)
    }
    // Handshakes would take a certificate without the extension for either use; a member's says which one it is for.
    let extended = X509_get_extended_key_usage(handle)
    let wanted = profile.isServer ? XKU_SSL_SERVER : XKU_SSL_CLIENT
    guard extended != UInt32.max && extended & UInt32(wanted) != 0 else {
      throw .defect(.extendedKeyUsageLacks(wanted: profile.extendedKeyUsage))
    }
  }

  private func checkNames(_ name: OrganizationName, profile: CertificateProfile) throws(CredentialError) {
    var wanted = [name]
    switch profile {
    case .organization: break
    case .server(let hostNames, let wantedAddresses):
      for hostName in hostNames {
        guard let valid = try? OrganizationName(hostName) else {
          throw .nameMismatch(expected: "a lowercase host name", found: [hostName])
        }
        wanted.append(valid)
      }
      for address in wantedAddresses where !addresses.contains(address) {
        throw .nameMismatch(expected: address, found: addresses)
      }
    }
    for wanted in wanted where !names.contains(wanted.value) {
      throw .defect(.nameMissing(expected: wanted, found: names))
    }
  }
}

extension CertificateProfile {
  var isServer: Bool {
    switch self {
    case .organization: false
    case .server: true
    }
  }
}

/// Verification of a chain outside of a handshake, with the settings of ``TLSContext``.
private enum ChainCheck {
  static func verify(
    _ handle: OpaquePointer, of leaf: Certificate, profile: CertificateProfile, _ authorities: [Certificate],
    _ intermediates: [Certificate], at now: Date
  ) throws(CredentialError) {
    ERR_clear_error()
    guard let store = X509_STORE_new(), let parameters = X509_STORE_get0_param(store) else { throw failure() }
    defer { X509_STORE_free(store) }
    for authority in authorities {
      guard authority.isAuthority else { throw .notAnAuthority(subject: authority.subject) }
      let parsed = try authority.makeHandle()
      defer { X509_free(parsed) }
      guard X509_STORE_add_cert(store, parsed) == 1 else { throw failure() }
    }
    X509_VERIFY_PARAM_set_flags(parameters, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    X509_VERIFY_PARAM_set_auth_level(parameters, 2)
    X509_VERIFY_PARAM_set_time(parameters, time_t(now.timeIntervalSince1970))

    let (untrusted, parsed) = try stack(of: intermediates)
    defer {
      OPENSSL_sk_free(untrusted)
      for certificate in parsed { X509_free(certificate) }
    }
    guard let context = X509_STORE_CTX_new() else { throw failure() }
    defer { X509_STORE_CTX_free(context) }
    guard X509_STORE_CTX_init(context, store, handle, untrusted) == 1,
      X509_STORE_CTX_set_purpose(context, profile.isServer ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT) == 1
    else { throw failure() }
    let verified = X509_verify_cert(context)
    ERR_clear_error()
    guard verified == 1 else { throw .defect(defect(in: context, of: leaf)) }
  }

  /// Borrows the certificates; the caller frees them and the stack.
  private static func stack(
    of certificates: [Certificate]
  ) throws(CredentialError) -> (OpaquePointer?, [OpaquePointer]) {
    let stack = OPENSSL_sk_new_null()
    var parsed: [OpaquePointer] = []
    do throws(CredentialError) {
      for certificate in certificates {
        let handle = try certificate.makeHandle()
        parsed.append(handle)
        guard OPENSSL_sk_push(stack, UnsafeRawPointer(handle)) > 0 else { throw failure() }
      }
    } catch {
      OPENSSL_sk_free(stack)
      for handle in parsed { X509_free(handle) }
      throw error
    }
    return (stack, parsed)
  }

  private static func defect(in context: OpaquePointer, of leaf: Certificate) -> CertificateDefect {
    let error = X509_STORE_CTX_get_error(context)
    let detail = String(cString: X509_verify_cert_error_string(Int(error)))
    let subject = X509_STORE_CTX_get_current_cert(context).map { Certificate.text(of: X509_get_subject_name($0)) }
    let name = subject ?? leaf.subject
    switch error {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED:
      return .unknownIssuer(issuer: leaf.issuer)
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: return .signatureInvalid(subject: name)
    case X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK:
      return .tooWeak(subject: name, detail: detail)
    case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID:
      return .issuerOutOfDate(subject: name, detail: detail)
    default: return .chain(subject: name, detail: detail)
    }
  }

  private static func failure() -> CredentialError {
    .library(operation: "check a certificate", detail: OpenSSLSupport.takeErrorDetail())
  }
}
