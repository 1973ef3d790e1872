import Cryptography
import Foundation

/// The side of a connection.
public enum TLSRole: String, Sendable, Hashable {
  case client, server

  /// What this side calls the other one.
  var peer: String {
    switch self {
    case .client: "server"
    case .server: "client"
    }
  }
}

/// Why a handshake came to nothing, as this side saw it.
public enum HandshakeRefusal: BlamedError, Hashable {
  case noCertificate
  /// The chain is good, but the pin verifier refused the key.
  case unpinnedKey(fingerprint: CertificateKeyHash, reason: String)
  case expired(CertificateTiming)
  case notYetValid(CertificateTiming)
  case untrustedIssuer(detail: String)
  case certificateInvalid(detail: String)
  case nameMismatch(expected: OrganizationName, found: [String])
  case unsupportedVersion
  case noApplicationProtocol
  /// The peer did not finish in time. A port scanner looks like this, and so does a firewall that drops packets.
  case timedOut
  /// The first bytes were not TLS.
  case notTLS(detail: String)
  /// The connection ended in the middle of the handshake.
  case truncated
  /// The peer refused with an alert. `role` is this side's; `own` are the dates of this side's certificate, when the
  /// alert can mean that they are the reason.
  case refusedByPeer(role: TLSRole, alert: TLSAlert, own: CertificateTiming? = nil)
  /// All connections of organisations that the server allows are in use.
  case connectionLimit(maximum: Int)
  /// Too many connections have not identified themselves yet, in all or from the peer's address.
  case handshakeLimit(maximum: Int, isPerAddress: Bool)
  /// The peer's address begins handshakes too fast.
  case handshakeRate(perSecond: Double)
  case closedLocally
  case protocolFailure(detail: String)

  public var code: String {
    switch self {
    case .noCertificate: "tls-no-certificate"
    case .unpinnedKey: "tls-unpinned-key"
    case .expired: "tls-certificate-expired"
    case .notYetValid: "tls-certificate-not-yet-valid"
    case .untrustedIssuer: "tls-untrusted-issuer"
    case .certificateInvalid: "tls-certificate-invalid"
    case .nameMismatch: "tls-name-mismatch"
    case .unsupportedVersion: "tls-unsupported-version"
    case .noApplicationProtocol: "tls-no-application-protocol"
    case .timedOut: "tls-handshake-timed-out"
    case .notTLS: "tls-not-tls"
    case .truncated: "tls-truncated"
    case .refusedByPeer: "tls-refused-by-peer"
    case .connectionLimit: "tls-connection-limit"
    case .handshakeLimit: "tls-handshake-limit"
    case .handshakeRate: "tls-handshake-rate"
    case .closedLocally: "tls-closed-locally"
    case .protocolFailure: "tls-protocol-failure"
    }
  }

  public var blame: Blame {
    switch self {
    case .noCertificate, .unpinnedKey, .expired, .notYetValid, .untrustedIssuer, .certificateInvalid, .nameMismatch,
      .unsupportedVersion, .noApplicationProtocol, .timedOut, .notTLS, .truncated, .protocolFailure:
      .peer
    case .handshakeRate: .peer
    case .refusedByPeer, .connectionLimit, .handshakeLimit, .closedLocally: .local
    }
  }

  public var message: String {
    switch self {
    case .noCertificate: "The peer presented no certificate."
    case .unpinnedKey(let fingerprint, let reason):
      "The peer's key \(fingerprint.hexadecimal) is not accepted: \(reason)."
    case .expired(let timing): "The peer's certificate expired: \(timing.explanation)."
    case .notYetValid(let timing): "The peer's certificate is not valid yet: \(timing.explanation)."
    case .untrustedIssuer(let detail):
      "The peer's certificate was not issued by the federation's certificate authority: \(detail)."
    case .certificateInvalid(let detail): "The peer's certificate is not acceptable: \(detail)."
    case .nameMismatch(let expected, let found):
      """
      The peer's key is pinned for \(expected.value), but its certificate names \
      \(found.isEmpty ? "nobody" : found.joined(separator: ", ")).
      """
    case .unsupportedVersion: "The peer does not speak TLS 1.3."
    case .noApplicationProtocol: "The peer does not offer HTTP/2 (ALPN h2)."
    case .timedOut: "The peer did not complete the TLS handshake in time."
    case .notTLS(let detail): "What the peer sent is not TLS: \(detail)."
    case .truncated: "The peer closed the connection before the TLS handshake was complete."
    case .refusedByPeer(let role, let alert, let own): HandshakeRefusal.message(role: role, alert: alert, own: own)
    case .connectionLimit(let maximum): "All \(maximum) connections that this server allows are in use."
    case .handshakeLimit(let maximum, let isPerAddress):
      if isPerAddress {
        "\(maximum) connections from this address have not identified themselves yet, as many as are allowed."
      } else {
        "\(maximum) connections have not identified themselves yet, as many as are allowed."
      }
    case .handshakeRate(let perSecond):
      "This address begins more than \(perSecond.formatted()) connections a second."
    case .closedLocally: "The connection was closed here before the TLS handshake was complete."
    case .protocolFailure(let detail): "The TLS handshake failed: \(detail)."
    }
  }

  public var remedy: String {
    switch self {
    case .noCertificate: "The peer must be configured with its certificate and key."
    case .unpinnedKey:
      "If the organisation has rotated its key, admit the new one in a manifest version; otherwise find out who called."
    case .expired(let timing):
      timing.suspectsThisClock
        ? "Set this machine's clock."
        : "The peer must install a renewed certificate; check this machine's clock as well."
    case .notYetValid(let timing):
      timing.suspectsThisClock
        ? "Set this machine's clock."
        : "Check the clocks of this machine and of the one that issued the certificate, or wait."
    case .untrustedIssuer: "Check that both sides use the certificate authority of the same federation."
    case .certificateInvalid: "Issue the certificate again with the profiles described in certs/README.md."
    case .nameMismatch(let expected, _): "Issue the certificate with the DNS name \(expected.value)."
    case .unsupportedVersion: "Use a peer with TLS 1.3; a proxy that terminates TLS in between must be removed."
    case .noApplicationProtocol: "Check that the peer is a gRPC endpoint and that no proxy sits in between."
    case .timedOut: "Check for a firewall or proxy between the two, and that the peer is not overloaded."
    case .notTLS: "Check that address and port are those of the federation's server."
    case .truncated: "Try again; if it persists, look at the peer's log, which holds its reason."
    case .refusedByPeer: "Look at the other side's log: it holds the exact reason, with the fingerprint it saw."
    case .connectionLimit: "Close connections that are not used, or raise the server's limit."
    case .handshakeLimit, .handshakeRate:
      "Try again in a moment; if many organisations share one address, raise the server's limits for an address."
    case .closedLocally: "Start again."
    case .protocolFailure: "Try again; if it persists, compare the OpenSSL versions and settings of both sides."
    }
  }
}

extension HandshakeRefusal {
  private static func message(role: TLSRole, alert: TLSAlert, own: CertificateTiming?) -> String {
    guard let explanation = alert.certificateExplanation else {
      return "The \(role.peer) refused the TLS handshake (\(alert))."
    }
    let dates = own.map { " This side's certificate is \($0.explanation)." } ?? ""
    return switch role {
    case .client: "The server refused this organisation's certificate: \(explanation) (\(alert)).\(dates)"
    case .server: "The client refused this server's certificate: \(explanation) (\(alert)).\(dates)"
    }
  }
}

/// What can go wrong on an established TLS connection.
public enum TLSStreamError: BlamedError, Hashable {
  /// The connection ended without close_notify: bytes may be missing.
  case truncated
  case alert(TLSAlert)
  case protocolFailure(detail: String)
  case outboundBufferFull(maximum: Int)

  public var code: String {
    switch self {
    case .truncated: "tls-stream-truncated"
    case .alert: "tls-stream-alert"
    case .protocolFailure: "tls-stream-failure"
    case .outboundBufferFull: "tls-stream-buffer-full"
    }
  }

  public var blame: Blame {
    switch self {
    case .truncated, .alert, .protocolFailure: .peer
    case .outboundBufferFull: .local
    }
  }

  public var message: String {
    switch self {
    case .truncated: "The connection was cut: it ended without the TLS closing message."
    case .alert(let alert): "The peer ended the connection with a TLS alert (\(alert))."
    case .protocolFailure(let detail): "The TLS connection failed: \(detail)."
    case .outboundBufferFull(let maximum): "More than \(maximum) bytes were waiting for the TLS handshake."
    }
  }

  public var remedy: String { "Connect again; nothing that was acknowledged is lost." }
}
