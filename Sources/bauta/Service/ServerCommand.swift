import ArgumentParser
import Cryptography
import Federation
import FederationServer
import Foundation

struct ServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "server", abstract: "Serve one run of a plan to the organisations of the manifest.",
    discussion: """
      Listens with mutual TLS, waits until enough organisations have accepted the plan, runs it, hands everybody the \
      model, and ends. It adds masked terms: it learns sums over the cohort and no organisation's own figures.

        bauta server --plan plan.yaml --directory hub

      What it received is in DIR/log, the run in DIR/runs/RUN (see 'bauta run show'). Status 0 completed, 1 failed, \
      3 stopped because too few organisations took part. With --json every event is one line.
      """)

  @Option(
    help: ArgumentHelp("The plan; 'bauta plan template' prints one to start from.", valueName: "file"),
    completion: .file())
  var plan: String

  @OptionGroup var place: DirectoryOption

  @Option(
    help: ArgumentHelp(
      "Where to listen, instead of the manifest's first address.", valueName: "host:port"))
  var listen: String?

  @Option(help: ArgumentHelp("How long to wait for enough organisations, in seconds.", valueName: "seconds"))
  var patience: Int = 600

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (1...604_800).contains(patience) else { throw ValidationError("--patience is from 1 to 604800 seconds.") }
  }

  func run() async throws {
    let server = try RunServer(
      directory: place.directory, plan: plan,
      settings: .init(listen: try listen.map { try NetworkAddress($0) }, patience: .seconds(patience)))
    let json = format.json
    let progress = RunProgress(output: .standard)
    let serving = Task {
      try await server.serve { event in
        guard json else { return progress.show(event) }
        Output.standard.json(event.json)
        Output.standard.flush()
      }
    }
    // SIGTERM and SIGINT end the run in order: everybody is told, and the log is closed.
    let signals = Interruption { serving.cancel() }
    defer { signals.cancel() }
    let report = try await serving.value
    if !json, !report.rounds.isEmpty {
      Output.standard.line()
      RunReportTable.show(report, .standard)
    }
    try Output.standard.finish()
    switch report.state {
    case .completed: return
    case .stopped, .running, .failed:
      throw RunFailure(
        run: report.run, isStopped: report.state == .stopped, reason: report.reason ?? "no reason given")
    }
  }
}
