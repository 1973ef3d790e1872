import COpenSSL
import Cryptography
import NIOCore

/// One `SSL` over memory BIOs: ciphertext in, plaintext out, and the reverse. Performs no input or output of its own.
///
/// Used only on the event loop of the channel that owns it.
final class TLSConnection {
  enum HandshakeStep {
    case wantsInput
    case complete(OrganizationName)
    case refused(HandshakeRefusal)
  }

  enum ReadStep {
    /// The buffer is full; there may be more.
    case full
    /// All that can be decrypted has been.
    case drained
    /// The peer sent close_notify: nothing more will come.
    case closedByPeer
    case failed(TLSStreamError)
  }

  static let exporterLabel = "EXPORTER-bauta-audit-v1"

  let verification: PeerVerification
  private let ssl: OpaquePointer
  private let input: OpaquePointer
  private let output: OpaquePointer
  private let role: TLSRole
  private let context: TLSContext

  /// - Parameter serverName: the host name for SNI; for a client that reaches its server by name.
  init(context: TLSContext, serverName: String?) throws(CredentialError) {
    ERR_clear_error()
    guard let ssl = SSL_new(context.handle) else { throw TLSConnection.failure() }
    guard let input = BIO_new(BIO_s_mem()) else {
      SSL_free(ssl)
      throw TLSConnection.failure()
    }
    guard let output = BIO_new(BIO_s_mem()) else {
      BIO_free(input)
      SSL_free(ssl)
      throw TLSConnection.failure()
    }
    SSL_set_bio(ssl, input, output)
    self.ssl = ssl
    self.input = input
    self.output = output
    self.context = context
    role = context.role
    verification = PeerVerification(context: context)
    context.connectionBegan()
    guard verification.attach(to: ssl) else { throw TLSConnection.failure() }
    switch context.role {
    case .server: SSL_set_accept_state(ssl)
    case .client:
      SSL_set_connect_state(ssl)
      if let serverName, mutual_tls_set_server_name(ssl, serverName) != 1 { throw TLSConnection.failure() }
    }
  }

  deinit {
    SSL_free(ssl)
    context.connectionEnded()
  }

  private static func failure() -> CredentialError {
    .library(operation: "create a TLS connection", detail: OpenSSLSupport.takeErrorDetail())
  }
}

// MARK: - Handshake

extension TLSConnection {
  func handshake() -> HandshakeStep {
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 { return judgeCompleted() }
    let kind = SSL_get_error(ssl, result)
    if kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE { return .wantsInput }
    if kind == SSL_ERROR_ZERO_RETURN { return .refused(.truncated) }
    return .refused(refusalFromQueue())
  }

  /// Everything was checked on the way; a connection is used only if every check left its trace.
  private func judgeCompleted() -> HandshakeStep {
    guard SSL_get_verify_result(ssl) == Int(X509_V_OK), case .accepted(let name) = verification.verdict else {
      if case .refused(let refusal) = verification.verdict { return .refused(refusal) }
      return .refused(.certificateInvalid(detail: "it was not verified"))
    }
    guard SSL_version(ssl) == TLS1_3_VERSION else { return .refused(.unsupportedVersion) }
    var chosen: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &chosen, &count)
    guard UnsafeBufferPointer(start: chosen, count: Int(count)).elementsEqual(ApplicationProtocol.name.utf8) else {
      return .refused(.noApplicationProtocol)
    }
    return .complete(name)
  }

  /// The reason for the failure of the last call, the verdict on the certificate before the library's own.
  private func refusalFromQueue() -> HandshakeRefusal {
    let code = ERR_peek_error()
    ERR_clear_error()
    if case .refused(let refusal) = verification.verdict { return refusal }
    if let alert = TLSConnection.alert(in: code) {
      switch alert {
      case .protocolVersion: return .unsupportedVersion
      case .noApplicationProtocol: return .noApplicationProtocol
      default: return .refusedByPeer(role: role, alert: alert, own: context.ownTiming(for: alert))
      }
    }
    let detail = OpenSSLSupport.reason(of: code)
    guard ERR_GET_LIB(code) == ERR_LIB_SSL else { return .protocolFailure(detail: detail) }
    switch ERR_GET_REASON(code) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .noCertificate
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_UNKNOWN_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_WRONG_SSL_VERSION:
      return .unsupportedVersion
    case SSL_R_NO_APPLICATION_PROTOCOL: return .noApplicationProtocol
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_BAD_RECORD_TYPE,
      SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_LENGTH_MISMATCH,
      SSL_R_RECORD_TOO_SMALL:
      return .notTLS(detail: detail)
    default: return .protocolFailure(detail: detail)
    }
  }

  /// libssl reports an alert it received as reason 1000 plus the alert's number.
  private static func alert(in code: UInt) -> TLSAlert? {
    guard ERR_GET_LIB(code) == ERR_LIB_SSL else { return nil }
    let number = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET
    return UInt8(exactly: number).map { TLSAlert(rawValue: $0) }
  }

  func event(remoteAddress: String, refusal: HandshakeRefusal?) -> HandshakeEvent {
    let cipher = SSL_get_current_cipher(ssl)
    let outcome: HandshakeEvent.Outcome
    if refusal == nil, case .accepted(let name) = verification.verdict, let fingerprint = verification.fingerprint,
      let exporter = exporterValue()
    {
      outcome = .established(name: name, fingerprint: fingerprint, exporter: Hexadecimal.encode(exporter))
    } else {
      outcome = .refused(refusal ?? .protocolFailure(detail: "no exporter value"))
    }
    return HandshakeEvent(
      role: role,
      version: cipher == nil ? nil : String(cString: SSL_get_version(ssl)),
      cipher: cipher.map { String(cString: SSL_CIPHER_get_name($0)) },
      group: cipher == nil ? nil : mutual_tls_group_name(ssl).map { String(cString: $0) },
      peerFingerprint: verification.fingerprint, peerNames: verification.names, peerSerial: verification.serial,
      remoteAddress: remoteAddress, outcome: outcome)
  }

  /// 32 bytes bound to this connection, equal on both sides.
  func exporterValue() -> [UInt8]? {
    var value = [UInt8](repeating: 0, count: 32)
    let label = TLSConnection.exporterLabel
    ERR_clear_error()
    return SSL_export_keying_material(ssl, &value, value.count, label, label.utf8.count, nil, 0, 0) == 1 ? value : nil
  }
}

// MARK: - Data

extension TLSConnection {
  /// Takes ciphertext from the network.
  func receive(_ buffer: ByteBuffer) -> Bool {
    buffer.withUnsafeReadableBytes { bytes in
      guard !bytes.isEmpty else { return true }
      guard let count = Int32(exactly: bytes.count) else { return false }
      ERR_clear_error()
      return BIO_write(input, bytes.baseAddress, count) == count
    }
  }

  /// An upper bound for the plaintext in what was received and not yet decrypted.
  var pendingInputByteCount: Int { BIO_ctrl_pending(input) + Int(SSL_pending(ssl)) }

  /// Bytes that this connection holds on to: received and not decrypted, or encrypted and not sent.
  var heldByteCount: Int { pendingInputByteCount + BIO_ctrl_pending(output) }

  /// Decrypts what is there into the free space of `plaintext`.
  func read(into plaintext: inout ByteBuffer) -> ReadStep {
    while plaintext.writableBytes > 0 {
      var result: Int32 = 0
      plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: 1) { space in
        var count = 0
        ERR_clear_error()
        result = SSL_read_ex(ssl, space.baseAddress, space.count, &count)
        return result == 1 ? count : 0
      }
      if result == 1 { continue }
      switch SSL_get_error(ssl, result) {
      case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .drained
      case SSL_ERROR_ZERO_RETURN: return .closedByPeer
      default: return .failed(streamErrorFromQueue())
      }
    }
    return .full
  }

  /// Encrypts all of `plaintext` into the output.
  func write(_ plaintext: ByteBuffer) -> TLSStreamError? {
    plaintext.withUnsafeReadableBytes { bytes -> TLSStreamError? in
      guard !bytes.isEmpty else { return nil }
      var count = 0
      ERR_clear_error()
      // The output grows as needed, so a write is never partial.
      guard SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count) == 1, count == bytes.count else {
        return streamErrorFromQueue()
      }
      return nil
    }
  }

  /// Ciphertext waiting to be sent; `nil` when there is none.
  func takeOutput(allocator: ByteBufferAllocator) -> ByteBuffer? {
    let pending = BIO_ctrl_pending(output)
    guard pending > 0 else { return nil }
    var buffer = allocator.buffer(capacity: pending)
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: pending) { space in
      Int(max(0, BIO_read(output, space.baseAddress, Int32(clamping: min(pending, space.count)))))
    }
    return buffer.readableBytes > 0 ? buffer : nil
  }

  /// Queues close_notify. Called once a handshake is complete.
  func sendCloseNotify() {
    ERR_clear_error()
    _ = SSL_shutdown(ssl)
    ERR_clear_error()
  }

  private func streamErrorFromQueue() -> TLSStreamError {
    let code = ERR_peek_error()
    ERR_clear_error()
    if let alert = TLSConnection.alert(in: code) { return .alert(alert) }
    return .protocolFailure(detail: OpenSSLSupport.reason(of: code))
  }
}
