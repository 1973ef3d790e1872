import Cryptography

/// What a handshake came to, for the audit log: one event for every connection attempt, refused or not.
public struct HandshakeEvent: Sendable, Hashable {
  public enum Outcome: Sendable, Hashable {
    /// - Parameters:
    ///   - name: for whom the peer's key is pinned.
    ///   - fingerprint: SHA-256 of its SubjectPublicKeyInfo.
    ///   - exporter: 32 bytes in hexadecimal, equal on both sides and unique to the connection (RFC 8446,
    ///     section 7.5, label `EXPORTER-bauta-audit-v1`, no context). Not secret, and no key is derived from it.
    case established(name: OrganizationName, fingerprint: CertificateKeyHash, exporter: String)
    case refused(HandshakeRefusal)
  }

  /// This side's role.
  public let role: TLSRole
  /// `TLSv1.3`, or `nil` when no version was agreed.
  public let version: String?
  public let cipher: String?
  /// The key agreement group, such as `x25519`.
  public let group: String?
  /// SHA-256 of the SubjectPublicKeyInfo of the certificate the peer presented, if it presented one. Verified only
  /// when the outcome is `established`.
  public let peerFingerprint: CertificateKeyHash?
  /// DNS names of that certificate.
  public let peerNames: [String]
  /// Serial number of that certificate in hexadecimal.
  public let peerSerial: String?
  /// Address and port of the peer.
  public let remoteAddress: String
  public internal(set) var outcome: Outcome

  public init(
    role: TLSRole, version: String?, cipher: String?, group: String?, peerFingerprint: CertificateKeyHash?,
    peerNames: [String], peerSerial: String?, remoteAddress: String, outcome: Outcome
  ) {
    self.role = role
    self.version = version
    self.cipher = cipher
    self.group = group
    self.peerFingerprint = peerFingerprint
    self.peerNames = peerNames
    self.peerSerial = peerSerial
    self.remoteAddress = remoteAddress
    self.outcome = outcome
  }
}

/// Receives every handshake's outcome. Called on event loops: return at once.
public protocol HandshakeObserver: Sendable {
  func handshake(_ event: HandshakeEvent)
}

/// An observer for those who keep no record.
public struct IgnoringHandshakes: HandshakeObserver {
  public init() {}
  public func handshake(_ event: HandshakeEvent) {}
}
