import ArgumentParser
import AuditLog
import Foundation

struct AuditReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Make a report of what left, how it was protected, and what was verified.",
    discussion: """
      One page that needs nothing but itself, for screen and paper: a summary in words, charts, tables, controls with \
      the records that answer them, every check in full, and what it does not show. The logs are verified first, as \
      `bauta audit verify` does. Status 0 if everything is verified, 1 if not; the page is made all the same. With \
      --ingress the logs must agree with the server's, as far as they are given: messages of organisations whose logs \
      are not are counted, and change nothing here; `bauta audit reconcile` ends with status 1 then.

        bauta audit report alder --output alder.html
        bauta audit report alder birch cedar --ingress hub \\
          --manifest federation.note --output report.html
        bauta audit report alder --since 2026-03-01 --until 2026-04-01 \\
          --json > march.json

      With --json it gives the same figures as one object of schema bauta/audit-report/1.
      """)

  @Argument(help: "Directories of organisations, servers or logs.", completion: .directory)
  var directories: [String]

  @Option(
    help: ArgumentHelp("Directory of the server: compare what was sent with what arrived.", valueName: "dir"),
    completion: .directory)
  var ingress: String?

  @Option(help: ArgumentHelp("The log's verifier key, for one log.", valueName: "file"), completion: .file())
  var key: String?

  @Option(
    help: ArgumentHelp("Take keys from the signed manifest of the federation.", valueName: "note"),
    completion: .file(extensions: ["note"]))
  var manifest: String?

  @Option(
    help: ArgumentHelp("A new file; standard output without it.", valueName: "file"),
    completion: .file(extensions: ["html"]))
  var output: String?

  @OptionGroup(title: "Which records (the verification is always of whole logs)") var selection: RecordFilterOptions

  @OptionGroup var format: JSONOption

  func validate() throws {
    if key != nil, directories.count > 1 { throw ValidationError("--key goes with one log.") }
    if key != nil, manifest != nil { throw ValidationError("Give --key or --manifest, not both.") }
    // Twice the same entries would be twice the figures.
    var places: Set<String> = []
    for directory in directories where !places.insert(LocalFile.identity(directory)).inserted {
      throw ValidationError("\(directory) is given twice.")
    }
  }

  func run() async throws {
    if output == nil, !format.json, Output.standard.isTerminal {
      throw CommandError.usage("A page is not for a terminal", remedy: "Give --output FILE.html, or --json.")
    }
    if let output, LocalFile.exists(output) { throw CommandError.exists(path: output) }
    let report = try makeReport()
    let text = format.json ? report.json.text + "\n" : ReportPage(report: report, command: command).html
    if let output {
      try StagedFile.create(output) { $0.write(Array(text.utf8)) }
      Output.standard.line("\(output): \(Self.verdict(report))")
    } else {
      Output.standard.write(Array(text.utf8))
    }
    if !report.isVerified {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  static func verdict(_ report: AuditReport) -> StyledText {
    let word = report.isVerified ? StyledText("verified", .good) : StyledText("NOT VERIFIED", .bad)
    let records = report.logs.reduce(UInt64(0)) { $0 &+ $1.figures.records.count }
    let conflicts =
      report.conflicts > 0 ? StyledText("; CONFLICTS on record: \(Figures.grouped(report.conflicts))", .bad) : ""
    let counts = "\(Figures.counted(records, "record")) of \(Figures.counted(report.logs.count, "log"))"
    return "\(word), \(counts)\(conflicts)"
  }

  // MARK: - Making it

  private func makeReport() throws -> AuditReport {
    let (source, origin) = try keySource()
    let logs = try directories.map { directory in
      let result = try LogVerifier.verify(directory, key: source)
      let analysis = try LogAnalysis(
        directory: directory, filter: selection.filter, verification: result.report)
      return AuditReport.Log(
        directory: directory, analysis: analysis, verification: result.report, key: result.key?.text, keyOrigin: origin)
    }
    var comparison: AuditReport.Comparison?
    if let ingress {
      // A key that was given for one log is not the server's.
      let verified = try LogVerifier.verify(ingress, key: key == nil ? source : .besideLog)
      let result = try AuditReconciliation.reconcile(egress: directories, ingress: ingress)
      comparison = .init(
        directory: ingress, verification: verified.report, key: verified.key?.text,
        keyOrigin: key == nil ? origin : .besideLog, result: result)
    }
    guard let time = AuditTime(Date()) else {
      throw CommandError.usage("The clock of this machine is outside 1970 to 9999", remedy: "Set the clock.")
    }
    return AuditReport(time: time, logs: logs, filter: selection.filter, comparison: comparison)
  }

  private func keySource() throws -> (LogVerifier.KeySource, AuditReport.KeyOrigin) {
    if let key { return (.file(key), .file(key)) }
    guard let manifest else { return (.besideLog, .besideLog) }
    return (
      .manifest(try ManifestFile.read(manifest, requiringApprovals: true).manifest), .manifest(manifest)
    )
  }

  /// The command as it can be given again, with moments as UTC times.
  private var command: String {
    var words = ["bauta", "audit", "report"] + directories.map(ShellWord.quoted)
    if let ingress { words += ["--ingress", ShellWord.quoted(ingress)] }
    if let key { words += ["--key", ShellWord.quoted(key)] }
    if let manifest { words += ["--manifest", ShellWord.quoted(manifest)] }
    words += selection.words
    if format.json { words.append("--json") }
    return (words + ["--output", format.json ? "report.json" : "report.html"]).joined(separator: " ")
  }
}
