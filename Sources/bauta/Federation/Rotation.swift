import Cryptography
import Federation
import Foundation
import MutualTLS

/// The replacement of an organisation's certificate key by another: nobody else approves it, and runs go on.
///
/// 1. ``begin(in:reason:keyURI:passphrase:)`` at the organisation makes the next key and states both.
/// 2. ``issue(_:in:lifetime:certificate:)`` at the server takes the statement and issues the next key's certificate.
/// 3. `Approval.approve` at the organisation puts key and certificate in place and states the new key alone.
/// 4. The running client sends that statement with its next hello, or ``issue(_:in:lifetime:certificate:)`` takes it.
enum Rotation {
  struct Begun: Sendable {
    let statement: SignedPins
    /// What to hand to the operator.
    let path: String
    /// Pending before this command: nothing new was made.
    let wasPending: Bool
    let nextKey: CertificateKeyHash
    let service: RunningService.Outcome
  }

  // MARK: - At the organisation

  /// Makes the next key and states it. If one is pending, writes the file for the operator again and changes nothing else.
  ///
  /// - Parameters:
  ///   - reason: for the log.
  ///   - keyURI: a key in a token or another store, instead of a new one in a file.
  ///   - passphrase: opens, or encrypts, the keys.
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`, `ControlError`; `CommandError` where the keys at
  ///   hand are not those that were stated.
  static func begin(
    in directory: OrganizationDirectory, reason: String? = nil, keyURI: String? = nil, passphrase: Passphrase? = nil
  ) throws -> Begun {
    let start = try start(in: directory, keyURI: keyURI, passphrase: passphrase)
    let statement = try start.announce(reason: reason)
    let request = try RotationRequest(
      statement: statement, certificateRequest: CertificateRequest.create(name: directory.name, key: start.next).pem)
    try request.write(to: directory.rotationPath)
    return Begun(
      statement: statement, path: directory.rotationPath, wasPending: start.isPending, nextKey: start.hash,
      service: start.isPending ? .none : RunningService.reload(directory))
  }

  /// Withdraws the next key: states the current one alone, and removes the other.
  ///
  /// - Returns: nil if nothing was pending.
  /// - Throws: as ``begin(in:reason:keyURI:passphrase:)``.
  static func cancel(
    in directory: OrganizationDirectory, reason: String? = nil, passphrase: Passphrase? = nil
  ) throws -> Ended? {
    try withdraw(in: directory, reason: reason, passphrase: passphrase).map { try end($0, in: directory) }
  }

  struct Ended: Sendable {
    let statement: SignedPins
    /// For the operator, if no client tells the server.
    let path: String
    let service: RunningService.Outcome
  }

  /// What the log says of a key that takes the place of another.
  static func inUse(_ key: CertificateKeyHash) -> String { "certificate key \(key.hexadecimal) in use" }

  /// States the key in use alone, after the change to it.
  ///
  /// - Parameter isRecorded: the change is on record with its statement.
  static func complete(_ own: OwnKeys, isRecorded: Bool = false) throws -> SignedPins {
    let used = try own.current.publicKeyHash
    if !isRecorded { try own.record(inUse(used)) }
    let statement = try own.sign(Manifest.Pins(current: used))
    if own.directory is OrganizationDirectory {
      try RotationRequest(statement: statement).write(to: own.directory.rotationPath)
    }
    return statement
  }

  private static func end(_ statement: SignedPins, in directory: OrganizationDirectory) throws -> Ended {
    try RotationRequest(statement: statement).write(to: directory.rotationPath)
    return Ended(statement: statement, path: directory.rotationPath, service: RunningService.reload(directory))
  }

  // MARK: - At the server

  struct Issued: Sendable {
    let statement: SignedPins
    /// Nil where the statement ends a rotation.
    let certificate: Certificate?
    /// What to hand back; nil where the server holds no certificate for the key.
    let invitation: String?
    let service: RunningService.Outcome

    var name: OrganizationName { statement.name }
  }

  /// Takes an organisation's statement of pins, issues the certificate of its next key if one is asked for, and writes
  /// its invitation anew. No other member is touched, and no version of the manifest is made.
  ///
  /// - Parameter certificate: issued by the owner's authority for this very request, leaf first; nil to issue it here.
  /// - Throws: `FederationError` for a statement that does not count (older, forked, of somebody else), `CredentialError`,
  ///   `CommandError`, `AuditLogError`, `ControlError`; nothing has changed then, or the same file can be given again.
  static func issue(
    _ request: RotationRequest, in server: ServerDirectory, lifetime: Lifetime = .standard,
    certificate: [Certificate]? = nil
  ) throws -> Issued {
    let statement = request.statement
    let manifest = try manifest(for: statement, in: server)
    var pins = try server.pins(under: manifest)
    let isNew = try pins.take(statement)
    let asked = try certificateRequest(of: request)
    let chain: [Certificate]?
    if let asked {
      let issued = try certificate ?? [issue(asked, in: server, lifetime: lifetime)]
      try IssuedCertificate.check(issued, for: asked, name: statement.name, in: server)
      chain = issued
    } else {
      guard certificate == nil else {
        throw CommandError.usage(
          "the file asks for no certificate", remedy: "Leave --certificate out, or give the file that asked for it.")
      }
      chain = nil
    }
    let leaf = chain?.first
    let what =
      leaf.map { "certificate \($0.serial) for the next key of \(statement.name)" }
      ?? "certificate keys of \(statement.name)"
    try AuthorityRecord.append(.keyChange, to: server, reason: "\(what), its statement \(statement.sequence)")
    // That of a key which is in use by now makes room for the next one's.
    try AuthorityFiles.settle(statement.name, pins: statement.pins, in: server)
    if let chain { try AuthorityFiles.store(chain, of: statement.name, isNext: true, in: server) }
    if isNew { try server.store(statement, under: manifest) }
    let written = try Invitations.write(for: [statement.name], in: server)
    return Issued(
      statement: statement, certificate: leaf, invitation: written.first?.path,
      service: RunningService.reload(server))
  }

  /// The manifest by which a statement counts: the one in force, or the latest if only that lists the identity key.
  private static func manifest(for statement: SignedPins, in server: ServerDirectory) throws -> Manifest {
    let latest = try server.requiredManifest()
    let revoked = try server.revocations()
    for manifest in [try server.manifestInForce() ?? latest, latest].map(\.manifest) {
      guard let member = manifest.organization(named: statement.name),
        statement.federation == manifest.federation, statement.isSigned(by: member.identityNoteKey)
      else { continue }
      if let revocation = revoked.first(where: { $0.revokes(member) }) {
        throw CommandError.revoked(statement.name, revocation)
      }
      return manifest
    }
    throw FederationError.membership(.foreignPins(statement.name))
  }

  /// - Throws: `CredentialError`; `FederationError` unless the request is for the key stated as next.
  private static func certificateRequest(of rotation: RotationRequest) throws -> CertificateRequest? {
    guard let text = rotation.certificateRequest else { return nil }
    let request = try CertificateRequest(pem: text)
    guard request.publicKeyHash == rotation.statement.pins.next else {
      throw FederationError.exchange(.field(.rotation, name: "certificateRequest"))
    }
    return request
  }

  private static func issue(
    _ request: CertificateRequest, in server: ServerDirectory, lifetime: Lifetime
  ) throws -> Certificate {
    let authority = try AuthorityFiles.load(from: server)
    return try authority.issue(
      request, name: request.name, profile: .organization,
      validity: AuthorityFiles.validity(lifetime, under: authority))
  }
}

extension CommandError {
  /// Somebody whom the operator lets in no more.
  static func revoked(_ name: OrganizationName, _ revocation: Revocation) -> CommandError {
    .inFile(
      path: name.value, code: "member-revoked",
      problem: "its identity key was revoked on \(revocation.time.prefix(10)): \(revocation.reason)",
      remedy: "Let it make a new identity (bauta organization replace-identity), and admit that request.")
  }
}
