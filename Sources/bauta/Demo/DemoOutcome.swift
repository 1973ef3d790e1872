import AuditLog
import Cryptography
import Federation
import Learning

/// What a demonstration came to.
struct DemoOutcome: Sendable {
  let place: String
  let organizations: [String]
  let hub: String
  let plan: String
  let report: RunReport
  let comparison: DemoComparison?
  let audit: DemoAudit
  let times: DemoTimes
  let drops: [OrganizationName: Int]
  /// Nil without noise.
  let privacy: DemoSettings.Privacy?

  var isVerified: Bool { audit.isVerified }

  var json: JSONValue {
    .object([
      "schema": .string("bauta/demo/1"),
      "directory": .string(place),
      "run": .string(report.run.text),
      "state": .string(report.state.rawValue),
      "reason": .optional(report.reason),
      "rounds": .array(
        report.rounds.map { round in
          .object([
            "round": .count(round.round), "survivors": .strings(round.survivors),
            "examples": .integer(round.examples), "metrics": .object(round.metrics.mapValues { .number($0) }),
            "seconds": .number(round.seconds), "bytes": .integer(Int64(clamping: round.bytes)),
          ])
        }),
      "model": report.model.map { .object(["path": .string($0.path), "sha256": .string($0.sha256)]) } ?? .null,
      "comparison": comparison?.json ?? .null,
      "audit": audit.json,
      "seconds": .object(Dictionary(uniqueKeysWithValues: times.parts.map { ($0.name, .number($0.seconds)) })),
    ])
  }
}

/// The federated model beside what one could have without a federation, all measured on the pooled held-out rows.
struct DemoComparison: Sendable {
  let pooled: BinaryMetrics
  let federated: BinaryMetrics
  let alone: [(name: OrganizationName, metrics: BinaryMetrics)]

  func show(_ output: Output) {
    var table = Table(
      [.text("trained on"), .number("ROC AUC"), .number("avg precision"), .number("log loss"), .number("accuracy")],
      indentation: 3)
    table.append(Self.row("all rows in one place (what is not allowed)", pooled))
    table.append(Self.row("the federation", federated))
    for (name, metrics) in alone { table.append(Self.row("\(name) alone", metrics)) }
    output.table(table)
    output.flush()
  }

  private static func row(_ title: String, _ metrics: BinaryMetrics) -> [StyledText] {
    [
      "\(title)", "\(Figures.decimals(metrics.rocAuc, 4))", "\(Figures.decimals(metrics.averagePrecision, 4))",
      "\(Figures.decimals(metrics.logLoss, 4))", "\(Figures.decimals(metrics.accuracy, 4))",
    ]
  }

  var json: JSONValue {
    func figures(_ metrics: BinaryMetrics) -> JSONValue { .object(metrics.named.mapValues { .number($0) }) }
    return .object([
      "pooled": figures(pooled), "federated": figures(federated),
      "alone": .object(Dictionary(uniqueKeysWithValues: alone.map { ($0.name.value, figures($0.metrics)) })),
    ])
  }
}

/// Whether every log holds, and whether both sides say the same.
struct DemoAudit: Sendable {
  struct Log: Sendable {
    let directory: String
    let records: UInt64
    /// Entries after the last checkpoint, as a killed process leaves them.
    let tail: UInt64
    let isVerified: Bool
    let failure: String?
  }

  let logs: [Log]
  let reconciliation: ReconciliationReport

  var isVerified: Bool { logs.allSatisfy(\.isVerified) && reconciliation.agrees }

  func show(_ output: Output) {
    for log in logs {
      let verdict: StyledText = log.isVerified ? StyledText("verified", .good) : StyledText("NOT VERIFIED", .bad)
      let tail = log.tail == 0 ? "" : ", \(Figures.counted(log.tail, "entry", "entries")) not yet under a checkpoint"
      output.line(
        "   \(log.directory): \(verdict), \(Figures.counted(log.records, "record"))\(tail)\(log.failure.map { ": \($0)" } ?? "")"
      )
    }
    let matched = Figures.counted(reconciliation.matched, "message")
    if reconciliation.agrees {
      output.line(
        "   \(StyledText("reconciled", .good)): \(matched) left the organisations and arrived with the same bytes")
    } else {
      output.line(
        "   \(StyledText("NOT RECONCILED", .bad)): \(Figures.counted(reconciliation.differences.count, "difference"))")
      for difference in reconciliation.differences.prefix(10) {
        output.line(
          "     \(difference.kind.rawValue) \(difference.organization) \(difference.sequence): \(difference.detail)")
      }
    }
    for unconfirmed in reconciliation.unconfirmed.prefix(10) {
      output.line(
        "   not confirmed: \(unconfirmed.organization), record \(unconfirmed.sequence): \(unconfirmed.detail)")
    }
    output.flush()
  }

  var json: JSONValue {
    .object([
      "verified": .boolean(isVerified),
      "logs": .array(
        logs.map {
          .object([
            "log": .string($0.directory), "records": .integer(Int64(clamping: $0.records)),
            "unsignedTail": .integer(Int64(clamping: $0.tail)), "verified": .boolean($0.isVerified),
            "failure": .optional($0.failure),
          ])
        }),
      "reconciliation": JSONValue(reconciliation.json),
    ])
  }
}

/// The end of a demonstration: the rounds, how long it took, where everything is, and what to type next.
enum DemoConclusion {
  static func show(_ outcome: DemoOutcome, output: Output) {
    output.line()
    RunReportTable.show(outcome.report, output)
    output.line()
    let parts = outcome.times.parts.map { "\($0.name) \(Figures.decimals($0.seconds, 2)) s" }.joined(separator: ", ")
    output.line("\(Figures.decimals(outcome.times.total, 2)) seconds: \(parts)")
    output.line()
    let verdict =
      outcome.isVerified && outcome.report.state == .completed
      ? StyledText("Done.", .good) : StyledText("Ended with a problem.", .bad)
    output.line("\(verdict) Everything is in \(outcome.place). Next:")
    // As it was typed: a program that was just built is rarely on the search path.
    let bauta = CommandLine.arguments.first ?? "bauta"
    let first = outcome.organizations.first ?? outcome.place
    output.line("  \(bauta) audit list \(first)")
    output.line("      what left the first organisation, message by message")
    output.line("  \(bauta) audit verify \(first)")
    output.line("      its log again, from the files alone; change a byte and see")
    output.line(
      "  \(bauta) audit report \(outcome.organizations.joined(separator: " ")) --ingress \(outcome.hub) --output report.html"
    )
    output.line("      a page for an auditor: what left, how it was protected, what was verified")
    if let model = outcome.report.model {
      output.line("  \(bauta) model evaluate \(model.path) --data \(first)/data.csv")
      output.line("      the model on one organisation's rows")
    }
    output.line("  \(bauta) federation show --directory \(outcome.hub)")
    output.line("      who is in it, under which keys, and who approved it")
    showPrivacy(outcome, bauta, output)
    if outcome.drops.isEmpty {
      output.line("  \(bauta) demo\(outcome.privacy.map { " \($0.arguments)" } ?? "") --drop alder@2")
      output.line("      the same, with one organisation killed in round 2")
    }
  }

  private static func showPrivacy(_ outcome: DemoOutcome, _ bauta: String, _ output: Output) {
    guard outcome.privacy != nil else {
      output.line("  \(bauta) demo --epsilon 3")
      output.line("      the same with noise that hides every single row, at a cost of at most epsilon 3")
      return
    }
    let first = outcome.organizations.first ?? outcome.place
    output.line("  \(bauta) privacy spent --directory \(first)")
    output.line("      what its rows have been charged, and what is left")
    output.line(
      "  \(bauta) privacy plan \(outcome.plan) --manifest \(outcome.hub)/federation.note --directory \(first)")
    output.line("      how much noise that was, and what a second run like it would come to")
    output.line(
      "  \(bauta) privacy curve \(outcome.plan) --manifest \(outcome.hub)/federation.note --accuracy --output privacy.html"
    )
    output.line("      what noise does to accuracy, at several epsilons")
  }
}

extension DemoSettings.Privacy {
  /// As they are typed.
  fileprivate var arguments: String {
    "--epsilon \(JSONValue.number(epsilon).text)" + (noise == .distributed ? "" : " --noise \(noise.rawValue)")
  }
}
