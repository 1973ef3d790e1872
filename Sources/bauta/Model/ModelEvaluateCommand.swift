import ArgumentParser
import Learning

struct ModelEvaluateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a model on a labelled file, exactly.",
    discussion: """
      The file needs the model's columns and its label; other columns are ignored.

        bauta model evaluate model.safetensors --data claims.csv
      """)

  @Argument(help: "Model file (safetensors).", completion: .file(extensions: ["safetensors"]))
  var model: String

  @Option(
    help: ArgumentHelp("CSV file with the label.", valueName: "file"), completion: .file(extensions: ["csv"]))
  var data: String

  @OptionGroup var format: JSONOption

  func run() async throws {
    let file = try ModelFile(contentsOf: model)
    let metrics = try file.evaluate(data: data)
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/model-evaluate/1"), "model": .string(model), "rows": .count(metrics.examples),
          "metrics": Self.json(of: metrics),
        ]))
      return
    }
    let artifact = file.artifact
    Output.standard.line("\(model, .strong): run \(artifact.run), after round \(artifact.round)")
    Output.standard.line("\(data): \(Figures.counted(metrics.examples, "row"))")
    Output.standard.line()
    var table = Table([.text("metric"), .number("value")])
    table.append(["accuracy", "\(Figures.decimals(metrics.accuracy, 4))"])
    table.append(["log loss", "\(Figures.decimals(metrics.logLoss, 4))"])
    table.append(["ROC AUC", "\(Figures.decimals(metrics.rocAuc, 4))"])
    table.append(["average precision", "\(Figures.decimals(metrics.averagePrecision, 4))"])
    Output.standard.table(table)
  }

  static func json(of metrics: BinaryMetrics) -> JSONValue {
    .object([
      "accuracy": .number(metrics.accuracy), "logLoss": .number(metrics.logLoss),
      "rocAuc": .optional(metrics.rocAuc), "averagePrecision": .optional(metrics.averagePrecision),
    ])
  }
}
