import ArgumentParser

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Start, watch and look at runs.",
    subcommands: [
      RunStartCommand.self, RunListCommand.self, RunWatchCommand.self, RunCancelCommand.self, RunShowCommand.self,
    ])
}

struct RunShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show the rounds of a run, its metrics and its model.",
    discussion: """
      Figures are sums over organisations; none is one organisation's. Without RUN, the latest.

        bauta run show --directory hub
        bauta run show 20260301-093000-1a2b3c4d5e6f7081 --directory hub --json
      """)

  @Argument(help: ArgumentHelp("Identifier of the run.", valueName: "run"))
  var identifier: String?

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let report = try RunFiles.report(identifier, in: place.directory)
    if format.json {
      Output.standard.write(Array((report.json + "\n").utf8))
    } else {
      RunReportTable.show(report, Output.standard)
    }
  }
}
