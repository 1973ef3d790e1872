import Cryptography
import Federation
import Foundation
import MutualTLS

/// Admits organisations: checks their requests, issues certificates, makes the next version of the manifest.
enum Admission {
  /// A request whose two signatures verify and agree on the name. Whose it is, the operator learns by comparing the
  /// fingerprint.
  struct Candidate: Sendable {
    let request: JoinRequest
    let certificateRequest: CertificateRequest
    let fingerprint: MemberFingerprint

    var name: OrganizationName { request.name }

    /// As a manifest would list it.
    var member: Manifest.Member { request.member(pinnedTo: certificateRequest.publicKeyHash) }

    /// - Throws: `FederationError`, `CredentialError`.
    init(contentsOf path: String) throws { try self.init(JoinRequest(contentsOf: path)) }

    /// - Throws: `CredentialError`.
    init(_ request: JoinRequest) throws {
      self.request = request
      certificateRequest = try CertificateRequest(pem: request.certificateRequest)
      guard certificateRequest.name == request.name else {
        throw CredentialError.nameMismatch(expected: request.name.value, found: [certificateRequest.name.value])
      }
      fingerprint = MemberFingerprint(
        name: request.name, keys: request.keys, certificateKey: certificateRequest.publicKeyHash)
    }
  }

  struct Settings: Sendable {
    var lifetime = Lifetime.standard
    /// Of the only candidate, from its owner's authority, leaf first; nil to issue it here.
    var certificate: [Certificate]?
    var assumptions = Assumptions()
    /// Why the only candidate takes the place of the member of its name; nil to admit new names only.
    var replacement: String?
  }

  struct Result: Sendable {
    /// Signed by the server; the organisations' approvals are to come.
    let manifest: SignedManifest
    let admitted: [Candidate]
    /// One for every organisation of the manifest whose certificate is here.
    let invitations: [Invitations.Written]
    let service: RunningService.Outcome
  }

  /// Makes one version of the manifest for all candidates together, without those that are revoked.
  ///
  /// Everything is checked and prepared before the first file changes. Without candidates or other assumptions the
  /// invitations of the present version are written again.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `AuditLogError`, `ControlError`, `CommandError`.
  static func admit(
    _ candidates: [Candidate], in server: ServerDirectory, _ settings: Settings = Settings()
  ) throws -> Result {
    let current = try server.requiredManifest()
    guard !candidates.isEmpty || !settings.assumptions.isEmpty else {
      return Result(
        manifest: current, admitted: [], invitations: try Invitations.write(in: server), service: .none)
    }
    guard candidates.count == 1 || (settings.certificate == nil && settings.replacement == nil) else {
      throw CommandError.usage(
        "a certificate, or a replacement, is for one request", remedy: "Give that request alone.")
    }
    let replaced = try settings.replacement.map { _ in try replacedKeys(of: candidates[0], current, in: server) } ?? []
    try require(candidates, in: server, current, isReplacement: settings.replacement != nil)
    let names = Set(candidates.map(\.name))
    let others = try NextVersion.remaining(of: current.manifest, in: server).filter { !names.contains($0.name) }
    let manifest = try NextVersion.make(
      after: current, organizations: others + candidates.map(\.member), assumptions: settings.assumptions, in: server)
    let chains = try certificates(for: candidates, in: server, settings)

    try AuthorityRecord.append(.manifestChange, to: server, manifest: manifest, reason: settings.replacement)
    // The old identity counts no more from here on, before anybody approves the new one.
    for key in replaced {
      try server.store(
        Revocation(
          name: candidates[0].name, identity: key, reason: settings.replacement ?? "", time: Moment.text(Date())))
    }
    // Certificates first, the manifest second, invitations last: after a crash `admit` without requests goes on.
    for (candidate, chain) in zip(candidates, chains) {
      try AuthorityFiles.store(chain, of: candidate.name, isNext: false, in: server)
      try AuthorityFiles.settle(candidate.name, pins: candidate.member.pins, in: server)
    }
    try server.store(manifest)
    let invitations = try Invitations.write(in: server)
    return Result(
      manifest: manifest, admitted: candidates, invitations: invitations, service: RunningService.reload(server))
  }

  /// The identity keys under which a name has been a member, and is to be no longer.
  private static func replacedKeys(
    of candidate: Candidate, _ current: SignedManifest, in server: ServerDirectory
  ) throws -> [IdentityVerifyingKey] {
    let versions = [current.manifest, try server.manifestInForce()?.manifest].compactMap { $0 }
    let known = versions.compactMap { $0.organization(named: candidate.name)?.keys.identity }
    guard !known.isEmpty else {
      throw CommandError.usage(
        "\(candidate.name) is not a member, so it cannot be replaced", remedy: "Leave --replace out to admit it.")
    }
    guard current.manifest.organization(named: candidate.name)?.keys.identity != candidate.request.keys.identity else {
      throw CommandError.usage(
        "the request of \(candidate.name) holds the identity key that the manifest lists already",
        remedy: "Without requests, admit writes the invitations again; for a new certificate key: rotate.")
    }
    let revoked = try server.revocations()
    return known.filter { key in
      key != candidate.request.keys.identity
        && !revoked.contains { $0.name == candidate.name && $0.identity == key }
    }
  }

  private static func require(
    _ candidates: [Candidate], in server: ServerDirectory, _ current: SignedManifest, isReplacement: Bool
  ) throws {
    let pins = try server.pins(under: current.manifest)
    let revocations = try server.revocations()
    for candidate in candidates {
      let member = candidate.member
      if let revocation = revocations.first(where: { $0.revokes(member) }) {
        throw CommandError.revoked(member.name, revocation)
      }
      if let known = current.manifest.member(named: member.name) {
        let isRevoked = revocations.contains { $0.revokes(known) }
        guard member.name != server.name, isReplacement || isRevoked else {
          throw FederationError.manifest(.alreadyMember(member.name))
        }
      }
      for other in current.manifest.members where other.name != member.name {
        let taken = pins.pins(of: other.name)?.accepted ?? []
        guard !taken.contains(member.pins.current) else { throw FederationError.manifest(.duplicatePin(member.name)) }
      }
    }
  }

  private static func certificates(
    for candidates: [Candidate], in server: ServerDirectory, _ settings: Settings
  ) throws -> [[Certificate]] {
    var chains: [[Certificate]] = []
    if let certificate = settings.certificate {
      chains = [certificate]
    } else if !candidates.isEmpty {
      let authority = try AuthorityFiles.load(from: server)
      let validity = try AuthorityFiles.validity(settings.lifetime, under: authority)
      chains = try candidates.map {
        [
          try authority.issue(
            $0.certificateRequest, name: $0.name, profile: .organization, validity: validity)
        ]
      }
    }
    for (candidate, chain) in zip(candidates, chains) {
      try IssuedCertificate.check(chain, for: candidate.certificateRequest, name: candidate.name, in: server)
    }
    return chains
  }
}
