import ArgumentParser
import Cryptography
import Federation
import FederationServer
import Foundation
import MutualTLS
import ServiceControl
import TransparencyLog

struct ServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "server", abstract: "Serve the federation: as a service, or for one run.",
    discussion: """
      As a service, the server conducts the runs that its operator starts, and takes changes of members, keys and \
      certificates without a restart:

        bauta server --directory hub
        bauta run start plan.yaml --directory hub
        bauta server status --directory hub

      With --plan it serves that one run and ends; members are changed between such runs, not during them.
      """,
    subcommands: [
      ServerServeCommand.self, ServerStatusCommand.self, ServerReloadCommand.self, ServerStopCommand.self,
      ServerUnitCommand.self,
    ],
    defaultSubcommand: ServerServeCommand.self)
}

struct ServerServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Listen, and conduct runs of the organisations of the manifest.",
    discussion: """
      Listens with mutual TLS. It adds masked terms: it learns sums over the cohort and no organisation's own figures.

        bauta server --directory hub                      (a service; see 'bauta run start --help')
        bauta server --plan plan.yaml --directory hub     (one run, then it ends)

      As a service: SIGTERM finishes the sum that is going on (at most --stop-grace) and hands the run back, so that it \
      goes on when the service is started again; SIGHUP reads the directory again, which it also does by itself when a \
      file changes; DIR/control.sock takes the operator's requests, from its owner only. Events are lines on standard \
      error (--log-level, --log-format).

      With --witness, checkpoints of DIR/log are submitted to witnesses outside the federation: at the start, after each       run, and every ten minutes. One that has seen more of the log, or another history, ends the server.

      What it received is in DIR/log, runs in DIR/runs/RUN (see 'bauta run show'). Status with --plan: 0 completed, 1 \
      failed, 3 stopped because too few organisations took part; as a service 0 after SIGTERM. With --json every event \
      is one line.
      """)

  @Option(
    help: ArgumentHelp(
      "Serve one run of this plan and end; 'bauta plan template' prints one to start from.", valueName: "file"),
    completion: .file())
  var plan: String?

  @OptionGroup var place: DirectoryOption

  @Option(
    help: ArgumentHelp(
      "Where to listen, instead of the manifest's first address.", valueName: "host:port"))
  var listen: String?

  @Option(help: ArgumentHelp("How long a run waits for enough organisations, in seconds.", valueName: "seconds"))
  var patience: Int = 600

  @Option(
    help: ArgumentHelp(
      "How long a sum may take to its end after SIGTERM, in seconds.", valueName: "seconds"))
  var stopGrace: Int = 60

  @Option(help: WitnessOption.help)
  var witness: [WitnessAddress] = []

  @OptionGroup var secret: PassphraseOption
  @OptionGroup var logging: ServiceLogOptions
  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (1...604_800).contains(patience) else { throw ValidationError("--patience is from 1 to 604800 seconds.") }
    guard (0...86_400).contains(stopGrace) else { throw ValidationError("--stop-grace is from 0 to 86400 seconds.") }
  }

  func run() async throws {
    var settings = RunServer.Settings(
      listen: try listen.map { try NetworkAddress($0) }, patience: .seconds(patience),
      passphrase: try secret.read())
    settings.witnesses = witness
    let json = format.json
    let progress = RunProgress(output: .standard)
    let log = logging.log
    let isService = plan == nil
    let show: @Sendable (RunEvent) -> Void = { event in
      if json {
        Output.standard.json(event.json)
        Output.standard.flush()
      } else if isService {
        event.write(to: log)
      } else {
        progress.show(event)
      }
    }
    guard let plan else {
      log.log(.info, "serviceStarting", ["directory": place.directory, "version": Bauta.version])
      try await serve(settings, show)
      return log.log(.info, "serviceStopped")
    }
    try await serveOnce(plan, settings, show)
  }

  private func serve(_ settings: RunServer.Settings, _ show: @escaping @Sendable (RunEvent) -> Void) async throws {
    var standing = StandingServer.Settings(server: settings) { ($0.json.text, RunProgress.line($0)?.plain) }
    standing.stopGrace = .seconds(stopGrace)
    let server = try StandingServer(directory: place.directory, settings: standing)
    let signals = Interruption { server.stop() }
    let hangUp = Interruption([SIGHUP]) { Task { await server.reload() } }
    defer {
      signals.cancel()
      hangUp.cancel()
    }
    try await server.serve(progress: show)
    try Output.standard.finish()
  }

  private func serveOnce(
    _ plan: String, _ settings: RunServer.Settings, _ show: @escaping @Sendable (RunEvent) -> Void
  ) async throws {
    let server = try RunServer(directory: place.directory, plan: plan, settings: settings)
    let serving = Task { try await server.serve(progress: show) }
    // SIGTERM and SIGINT end the run in order: everybody is told, and the log is closed.
    let signals = Interruption { serving.cancel() }
    defer { signals.cancel() }
    let report = try await serving.value
    if !format.json, !report.rounds.isEmpty {
      Output.standard.line()
      RunReportTable.show(report, .standard)
    }
    try Output.standard.finish()
    try RunFailure.check(report)
  }
}

struct ServerStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Say what the server that runs in a directory does.",
    discussion: """
        bauta server status --directory hub
        bauta server status --directory hub --json | jq .connected

      Status 0 it runs, 1 it does not.
      """)

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    let status = try ServiceKind.server.status(in: place.directory)
    if format.json {
      Output.standard.write(Array((status + "\n").utf8))
    } else {
      try ServerStatusTable.show(status, .standard)
    }
  }
}

struct ServerReloadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Let the running server read its directory again, and say what is wrong with it.",
    discussion: """
      Manifest, approvals, statements of certificate keys, revocations, certificate and key. The server does so by \
      itself when one of these files changes; this says whether it could.

        bauta server reload --directory hub
      """)

  @OptionGroup var place: DirectoryOption

  func run() async throws {
    _ = try ServiceKind.server.ask(ControlRequest("reload"), in: place.directory)
    Output.standard.line("The server has read \(place.directory) again.")
  }
}

struct ServerStopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop", abstract: "Stop the server that runs in a directory, as SIGTERM does.",
    discussion: """
      The sum that is going on is finished, or given up where nobody is bound by it yet; the run goes on when the server \
      is started again.

        bauta server stop --directory hub
      """)

  @OptionGroup var place: DirectoryOption

  func run() async throws {
    _ = try ServiceKind.server.ask(ControlRequest("stop"), in: place.directory)
    Output.standard.line("The server is stopping.")
  }
}
