import ArgumentParser
import Cryptography
import Federation
import Foundation

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo", abstract: "Make a federation on this machine, train in it, and check everything afterwards.",
    discussion: """
      Makes organisations with keys and data of their own, has each approve the federation, starts a server and a \
      client process for each on loopback with mutual TLS, trains, compares the result with pooled training and with \
      each organisation alone, and verifies every log. Without --data it makes data of its own: Medicare providers \
      with 49 figures each, a tenth of them excluded for fraud.

        bauta demo
        bauta demo --data providers.csv --label fraudulent_provider
      With noise that hides every single row, at a cost of at most epsilon:
        bauta demo --epsilon 3
      The same with noise inside each organisation, which counts on nobody else:
        bauta demo --epsilon 3 --noise local
      One organisation is killed in round 2:
        bauta demo --drop alder@2
      Too many are: the run stops, with status 3:
        bauta demo --drop alder@2 --drop birch@2
      """)

  @Option(
    help: ArgumentHelp("CSV file to divide among the organisations.", valueName: "file"),
    completion: .file(extensions: ["csv"]))
  var data: String?

  @Option(help: ArgumentHelp("Name of its label column.", valueName: "column"))
  var label: String?

  @Option(help: ArgumentHelp("The label's value that counts as positive.", valueName: "value"))
  var positive: String = "1"

  @Option(help: "How many organisations, 3 to 26.")
  var organizations: Int = 5

  @Option(help: "Rounds of training, 1 to 100. (default: 3; with --epsilon 30, or 5 where noise is local)")
  var rounds: Int?

  @Option(
    help: ArgumentHelp(
      "Train with noise that hides every single row: what the run may cost, at delta 1e-5.", valueName: "epsilon"))
  var epsilon: Double?

  @Option(help: "Who adds the noise of --epsilon: all together, each for itself, or the server, which is trusted to.")
  var noise: NoisePlacement = .distributed

  private var plannedRounds: Int {
    rounds ?? (epsilon == nil ? 3 : PrivateTemplate.rounds(unit: .record, noise: noise))
  }

  @Option(
    help: ArgumentHelp(
      "Kill an organisation's client in a round, after it has sent its shares. May be repeated.",
      valueName: "org@round"))
  var drop: [String] = []

  @Option(
    help: ArgumentHelp(
      "Where to put everything. Must not exist, or be an earlier demonstration.",
      valueName: "dir"), completion: .directory)
  var directory: String = "bauta-demo"

  @Flag(help: "Keep an earlier demonstration in that directory, and use the next free name.")
  var keep = false

  @Option(help: "Seed of the data and of how it is divided.")
  var seed: UInt64 = 1

  @OptionGroup var format: JSONOption

  func validate() throws {
    guard (3...DemoNames.all.count).contains(organizations) else {
      throw ValidationError(
        "--organizations is from 3 to \(DemoNames.all.count); two would learn each other's figures.")
    }
    guard (1...100).contains(plannedRounds) else { throw ValidationError("--rounds is from 1 to 100.") }
    guard (data == nil) == (label == nil) else {
      throw ValidationError("--data and --label go together: which column of the file is to be learned?")
    }
    if epsilon == nil, noise != .distributed {
      throw ValidationError("--noise goes with --epsilon: how much may the run cost?")
    }
    if let epsilon, !PrivacySettings.epsilons.contains(epsilon) {
      throw ValidationError("--epsilon is from 0.001 to 64; a usual value is 3.")
    }
    _ = try drops()
  }

  /// Which client is to be killed in which round.
  private func drops() throws -> [OrganizationName: Int] {
    let names = try DemoNames.first(organizations)
    var drops: [OrganizationName: Int] = [:]
    for text in drop {
      let parts = text.split(separator: "@", omittingEmptySubsequences: false)
      guard parts.count == 2, let round = Int(parts[1]), (1...plannedRounds).contains(round),
        let name = names.first(where: { $0.value == parts[0] || $0.value == "\(parts[0]).example" })
      else {
        throw ValidationError(
          "--drop \(text): expected ORG@ROUND with one of \(names.map { $0.value.prefix { $0 != "." } }.joined(separator: ", ")) "
            + "and a round from 1 to \(plannedRounds).")
      }
      drops[name] = round
    }
    return drops
  }

  func run() async throws {
    let settings = DemoSettings(
      names: try DemoNames.first(organizations), rounds: plannedRounds, seed: seed,
      privacy: epsilon.map { DemoSettings.Privacy(epsilon: $0, noise: noise) },
      source: data.map { .file(path: $0, label: label ?? "", positive: positive) } ?? .synthetic, drops: try drops())
    let quiet = format.json
    let narrator = DemoNarrator(output: quiet ? nil : .standard)
    // Data that cannot be used leaves an earlier demonstration as it is.
    let data = try DemoData.prepare(settings)
    try Demo.requireNoise(settings, data)
    let place = try DemoDirectory.prepare(directory, keep: keep)
    let demo = Demo(settings: settings, data: data, place: place, narrator: narrator)
    let outcome = try await demo.run()
    if quiet {
      Output.standard.json(outcome.json)
    } else {
      DemoConclusion.show(outcome, output: .standard)
    }
    try Output.standard.finish()
    if outcome.report.state == .budgetSpent { throw ExitCode(Failure.Status.budgetSpent.rawValue) }
    if outcome.report.state == .stopped { throw ExitCode(Failure.Status.tooFewParticipants.rawValue) }
    if outcome.report.state != .completed || !outcome.isVerified { throw ExitCode(Failure.Status.failed.rawValue) }
  }
}

/// Names of organisations in demonstrations.
enum DemoNames {
  static let all = [
    "alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ironwood", "juniper", "katsura", "larch",
    "maple", "nutmeg", "oak", "pine", "quince", "rowan", "spruce", "teak", "umbrella-pine", "viburnum", "walnut",
    "xylosma", "yew", "zelkova",
  ]

  static func first(_ count: Int) throws -> [OrganizationName] {
    try all.prefix(count).map { try OrganizationName("\($0).example") }
  }
}

/// What a demonstration is to do.
struct DemoSettings: Sendable {
  enum Source: Sendable {
    case synthetic
    case file(path: String, label: String, positive: String)
  }

  struct Privacy: Sendable {
    /// What the run may cost.
    let epsilon: Double
    let noise: NoisePlacement
  }

  let names: [OrganizationName]
  let rounds: Int
  let seed: UInt64
  /// Nil for a run without differential privacy.
  let privacy: Privacy?
  let source: Source
  let drops: [OrganizationName: Int]
  /// Rows that each organisation gets of synthetic data.
  var syntheticRows = 1000
}
