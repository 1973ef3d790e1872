import Cryptography
import Federation
import Foundation
import MutualTLS

/// The files in the server's `invitations/`, one an organisation, always for the latest version of the manifest.
enum Invitations {
  struct Written: Sendable {
    let name: OrganizationName
    let path: String
    /// The organisation has not approved the version in it.
    let needsApproval: Bool
  }

  static func folder(_ server: ServerDirectory) -> String { "\(server.path)/invitations" }

  static func path(_ server: ServerDirectory, _ name: OrganizationName) -> String {
    "\(folder(server))/\(name).invitation.json"
  }

  /// Writes the invitations of some organisations, or of all.
  ///
  /// One whose certificate is not here (its owner's authority issued it, and it was never handed in) is left out: it
  /// approves the manifest's note. One that is revoked is left out, too.
  ///
  /// - Throws: `FederationError`, `CredentialError`, `CommandError`.
  static func write(for names: [OrganizationName]? = nil, in server: ServerDirectory) throws -> [Written] {
    let manifest = try server.requiredManifest()
    let pins = try server.pins(under: manifest.manifest)
    let authority = try AuthorityFiles.trusted(by: server).pem
    let revocations = try server.revocations()
    let approved = Set(manifest.approvals.approved)
    var invitations: [(Written, Invitation)] = []
    for member in manifest.manifest.organizations where names?.contains(member.name) ?? true {
      guard !revocations.contains(where: { $0.revokes(member) }),
        let chain = try AuthorityFiles.presentChain(of: member.name, pins, in: server)
      else { continue }
      let needsApproval = !approved.contains(member.name)
      invitations.append(
        (
          Written(name: member.name, path: path(server, member.name), needsApproval: needsApproval),
          try Invitation(
            certificateChain: AuthorityFiles.pem(chain), certificateAuthority: authority, manifest: manifest,
            serverPins: pins.statements[server.name], needsApproval: needsApproval)
        ))
    }
    try LocalFile.makeDirectory(folder(server))
    for (written, invitation) in invitations { try invitation.write(to: written.path) }
    return invitations.map(\.0)
  }
}
