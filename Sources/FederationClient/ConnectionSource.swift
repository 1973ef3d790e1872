import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS
import Synchronization

/// What connections are made from, as the organisation's directory holds it now: certificate and key, authorities, the
/// server's addresses and the keys that it may have.
///
/// A change of the directory's files is noticed; one of what `tls.key.uri` names (a token, its PIN, a file elsewhere) is
/// not, and needs ``invalidate()``.
final class ConnectionSource: Sendable {
  /// Everything that was read at one time.
  struct Access: Sendable {
    let addresses: [NetworkAddress]
    /// Of the server.
    let pins: [CertificateKeyHash: OrganizationName]
    let context: TLSContext
    /// Of this organisation's certificate.
    let key: CertificateKeyHash
    /// The certificate, then the authorities.
    let certificates: [Certificate]
    fileprivate let pinnedHere: Set<CertificateKeyHash>
    let stamp: FileStamp

    /// Whether connections made from the other would be the same, but for addresses and pins.
    func isSameIdentity(as other: Access) -> Bool { certificates == other.certificates }
  }

  let directory: any ParticipantDirectory
  private let observer: any HandshakeObserver
  /// Of a key that is encrypted, or in a token.
  private let passphrase: Passphrase?
  /// Judges every handshake by the pins that were read last.
  private let verifier = PinTable([:])
  private let announced = Mutex<Set<CertificateKeyHash>>([])
  private let isForced = Mutex(false)
  /// Of which files the credentials were of no use, and why.
  private let failure = Mutex<(stamp: FileStamp, error: CredentialError)?>(nil)

  /// - Parameter observer: puts handshakes on the record.
  init(
    directory: some ParticipantDirectory, observer: some HandshakeObserver, passphrase: Passphrase? = nil
  ) {
    self.passphrase = passphrase
    self.directory = directory
    self.observer = observer
  }

  /// The server was told of these keys of this organisation's.
  func announce(_ pins: Manifest.Pins) { announced.withLock { $0.formUnion(pins.accepted) } }

  /// Whether a server can know a key of this organisation's.
  func isKnown(_ key: CertificateKeyHash, in access: Access) -> Bool {
    access.pinnedHere.contains(key) || announced.withLock { $0.contains(key) }
  }

  /// The files are read again although they look the same, and a key that failed is tried again.
  func invalidate() { isForced.withLock { $0 = true } }

  /// Whether ``invalidate()`` was called and nothing was read since.
  var isInvalidated: Bool { isForced.withLock { $0 } }

  /// Whether anything has changed since it was read.
  func isOutdated(_ access: Access) -> Bool {
    isInvalidated || FileStamp(files(access.pins)) != access.stamp
  }

  /// Reads everything. From now on handshakes are judged by the pins that were read.
  ///
  /// Credentials that failed are not touched again, and the error is the same, until one of their files changes or
  /// ``invalidate()`` is called: a token locks itself after a few wrong PINs.
  ///
  /// - Throws: ``TransportError/credential(_:)`` for certificate, key or authority, `system` for the rest.
  func read() throws(TransportError) -> Access {
    let isForced = isForced.withLock { isForced in
      defer { isForced = false }
      return isForced
    }
    if isForced { failure.withLock { $0 = nil } }
    let pins: [CertificateKeyHash: OrganizationName]
    let membership: Membership
    let stamp: FileStamp
    do throws(FederationError) {
      membership = try Membership(directory)
      // Taken before the rest is read: what changes meanwhile is noticed.
      pins = try membership.serverPins()
      stamp = FileStamp(files(pins))
    } catch {
      throw .system(operation: "read the federation's files in \(directory.path)", reason: error.message)
    }
    let credentials = FileStamp(credentialFiles)
    if let failure = failure.withLock({ $0 }), failure.stamp == credentials { throw .credential(failure.error) }
    do throws(CredentialError) {
      let identity = try TLSIdentity(
        certificateFile: directory.tlsCertificatePath,
        privateKey: PrivateKeySource.resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
      let authorities = try Certificate.all(inFile: directory.certificateAuthorityPath)
      let context = try TLSContext(
        role: .client, identity: identity, authorities: authorities, verifier: verifier, observer: observer)
      guard let leaf = identity.chain.first else { throw .notACertificate(detail: "no certificate found") }
      verifier.replace(with: pins)
      failure.withLock { $0 = nil }
      return Access(
        addresses: membership.addresses, pins: pins, context: context, key: leaf.publicKeyHash,
        certificates: identity.chain + authorities, pinnedHere: Set(membership.pinnedHere), stamp: stamp)
    } catch {
      failure.withLock { $0 = (credentials, error) }
      throw .credential(error)
    }
  }

  private func files(_ pins: [CertificateKeyHash: OrganizationName]) -> [String] {
    credentialFiles + [directory.manifestPath, directory.inForceManifestPath, directory.pinsPath]
      + Set(pins.values).sorted().map { directory.pinsPath(of: $0) }
  }

  private var credentialFiles: [String] {
    [
      directory.tlsCertificatePath, directory.tlsKeyPath, directory.tlsKeyPath + ".uri",
      directory.certificateAuthorityPath,
    ]
  }
}
