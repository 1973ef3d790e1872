import COpenSSL
import Cryptography
import Foundation
import NIOCore
import Synchronization

/// The certificate and private key with which this side identifies itself.
public struct TLSIdentity: Sendable {
  /// The leaf first, then any intermediates of the owner's own PKI.
  public let chain: [Certificate]
  public let privateKey: PrivateKey

  /// - Throws: `keyDoesNotMatchCertificate`.
  public init(chain: [Certificate], privateKey: PrivateKey) throws(CredentialError) {
    guard let leaf = chain.first else { throw .notACertificate(detail: "no certificate found") }
    guard try leaf.publicKeyHash == privateKey.publicKeyHash else { throw .keyDoesNotMatchCertificate }
    self.chain = chain
    self.privateKey = privateKey
  }

  /// Reads a PEM file of certificates (leaf first) and loads the key.
  public init(
    certificateFile: String, privateKey source: PrivateKeySource, passphrase: Passphrase? = nil
  ) throws(CredentialError) {
    try self.init(
      chain: Certificate.all(inFile: certificateFile), privateKey: PrivateKey(loading: source, passphrase: passphrase))
  }
}

/// The settings under which connections of one role are made: TLS 1.3 only, certificates required on both sides,
/// chains checked against the federation's authority alone, keys checked against pins.
///
/// No renegotiation, compression, session resumption (it would skip the pin check, so that a revoked pin lived on),
/// tickets or early data. The application protocol must be HTTP/2. The system's trust store is never consulted.
public final class TLSContext: Sendable {
  public let role: TLSRole
  /// How long a peer may take for its part of the handshake.
  public let handshakeTimeout: TimeAmount
  let verifier: any PinVerifier
  let observer: any HandshakeObserver
  let keyLog: KeyLog?
  private let leaf: Certificate
  private let authorities: [Certificate]
  private let connections = Atomic(0)
  // An SSL_CTX is reference counted and internally locked; it is only configured in the initialiser.
  nonisolated(unsafe) let handle: OpaquePointer

  /// - Parameters:
  ///   - identity: this side's certificate and key.
  ///   - authorities: the federation's certificate authorities; usually one, two while one replaces another.
  ///   - verifier: decides which keys are accepted, and for whom.
  ///   - observer: is told of every handshake.
  ///   - handshakeTimeout: 10 seconds unless told.
  ///   - keyLog: takes the secrets of every connection, for a developer who must read the traffic. Nothing else turns
  ///     that on: no environment variable, no setting.
  public init(
    role: TLSRole, identity: TLSIdentity, authorities: [Certificate], verifier: any PinVerifier,
    observer: any HandshakeObserver = IgnoringHandshakes(), handshakeTimeout: Duration = .seconds(10),
    keyLog: KeyLog? = nil
  ) throws(CredentialError) {
    guard let leaf = identity.chain.first else { throw .notACertificate(detail: "no certificate found") }
    try OpenSSLConfiguration.check()
    TransportMemory.keepFreedBuffers()
    ERR_clear_error()
    let method = role == .server ? TLS_server_method() : TLS_client_method()
    guard let context = SSL_CTX_new(method) else { throw TLSContext.failure("create a TLS context") }
    self.role = role
    self.handshakeTimeout = TimeAmount(handshakeTimeout)
    self.verifier = verifier
    self.observer = observer
    self.keyLog = keyLog
    self.leaf = leaf
    self.authorities = authorities
    handle = context
    try configureProtocol()
    try configure(identity)
    try configure(authorities)
    SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, PeerVerification.callback)
    if keyLog != nil { SSL_CTX_set_keylog_callback(handle, KeyLog.callback) }
  }

  deinit { SSL_CTX_free(handle) }

  private static func failure(_ operation: String) -> CredentialError {
    .library(operation: operation, detail: OpenSSLSupport.takeErrorDetail())
  }
}

extension TLSContext {
  /// Connections of this context that exist now: what is still held when all are done is a leak.
  var liveConnections: Int { connections.load(ordering: .relaxed) }

  func connectionBegan() { connections.add(1, ordering: .relaxed) }

  func connectionEnded() { connections.subtract(1, ordering: .relaxed) }

  /// The dates of the peer's certificate against this machine's clock.
  func timing(notBefore: Date, notAfter: Date, now: Date = Date()) -> CertificateTiming {
    let own = [leaf] + authorities
    return CertificateTiming(
      notBefore: notBefore, notAfter: notAfter, now: now,
      ownCertificatesAreValid: own.allSatisfy { ($0.notBefore...$0.notAfter).contains(now) })
  }

  /// The dates of this side's certificate, when they can be why a peer sent `alert`: OpenSSL answers a certificate that
  /// is not valid yet as it does one that is not pinned.
  func ownTiming(for alert: TLSAlert, now: Date = Date()) -> CertificateTiming? {
    let isRecent = now < leaf.notBefore + 86_400
    guard alert == .certificateExpired || alert == .badCertificate && isRecent else { return nil }
    return CertificateTiming(
      notBefore: leaf.notBefore, notAfter: leaf.notAfter, now: now,
      ownCertificatesAreValid: authorities.allSatisfy { ($0.notBefore...$0.notAfter).contains(now) })
  }
}

extension TLSContext {
  private func configureProtocol() throws(CredentialError) {
    mutual_tls_disable_legacy_features(handle)
    mutual_tls_disable_session_cache(handle)
    mutual_tls_set_maximum_chain_bytes(handle, 32 * 1024)
    SSL_CTX_set_security_level(handle, max(2, SSL_CTX_get_security_level(handle)))
    guard mutual_tls_require_tls13(handle) == 1,
      SSL_CTX_set_num_tickets(handle, 0) == 1,
      SSL_CTX_set_max_early_data(handle, 0) == 1,
      SSL_CTX_set_recv_max_early_data(handle, 0) == 1,
      SSL_CTX_set_ciphersuites(
        handle, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1
    else { throw TLSContext.failure("restrict the protocol to TLS 1.3") }
    // A FIPS provider has no X25519; the NIST curves alone then.
    if mutual_tls_set_groups(handle, "X25519:P-256:P-384") != 1 {
      ERR_clear_error()
      guard mutual_tls_set_groups(handle, "P-256:P-384") == 1 else { throw TLSContext.failure("choose groups") }
    }
    switch role {
    case .client:
      // Returns zero on success, unlike its neighbours.
      guard SSL_CTX_set_alpn_protos(handle, ApplicationProtocol.wire, UInt32(ApplicationProtocol.wire.count)) == 0
      else { throw TLSContext.failure("offer HTTP/2") }
    case .server:
      SSL_CTX_set_alpn_select_cb(handle, ApplicationProtocol.select, nil)
      SSL_CTX_set_client_hello_cb(handle, ApplicationProtocol.inspectClientHello, nil)
    }
  }

  private func configure(_ identity: TLSIdentity) throws(CredentialError) {
    for (index, certificate) in identity.chain.enumerated() {
      let parsed = try certificate.makeHandle()
      if index == 0 {
        defer { X509_free(parsed) }
        guard SSL_CTX_use_certificate(handle, parsed) == 1 else { throw TLSContext.failure("use the certificate") }
      } else if mutual_tls_add_chain_certificate(handle, parsed) != 1 {
        X509_free(parsed)
        throw TLSContext.failure("use the certificate chain")
      }
    }
    guard SSL_CTX_use_PrivateKey(handle, identity.privateKey.handle) == 1, SSL_CTX_check_private_key(handle) == 1
    else { throw TLSContext.failure("use the private key") }
  }

  private func configure(_ authorities: [Certificate]) throws(CredentialError) {
    guard !authorities.isEmpty else { throw .notAnAuthority(subject: "nobody") }
    guard let store = SSL_CTX_get_cert_store(handle) else { throw TLSContext.failure("trust the authority") }
    for authority in authorities {
      guard authority.isAuthority else { throw .notAnAuthority(subject: authority.subject) }
      let parsed = try authority.makeHandle()
      defer { X509_free(parsed) }
      guard X509_STORE_add_cert(store, parsed) == 1 else { throw TLSContext.failure("trust the authority") }
    }
    // An intermediate authority of the operator's own PKI may be the anchor.
    guard X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) == 1 else {
      throw TLSContext.failure("trust the authority")
    }
  }
}

/// HTTP/2 and nothing else (RFC 7301, RFC 9113).
enum ApplicationProtocol {
  static let name = "h2"
  /// In the form of the extension: a length byte, then the name.
  static let wire: [UInt8] = [2, UInt8(ascii: "h"), UInt8(ascii: "2")]

  /// Chooses `h2` among what the client offers, or ends the handshake with no_application_protocol.
  static let select: SSL_CTX_alpn_select_cb_func = { ssl, chosen, chosenCount, offered, offeredCount, _ in
    guard let offered, let chosen, let chosenCount else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    var position = 0
    while position < Int(offeredCount) {
      let count = Int(offered[position])
      guard position + 1 + count <= Int(offeredCount) else { break }
      if count == 2, offered[position + 1] == UInt8(ascii: "h"), offered[position + 2] == UInt8(ascii: "2") {
        chosen.pointee = offered + position + 1
        chosenCount.pointee = 2
        return SSL_TLSEXT_ERR_OK
      }
      position += 1 + count
    }
    PeerVerification.of(ssl)?.refuse(.noApplicationProtocol)
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }

  /// Refuses a client that offers no protocol at all: the callback above is not called for such a one, and the client
  /// would believe the connection made.
  static let inspectClientHello: SSL_client_hello_cb_fn = { ssl, alert, _ in
    guard let ssl else { return SSL_CLIENT_HELLO_ERROR }
    var bytes: UnsafePointer<UInt8>?
    var count = 0
    let hasProtocols =
      SSL_client_hello_get0_ext(
        ssl, UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation), &bytes, &count) == 1
    // A client that does not speak TLS 1.3 is left to the library, which has an alert for it.
    let speaksTLS13 = SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_supported_versions), &bytes, &count) == 1
    guard !hasProtocols && speaksTLS13 else { return SSL_CLIENT_HELLO_SUCCESS }
    PeerVerification.of(ssl)?.refuse(.noApplicationProtocol)
    alert?.pointee = Int32(TLSAlert.noApplicationProtocol.rawValue)
    return SSL_CLIENT_HELLO_ERROR
  }
}
