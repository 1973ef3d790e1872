import Cryptography
import Federation
import Foundation
import MutualTLS

/// Admits organisations: checks their requests, issues certificates, makes the next version of the manifest.
enum Admission {
  /// A request whose two signatures verify and agree on the name. Whose it is, the operator learns by comparing the
  /// fingerprint.
  struct Candidate: Sendable {
    let path: String
    let request: JoinRequest
    let certificateRequest: CertificateRequest
    let fingerprint: MemberFingerprint

    var name: OrganizationName { request.name }

    /// - Throws: `FederationError`, `CredentialError`.
    init(contentsOf path: String) throws {
      self.path = path
      request = try JoinRequest(contentsOf: path)
      certificateRequest = try CertificateRequest(pem: request.certificateRequest)
      guard certificateRequest.name == request.name else {
        throw CredentialError.nameMismatch(expected: request.name.value, found: [certificateRequest.name.value])
      }
      fingerprint = MemberFingerprint(
        name: request.name, keys: request.keys, certificateKey: certificateRequest.publicKeyHash)
    }
  }

  struct Result: Sendable {
    /// Signed by the server; the organisations' approvals are to come.
    let manifest: SignedManifest
    let admitted: [Candidate]
    /// One for every organisation of the manifest.
    let invitations: [(name: OrganizationName, path: String)]
  }

  static func invitationsPath(_ server: ServerDirectory) -> String { "\(server.path)/invitations" }

  static func invitationPath(_ server: ServerDirectory, _ name: OrganizationName) -> String {
    "\(invitationsPath(server))/\(name).invitation.json"
  }

  /// Makes one version of the manifest for all candidates together.
  ///
  /// Everything is checked and prepared before the first file changes. Without candidates the invitations of the
  /// present version are written again.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`, `CommandError`.
  static func admit(
    _ candidates: [Candidate], in server: ServerDirectory, days: Int = AuthorityFiles.leafDays
  ) throws -> Result {
    guard let current = try server.manifest() else {
      throw CommandError.missing(path: server.manifestPath, what: "file")
    }
    let authority = try AuthorityFiles.load(from: server)
    var manifest = current
    var issued: [OrganizationName: Certificate] = [:]
    if !candidates.isEmpty {
      manifest = try successor(of: current, with: candidates)
      try manifest.approve(as: server.name, with: server.identityKey())
      let validity = try AuthorityFiles.validity(days: days, under: authority)
      for candidate in candidates {
        issued[candidate.name] = try authority.issue(
          candidate.certificateRequest, name: candidate.name, profile: .organization, validity: validity)
      }
    }
    let invitations = try manifest.manifest.organizations.map { member in
      let certificate =
        try issued[member.name] ?? Certificate(contentsOfFile: AuthorityFiles.issuedPath(server, member.name))
      return (
        member.name,
        try Invitation(
          certificateChain: certificate.pem, certificateAuthority: authority.certificate.pem, manifest: manifest)
      )
    }
    if !candidates.isEmpty { try AuthorityRecord.append(.manifestChange, to: server, manifest: manifest) }
    return Result(
      manifest: manifest, admitted: candidates,
      invitations: try write(invitations, issued, manifest, current: current, in: server))
  }

  private static func successor(
    of current: SignedManifest, with candidates: [Candidate]
  ) throws -> SignedManifest {
    let members = candidates.map { $0.request.member(pinnedTo: $0.certificateRequest.publicKeyHash) }
    if let known = members.first(where: { current.manifest.member(named: $0.name) != nil }) {
      throw FederationError.manifest(.alreadyMember(known.name))
    }
    return try current.successor(Manifest.Amendment(organizations: current.manifest.organizations + members))
  }

  /// Certificates first, the manifest second, invitations last: after a crash `admit` without requests goes on.
  private static func write(
    _ invitations: [(OrganizationName, Invitation)], _ issued: [OrganizationName: Certificate],
    _ manifest: SignedManifest, current: SignedManifest, in server: ServerDirectory
  ) throws -> [(name: OrganizationName, path: String)] {
    for (name, certificate) in issued {
      try AtomicFile.replace(AuthorityFiles.issuedPath(server, name), bytes: Array(certificate.pem.utf8))
    }
    if manifest.hash != current.hash { try server.store(manifest) }
    let folder = invitationsPath(server)
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
      throw CommandError.unwritable(path: folder, reason: String(cString: strerror(errno)))
    }
    return try invitations.map { name, invitation in
      let path = invitationPath(server, name)
      try invitation.write(to: path)
      return (name, path)
    }
  }
}
