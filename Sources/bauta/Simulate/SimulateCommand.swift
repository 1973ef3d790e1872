import ArgumentParser
import Cryptography
import FederationSimulation
import Foundation
import SecureAggregation

struct SimulateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate", abstract: "Run secure sums of many virtual organisations on this machine.",
    discussion: """
      Every organisation is the real client, with its keys, signatures, shares and masks; the server is the real server. \
      Only the network is left out: bytes are counted from the encoding of each message. Use it to see what a cohort \
      costs in time and bytes, and what happens when members leave or misbehave. In every round exactly --drop of the \
      organisations leave, each at a stage drawn from the seed; --faults of them send something wrong, which the server \
      has to notice. The sum is compared word by word with the one in the clear.

      What a thousand organisations cost, a tenth of which leave:
        bauta simulate --organizations 1000 --dimension 100000 --drop 0.1
      Every kind of misbehaviour, the same each time:
        bauta simulate --organizations 40 --drop 0.1 --faults 7 --seed 3

      Exit status: 0 every sum is exact and all misbehaviour was noticed, 1 not so, 2 wrong usage, 3 a sum stopped because \
      too few organisations were left. A replay with the same seed has the same outcome line; keys are always fresh.
      """)

  @Option(help: ArgumentHelp("How many organisations, 3 to 10000.", valueName: "n"))
  var organizations: Int = 100

  @Option(help: ArgumentHelp("Coordinates of each organisation's term.", valueName: "d"))
  var dimension: Int = 10_000

  @Option(help: ArgumentHelp("Share of the organisations that leave in each round, in thousandths.", valueName: "rate"))
  var drop: Double = 0

  @Option(
    help: ArgumentHelp(
      "Share assumed to collude with the server; it raises the threshold, and they still follow the protocol.",
      valueName: "rate"))
  var corrupt: Double = 0.05

  @Option(help: ArgumentHelp("Organisations that misbehave in each round.", valueName: "n"))
  var faults: Int = 0

  @Option(
    help: ArgumentHelp(
      "Who shares with whom: auto, complete, or regular; auto is complete up to 100 organisations.",
      valueName: "graph"))
  var graph: SimulatedGraph = .automatic

  @Option(help: ArgumentHelp("Secure sums, each over new terms.", valueName: "n"))
  var rounds: Int = 1

  @Option(help: ArgumentHelp("Bits of a coordinate on the wire, 8 to 32.", valueName: "n"))
  var bits: Int = 32

  @Option(help: ArgumentHelp("Exact counters beside the coordinates.", valueName: "n"))
  var counters: Int = 1

  @Option(help: "Seed of the terms and of who leaves or misbehaves, and when.")
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("Cores to use; default: all.", valueName: "n"))
  var cores: Int?

  @OptionGroup var format: JSONOption

  func validate() throws {
    do { _ = try settings() } catch let error as SimulationError {
      throw ValidationError("\(error.message) \(error.remedy)")
    }
  }

  private func settings() throws -> SimulationSettings {
    try SimulationSettings(
      organizations: organizations, dimension: dimension, counters: counters, bits: bits,
      drop: try Self.rate(drop, "--drop"), corrupt: try Self.rate(corrupt, "--corrupt"), faults: faults, graph: graph,
      rounds: rounds, seed: seed,
      cores: cores ?? min(ProcessInfo.processInfo.activeProcessorCount, SimulationSettings.coreCounts.upperBound))
  }

  /// A share in thousandths; the sum counts organisations in them.
  private static func rate(_ value: Double, _ option: String) throws -> DropoutRate {
    let scaled = (value * 1000).rounded()
    guard value.isFinite, (0...1000).contains(scaled), abs(value * 1000 - scaled) < 1e-6,
      let rate = DropoutRate(perMille: Int(scaled))
    else { throw ValidationError("\(option) is from 0 to 1, with at most three decimals.") }
    return rate
  }

  func run() async throws {
    let simulation: Simulation
    do { simulation = try Simulation(try settings()) } catch let error as SimulationError {
      guard error.blame == .caller else { throw error }
      throw CommandError.usage(error.message, remedy: "See 'bauta simulate --help'.")
    }
    let display = SimulationDisplay(output: .error)
    let report = try simulation.run { display.show($0) }
    display.clear()
    if format.json {
      Output.standard.json(report.json)
    } else {
      SimulationTable.show(report, output: .standard)
    }
    try Output.standard.finish()
    if let stop = report.stop, stop.blame == .participants {
      throw ExitCode(Failure.Status.tooFewParticipants.rawValue)
    }
    guard report.isSound else { throw ExitCode(Failure.Status.failed.rawValue) }
  }
}

extension SimulatedGraph: ExpressibleByArgument {}
