import ArgumentParser

struct ModelPredictCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Give each row of a file its probability.",
    discussion: """
      The file needs the model's columns; others, a label too, are ignored. Rows count from 1 after the header.

        bauta model predict model.safetensors --data new.csv --output scores.csv
      """)

  @Argument(help: "Model file (safetensors).", completion: .file(extensions: ["safetensors"]))
  var model: String

  @Option(help: ArgumentHelp("CSV file.", valueName: "file"), completion: .file(extensions: ["csv"]))
  var data: String

  @Option(help: ArgumentHelp("A new CSV file; without it, standard output.", valueName: "file"), completion: .file())
  var output: String?

  @Flag(help: "One JSON object a row instead of CSV.")
  var json = false

  func run() async throws {
    let file = try ModelFile(contentsOf: model)
    let probabilities = try file.probabilities(data: data)
    var bytes: [UInt8] = []
    if !json { bytes += "row,probability\n".utf8 }
    for (index, probability) in probabilities.enumerated() {
      if json {
        let row = JSONValue.object(["row": .count(index + 1), "probability": .number(probability)])
        bytes += "\(row.text)\n".utf8
      } else {
        bytes += "\(index + 1),\(probability)\n".utf8
      }
    }
    guard let output else {
      Output.standard.write(bytes)
      return
    }
    try LocalFile.create(output, bytes)
    if !json { Output.standard.line("\(output): \(Figures.counted(probabilities.count, "row"))") }
  }
}
