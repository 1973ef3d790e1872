import FederationSimulation
import Foundation
import SecureAggregation

/// Whole secure sums, as `bauta simulate` runs them.
struct RoundsSuite {
  let effort: Effort

  /// Share assumed to collude with the server, in thousandths.
  static let corruptPerMille = 50

  func run() throws -> SuiteResult {
    let dimension = effort.isQuick ? 10_000 : 100_000
    let counts = effort.isQuick ? [5, 20, 100] : [5, 20, 100, 300, 1000]
    var stages = Section(
      title: "Rounds, by stage",
      notes: [
        "d = \(Figure.dimension(dimension)), B = 32, a twentieth assumed corrupt, nobody leaves; complete up to 100, "
          + "k-regular above. Times of a client are for one client on one core and leave out training and the network; "
          + "signatures that all clients check alike are checked once in the process. Times of the server are for all "
          + "clients; it closes the last stage on \(Machine.cores) cores. Bytes are those of a client."
      ],
      columns: [
        "n", "stage", "client, median", "client, longest", "server", "sent, median", "received, median",
      ])
    var totals = Section(
      title: "Rounds, in sum",
      notes: ["The limit of a masked input is 1.02 · d · B / 8 + 1 KiB a neighbour."],
      columns: [
        "n", "graph", "t", "a client", "the server", "a client sends", "receives", "masked input", "of its limit",
        "whole sum here",
      ])
    var goals: [Goal] = []
    for count in counts {
      let report = try Self.simulate(organizations: count, dimension: dimension)
      stages.rows += report.stages.map { row($0, count: count) }
      totals.rows.append(total(report))
      let part = Double(report.maskedInputBytes) / report.maskedInputLimit
      goals.append(
        Goal(
          text: "masked input of n = \(count) on the wire: at most 1.02 · d · B / 8 + 1 KiB a neighbour",
          figure: "\(Figure.decimals(part, 3)) of it", isMet: part <= 1))
      if count == 1000, dimension == 100_000 {
        goals.append(
          Goal(
            text: "simulate n = 1000, d = 10^5: under a minute", figure: Figure.time(report.seconds),
            isMet: report.seconds < 60))
      }
    }
    return SuiteResult(sections: [stages, totals], goals: goals)
  }

  /// One sum on all cores.
  static func simulate(organizations: Int, dimension: Int) throws -> SimulationReport {
    guard let drop = DropoutRate(perMille: 0), let corrupt = DropoutRate(perMille: corruptPerMille) else {
      throw BenchmarkError.wrongSum
    }
    let report = try Simulation(
      SimulationSettings(
        organizations: organizations, dimension: dimension, counters: 0, bits: 32, drop: drop, corrupt: corrupt,
        faults: 0, graph: .automatic, rounds: 1, seed: 1, cores: min(Machine.cores, 64))
    ).run()
    guard report.isSound else { throw BenchmarkError.wrongSum }
    return report
  }

  private func row(_ stage: StageFigures, count: Int) -> [String] {
    [
      "\(count)", stage.stage.rawValue, Figure.time(stage.clientSeconds.median),
      Figure.time(stage.clientSeconds.maximum), Figure.time(stage.serverSeconds), Figure.bytes(stage.sentBytes.median),
      Figure.bytes(stage.receivedBytes.median),
    ]
  }

  private func total(_ report: SimulationReport) -> [String] {
    func sum(_ figure: (StageFigures) -> Double) -> Double { report.stages.reduce(0) { $0 + figure($1) } }
    return [
      "\(report.settings.organizations)", report.regularGraph.map { "k = \($0.neighborCount)" } ?? "complete",
      "\(report.threshold)", Figure.time(sum(\.clientSeconds.median)), Figure.time(sum(\.serverSeconds)),
      Figure.bytes(sum(\.sentBytes.median)), Figure.bytes(sum(\.receivedBytes.median)),
      Figure.bytes(Double(report.maskedInputBytes)),
      Figure.decimals(Double(report.maskedInputBytes) / report.maskedInputLimit, 3), Figure.time(report.seconds),
    ]
  }
}
