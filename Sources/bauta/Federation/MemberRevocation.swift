import Cryptography
import Federation
import Foundation

/// Ends an organisation's membership: at once at the server, and in the next version of the manifest for everybody.
enum MemberRevocation {
  struct Result: Sendable {
    let name: OrganizationName
    /// It was revoked before this command.
    let wasRevoked: Bool
    /// The version without it that this command has made; nil if it made none.
    let manifest: SignedManifest?
    /// Who has to approve the latest version still.
    let missing: [OrganizationName]
    /// Why none was made although one is needed.
    let obstacle: Obstacle?
    let invitations: [Invitations.Written]
    let service: RunningService.Outcome
  }

  /// The organisations that are left are too few for what the manifest assumes.
  struct Obstacle: Sendable, Equatable {
    let reason: String
    /// Assumptions under which a version could be made; nil if there are too few for any sum.
    let possible: Assumptions?
  }

  /// Revokes the identity keys under which a name is a member, then makes the version without it.
  ///
  /// Given again, it goes on where it was interrupted, or makes the version with other assumptions.
  ///
  /// - Throws: `FederationError` for a name that is no organisation's, `AuditLogError`, `ControlError`.
  static func revoke(
    _ name: OrganizationName, reason: String, assumptions: Assumptions = Assumptions(), in server: ServerDirectory
  ) throws -> Result {
    guard name != server.name else {
      throw CommandError.usage(
        "\(name) is the server itself",
        remedy: "To replace its certificate key: bauta federation rotate-server --directory \(server.path)")
    }
    let current = try server.requiredManifest()
    let held = try server.revocations()
    var members: [Manifest.Member] = []
    for manifest in [current.manifest, try server.manifestInForce()?.manifest].compactMap({ $0 }) {
      guard let member = manifest.organization(named: name), !members.contains(where: { $0.keys == member.keys }) else {
        continue
      }
      members.append(member)
    }
    let fresh = members.filter { member in !held.contains { $0.revokes(member) } }
    guard !members.isEmpty || held.contains(where: { $0.name == name }) else {
      throw FederationError.manifest(.unknownMember(name))
    }
    let isListed = current.manifest.organization(named: name) != nil
    let version =
      isListed || !assumptions.isEmpty
      ? try next(after: current, without: name, assumptions, in: server) : .failure(NoVersion(obstacle: nil))
    let manifest = try? version.get()
    if !fresh.isEmpty || manifest != nil {
      try AuthorityRecord.append(
        .manifestChange, to: server, manifest: manifest ?? current, reason: "\(name) revoked: \(reason)")
    }
    for member in fresh {
      try server.store(
        Revocation(name: name, identity: member.keys.identity, reason: reason, time: Moment.text(Date())))
    }
    // The connections of the revoked are closed before anything slower is done.
    var service = RunningService.reload(server)
    var invitations: [Invitations.Written] = []
    if let manifest {
      try server.store(manifest)
      invitations = try Invitations.write(in: server)
      service = RunningService.reload(server)
    }
    try removeInvitation(of: name, in: server, stays: manifest?.manifest.organization(named: name) != nil)
    var obstacle: Obstacle?
    if case .failure(let found) = version { obstacle = found.obstacle }
    return Result(
      name: name, wasRevoked: fresh.isEmpty, manifest: manifest, missing: (manifest ?? current).approvals.missing,
      obstacle: obstacle, invitations: invitations,
      service: service)
  }

  /// Why there is no next version: an obstacle, or none is needed.
  private struct NoVersion: Error {
    let obstacle: Obstacle?
  }

  private static func next(
    after current: SignedManifest, without name: OrganizationName, _ assumptions: Assumptions,
    in server: ServerDirectory
  ) throws -> Swift.Result<SignedManifest, NoVersion> {
    let organizations = try NextVersion.remaining(of: current.manifest, in: server).filter { $0.name != name }
    let minimum = assumptions.minimumCohort ?? current.manifest.minimumCohort
    func obstacle(_ reason: String) -> Swift.Result<SignedManifest, NoVersion> {
      .failure(
        NoVersion(
          obstacle: Obstacle(
            reason: reason, possible: possible(after: current, organizations))))
    }
    guard organizations.count >= minimum else {
      return obstacle(
        "\(Figures.counted(organizations.count, "organisation")) would be left, and no sum is opened over fewer than \(minimum)"
      )
    }
    do {
      return .success(
        try NextVersion.make(after: current, organizations: organizations, assumptions: assumptions, in: server))
    } catch let error as FederationError {
      guard case .manifest(let fault) = error else { throw error }
      switch fault {
      case .tooManyCorrupt, .outOfRange: return obstacle(error.message)
      case .duplicateName, .duplicateKey, .duplicatePin, .noManifest, .unknownMember, .alreadyMember,
        .invalidSignature, .missingApprovals, .otherFederation, .wrongVersion, .wrongPrevious, .foreignKey:
        throw error
      }
    }
  }

  /// The strongest assumptions that hold among those who are left.
  private static func possible(after current: SignedManifest, _ organizations: [Manifest.Member]) -> Assumptions? {
    let minimum = min(current.manifest.minimumCohort, organizations.count)
    for corrupt in stride(from: current.manifest.assumedCorrupt, through: 0, by: -1) {
      let amendment = Manifest.Amendment(
        assumedCorrupt: corrupt, minimumCohort: minimum, organizations: organizations)
      if (try? current.successor(amendment)) != nil {
        return Assumptions(assumedCorrupt: corrupt, minimumCohort: minimum)
      }
    }
    return nil
  }

  /// Nobody should hand it over by mistake.
  private static func removeInvitation(of name: OrganizationName, in server: ServerDirectory, stays: Bool) throws {
    let path = Invitations.path(server, name)
    guard !stays, unlink(path) != 0, errno != ENOENT else { return }
    throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
  }
}
