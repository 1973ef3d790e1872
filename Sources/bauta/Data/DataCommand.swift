import ArgumentParser

struct DataCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Check your data before a run, or make data to try things with.",
    subcommands: [DataCheckCommand.self, DataSynthesizeCommand.self])
}
