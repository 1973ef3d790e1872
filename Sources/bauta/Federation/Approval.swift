import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import TransparencyLog

/// An organisation's approval of a manifest, and the collection of approvals at the server.
enum Approval {
  /// What an organisation is asked to approve. Everything that can be checked has been.
  struct Proposal: Sendable {
    let directory: OrganizationDirectory
    let manifest: SignedManifest
    /// The certificate that comes with it; nil for a note alone.
    let invitation: Invitation?
    /// The version approved before; nil for the first.
    let held: SignedManifest?
    /// Differences to the version approved before, in plain words.
    let changes: [ManifestChange]

    /// The very version that is held and signed already: only others' approvals can be new.
    var isApproved: Bool { held?.hash == manifest.hash && held?.isApproved(by: directory.name) == true }

    /// Versions between the one held and this one, which this organisation has never seen.
    var skippedVersions: Int {
      held.map { max(0, manifest.manifest.version - $0.manifest.version - 1) } ?? 0
    }
  }

  struct Result: Sendable {
    let manifest: SignedManifest
    /// The note to hand back to the operator.
    let notePath: String
  }

  static func notePath(of directory: OrganizationDirectory) -> String {
    "\(directory.path)/\(directory.name).approval.note"
  }

  // MARK: - At an organisation

  /// Reads an invitation, or a note with the manifest, and checks it against the organisation's own keys.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`; nothing is changed.
  static func propose(_ path: String, to directory: OrganizationDirectory) throws -> Proposal {
    let bytes = try LocalFile.read(path, maximum: Invitation.maximumBytes)
    let isInvitation = bytes.first { !$0.isASCIIWhitespace } == UInt8(ascii: "{")
    let invitation = isInvitation ? try Invitation(parsing: bytes) : nil
    var manifest = try invitation?.manifest ?? SignedManifest(parsing: bytes, file: path)
    guard let member = manifest.manifest.organization(named: directory.name) else {
      throw FederationError.manifest(.unknownMember(directory.name))
    }
    guard try member.keys == directory.keys() else { throw FederationError.manifest(.foreignKey(directory.name)) }
    let server = manifest.manifest.server.name
    let approvals = manifest.approvals
    guard approvals.invalid.isEmpty else { throw FederationError.manifest(.invalidSignature(approvals.invalid)) }
    guard approvals.approved.contains(server) else { throw FederationError.manifest(.missingApprovals([server])) }
    if let invitation {
      try check(invitation, member, in: directory)
    } else if !LocalFile.exists(directory.tlsCertificatePath) {
      throw CommandError.unsuitable(
        path: path, problem: "it holds no certificate, and none is installed in \(directory.path)",
        remedy: "Approve the invitation instead; the operator finds it in invitations/.")
    }
    let held = try directory.manifest()
    if let held {
      if held.hash == manifest.hash { try manifest.merge(held) } else { try requireSuccessor(manifest, of: held) }
    }
    return Proposal(
      directory: directory, manifest: manifest, invitation: invitation, held: held,
      changes: held.map { manifest.manifest.changes(since: $0.manifest) } ?? [])
  }

  /// Signs the manifest, installs it and the certificate, and writes the note for the operator.
  ///
  /// - Throws: `FederationError`, `AuditLogError`. Until the manifest is in place the organisation acts under the one
  ///   before; the command can be given again.
  static func approve(_ proposal: Proposal) throws -> Result {
    let directory = proposal.directory
    var manifest = proposal.manifest
    let isNew = !manifest.isApproved(by: directory.name)
    if isNew {
      try manifest.approve(as: directory.name, with: directory.identityKey())
      // On the record before the signature can be seen by anybody.
      try AuthorityRecord.append(.approval, to: directory, manifest: manifest)
    }
    if let invitation = proposal.invitation {
      try directory.storeCertificate(
        chain: invitation.certificateChain, authority: invitation.certificateAuthority)
    }
    try directory.store(manifest)
    let note = notePath(of: directory)
    try AtomicFile.replace(note, bytes: manifest.serialized)
    return Result(manifest: manifest, notePath: note)
  }

  private static func check(
    _ invitation: Invitation, _ member: Manifest.Member, in directory: OrganizationDirectory
  ) throws {
    guard let certificate = try Certificate.all(inPEM: invitation.certificateChain).first else {
      throw CredentialError.notACertificate(detail: "the invitation holds none")
    }
    let key = try PrivateKey(loading: .file(directory.tlsKeyPath))
    guard try key.publicKeyHash == certificate.publicKeyHash else { throw CredentialError.keyDoesNotMatchCertificate }
    guard member.pins.accepted.contains(certificate.publicKeyHash) else {
      throw FederationError.manifest(.foreignKey(directory.name))
    }
    guard certificate.names.contains(directory.name.value) else {
      throw CredentialError.nameMismatch(expected: directory.name.value, found: certificate.names)
    }
    let authority = try Certificate(pem: invitation.certificateAuthority)
    guard authority.isAuthority else { throw CredentialError.notAnAuthority(subject: authority.subject) }
  }

  /// The version after the one held must name it. A later one may follow versions that were never approved here: it
  /// counts only once everybody has signed it.
  private static func requireSuccessor(_ manifest: SignedManifest, of held: SignedManifest) throws {
    if manifest.manifest.federation == held.manifest.federation,
      manifest.manifest.version > held.manifest.version + 1
    {
      return
    }
    try manifest.requireFollows(held)
  }

  // MARK: - At the server

  /// Takes over the approvals in the notes that organisations have handed back. All of them or none.
  ///
  /// - Returns: the server's manifest with all approvals so far.
  /// - Throws: `FederationError`, `CommandError` naming the note that is of another version.
  static func collect(_ notes: [String], in server: ServerDirectory) throws -> SignedManifest {
    guard var manifest = try server.manifest() else {
      throw CommandError.missing(path: server.manifestPath, what: "file")
    }
    for path in notes {
      let note = try ManifestFile.read(path, requiringApprovals: false)
      guard note.hash == manifest.hash else {
        throw CommandError.unsuitable(
          path: path,
          problem: "it approves version \(note.manifest.version) of \(note.manifest.federation), "
            + "not this server's version \(manifest.manifest.version)",
          remedy: "Send the organisation its current invitation again.")
      }
      let invalid = note.approvals.invalid
      guard invalid.isEmpty else { throw FederationError.manifest(.invalidSignature(invalid)) }
      try manifest.merge(note)
    }
    try server.store(manifest)
    return manifest
  }
}

extension UInt8 {
  fileprivate var isASCIIWhitespace: Bool { self == 0x20 || (0x09...0x0D).contains(self) }
}
