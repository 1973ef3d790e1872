import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import TransparencyLog

/// What an organisation takes over from its operator: a version of the manifest, which it approves, or a certificate.
enum Approval {
  /// A file that an organisation is handed, by what is in it.
  enum Document: Sendable {
    case offer(Offer)
    /// The server's latest statement of its certificate keys, or the organisation's own from the server's copy.
    case statement(SignedPins)

    /// Reads the file once: it may be a pipe.
    ///
    /// - Throws: `FederationError`, `CredentialError`, `CommandError`.
    init(contentsOf path: String) throws {
      let bytes = try LocalFile.read(path, maximum: Invitation.maximumBytes)
      if bytes.first(where: { !$0.isASCIIWhitespace }) == UInt8(ascii: "{") {
        self = .offer(.invitation(try Invitation(parsing: bytes)))
      } else if bytes.starts(with: "-----BEGIN CERTIFICATE-----".utf8) {
        self = .offer(.certificate(try Certificate.all(inPEM: String(decoding: bytes, as: UTF8.self))))
      } else if bytes.starts(with: "schema: \(SignedPins.schema)\n".utf8) {
        self = .statement(try SignedPins(parsing: bytes, file: path))
      } else {
        self = .offer(.manifest(try SignedManifest(parsing: bytes, file: path)))
      }
    }
  }

  /// What an organisation can be asked to approve or to install.
  enum Offer: Sendable {
    case invitation(Invitation)
    case manifest(SignedManifest)
    /// A certificate from the organisation's own authority, leaf first.
    case certificate([Certificate])
  }

  /// What becomes of the organisation's certificate.
  enum CertificateChange: String, Sendable {
    /// None comes, or the one that is installed.
    case none
    case first
    /// Another one for the key in use.
    case renewed
    /// That of the next key, which takes the place of the one in use.
    case rotated
  }

  /// What an organisation is asked to approve. Everything that can be checked has been.
  struct Proposal: Sendable {
    let directory: OrganizationDirectory
    let manifest: SignedManifest
    /// The certificate that comes with it, leaf first; empty for a note alone.
    var chain: [Certificate] = []
    /// PEM; nil if none comes with it.
    var authority: String?
    var certificateChange = CertificateChange.none
    /// A statement of the server's that is not held here.
    var serverPins: SignedPins?
    /// The version approved before; nil for the first.
    let held: SignedManifest?

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
    let certificateChange: CertificateChange
    /// Until when the certificate is valid that was put in place.
    let notAfter: Date?
    /// The statement that ends a rotation; nil where none ended.
    let statement: SignedPins?
    let service: RunningService.Outcome
  }

  static func notePath(of directory: OrganizationDirectory) -> String {
    "\(directory.path)/\(directory.name).approval.note"
  }

  /// Checks an invitation, a note with the manifest or a certificate against the organisation's own keys.
  ///
  /// - Parameter path: where it was read, for errors.
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`; nothing is changed but that an interrupted change of
  ///   keys is finished.
  static func propose(
    _ offer: Offer, from path: String, to directory: OrganizationDirectory, passphrase: Passphrase? = nil
  ) throws -> Proposal {
    switch offer {
    case .invitation(let invitation):
      var proposal = try propose(invitation.manifest, to: directory)
      proposal.chain = try Certificate.all(inPEM: invitation.certificateChain)
      proposal.authority = invitation.certificateAuthority
      try check(&proposal, passphrase: passphrase)
      proposal.serverPins = try news(invitation.serverPins, under: proposal.manifest.manifest, in: directory)
      return proposal
    case .manifest(let manifest):
      guard LocalFile.exists(directory.tlsCertificatePath) else {
        throw CommandError.unsuitable(
          path: path, problem: "it holds no certificate, and none is installed in \(directory.path)",
          remedy: "Approve the invitation instead; the operator finds it in invitations/.")
      }
      return try propose(manifest, to: directory)
    case .certificate(let chain):
      let held = try directory.requiredManifest()
      var proposal = Proposal(directory: directory, manifest: held, chain: chain, held: held)
      try check(&proposal, passphrase: passphrase)
      return proposal
    }
  }

  /// What the running client was shown; nil if there is nothing newer than what was approved here.
  ///
  /// - Throws: as ``propose(_:from:to:passphrase:)``.
  static func waiting(in directory: OrganizationDirectory) throws -> Proposal? {
    guard let manifest = try directory.proposedManifest() else { return nil }
    return try propose(manifest, to: directory)
  }

  private static func propose(
    _ proposed: SignedManifest, to directory: OrganizationDirectory
  ) throws -> Proposal {
    var manifest = proposed
    guard let member = manifest.manifest.organization(named: directory.name) else {
      throw FederationError.manifest(.unknownMember(directory.name))
    }
    guard try member.keys == directory.keys() else { throw FederationError.manifest(.foreignKey(directory.name)) }
    let server = manifest.manifest.server.name
    let approvals = manifest.approvals
    guard approvals.invalid.isEmpty else { throw FederationError.manifest(.invalidSignature(approvals.invalid)) }
    guard approvals.approved.contains(server) else { throw FederationError.manifest(.missingApprovals([server])) }
    let held = try directory.manifest()
    if let held {
      if held.hash == manifest.hash { try manifest.merge(held) } else { try requireSuccessor(manifest, of: held) }
    }
    return Proposal(directory: directory, manifest: manifest, held: held)
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

  // MARK: - Approving

  /// Signs the manifest, installs it and the certificate, and writes the note for the operator.
  ///
  /// - Throws: `FederationError`, `AuditLogError`, `ControlError`. Until the manifest is in place the organisation acts
  ///   under the one before; the command can be given again.
  static func approve(_ proposal: Proposal, passphrase: Passphrase? = nil) throws -> Result {
    let directory = proposal.directory
    var manifest = proposal.manifest
    if !manifest.isApproved(by: directory.name) {
      try manifest.approve(as: directory.name, with: directory.identityKey())
      // On the record before the signature can be seen by anybody.
      try AuthorityRecord.append(.approval, to: directory, manifest: manifest)
    }
    let isRotationRecorded = try install(proposal, passphrase: passphrase)
    try directory.store(manifest)
    if let statement = proposal.serverPins { try directory.store(statement, under: manifest.manifest) }
    let note = notePath(of: directory)
    try AtomicFile.replace(note, bytes: manifest.serialized)
    let statement = try endRotation(in: directory, isRecorded: isRotationRecorded, passphrase: passphrase)
    return Result(
      manifest: manifest, notePath: note, certificateChange: proposal.certificateChange,
      notAfter: proposal.certificateChange == .none ? nil : proposal.chain.first?.notAfter, statement: statement,
      service: RunningService.reload(directory))
  }

  // MARK: - The certificate

  /// - Returns: whether the end of a rotation is on record.
  private static func install(_ proposal: Proposal, passphrase: Passphrase?) throws -> Bool {
    let directory = proposal.directory
    let pem = AuthorityFiles.pem(proposal.chain)
    switch proposal.certificateChange {
    case .none: return false
    case .first, .renewed:
      if proposal.certificateChange == .renewed, let leaf = proposal.chain.first {
        try AuthorityRecord.append(
          .keyChange, to: directory, reason: "certificate \(leaf.serial) until \(Moment.day(leaf.notAfter))")
      }
      let authority = try proposal.authority ?? AuthorityFiles.trusted(by: directory).pem
      try directory.storeCertificate(chain: pem, authority: authority)
      return false
    case .rotated:
      let own = try OwnKeys(directory, passphrase: passphrase)
      if let key = proposal.chain.first?.publicKeyHash { try own.record(Rotation.inUse(key)) }
      try directory.switchCredentials(toChain: pem, authority: proposal.authority)
      return true
    }
  }

  /// Says that the old key has gone, if the one in use was announced as the next.
  private static func endRotation(
    in directory: OrganizationDirectory, isRecorded: Bool, passphrase: Passphrase?
  ) throws -> SignedPins? {
    // Without a statement there was no rotation, and the private key need not be opened once more.
    guard try directory.pinStatements().contains(where: { $0.name == directory.name && $0.pins.next != nil }) else {
      return nil
    }
    let own = try OwnKeys(directory, passphrase: passphrase)
    guard try own.rotation() == .switched else { return nil }
    return try Rotation.complete(own, isRecorded: isRecorded)
  }

  /// Holds the certificate against the organisation's keys and what was said of them.
  private static func check(_ proposal: inout Proposal, passphrase: Passphrase?) throws {
    let directory = proposal.directory
    try directory.completeCredentialSwitch()
    guard let leaf = proposal.chain.first else { throw CredentialError.notACertificate(detail: "there is none") }
    var key = try PrivateKey(loading: .resolve(keyPath: directory.tlsKeyPath), passphrase: passphrase)
    let isCurrent = try key.publicKeyHash == leaf.publicKeyHash
    if !isCurrent {
      guard directory.hasNextTLSKey else { throw otherKey(directory) }
      key = try PrivateKey(loading: .resolve(keyPath: directory.nextTLSKeyPath), passphrase: passphrase)
      guard try key.publicKeyHash == leaf.publicKeyHash else { throw otherKey(directory) }
    }
    let pins = try directory.pins(under: proposal.manifest.manifest).pins(of: directory.name)
    guard pins?.accepted.contains(leaf.publicKeyHash) == true else {
      throw FederationError.manifest(.foreignKey(directory.name))
    }
    let authorities = try proposal.authority.map { try Certificate.all(inPEM: $0) }
    try IssuedCertificate.check(
      proposal.chain, for: CertificateRequest.create(name: directory.name, key: key), name: directory.name,
      authorities: authorities ?? AuthorityFiles.trusted(by: directory).certificates)
    proposal.certificateChange = try change(to: proposal, isCurrent: isCurrent)
  }

  private static func otherKey(_ directory: OrganizationDirectory) -> CommandError {
    .inFile(
      path: directory.tlsKeyPath, code: "certificate-for-another-key",
      problem: "the certificate is for another key: somebody else's, or one that was withdrawn here",
      remedy: "Check whose file it is. After a rotation was withdrawn, send \(directory.rotationPath) to the operator.")
  }

  private static func change(to proposal: Proposal, isCurrent: Bool) throws -> CertificateChange {
    guard isCurrent else { return .rotated }
    guard let installed = try AuthorityFiles.chain(at: proposal.directory.tlsCertificatePath) else { return .first }
    let isSame = installed == proposal.chain
    guard isSame, let authority = proposal.authority else { return isSame ? .none : .renewed }
    return try AuthorityFiles.trusted(by: proposal.directory).pem == authority ? .none : .renewed
  }

  // MARK: - Statements of pins

  /// The statement, if it counts and is not known here. An older one is no news, and nothing wrong.
  private static func news(
    _ statement: SignedPins?, under manifest: Manifest, in directory: OrganizationDirectory
  ) throws -> SignedPins? {
    guard let statement else { return nil }
    var pins = try directory.pins(under: manifest)
    do throws(FederationError) {
      return try pins.take(statement) ? statement : nil
    } catch .membership(.olderPins) {
      return nil
    }
  }

  /// Takes the server's statement of its certificate keys, or the organisation's own from a copy.
  ///
  /// - Returns: whether it was new.
  /// - Throws: `FederationError` for one that does not count; `AuditLogError`, `ControlError`.
  static func take(
    _ statement: SignedPins, in directory: OrganizationDirectory
  ) throws -> (isNew: Bool, service: RunningService.Outcome) {
    let manifest = try directory.manifestInForce() ?? directory.requiredManifest()
    guard [manifest.manifest.server.name, directory.name].contains(statement.name) else {
      throw CommandError.usage(
        "\(statement.name) is neither this federation's server nor this organisation",
        remedy: "Only the server's statements are needed here; the server takes those of organisations.")
    }
    var pins = try directory.pins(under: manifest.manifest)
    guard try pins.take(statement) else { return (false, .none) }
    try AuthorityRecord.append(
      .keyChange, to: directory, reason: "certificate keys of \(statement.name), its statement \(statement.sequence)")
    try directory.store(statement, under: manifest.manifest)
    return (true, RunningService.reload(directory))
  }
}

extension UInt8 {
  fileprivate var isASCIIWhitespace: Bool { self == 0x20 || (0x09...0x0D).contains(self) }
}
