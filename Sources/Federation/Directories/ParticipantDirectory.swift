public import Cryptography
import Foundation
import TransparencyLog

/// The directory of an organisation or of the server: keys, certificate, manifest, log and state, mode 0700.
///
/// | file | what | mode |
/// |---|---|---|
/// | `identity.key` `log.key` `witness.key` | signing keys; see the format in `KeyFile` | 0600 |
/// | `identity.vkey` `log.vkey` `witness.vkey` | their verifier keys, one C2SP line each | 0644 |
/// | `tls.key` | private key of the certificate | 0600 |
/// | `tls.crt` `ca.crt` | certificate, and the authority that issued the federation's | 0644 |
/// | `federation.note` | the latest manifest that is approved here; see also `MembershipFiles` | 0644 |
/// | `state.sqlite` `log/` `witness/` | made by the programs that use them | 0600, 0700, 0700 |
public protocol ParticipantDirectory: Sendable {
  var path: String { get }
  /// The owner, as the verifier keys name it.
  var name: OrganizationName { get }
}

extension ParticipantDirectory {
  public var identityKeyPath: String { "\(path)/identity.key" }
  public var logKeyPath: String { "\(path)/log.key" }
  public var witnessKeyPath: String { "\(path)/witness.key" }
  public var tlsKeyPath: String { "\(path)/tls.key" }
  public var tlsCertificatePath: String { "\(path)/tls.crt" }
  public var certificateAuthorityPath: String { "\(path)/ca.crt" }
  public var manifestPath: String { "\(path)/federation.note" }
  public var statePath: String { "\(path)/state.sqlite" }
  public var logPath: String { "\(path)/log" }
  /// What the owner's witness has recorded; see `Witness`.
  public var witnessPath: String { "\(path)/witness" }

  /// - Throws: ``FederationError/file(_:)`` if the file is missing, exposed, malformed or another owner's.
  public func identityKey() throws(FederationError) -> IdentitySigningKey { try signingKey() }
  public func logKey() throws(FederationError) -> LogSigningKey { try signingKey() }
  public func witnessKey() throws(FederationError) -> WitnessSigningKey { try signingKey() }

  /// The public halves, from the `.vkey` files.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func keys() throws(FederationError) -> Manifest.Keys {
    Manifest.Keys(identity: try verifyingKey(), log: try verifyingKey(), witness: try verifyingKey())
  }

  /// The latest version that this participant has approved; nil before there is one. Others' approvals may be missing:
  /// see ``manifestInForce()``.
  ///
  /// - Throws: ``FederationError``; approvals are not checked here.
  public func manifest() throws(FederationError) -> SignedManifest? { try signedManifest(at: manifestPath) }

  /// Puts a manifest in the place of the one before, as a whole. While it waits for approvals, the version before it
  /// stays in force. Approvals of the same version that are held already are kept.
  ///
  /// - Returns: what is held now.
  /// - Throws: ``FederationError/manifest(_:)`` unless it is the same version, or a later one of the same federation whose
  ///   chain the caller has checked; ``FederationError/file(_:)``.
  @discardableResult
  public func store(_ manifest: SignedManifest) throws(FederationError) -> SignedManifest {
    // A command and a running service may both have approvals to add: neither takes away what the other has stored.
    try FileAccess.locking(path) { () throws(FederationError) in try replaceManifest(with: manifest) }
  }

  private func replaceManifest(with manifest: SignedManifest) throws(FederationError) -> SignedManifest {
    var manifest = manifest
    if let held = try self.manifest() {
      if held.hash == manifest.hash {
        try manifest.merge(held)
      } else {
        try requireSuccession(from: held.manifest, to: manifest.manifest)
        if held.isApprovedByAll {
          try FileAccess.replace(inForceManifestPath, mode: 0o644, bytes: held.serialized)
        }
      }
    }
    try FileAccess.replace(manifestPath, mode: 0o644, bytes: manifest.serialized)
    return manifest
  }

  private func requireSuccession(from old: Manifest, to new: Manifest) throws(FederationError) {
    guard old.federation == new.federation else {
      throw .manifest(.otherFederation(expected: old.federation, found: new.federation))
    }
    guard new.version > old.version else {
      throw .manifest(.wrongVersion(expected: old.version + 1, found: new.version))
    }
  }

  /// Stores the certificate chain and its authority.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func storeCertificate(chain: String, authority: String) throws(FederationError) {
    try FileAccess.replace(certificateAuthorityPath, mode: 0o644, bytes: Array(authority.utf8))
    try FileAccess.replace(tlsCertificatePath, mode: 0o644, bytes: Array(chain.utf8))
  }

  private func signingKey<Role: NoteKeyRole>() throws(FederationError) -> SigningKey<Role> {
    let path = "\(path)/\(Role.name).key"
    let key = try KeyFile<Role>.load(path, owner: name)
    let published: VerifyingKey<Role> = try verifyingKey()
    guard published == key.verifyingKey else { throw .file(.key(path: path, .verifierMismatch)) }
    return key
  }

  private func verifyingKey<Role: NoteKeyRole>() throws(FederationError) -> VerifyingKey<Role> {
    let key: NoteVerifierKey<Role> = try DirectoryFiles.verifierKey(in: path)
    guard key.organization == name else {
      throw .file(.foreign(path: "\(path)/\(Role.name).vkey", expected: name.value))
    }
    return key.key
  }
}

/// What creating and opening the two kinds of directories have in common.
enum DirectoryFiles {
  static func verifierKey<Role: NoteKeyRole>(in directory: String) throws(FederationError) -> NoteVerifierKey<Role> {
    let text = try FileAccess.text(of: "\(directory)/\(Role.name).vkey", maximum: 512)
    do { return try NoteVerifierKey<Role>(text) } catch { throw .note(error) }
  }

  /// Checks that a directory is one, that others cannot enter it, and says whose it is.
  static func owner(of path: String) throws(FederationError) -> OrganizationName {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FileAccess.failure(.inspect, path) }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw .file(.notDirectory(path: path)) }
    guard status.st_mode & 0o077 == 0 else {
      throw .file(.exposed(path: path, mode: UInt16(truncatingIfNeeded: status.st_mode & 0o7777)))
    }
    guard FileAccess.exists("\(path)/identity.vkey") else { throw .file(.notParticipant(path: path)) }
    let key: NoteVerifierKey<IdentityKeyRole> = try verifierKey(in: path)
    guard let name = key.organization else { throw .note(.malformedKeyName) }
    return name
  }

  /// Makes a directory as a whole or not at all: it is built beside its place under another name, and renamed.
  static func create(
    _ path: String, owner: OrganizationName, folders: [String], files: [(name: String, text: String)],
    prepare: (String) throws -> Void
  ) throws {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    try requireFree(path)
    let staging = "\(path).\(Hexadecimal.encode(randomBytes(6))).new"
    guard mkdir(staging, 0o700) == 0 else { throw FileAccess.failure(.createDirectory, staging) }
    do {
      try writeKeys(in: staging, owner: owner)
      for folder in folders {
        let folder = "\(staging)/\(folder)"
        guard mkdir(folder, 0o700) == 0 else { throw FileAccess.failure(.createDirectory, folder) }
      }
      for file in files { try FileAccess.create("\(staging)/\(file.name)", mode: 0o644, text: file.text) }
      try prepare(staging)
      try FileAccess.synchronizeDirectory(staging)
      // Takes the place of an empty directory, never of one that holds something.
      guard rename(staging, path) == 0 else {
        guard errno != ENOTEMPTY, errno != EEXIST else { throw FederationError.file(.exists(path: path)) }
        throw FileAccess.failure(.rename, path)
      }
    } catch {
      remove(staging)
      throw error
    }
    try FileAccess.synchronizeDirectory(FileAccess.parent(of: path))
  }

  private static func requireFree(_ path: String) throws(FederationError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw .file(.notDirectory(path: path)) }
    guard let entries = try? FileManager.default.contentsOfDirectory(atPath: path) else {
      throw FileAccess.failure(.list, path)
    }
    guard entries.isEmpty else { throw .file(.exists(path: path)) }
  }

  private static func writeKeys(in directory: String, owner: OrganizationName) throws(FederationError) {
    func write<Role: NoteKeyRole>(_ key: consuming SigningKey<Role>) throws(FederationError) {
      let verifier = NoteVerifierKey<Role>(organization: owner, key: key.verifyingKey)
      try KeyFile<Role>.create("\(directory)/\(Role.name).key", owner: owner, key: key)
      try FileAccess.create("\(directory)/\(Role.name).vkey", mode: 0o644, text: verifier.text + "\n")
    }
    try write(IdentitySigningKey.generate())
    try write(LogSigningKey.generate())
    try write(WitnessSigningKey.generate())
  }

  /// What a failed creation leaves is removed; that it cannot be is not worth hiding the reason for.
  private static func remove(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
  }
}
