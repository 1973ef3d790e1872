import ArgumentParser
import Cryptography
import Federation
import FederationClient
import Foundation

struct ClientRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Take part in the server's next run with this organisation's data; the default.",
    discussion: """
      Connects to the server of the approved manifest, holds the announced plan against policy.yaml, trains beside \
      the data, and sends masked terms only. Every message is in DIR/log before its first byte leaves.

        bauta client --data claims.csv --directory alder

      The trained model is stored under DIR/runs/RUN. Status 0 done, 1 failed or refused, 3 the run stopped because \
      too few organisations took part, 4 it ended early because a privacy budget is spent. Nothing leaves while \
      DIR/state.sqlite and DIR/log do not agree: see 'bauta organization acknowledge --help'.

      With --stay it takes part in one run after another until SIGTERM, and reconnects for as long as it takes. It \
      reads a new certificate, key, authority, manifest or policy as soon as it is there; SIGHUP and 'bauta client \
      reload' make sure. It ends with status 1 where it cannot keep its log or state, or where the server breaks the \
      protocol; with 0 after SIGTERM. What it does is on standard error, one event a line: see --log-level and --log-format.

      A proxy is used if --proxy or the environment's HTTPS_PROXY names one (NO_PROXY counts for the latter).
      """)

  @Option(
    help: ArgumentHelp(
      "CSV file with this organisation's rows; it is read here and never sent.",
      valueName: "file"), completion: .file(extensions: ["csv"]))
  var data: String

  @OptionGroup var place: DirectoryOption

  @Flag(help: "Stay, and take part in one run after another.")
  var stay = false

  @Option(
    help: ArgumentHelp(
      "How long the server may be out of reach, in seconds; without end with --stay.", valueName: "seconds"))
  var patience: Int = 600

  @OptionGroup var proxy: ProxyOptions
  @OptionGroup var secret: PassphraseOption
  @OptionGroup var logging: ServiceLogOptions

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
    let proxy = try proxy.selection()
    let client = try OrganizationClient(
      directory: place.directory, data: data,
      settings: .init(
        patience: .seconds(patience), proxy: proxy, passphrase: try secret.read(),
        fault: loseAt.flatMap { Fault($0) } ?? dropInRound.map { Fault(round: $0) }))
    if stay { return try await serve(client, proxy: proxy) }
    if let proxy { show("through the proxy \(proxy.description), named by \(proxy.origin)") }
    let taking = Task {
      try await client.takePart { event in
        if let line = ClientEventText.line(event) { show(line) }
      }
    }
    let signals = Interruption { taking.cancel() }
    defer { signals.cancel() }
    let outcome = try await taking.value
    try Output.standard.finish()
    switch outcome.state {
    case .completed: return
    case .stopped: throw RunFailure(run: outcome.run, kind: .stopped, reason: outcome.reason)
    case .failed: throw RunFailure(run: outcome.run, kind: .failed, reason: outcome.reason)
    case .budgetSpent: throw RunFailure(run: outcome.run, kind: .budgetSpent, reason: outcome.reason)
    }
  }

  /// From run to run, with its events on standard error.
  private func serve(_ client: OrganizationClient, proxy: ProxySelection?) async throws {
    let log = logging.log
    var fields = ["directory": place.directory, "organization": client.name.value, "version": Bauta.version]
    fields["proxy"] = proxy?.description
    fields["proxyNamedBy"] = proxy?.origin
    log.log(.info, "serviceStarting", fields)
    let serving = Task {
      try await client.stay { event in
        let entry = ClientEventText.entry(event)
        log.log(entry.level, entry.event, entry.fields)
        if let entry = ClientEventText.detail(event) { log.log(entry.level, entry.event, entry.fields) }
      }
    }
    let signals = Interruption { serving.cancel() }
    let hangUp = Interruption([SIGHUP]) {
      log.log(.info, "reloading")
      client.reload()
    }
    defer {
      signals.cancel()
      hangUp.cancel()
    }
    do {
      try await serving.value
    } catch {
      let failure = Failure(error)
      log.log(
        .error, "serviceFailed",
        ["code": failure.code, "blame": failure.blame.rawValue, "reason": failure.message, "remedy": failure.remedy])
      throw error
    }
    log.log(.info, "serviceStopped")
  }

  private func show(_ line: StyledText) {
    Output.standard.line(line)
    Output.standard.flush()
  }
}
