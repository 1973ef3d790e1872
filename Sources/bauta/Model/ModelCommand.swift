import ArgumentParser

struct ModelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model", abstract: "Use the model that a run gave.",
    subcommands: [ModelEvaluateCommand.self, ModelPredictCommand.self])
}
