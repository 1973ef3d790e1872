public import Cryptography
import Foundation
import TransparencyLog

/// The certificate key that is to replace the one in use, and the change from one to the other.
///
/// | file | what |
/// |---|---|
/// | `tls-next.key` or `tls-next.key.uri` | the next private key, from its announcement to the change |
/// | `tls-next.crt` | its certificate; there only while the change is being made: from then on it goes forward |
/// | `NAME.rotation.json` | at an organisation: what the operator is handed; see ``RotationRequest`` |
/// | `tls-next.csr` | at the server: the request for the next certificate, for an authority of the owner's |
extension ParticipantDirectory {
  public var nextTLSKeyPath: String { "\(path)/tls-next.key" }
  public var nextCertificatePath: String { "\(path)/tls-next.crt" }
  public var nextCertificateRequestPath: String { "\(path)/tls-next.csr" }
  public var rotationPath: String { "\(path)/\(name).rotation.json" }

  /// Whether there is a next key, in a file or named by a URI. It may be of no use: see ``PinSet``.
  public var hasNextTLSKey: Bool {
    Self.keyForms.contains { FileAccess.exists(nextTLSKeyPath + $0) }
  }

  /// Whether a change to the next key has begun and was interrupted.
  public var isCredentialSwitchPending: Bool { FileAccess.exists(nextCertificatePath) }

  /// Puts the next key and its certificate in the place of those in use. The caller has checked that they belong together.
  ///
  /// The certificate is on disk as `tls-next.crt` before anything else changes; from then on the change can only go
  /// forward, and ``completeCredentialSwitch()`` finishes one that was interrupted. Until it is finished, key and
  /// certificate may not match: a program that reads them then fails, and is to keep what it has.
  ///
  /// - Parameter authority: PEM; nil leaves the authority as it is.
  /// - Throws: ``FederationError/file(_:)``.
  public func switchCredentials(toChain chain: String, authority: String? = nil) throws(FederationError) {
    if let authority {
      try FileAccess.replace(certificateAuthorityPath, mode: 0o644, bytes: Array(authority.utf8))
    }
    try FileAccess.replace(nextCertificatePath, mode: 0o644, bytes: Array(chain.utf8))
    try completeCredentialSwitch()
  }

  /// Finishes a change to the next key that was interrupted. Whoever reads key and certificate calls it first.
  ///
  /// - Returns: whether there was one.
  /// - Throws: ``FederationError/file(_:)``; it can be called again.
  @discardableResult
  public func completeCredentialSwitch() throws(FederationError) -> Bool {
    guard isCredentialSwitchPending else { return false }
    for form in Self.keyForms where FileAccess.exists(nextTLSKeyPath + form) {
      // A key has one form at a time: the old one goes first, and the next one is there already.
      for other in Self.keyForms where other != form { try FileAccess.remove(tlsKeyPath + other) }
      try FileAccess.rename(nextTLSKeyPath + form, to: tlsKeyPath + form)
    }
    try FileAccess.remove(nextCertificateRequestPath)
    // Last: as long as it is there, the change goes on.
    try FileAccess.rename(nextCertificatePath, to: tlsCertificatePath)
    return true
  }

  /// Removes a next key that is not to be used, and what was asked for it.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func discardNextTLSKey() throws(FederationError) {
    for form in Self.keyForms { try FileAccess.remove(nextTLSKeyPath + form) }
    try FileAccess.remove(nextCertificateRequestPath)
  }

  /// Names the next key, or the one in use, by a URI: a line in a file beside where the key would be.
  ///
  /// - Throws: ``FederationError/file(_:)`` also where there is a key already.
  public func nameKey(at keyPath: String, uri: String) throws(FederationError) {
    for form in Self.keyForms where FileAccess.exists(keyPath + form) {
      throw .file(.exists(path: keyPath + form))
    }
    try FileAccess.create(keyPath + ".uri", mode: 0o600, text: uri + "\n")
    try FileAccess.synchronizeDirectory(path)
  }

  /// The manifest under which this participant's own statements count: the latest that lists its identity key.
  ///
  /// - Throws: ``FederationError/manifest(_:)`` where there is none.
  public func ownManifest() throws(FederationError) -> Manifest {
    let identity = try keys().identity
    for signed in [try manifest(), try signedManifest(at: inForceManifestPath)] {
      if let manifest = signed?.manifest, manifest.member(named: name)?.keys.identity == identity { return manifest }
    }
    throw try manifest() == nil ? .manifest(.noManifest(path: manifestPath)) : .manifest(.foreignKey(name))
  }

  private static var keyForms: [String] { ["", ".uri"] }
}

extension OrganizationDirectory {
  /// Removes this organisation's statement of its certificate keys, and what was made of it for the operator.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func discardOwnStatement() throws(FederationError) {
    for path in [pinsPath(of: name), rotationPath] where FileAccess.exists(path) { try FileAccess.remove(path) }
  }

  /// Puts a new identity key in the place of one that is lost or in other hands. Log and witness key stay.
  ///
  /// Nobody knows the new key before a manifest lists it. After an interruption the directory has either the old pair,
  /// the new one, or a key beside another's verifier key, which every use refuses; it can be called again.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func replaceIdentity() throws(FederationError) -> IdentityVerifyingKey {
    let key = IdentitySigningKey.generate()
    let published = key.verifyingKey
    let verifier = NoteVerifierKey<IdentityKeyRole>(organization: name, key: published)
    let staged = "\(identityKeyPath).new"
    try FileAccess.remove(staged)
    try KeyFile<IdentityKeyRole>.create(staged, owner: name, key: key)
    try FileAccess.rename(staged, to: identityKeyPath)
    try FileAccess.replace("\(path)/identity.vkey", mode: 0o644, bytes: Array((verifier.text + "\n").utf8))
    return published
  }
}
