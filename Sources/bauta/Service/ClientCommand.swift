import ArgumentParser
import Cryptography
import Federation
import FederationClient
import Foundation

struct ClientCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "client", abstract: "Take part in the server's next run with this organisation's data.",
    discussion: """
      Connects to the server of the approved manifest, holds the announced plan against policy.yaml, trains beside \
      the data, and sends masked terms only. Every message is in DIR/log before its first byte leaves.

        bauta client --data claims.csv --directory alder

      The trained model is stored under DIR/runs/RUN. Status 0 done, 1 failed or refused, 3 the run stopped because \
      too few organisations took part. Nothing leaves while \
      DIR/state.sqlite and DIR/log do not agree: see 'bauta organization acknowledge --help'.
      """)

  @Option(
    help: ArgumentHelp(
      "CSV file with this organisation's rows; it is read here and never sent.",
      valueName: "file"), completion: .file(extensions: ["csv"]))
  var data: String

  @OptionGroup var place: DirectoryOption

  @Option(help: ArgumentHelp("How long the server may be out of reach, in seconds.", valueName: "seconds"))
  var patience: Int = 600

  /// Rehearses a dropout: the process kills itself after it has sent its shares in this round.
  @Option(help: .hidden)
  var dropInRound: Int?

  /// Rehearses a loss at one point of the order of writing: TASK/ROUND/MESSAGE/STEP, as in fit/1/unmasking/persisted.
  @Option(help: .hidden)
  var loseAt: String?

  func validate() throws {
    guard (1...604_800).contains(patience) else { throw ValidationError("--patience is from 1 to 604800 seconds.") }
    guard loseAt.map({ Fault($0) != nil }) ?? true else {
      throw ValidationError("--lose-at is TASK/ROUND/MESSAGE/STEP.")
    }
  }

  func run() async throws {
    let client = try OrganizationClient(
      directory: place.directory, data: data,
      settings: .init(
        patience: .seconds(patience), fault: loseAt.flatMap { Fault($0) } ?? dropInRound.map { Fault(round: $0) }))
    let taking = Task {
      try await client.takePart { event in
        guard let line = Self.line(event) else { return }
        Output.standard.line(line)
        Output.standard.flush()
      }
    }
    let signals = Interruption { taking.cancel() }
    defer { signals.cancel() }
    let outcome = try await taking.value
    try Output.standard.finish()
    switch outcome.state {
    case .completed: return
    case .stopped, .failed:
      throw RunFailure(run: outcome.run, isStopped: outcome.state == .stopped, reason: outcome.reason)
    }
  }

  private static func line(_ event: ClientEvent) -> StyledText? {
    switch event {
    case .connecting(let address): return "connecting to \(address)"
    case .unreachable(let reason): return "\(reason.hasSuffix(".") ? String(reason.dropLast()) : reason); trying again"
    case .connectionLost: return "connection lost; trying again"
    case .announced(let run, let plan): return "run \(run) of plan '\(plan)' announced"
    case .accepted(_, let rows, let columns):
      return "policy accepts it; \(Figures.counted(rows, "row")), \(Figures.counted(columns, "column"))"
    case .refused(_, let reasons): return StyledText("refused: \(reasons.joined(separator: "; "))", .bad)
    case .training(let opening): return "computing \(title(opening))"
    case .trained(_, let loss, let clipped):
      guard loss != nil || clipped > 0 else { return nil }
      return "  own loss \(Figures.decimals(loss, 4)), \(Figures.counted(clipped, "value")) clipped (stays here)"
    case .sent: return nil
    case .completed(let opening, let survivors, let count):
      return "\(title(opening)): sum over \(survivors) of \(Figures.counted(count, "organisation"))"
    case .metrics(let round, let metrics):
      return "round \(round): ROC AUC \(Figures.decimals(metrics.rocAuc, 4)) over all organisations"
    case .ended(_, let state, let reason, let model):
      guard state == "completed" else { return StyledText("run \(state): \(reason)", .bad) }
      return "run completed; model: \(model ?? "none")"
    }
  }

  private static func title(_ opening: OpeningIdentifier) -> String {
    switch opening.task {
    case .statistics: "statistics"
    case .fit: "training of round \(opening.round)"
    case .evaluate: "evaluation of round \(opening.round)"
    }
  }
}
