import ArgumentParser
import Cryptography
import Federation
import FederationClient

struct OpenProveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prove", abstract: "Open a masked input, and check that it is what left.",
    discussion: """
      For the auditor, in a session at the organisation. Before anything is unsealed, the request, its quorum and its \
      record are checked. Then every mask is recomputed from z and b, every coordinate of the masked input from the \
      term, and its bytes are held against the signature, the egress record and, with --ingress, the server's record. \
      Nothing secret is shown or written. The outcome goes on the organisation's record. Status 0 if every step holds, \
      1 if not.

        bauta audit open prove alder --request alder.opening-request \\
          --consent birch.opening-consent --consent cedar.opening-consent \\
          --auditor-key auditor.key --ingress hub --manifest federation.note

      Without --manifest the members are those of the directory's own manifest: give your own copy of it.
      """)

  @Argument(help: "Directory of the organisation that is opened.", completion: .directory)
  var directory: String

  @Option(help: ArgumentHelp("The request.", valueName: "file"), completion: .file())
  var request: String

  @Option(help: ArgumentHelp("A consent; may be repeated.", valueName: "file"), completion: .file())
  var consent: [String] = []

  @Option(help: ArgumentHelp("File of the auditor's secret key.", valueName: "file"), completion: .file())
  var auditorKey: String

  @Option(help: ArgumentHelp("Directory of the server, or of its log.", valueName: "dir"), completion: .directory)
  var ingress: String?

  @Option(
    help: ArgumentHelp("The auditor's own copy of the signed manifest.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @OptionGroup var format: JSONOption

  func run() async throws {
    let key = try AuditorKeyFile.load(auditorKey)
    let opened = OpeningDesk.Case(
      request: try OpeningFiles.request(request), consents: try consent.map(OpeningFiles.consent),
      ingress: ingress)
    let trusted = try manifest.map { try ManifestFile.read($0, requiringApprovals: true).manifest }
    if let ingress { try LocalFile.requireLogDirectory(ingress) }
    let desk = try OpeningDesk(directory: directory)
    let report: OpeningReport
    do {
      report = try desk.prove(opened, key: key, manifest: trusted)
    } catch {
      try? desk.close()
      throw error
    }
    try desk.close()
    if format.json { Output.standard.json(Self.json(report)) } else { Self.show(report, isOwnManifest: trusted == nil) }
    if !report.holds {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  private static func show(_ report: OpeningReport, isOwnManifest: Bool) {
    let output = Output.standard
    var table = Table([.text("step"), .text("result"), .text("detail")])
    for check in report.passed {
      table.append(["\(check.step.rawValue)", StyledText("holds", .good), "\(check.detail)"])
    }
    if let failure = report.failure {
      table.append(["\(failure.step.rawValue)", StyledText("FAILED", .bad), "\(failure.error.message)"])
    }
    output.table(table)
    output.line()
    if let shape = report.shape, report.holds {
      output.line(
        "\("What left was the masked term", .good) of \(report.terms.organization), \(report.terms.opening): \(Figures.counted(shape.tensors, "coordinate")), \(Figures.counted(shape.counters, "counter"))."
      )
    } else {
      output.line(
        report.wasUnsealed
          ? "\("What left was NOT the masked term that is sealed.", .bad)" : "\("Nothing was unsealed.", .bad)")
      if let remedy = report.failure?.error.remedy, !remedy.isEmpty { output.line("  → \(remedy)") }
    }
    if let entry = report.entry { output.line("On the record in entry \(entry).") }
    if isOwnManifest { output.line("Members by the directory's own manifest; with --manifest, by yours.") }
    output.line("Not proved: that the term was computed from data, and that its rounding carried no bits.")
  }

  private static func json(_ report: OpeningReport) -> JSONValue {
    .object([
      "schema": .string(OpeningReport.schema), "terms": OpeningFiles.json(report.terms),
      "holds": .boolean(report.holds), "unsealed": .boolean(report.wasUnsealed),
      "entry": report.entry.map { .count(Int(clamping: $0)) } ?? .null,
      "steps": .array(
        report.passed.map { check in
          .object(["step": .string(check.step.rawValue), "detail": .string(check.detail)])
        }),
      "failure": report.failure.map { failure in
        .object([
          "step": .string(failure.step.rawValue), "code": .string(failure.error.code),
          "message": .string(failure.error.message),
        ])
      } ?? .null,
    ])
  }
}
