import Cryptography
import Federation
import Foundation
import MutualTLS

/// A manifest as people compare it: assumptions, then a line a member.
enum FederationSummary {
  /// What stands in the column of approvals.
  enum Mark: Sendable {
    case yes, notYet, invalid, revoked

    init(_ approval: FederationStatus.Approval) {
      switch approval {
      case .given: self = .yes
      case .missing: self = .notYet
      case .invalid: self = .invalid
      }
    }

    var text: StyledText {
      switch self {
      case .yes: StyledText("yes", .good)
      case .notYet: StyledText("not yet", .caution)
      case .invalid: StyledText("INVALID", .bad)
      case .revoked: StyledText("revoked", .bad)
      }
    }
  }

  struct Row: Sendable {
    let member: Manifest.Member
    let approval: Mark
    /// Where its certificate keys are stated.
    let keys: String
    let certificate: StyledText?
  }

  /// A manifest alone, as its approvals stand.
  static func show(_ signed: SignedManifest, _ output: Output) {
    let approvals = signed.approvals
    let rows = signed.manifest.members.map { member in
      let mark: Mark =
        approvals.approved.contains(member.name) ? .yes : approvals.invalid.contains(member.name) ? .invalid : .notYet
      return Row(member: member, approval: mark, keys: "", certificate: nil)
    }
    show(signed, output, rows: rows)
  }

  static func show(_ signed: SignedManifest, _ output: Output, rows: [Row]) {
    let manifest = signed.manifest
    output.line("\(manifest.federation, .strong), version \(manifest.version)")
    output.line("  manifest   \(Fingerprint.grouped(signed.hash.hexadecimal))")
    output.line("  server at  \(manifest.server.addresses.map(\.description).joined(separator: ", "))")
    output.line(
      "  safe with  \(manifest.assumedCorrupt) of \(manifest.organizations.count) organisations corrupt; sums over \(manifest.minimumCohort) or more"
    )
    output.line()
    let hasDetails = rows.contains { !$0.keys.isEmpty || $0.certificate != nil }
    var table = Table(
      [.text("member"), .text("fingerprint"), .text("approved")]
        + (hasDetails ? [.text("keys"), .text("certificate")] : []), indentation: 2)
    for row in rows {
      let role = row.member.name == manifest.server.name ? " (server)" : ""
      let cells: [StyledText] = [
        "\(row.member.name)\(role)", "\(MemberFingerprint(row.member))", row.approval.text,
      ]
      table.append(cells + (hasDetails ? ["\(row.keys)", row.certificate ?? "–"] : []))
    }
    output.table(table)
  }
}
