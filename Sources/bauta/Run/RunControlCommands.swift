import ArgumentParser
import Federation
import FederationServer
import Foundation
import ServiceControl

struct RunStartCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "start", abstract: "Let the running server conduct a run of a plan.",
    discussion: """
      The plan is checked, and queued behind the run that is going on. The organisations' clients hold it against their \
      own policies when it is announced to them.

        bauta run start plan.yaml --directory hub --watch

      Without --watch it prints the run's identifier and ends; status 0 it is queued. With --watch, status 0 \
      completed, 1 failed, 3 stopped because too few organisations took part, 4 ended early because a privacy budget is \
      spent; Ctrl-C ends the watching, not the run.
      """)

  @Argument(help: ArgumentHelp("The plan.", valueName: "plan"), completion: .file())
  var plan: String

  @OptionGroup var place: DirectoryOption
  @Flag(help: "Show its events until it ends.") var watch = false
  @OptionGroup var format: JSONOption

  func run() async throws {
    let bytes = try LocalFile.read(plan, maximum: StandingServer.maximumPlanBytes)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CommandError.unsuitable(path: plan, problem: "it is not UTF-8 text", remedy: "Check that this is the plan.")
    }
    let lines = try ServiceKind.server.ask(
      ControlRequest("run-start", ["plan": text, "file": plan]), in: place.directory)
    let report = try RunWatch.report(lines.first ?? "")
    if format.json { Output.standard.line("\(lines.first ?? "")") } else { Output.standard.line("\(report.run)") }
    Output.standard.flush()
    if watch { try await RunWatch.follow(report.run.text, in: place.directory, asJSON: format.json) }
  }
}

struct RunListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the runs of a server's directory, the latest last.",
    discussion: """
      Works whether the server runs or not.

        bauta run list --directory hub
      """)

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws {
    try LocalFile.requireDirectory(place.directory)
    let reports = try RunFiles.all(in: place.directory)
    let output = Output.standard
    if format.json {
      for report in reports { output.write(Array((report.json + "\n").utf8)) }
      return
    }
    guard !reports.isEmpty else {
      if case .organization = try? Participant(opening: place.directory) {
        throw CommandError.unsuitable(
          path: place.directory, problem: "it is an organisation's directory; reports are in the server's",
          remedy: "Give the server's directory. What this organisation took part in: bauta audit list "
            + place.directory)
      }
      output.line("No runs yet. Start one: bauta run start PLAN --directory \(place.directory)")
      return
    }
    var table = Table([.text("run"), .number("rounds"), .number("ROC AUC"), .text("state")])
    for report in reports {
      table.append([
        "\(report.run)", "\(report.rounds.count)",
        "\(Figures.decimals(report.rounds.last?.metrics["rocAuc"], 4))", RunReportTable.state(of: report),
      ])
    }
    output.table(table)
  }
}

struct RunWatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch", abstract: "Show the events of a run until it ends.",
    discussion: """
      Begins with what has happened already, and waits for a run that is queued. Without RUN, the run that is going on.

        bauta run watch --directory hub

      Status 0 completed, 1 failed, cancelled or interrupted, 3 stopped because too few organisations took part.
      """)

  @Argument(help: ArgumentHelp("Identifier of the run.", valueName: "run"))
  var identifier: String?

  @OptionGroup var place: DirectoryOption
  @OptionGroup var format: JSONOption

  func run() async throws { try await RunWatch.follow(identifier, in: place.directory, asJSON: format.json) }
}

struct RunCancelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Cancel a run that is going on, or that waits.",
    discussion: """
      Everybody is told, with the reason. Sums that were published stay published. Without RUN, the run that is going on.

        bauta run cancel --directory hub --reason "wrong label column"
      """)

  @Argument(help: ArgumentHelp("Identifier of the run.", valueName: "run"))
  var identifier: String?

  @Option(help: ArgumentHelp("Why, for the report and the organisations: one line.", valueName: "text"))
  var reason = ""

  @OptionGroup var place: DirectoryOption

  func validate() throws {
    guard Reason.isOneLine(reason, bytes: 0...512) else {
      throw ValidationError("--reason is at most 512 bytes on one line.")
    }
  }

  func run() async throws {
    var arguments = ["reason": reason]
    arguments["run"] = try identifier.map { try RunIdentifier($0).text }
    _ = try ServiceKind.server.ask(ControlRequest("run-cancel", arguments), in: place.directory)
    Output.standard.line("\(identifier ?? "The run") is cancelled.")
  }
}

/// Follows a run over the server's socket.
enum RunWatch {
  private struct Line: Decodable {
    /// As `bauta server --json` prints it.
    let event: String
    /// For people; nil for an event that is not for them.
    let text: String?

    /// The run that ended, and how, if the event says that one did.
    var end: End? {
      guard let end = try? JSONDecoder().decode(End.self, from: Data(event.utf8)), end.event == "ended" else {
        return nil
      }
      return end
    }
  }

  private struct End: Decodable {
    let event: String
    let run: RunIdentifier
    let state: RunReport.State
  }

  /// How often a run that waits for its turn is asked for.
  private static let interval = Duration.milliseconds(500)

  static func report(_ json: String) throws -> RunReport {
    guard let report = try? JSONDecoder().decode(RunReport.self, from: Data(json.utf8)) else {
      throw ControlError.malformedAnswer
    }
    return report
  }

  /// Shows what happens until the run ends; one that waits behind another is waited for.
  ///
  /// - Throws: `RunFailure` for a run that did not come to its end; `ControlError`; `CancellationError`.
  static func follow(_ run: String?, in directory: String, asJSON: Bool) async throws {
    let run = try run.map { try RunIdentifier($0) }
    _ = try ServiceKind.server.status(in: directory)
    var hasWaited = false
    while true {
      let end = try watch(run, in: directory, asJSON: asJSON, showsQueued: !hasWaited)
      guard end.state == .queued else {
        return try RunFailure.check(try RunFiles.report(end.run.text, in: directory))
      }
      hasWaited = true
      try await Task.sleep(for: interval)
    }
  }

  /// - Returns: the last end that was told of, which is `queued` for a run that has not begun.
  private static func watch(
    _ run: RunIdentifier?, in directory: String, asJSON: Bool, showsQueued: Bool
  ) throws -> End {
    var arguments: [String: String] = [:]
    arguments["run"] = run?.text
    var end: End?
    try ControlClient.send(ControlRequest("run-watch", arguments), to: directory) { json in
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(json.utf8)) else { return }
      if let told = line.end, run == nil || told.run == run { end = told }
      // A run that waits has no events; that it waits is told once.
      if line.end?.state == .queued, asJSON || !showsQueued { return }
      if asJSON {
        Output.standard.write(Array((line.event + "\n").utf8))
      } else if let text = line.text {
        Output.standard.line("\(text)")
      }
      Output.standard.flush()
    }
    guard let end else { throw ControlError.interrupted }
    return end
  }
}
