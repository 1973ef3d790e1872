import COpenSSL
import Cryptography

/// What is learned about the peer's certificate during one handshake, and the verdict on it.
///
/// Lives as long as its connection's `SSL`, which holds an unowned reference to it for the callbacks. Used only on the
/// connection's event loop.
final class PeerVerification {
  enum Verdict {
    case pending
    case accepted(OrganizationName)
    case refused(HandshakeRefusal)
  }

  private(set) var verdict = Verdict.pending
  private(set) var fingerprint: CertificateKeyHash?
  private(set) var names: [String] = []
  private(set) var serial: String?
  let context: TLSContext

  init(context: TLSContext) { self.context = context }

  /// The first refusal stands.
  func refuse(_ refusal: HandshakeRefusal) {
    if case .refused = verdict { return }
    verdict = .refused(refusal)
  }

  func attach(to ssl: OpaquePointer) -> Bool {
    SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque()) == 1
  }

  static func of(_ ssl: OpaquePointer?) -> PeerVerification? {
    guard let ssl, let pointer = SSL_get_ex_data(ssl, 0) else { return nil }
    return Unmanaged<PeerVerification>.fromOpaque(pointer).takeUnretainedValue()
  }

  /// Called by libssl for every certificate of the chain, the leaf last, and for every fault it finds.
  static let callback: SSL_verify_cb = { preverified, store in
    guard let store else { return 0 }
    let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
    guard let verification = PeerVerification.of(ssl.map { OpaquePointer($0) }) else {
      X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
      return 0
    }
    return verification.judge(preverified: preverified == 1, store: store) ? 1 : 0
  }

  private func judge(preverified: Bool, store: OpaquePointer) -> Bool {
    observe(leaf: X509_STORE_CTX_get0_cert(store))
    guard preverified else {
      refuse(refusal(from: store))
      return false
    }
    // The issuers were checked before; only the leaf is pinned.
    guard X509_STORE_CTX_get_error_depth(store) == 0 else { return true }
    guard let fingerprint else {
      refuse(.certificateInvalid(detail: "its public key cannot be read"))
      X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
      return false
    }
    switch context.verifier.verify(fingerprint: fingerprint, names: names) {
    case .refused(let reason): refuse(.unpinnedKey(fingerprint: fingerprint, reason: reason))
    case .accepted(let name):
      if !names.contains(name.value) {
        refuse(.nameMismatch(expected: name, found: names))
      } else if case .pending = verdict {
        verdict = .accepted(name)
      }
    }
    guard case .accepted = verdict else {
      X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
      return false
    }
    return true
  }

  private func observe(leaf: OpaquePointer?) {
    guard fingerprint == nil, let leaf, let key = X509_get0_pubkey(leaf) else { return }
    fingerprint = try? SubjectPublicKey.hash(ofKey: key)
    names = SubjectAlternativeNames.hostNames(ofCertificate: leaf)
    serial = Certificate.serial(of: leaf)
  }

  private func refusal(from store: OpaquePointer) -> HandshakeRefusal {
    let error = X509_STORE_CTX_get_error(store)
    let detail = String(cString: X509_verify_cert_error_string(Int(error)))
    let certificate = X509_STORE_CTX_get_current_cert(store)
    switch error {
    case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID:
      guard let notBefore = Certificate.date(X509_get0_notBefore(certificate)),
        let notAfter = Certificate.date(X509_get0_notAfter(certificate))
      else { break }
      let timing = context.timing(notBefore: notBefore, notAfter: notAfter)
      return error == X509_V_ERR_CERT_HAS_EXPIRED ? .expired(timing) : .notYetValid(timing)
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_SIGNATURE_FAILURE, X509_V_ERR_CERT_UNTRUSTED:
      return .untrustedIssuer(detail: detail)
    default: break
    }
    return .certificateInvalid(detail: detail)
  }
}
