import Federation

/// A run as people read it: a line a round, then how it ended and where the model is.
enum RunReportTable {
  static func show(_ report: RunReport, _ output: Output) {
    output.line("Run \(report.run, .strong): \(state(of: report))")
    if let reason = report.reason { output.line("  \(reason)") }
    if !report.rounds.isEmpty {
      output.line()
      output.table(table(report.rounds))
    }
    if let model = report.model {
      output.line()
      output.line("Model: \(model.path)")
      output.line("  SHA-256 \(model.sha256)")
    }
  }

  static func table(_ rounds: [RunReport.Round]) -> Table {
    // With differential privacy the number of rows does not leave, and only the last round is evaluated, if any.
    let examples = rounds.contains { $0.examples != 0 }
    let measured = rounds.contains { !$0.metrics.isEmpty }
    var columns: [Table.Column] = [.number("round"), .number("in the sum")]
    if examples { columns.append(.number("examples")) }
    if measured { columns += metrics.map { .number($0.title) } }
    var table = Table(columns + [.number("seconds"), .number("received"), .text("remark")])
    for round in rounds {
      var cells: [StyledText] = ["\(round.round)", "\(round.survivors.count) of \(round.cohort.count)"]
      if examples { cells.append("\(Figures.grouped(round.examples))") }
      if measured {
        cells += metrics.map { metric in
          round.metrics.isEmpty
            ? ""
            : "\(Figures.decimals(round.metrics[metric.name], 4, plusMinus: round.metrics["\(metric.name)NoiseError"]))"
        }
      }
      table.append(
        cells + ["\(Figures.decimals(round.seconds, 2))", "\(Figures.bytes(round.bytes))", remark(on: round)])
    }
    return table
  }

  private static let metrics: [(name: String, title: String)] = [
    ("accuracy", "accuracy"), ("logLoss", "log loss"), ("rocAuc", "ROC AUC"), ("averagePrecision", "avg precision"),
  ]

  private static func remark(on round: RunReport.Round) -> StyledText {
    let survivors = Set(round.survivors)
    let gone = round.cohort.filter { !survivors.contains($0) }
    var remarks = gone.isEmpty ? [] : ["without \(gone.joined(separator: ", "))"]
    if round.attempt > 1 { remarks.append("attempt \(round.attempt)") }
    return StyledText(remarks.joined(separator: "; "), .caution)
  }

  static func state(of report: RunReport) -> StyledText {
    switch report.state {
    case .queued: StyledText("waits for its turn", .caution)
    case .interrupted: StyledText("interrupted, goes on when the server is back", .caution)
    case .cancelled: StyledText("cancelled", .bad)
    case .running: StyledText("running", .caution)
    case .completed: StyledText("completed", .good)
    case .stopped: StyledText("stopped, too few organisations took part", .bad)
    case .budgetSpent: StyledText("ended early, a privacy budget is spent", .caution)
    case .failed: StyledText("failed", .bad)
    }
  }
}
