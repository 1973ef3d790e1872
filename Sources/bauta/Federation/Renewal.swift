import Cryptography
import Federation
import Foundation
import MutualTLS

/// Certificates with later dates for the same keys: nobody approves anything.
enum Renewal {
  struct Renewed: Sendable {
    let name: OrganizationName
    let certificate: Certificate
    /// What to hand to the organisation; nil for the server, whose certificate is in place.
    let invitation: String?
  }

  struct Result: Sendable {
    let renewed: [Renewed]
    let service: RunningService.Outcome
  }

  /// Members whose certificate has expired or soon will, by name.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`.
  static func due(in server: ServerDirectory, at now: Date = Date()) throws -> [OrganizationName] {
    let manifest = try server.requiredManifest().manifest
    let organizations = try NextVersion.remaining(of: manifest, in: server)
    return try ([manifest.server.member] + organizations).map(\.name).filter { name in
      try chain(of: name, manifest, in: server)?.first?.expiry(at: now).needsAttention ?? false
    }
  }

  /// Issues a certificate for the key of each, and writes its invitation anew; the server's is put in place.
  ///
  /// Where a rotation is pending and its certificate was issued, that one is renewed: its invitation completes the rotation.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`, `AuditLogError`, `ControlError`. All are made before
  ///   the first is stored.
  static func renew(
    _ names: [OrganizationName], in server: ServerDirectory, lifetime: Lifetime = .standard
  ) throws -> Result {
    let manifest = try server.requiredManifest().manifest
    let authority = try AuthorityFiles.load(from: server)
    let trusted = try AuthorityFiles.trusted(by: server)
    guard trusted.certificates.contains(authority.certificate) else {
      throw CommandError.unsuitable(
        path: AuthorityFiles.certificatePath(server), problem: "this federation's members trust another authority",
        remedy: "Renew with that one; members install it with: bauta federation approve CERTIFICATE")
    }
    let validity = try AuthorityFiles.validity(lifetime, under: authority)
    let revocations = try server.revocations()
    var made: [(name: OrganizationName, certificate: Certificate)] = []
    for name in Set(names).sorted() {
      guard let member = manifest.member(named: name) else { throw FederationError.manifest(.unknownMember(name)) }
      if let revocation = revocations.first(where: { $0.revokes(member) }) {
        throw CommandError.revoked(name, revocation)
      }
      guard let old = try chain(of: name, manifest, in: server)?.first else {
        throw CommandError.unsuitable(
          path: AuthorityFiles.issuedPath(server, name),
          problem: "there is no certificate for the key that \(name) uses",
          remedy: "Take its latest rotation file: bauta federation admit \(name).rotation.json")
      }
      made.append((name, try authority.renew(old, validity: validity)))
    }
    guard !made.isEmpty else { return Result(renewed: [], service: .none) }
    for (name, certificate) in made {
      try AuthorityRecord.append(
        .keyChange, to: server,
        reason: "certificate \(certificate.serial) of \(name) until \(Moment.day(certificate.notAfter))")
    }
    for (name, certificate) in made {
      if name == server.name {
        try server.storeCertificate(chain: certificate.pem, authority: trusted.pem)
      } else {
        let next = try AuthorityFiles.chain(at: AuthorityFiles.nextIssuedPath(server, name))?.first?.publicKeyHash
        try AuthorityFiles.store(
          [certificate], of: name, isNext: next == certificate.publicKeyHash, in: server)
      }
    }
    let invitations = try Invitations.write(for: made.map(\.name), in: server)
    let renewed = made.map { name, certificate in
      Renewed(
        name: name, certificate: certificate, invitation: invitations.first { $0.name == name }?.path)
    }
    let isServers = made.contains { $0.name == server.name }
    return Result(renewed: renewed, service: isServers ? RunningService.reload(server) : .none)
  }

  /// The certificate that a member uses or, where it was issued already, the one that it is to use next.
  static func chain(
    of name: OrganizationName, _ manifest: Manifest, in server: ServerDirectory
  ) throws -> [Certificate]? {
    if name == server.name { return try AuthorityFiles.chain(at: server.tlsCertificatePath) }
    return try AuthorityFiles.presentChain(of: name, server.pins(under: manifest), in: server)
  }
}
