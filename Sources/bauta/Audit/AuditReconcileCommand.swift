import ArgumentParser
import AuditLog

struct AuditReconcileCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reconcile", abstract: "Compare what organisations sent with what the server received.",
    discussion: """
      Every message must be in both logs with the same bytes; each difference is named. Status 0 if they agree, 1 if \
      not. Verify each log too: this command takes entries as they stand.

        bauta audit reconcile alder birch cedar --ingress hub
        bauta audit reconcile alder birch cedar hub
      """)

  @Argument(
    help: "Directories of the organisations; the last one is the server's, unless --ingress names it.",
    completion: .directory)
  var logs: [String]

  @Option(help: ArgumentHelp("Directory of the server.", valueName: "dir"), completion: .directory)
  var ingress: String?

  @OptionGroup var format: JSONOption

  func validate() throws {
    if ingress == nil, logs.count < 2 {
      throw ValidationError("Give at least one organisation's directory and the server's.")
    }
  }

  func run() async throws {
    let egress = ingress == nil ? Array(logs.dropLast()) : logs
    let receiver = ingress ?? logs[logs.count - 1]
    for directory in egress + [receiver] { try LocalFile.requireDirectory(directory) }
    let report = try AuditReconciliation.reconcile(egress: egress, ingress: receiver)
    if format.json { Output.standard.json(JSONValue(report.json)) } else { Self.show(report) }
    if !report.agrees {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  static func show(_ report: ReconciliationReport) {
    let output = Output.standard
    let verdict = report.agrees ? StyledText("The logs agree.", .good) : StyledText("The logs DIFFER.", .bad)
    output.line("\(verdict) \(Figures.counted(report.matched, "message")) sent and received with the same bytes.")
    if report.sentElsewhere > 0 {
      output.line("\(Figures.counted(report.sentElsewhere, "message")) to other destinations: not compared.")
    }
    if !report.differences.isEmpty {
      output.line()
      var table = Table([.text("difference"), .text("organisation"), .number("entry"), .text("detail")])
      for difference in report.differences {
        table.append([
          StyledText(difference.kind.rawValue, .bad), "\(difference.organization)", "\(difference.sequence)",
          "\(difference.detail)",
        ])
      }
      output.table(table)
    }
    if !report.unconfirmed.isEmpty {
      output.line()
      output.line("Sent, arrival unconfirmed, for a reason on the record:")
      var table = Table([.text("organisation"), .number("entry"), .text("reason")])
      for message in report.unconfirmed {
        table.append(["\(message.organization)", "\(message.sequence)", "\(message.detail)"])
      }
      output.table(table)
    }
  }
}
