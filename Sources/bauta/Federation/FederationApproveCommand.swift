import ArgumentParser
import Cryptography
import Federation

struct FederationApproveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "approve", abstract: "Approve a manifest, install a certificate, or collect the approvals of others.",
    discussion: """
      In an organisation's directory: shows what the invitation would change, asks, then installs the certificate, \
      signs the manifest and writes NAME.approval.note for the operator.

        bauta federation approve alder.example.invitation.json --directory alder

      Without a file: the version that the server has shown to the running client, which sends the approval back.

        bauta federation approve --directory alder

      An invitation that brings a renewed certificate, or the one that completes a rotation, is installed without a \
      question: nothing is approved by it. So is a certificate from your own authority (PEM), and the server's statement \
      of its keys (SERVER.note), where this organisation was away while the server rotated.

      In a server's directory: takes over the signatures from the notes that organisations have handed back.

        bauta federation approve *.approval.note --directory hub

      Status 0 done, or there is nothing to approve, 1 failed or not confirmed, 2 wrong usage.
      """)

  @Argument(help: "The invitation; at a server, the notes.", completion: .file())
  var files: [String] = []

  @OptionGroup var place: DirectoryOption

  @Flag(help: "Do not ask: you have read and compared already.")
  var yes = false

  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    switch try Participant(opening: place.directory) {
    case .organization(let directory): try approve(in: directory)
    case .server(let directory): try collect(in: directory)
    }
  }

  // MARK: - At an organisation

  private func approve(in directory: OrganizationDirectory) throws {
    guard files.count <= 1 else {
      throw CommandError.usage(
        "an organisation approves one file at a time, and \(files.count) were given",
        remedy: "Give the invitation of the newest version.")
    }
    let passphrase = try secret.read()
    let proposal: Approval.Proposal
    if let file = files.first {
      switch try Approval.Document(contentsOf: file) {
      case .statement(let statement): return try take(statement, in: directory)
      case .offer(let offer):
        proposal = try Approval.propose(offer, from: file, to: directory, passphrase: passphrase)
      }
    } else {
      guard let waiting = try Approval.waiting(in: directory) else { return try nothingWaits(in: directory) }
      proposal = waiting
    }
    if !format.json { Self.show(proposal) }
    try Confirmation.require(
      "Do you approve version \(proposal.manifest.manifest.version) for \(directory.name)?",
      what: "approving a manifest",
      given: yes || proposal.isApproved)
    let result = try Approval.approve(proposal, passphrase: passphrase)
    if format.json {
      Output.standard.json(Self.json(result))
      return
    }
    Self.show(result, of: proposal)
  }

  private func nothingWaits(in directory: OrganizationDirectory) throws {
    let held = try directory.requiredManifest()
    if format.json {
      Output.standard.json(Self.json(held, note: Approval.notePath(of: directory)))
      return
    }
    Output.standard.line(
      "Nothing waits for approval: version \(held.manifest.version) of \(held.manifest.federation) is the latest here.")
    Output.standard.line("A version that an invitation brings: bauta federation approve INVITATION")
  }

  private func take(_ statement: SignedPins, in directory: OrganizationDirectory) throws {
    let (isNew, service) = try Approval.take(statement, in: directory)
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/federation-pins/1"), "name": .string(statement.name.value),
          "statement": .count(statement.sequence), "isNew": .boolean(isNew), "service": .string(service.word),
        ]))
      return
    }
    Output.standard.line(
      isNew
        ? "\(statement.name, .strong): statement \(statement.sequence) of its certificate keys is taken"
        : "\(statement.name, .strong): statement \(statement.sequence) is here already")
    if let line = service.line(directory.path) { Output.standard.line(line) }
  }

  private static func show(_ proposal: Approval.Proposal) {
    let output = Output.standard
    if proposal.isApproved {
      output.line(
        "\(proposal.directory.name) has approved this version already: \(proposal.manifest.manifest.federation), version \(proposal.manifest.manifest.version)."
      )
      return
    }
    FederationSummary.show(proposal.manifest, output)
    output.line()
    if let held = proposal.held {
      if proposal.skippedVersions > 0 {
        output.line("Versions in between that were never approved here: \(proposal.skippedVersions)")
      }
      output.line("Changes to the version approved before:")
      let changes = ManifestExplanation.lines(from: held.manifest, to: proposal.manifest.manifest)
      for change in changes { output.line("  · \(change)") }
      if changes.isEmpty { output.line("  · none but the version") }
    } else {
      output.line("This is the first version that \(proposal.directory.name) is asked to approve.")
    }
    output.line("Compare the fingerprints with their owners, over a channel you trust.")
    output.line()
  }

  private static func show(_ result: Approval.Result, of proposal: Approval.Proposal) {
    let output = Output.standard
    let directory = proposal.directory
    let isApproval = !proposal.isApproved
    if isApproval { output.line("\("Approved.", .good) The certificate and the manifest are in \(directory.path).") }
    let until = result.notAfter.map { Moment.expiry($0) } ?? ""
    switch result.certificateChange {
    case .none where !isApproval: output.line("There is nothing new to install.")
    case .none, .first: break
    case .renewed: output.line("\("Installed", .good) the renewed certificate: \(until).")
    case .rotated: output.line("\("Rotated:", .good) the next key is in use; its certificate is \(until).")
    }
    if let statement = result.statement {
      output.line(
        "Statement \(statement.sequence) names it alone. A running client tells the server; without one, send")
      output.line("  \(directory.rotationPath) to the operator.")
    }
    if let statement = proposal.serverPins {
      output.line("The server's statement \(statement.sequence) of its certificate keys is taken.")
    }
    if let line = result.service.line(directory.path) { output.line(line) }
    guard isApproval else { return }
    switch result.service {
    case .reloaded:
      output.line("It sends the approval to the server. Without it, send \(result.notePath) to the operator.")
    case .none, .failed:
      output.line("Next: send \(result.notePath) to the operator; then")
      output.line("  bauta client --directory \(directory.path) --data FILE")
    }
  }

  // MARK: - At the server

  private func collect(in directory: ServerDirectory) throws {
    guard !files.isEmpty else {
      throw CommandError.usage(
        "a server collects notes, and none was given", remedy: "Give those that organisations have handed back.")
    }
    let collected = try Approval.collect(files, in: directory)
    let manifest = collected.manifest
    if format.json {
      Output.standard.json(Self.json(manifest, note: directory.manifestPath, service: collected.service))
      return
    }
    FederationSummary.show(manifest, Output.standard)
    let approvals = manifest.approvals
    Output.standard.line()
    if let line = collected.service.line(directory.path) { Output.standard.line(line) }
    if approvals.isComplete {
      Output.standard.line("\("Approved by every member.", .good)")
      switch collected.service {
      case .none: Output.standard.line("Next: bauta server --directory \(directory.path); then")
      case .reloaded, .failed: Output.standard.line("Next:")
      }
      Output.standard.line("  bauta run start PLAN --directory \(directory.path)")
    } else {
      let names = approvals.missing.map(\.value).joined(separator: ", ")
      Output.standard.line("\("Still missing:", .caution) \(names)")
    }
  }

  private static func json(_ result: Approval.Result) -> JSONValue {
    json(
      result.manifest, note: result.notePath, service: result.service,
      more: [
        "certificate": .string(result.certificateChange.rawValue),
        "certificateNotAfter": .optional(result.notAfter.map(Moment.text)),
        "statement": result.statement.map { .count($0.sequence) } ?? .null,
      ])
  }

  private static func json(
    _ manifest: SignedManifest, note: String, service: RunningService.Outcome = .none, more: [String: JSONValue] = [:]
  ) -> JSONValue {
    let approvals = manifest.approvals
    let fields: [String: JSONValue] = [
      "schema": .string("bauta/federation-approve/1"), "federation": .string(manifest.manifest.federation.value),
      "version": .count(manifest.manifest.version), "manifest": .string(manifest.hash.hexadecimal),
      "note": .string(note), "approved": .strings(approvals.approved.map(\.value)),
      "missing": .strings(approvals.missing.map(\.value)), "approvedByAll": .boolean(approvals.isComplete),
      "service": .string(service.word),
    ]
    return .object(fields.merging(more) { _, new in new })
  }
}
