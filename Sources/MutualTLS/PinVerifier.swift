import Cryptography
import Synchronization

/// What a pin check says about a key.
public enum PinDecision: Sendable, Hashable {
  /// The key is pinned for this name. The certificate must also carry the name among its DNS names.
  case accepted(name: OrganizationName)
  /// The key is not accepted. The reason is logged here; it is not sent to the peer.
  case refused(reason: String)
}

/// Decides whether a key is one that the manifest pins.
///
/// Called on an event loop in the middle of a handshake, after the chain has been verified: answer from memory,
/// without waiting.
public protocol PinVerifier: Sendable {
  /// - Parameters:
  ///   - fingerprint: SHA-256 of the certificate's SubjectPublicKeyInfo.
  ///   - names: the certificate's DNS names, lowercased.
  func verify(fingerprint: CertificateKeyHash, names: [String]) -> PinDecision
}

/// A pin verifier over a table that can be replaced while connections come and go.
///
/// A replacement governs handshakes from then on. Connections made before stay until they are closed: see
/// ``MutualTLSServerTransport/disconnectPeers(refusedBy:)``.
public final class PinTable: PinVerifier {
  private let pins: Mutex<[CertificateKeyHash: OrganizationName]>

  public init(_ pins: [CertificateKeyHash: OrganizationName]) { self.pins = Mutex(pins) }

  public func replace(with pins: [CertificateKeyHash: OrganizationName]) {
    self.pins.withLock { $0 = pins }
  }

  public func verify(fingerprint: CertificateKeyHash, names: [String]) -> PinDecision {
    guard let name = pins.withLock({ $0[fingerprint] }) else {
      return .refused(reason: "the manifest pins no such key")
    }
    return .accepted(name: name)
  }
}
