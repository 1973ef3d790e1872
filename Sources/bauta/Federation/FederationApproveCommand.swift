import ArgumentParser
import Federation

struct FederationApproveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "approve", abstract: "Approve a manifest, or collect the approvals of others.",
    discussion: """
      In an organisation's directory: shows what the invitation would change, asks, then installs the certificate, \
      signs the manifest and writes NAME.approval.note for the operator.

        bauta federation approve alder.example.invitation.json --directory alder

      In a server's directory: takes over the signatures from the notes that organisations have handed back.

        bauta federation approve *.approval.note --directory hub
      """)

  @Argument(help: "The invitation; at a server, the notes.", completion: .file())
  var files: [String]

  @OptionGroup var place: DirectoryOption

  @Flag(help: "Do not ask: you have read and compared already.")
  var yes = false

  @OptionGroup var format: JSONOption

  func run() async throws {
    switch try Participant(opening: place.directory) {
    case .organization(let directory): try approve(in: directory)
    case .server(let directory): try collect(in: directory)
    }
  }

  private func approve(in directory: OrganizationDirectory) throws {
    guard files.count == 1 else {
      throw CommandError.usage(
        "an organisation approves one file at a time, and \(files.count) were given",
        remedy: "Give the invitation of the newest version.")
    }
    let proposal = try Approval.propose(files[0], to: directory)
    if !format.json { Self.show(proposal) }
    try Confirmation.require(
      "Do you approve version \(proposal.manifest.manifest.version) for \(directory.name)?",
      what: "approving a manifest",
      given: yes || proposal.isApproved)
    let result = try Approval.approve(proposal)
    if format.json {
      Output.standard.json(Self.json(result.manifest, note: result.notePath))
      return
    }
    Output.standard.line("\("Approved.", .good) The certificate and the manifest are in \(directory.path).")
    Output.standard.line("Next: send \(result.notePath) to the operator; then")
    Output.standard.line("  bauta client --directory \(directory.path) --data FILE")
  }

  private static func show(_ proposal: Approval.Proposal) {
    let output = Output.standard
    FederationSummary.show(proposal.manifest, output)
    output.line()
    if proposal.held == nil {
      output.line("This is the first version that \(proposal.directory.name) is asked to approve.")
    } else if proposal.isApproved {
      output.line("\(proposal.directory.name) has approved this version already.")
    } else {
      if proposal.skippedVersions > 0 {
        output.line("Versions in between that were never approved here: \(proposal.skippedVersions)")
      }
      output.line("Changes to the version approved before:")
      for change in proposal.changes { output.line("  · \(change)") }
      if proposal.changes.isEmpty { output.line("  · none but the version") }
    }
    output.line("Compare the fingerprints with their owners, over a channel you trust.")
    output.line()
  }

  private func collect(in directory: ServerDirectory) throws {
    let manifest = try Approval.collect(files, in: directory)
    if format.json {
      Output.standard.json(Self.json(manifest, note: directory.manifestPath))
      return
    }
    FederationSummary.show(manifest, Output.standard)
    let approvals = manifest.approvals
    Output.standard.line()
    if approvals.isComplete {
      Output.standard.line("\("Approved by every member.", .good)")
      Output.standard.line("Next: bauta server --plan PLAN --directory \(directory.path)")
    } else {
      let names = approvals.missing.map(\.value).joined(separator: ", ")
      Output.standard.line("\("Still missing:", .caution) \(names)")
    }
  }

  private static func json(_ manifest: SignedManifest, note: String) -> JSONValue {
    let approvals = manifest.approvals
    return .object([
      "schema": .string("bauta/federation-approve/1"), "federation": .string(manifest.manifest.federation.value),
      "version": .count(manifest.manifest.version), "manifest": .string(manifest.hash.hexadecimal),
      "note": .string(note), "approved": .strings(approvals.approved.map(\.value)),
      "missing": .strings(approvals.missing.map(\.value)), "approvedByAll": .boolean(approvals.isComplete),
    ])
  }
}
