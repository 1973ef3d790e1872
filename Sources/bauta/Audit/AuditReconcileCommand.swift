import ArgumentParser
import AuditLog

struct AuditReconcileCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reconcile", abstract: "Compare what organisations sent with what the server received.",
    discussion: """
      Every message must be in both logs with the same bytes; each difference is named. Status 0 if they agree, 1 if \
      not: also if the server has messages of an organisation whose log was not given, or if there is nothing to \
      compare. Verify each log too: this command takes entries as they stand.

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
    for directory in egress + [receiver] { try LocalFile.requireLogDirectory(directory) }
    let report = try AuditReconciliation.reconcile(egress: egress, ingress: receiver)
    if report.agrees, report.isEmpty {
      throw CommandError.unsuitable(
        path: receiver, problem: "there is nothing to compare: it has no message, and none was sent to its keeper",
        remedy: "Give the organisations' directories first, and the server's last or with --ingress.")
    }
    if format.json { Output.standard.json(JSONValue(report.json)) } else { Self.show(report) }
    if !report.agrees {
      try Output.standard.finish()
      throw ExitCode.failure
    }
  }

  /// What organisations sent whose logs were not given is told by organisation, not message by message.
  private static func show(_ report: ReconciliationReport) {
    let output = Output.standard
    let others = report.differences.filter(report.isOfOther)
    let differences = report.differences.filter { !report.isOfOther($0) }
    let verdict =
      if !differences.isEmpty {
        StyledText("The logs DIFFER.", .bad)
      } else if !others.isEmpty {
        StyledText("NOT ALL LOGS were given; those that were agree.", .bad)
      } else {
        StyledText("The logs agree.", .good)
      }
    output.line("\(verdict) \(Figures.counted(report.matched, "message")) sent and received with the same bytes.")
    if report.sentElsewhere > 0 {
      output.line("\(Figures.counted(report.sentElsewhere, "message")) to other destinations: not compared.")
      if report.isEmpty {
        output.line("  → Is it the server's directory? Give that one last, or with --ingress.")
      }
    }
    if !others.isEmpty {
      output.line()
      output.line("Received from organisations whose logs were not given: give their directories, too.")
      var table = Table([.text("organisation"), .number("messages")])
      for (organization, messages) in Dictionary(grouping: others, by: \.organization).sorted(by: { $0.key < $1.key }) {
        table.append(["\(organization)", "\(messages.count)"])
      }
      output.table(table)
    }
    if !differences.isEmpty {
      output.line()
      var table = Table([.text("difference"), .text("organisation"), .number("entry"), .text("detail")])
      for difference in differences {
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
