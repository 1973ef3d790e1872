import ArgumentParser
import FederationClient

struct ClientDoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Look for what keeps this organisation's client from working.",
    discussion: """
        bauta client doctor --data claims.csv --directory alder

      Looks at directory, keys, certificate, manifest, policy, data, disk, log, state and clock, and makes the way to the \
      server step by step. What goes out: questions to this machine's name servers; a TCP connection to each address, or to \
      the proxy, closed without a byte; and one handshake of TLS with the opening of HTTP/2, and no message. The handshake is \
      recorded in DIR/log, the connections without a byte are not. Where a client runs it holds the log: it is asked, and no \
      handshake is made. Status 0 all well or warnings only, 1 something failed.
      """)

  @Option(
    help: ArgumentHelp("CSV file with this organisation's rows; without it, no data is looked at.", valueName: "file"),
    completion: .file(extensions: ["csv"]))
  var data: String?

  @OptionGroup var place: DirectoryOption
  @OptionGroup var proxy: ProxyOptions
  @OptionGroup var secret: PassphraseOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let examination = ClientExamination(
      directory: place.directory, data: data, proxy: try proxy.selection(), passphrase: try secret.read())
    var findings: [Finding] = []
    await examination.examine { finding in
      findings.append(finding)
      if !format.json { Self.show(finding) }
    }
    let failed = findings.count { $0.verdict == .failed }
    let warnings = findings.count { $0.verdict == .warning }
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/client-doctor/1"), "failed": .count(failed), "warnings": .count(warnings),
          "checks": .array(findings.map(Self.json)),
        ]))
    } else {
      let text = "\(failed) failed, \(Figures.counted(warnings, "warning"))"
      Output.standard.line(failed > 0 ? StyledText(text, .bad) : StyledText(text, .strong))
    }
    if failed > 0 { throw ExitCode(Failure.Status.failed.rawValue) }
  }

  private static func show(_ finding: Finding) {
    let word: StyledText =
      switch finding.verdict {
      case .ok: StyledText("ok      ", .good)
      case .warning: StyledText("warning ", .caution)
      case .failed: StyledText("FAILED  ", .bad)
      case .skipped: StyledText("skipped ", .faint)
      }
    let message = finding.message.hasSuffix(".") ? String(finding.message.dropLast()) : finding.message
    Output.standard.line(word + StyledText("\(finding.check): \(message)"))
    if let remedy = finding.remedy { Output.standard.line("        → \(remedy)") }
    Output.standard.flush()
  }

  private static func json(_ finding: Finding) -> JSONValue {
    .object([
      "check": .string(finding.check), "verdict": .string(finding.verdict.rawValue),
      "message": .string(finding.message),
      "remedy": .optional(finding.remedy),
    ])
  }
}
