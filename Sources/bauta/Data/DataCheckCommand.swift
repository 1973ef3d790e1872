import ArgumentParser
import Federation

struct DataCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say what a CSV file would bring into a run.",
    discussion: """
      Reads the file as a client does and lists rows, classes and columns. Nothing leaves this machine. A fault is \
      named with its row and column.

        bauta data check claims.csv --label fraudulent_provider
        bauta data check claims.csv --plan plan.yaml

      With --plan, label, columns and split are the plan's, and the training rows alone are looked at.
      """)

  @Argument(help: "CSV file: a header, then numbers; one column is the label.", completion: .file(extensions: ["csv"]))
  var file: String

  @Option(help: ArgumentHelp("The label's column.", valueName: "name"))
  var label: String?

  @Option(help: ArgumentHelp("The label's value that counts as 1 (default: 1).", valueName: "text"))
  var positive: String?

  @Option(help: ArgumentHelp("Take label, columns and split from a plan.", valueName: "file"), completion: .file())
  var plan: String?

  @Option(help: ArgumentHelp("Fewer non-zero rows than this, and a column contributes nothing.", valueName: "n"))
  var minimumRows = 10

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard minimumRows >= 1 else { throw ValidationError("--minimum-rows must be at least 1.") }
    switch (plan, label) {
    case (nil, nil): throw ValidationError("Give the label's column with --label, or a plan with --plan.")
    case (.some, .some): throw ValidationError("Give either --label or --plan: the plan names the label.")
    case (.some, nil) where positive != nil:
      throw ValidationError("--positive goes with --label; the plan has its own.")
    case (.some, nil), (nil, .some): break
    }
  }

  func run() async throws {
    let report: DataReport
    if let plan {
      report = try DataReport.load(file, plan: RunPlan(contentsOf: plan), minimumRows: minimumRows)
    } else {
      report = try DataReport.load(file, label: label ?? "", positive: positive ?? "1", minimumRows: minimumRows)
    }
    let output = Output.standard
    if format.json {
      output.json(report.json)
    } else {
      Self.show(report, output, isTrainingPart: plan != nil)
    }
    if !report.tooLarge.isEmpty {
      try output.finish()
      throw ExitCode.failure
    }
  }

  private static func show(_ report: DataReport, _ output: Output, isTrainingPart: Bool) {
    let part = isTrainingPart ? " for training" : ""
    output.line(
      "\(report.file, .strong): \(Figures.counted(report.rows, "row"))\(part), \(report.columns.count) features")
    let share = Figures.percent(report.positives, of: report.rows)
    output.line(
      "\(report.label) = \(report.positive): \(Figures.counted(report.positives, "row")) (\(share)), others \(Figures.grouped(report.negatives))"
    )
    output.line()
    var table = Table([.text("feature"), .number("non-zero"), .number("lowest"), .number("highest"), .text("")])
    for column in report.columns {
      table.append([
        "\(column.name)", "\(Figures.grouped(column.nonZeroRows))", "\(Figures.decimals(column.minimum, 3))",
        "\(Figures.decimals(column.maximum, 3))", remark(on: column, report.minimumRows),
      ])
    }
    output.table(table)
    output.line()
    output.line("Lowest and highest are after sign(x) · log(1 + |x|).")
    if report.isLabelSuppressed {
      output.line(
        "\("One class has fewer than \(report.minimumRows) rows", .caution): this organisation's class counts stay out of the sum."
      )
    }
    if report.tooLarge.isEmpty {
      let idle = report.suppressed.count
      let verb = idle == 1 ? "contributes" : "contribute"
      output.line("\("Fit for a run.", .good) \(Figures.counted(idle, "column")) \(verb) nothing.")
    } else {
      let names = report.tooLarge.prefix(5).map(\.name).joined(separator: ", ")
      output.line("\("Not fit for a run:", .bad) too large for a secure sum of statistics: \(names)")
    }
  }

  private static func remark(on column: DataReport.Column, _ minimumRows: Int) -> StyledText {
    if column.isTooLarge { return StyledText("too large", .bad) }
    if column.isSuppressed {
      return StyledText("contributes nothing: fewer than \(minimumRows) non-zero rows", .caution)
    }
    return column.varies ? "" : StyledText("does not vary", .caution)
  }
}
