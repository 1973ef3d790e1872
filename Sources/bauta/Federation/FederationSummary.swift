import Cryptography
import Federation
import Foundation
import MutualTLS

/// A federation as one directory knows it: its members and who has approved the present version.
struct FederationSummary: Sendable {
  static let schema = "bauta/federation/1"

  let directory: String
  /// The server collects approvals; an organisation knows its own only, until a run shows it all.
  let isComplete: Bool
  let manifest: SignedManifest
  /// Certificates at hand: the directory's own, the authority's, and at the server those it issued.
  let certificates: [(owner: String, notAfter: Date)]

  /// - Throws: `FederationError`, `CredentialError`, `CommandError` if there is no manifest yet.
  init(_ participant: Participant) throws {
    let owner = participant.directory
    directory = owner.path
    isComplete = if case .server = participant { true } else { false }
    guard let manifest = try owner.manifest() else {
      throw CommandError.unsuitable(
        path: owner.path, problem: "there is no manifest yet",
        remedy: "Approve the operator's invitation: bauta federation approve INVITATION --directory \(owner.path)")
    }
    self.manifest = manifest
    var paths = [(owner.name.value, owner.tlsCertificatePath), ("authority", owner.certificateAuthorityPath)]
    if case .server(let server) = participant {
      paths += manifest.manifest.organizations.map { ($0.name.value, AuthorityFiles.issuedPath(server, $0.name)) }
    }
    certificates = try paths.filter { LocalFile.exists($0.1) }.map { owner, path in
      (owner, try Certificate(contentsOfFile: path).notAfter)
    }
  }

  var json: JSONValue {
    let manifest = manifest.manifest
    let approvals = self.manifest.approvals
    let certificates = Dictionary(certificates.map { ($0.owner, $0.notAfter) }) { first, _ in first }
    func member(_ member: Manifest.Member) -> JSONValue {
      .object([
        "name": .string(member.name.value), "fingerprint": .string(MemberFingerprint(member).hexadecimal),
        "pins": .object([
          "current": .string(member.pins.current.hexadecimal), "next": .optional(member.pins.next?.hexadecimal),
        ]),
        "approved": .boolean(approvals.approved.contains(member.name)),
        "certificateNotAfter": .optional(certificates[member.name.value].map(Moment.text)),
      ])
    }
    return .object([
      "schema": .string(Self.schema), "federation": .string(manifest.federation.value),
      "version": .count(manifest.version), "manifest": .string(self.manifest.hash.hexadecimal),
      "previous": .optional(manifest.previous?.hexadecimal), "assumedCorrupt": .count(manifest.assumedCorrupt),
      "minimumCohort": .count(manifest.minimumCohort), "witnessQuorum": .count(manifest.witnessQuorum),
      "server": member(manifest.server.member),
      "addresses": .strings(manifest.server.addresses.map(\.description)),
      "organizations": .array(manifest.organizations.map(member)),
      "missing": .strings((approvals.missing + approvals.invalid).map(\.value)),
      "approvedByAll": .boolean(approvals.isComplete),
    ])
  }

  func show(_ output: Output) {
    Self.show(manifest, output, certificates: certificates)
    let approvals = manifest.approvals
    output.line()
    if approvals.isComplete {
      output.line("\("Approved by every member.", .good) A run can begin: bauta server --plan PLAN")
    } else {
      let waiting = (approvals.missing + approvals.invalid).map(\.value).joined(separator: ", ")
      output.line(
        "\("Waiting for the approval of", .caution) \(waiting)\(isComplete ? "" : ", as far as is known here").")
    }
    if let authority = certificates.first(where: { $0.owner == "authority" }) {
      output.line("Certificate authority: \(Moment.expiry(authority.notAfter)).")
    }
  }

  /// The manifest as people compare it: assumptions, then a line a member.
  static func show(
    _ signed: SignedManifest, _ output: Output, certificates: [(owner: String, notAfter: Date)] = []
  ) {
    let manifest = signed.manifest
    let approvals = signed.approvals
    output.line("\(manifest.federation, .strong), version \(manifest.version)")
    output.line("  manifest   \(Fingerprint.grouped(signed.hash.hexadecimal))")
    output.line("  server at  \(manifest.server.addresses.map(\.description).joined(separator: ", "))")
    output.line(
      "  safe with  \(manifest.assumedCorrupt) of \(manifest.organizations.count) organisations corrupt; sums over \(manifest.minimumCohort) or more"
    )
    output.line()
    var table = Table([.text("member"), .text("fingerprint"), .text("approved"), .text("certificate")], indentation: 2)
    for member in manifest.members {
      let approved: StyledText =
        if approvals.approved.contains(member.name) {
          StyledText("yes", .good)
        } else if approvals.invalid.contains(member.name) {
          StyledText("INVALID", .bad)
        } else {
          StyledText("not yet", .caution)
        }
      let expiry = certificates.first { $0.owner == member.name.value }.map { "until \(Moment.day($0.notAfter))" }
      let role = member.name == manifest.server.name ? " (server)" : ""
      table.append(["\(member.name)\(role)", "\(MemberFingerprint(member))", approved, "\(expiry ?? "")"])
    }
    output.table(table)
  }
}
