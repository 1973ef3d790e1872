import FederationSimulation
import Foundation
import SecureAggregation

/// Whole secure sums, as `bauta simulate` runs them.
struct RoundsSuite {
  let effort: Effort

  /// Share assumed to collude with the server, in thousandths.
  static let corruptPerMille = 50

  /// Share that leaves, in thousandths, where the graph is k-regular: it is made for that many, and one that bears no
  /// loss would have a handful of neighbours.
  static func dropPerMille(_ organizations: Int) -> Int {
    organizations > SumGraph.largestAutomaticComplete ? 100 : 0
  }

  func run() throws -> SuiteResult {
    let dimension = effort.isQuick ? 10_000 : 100_000
    let counts = effort.isQuick ? [5, 20, 100] : [5, 20, 100, 300, 1000]
    var stages = Section(
      title: "Rounds, by stage",
      notes: [
        "d = \(Figure.dimension(dimension)), B = 32, a twentieth assumed corrupt. Complete up to 100, where "
          + "nobody leaves; k-regular above, where a tenth leaves, each at any stage, and where a missing nonce of the "
          + "beacon costs another attempt. Training and the network are left out. A client alone checks "
          + "every signature itself and uses one core; in the simulation, on all cores, what all check alike is checked "
          + "once. Times of the server are for all clients and attempts; it closes the last stage on "
          + "\(Machine.cores) cores. Bytes are those of a client."
      ],
      columns: [
        "n", "stage", "a client alone", "in the simulation, median", "server", "sent, median", "received, median",
      ])
    var totals = Section(
      title: "Rounds, in sum",
      notes: ["The limit of a masked input is 1.02 · d · B / 8 + 1 KiB a neighbour."],
      columns: [
        "n", "graph", "t", "a client alone", "the server", "a client sends", "receives", "masked input", "of its limit",
        "whole sum here",
      ])
    var goals: [Goal] = []
    for count in counts {
      let report = try Self.simulate(organizations: count, dimension: dimension)
      let alone = try timesOfOne(organizations: count, dimension: dimension)
      stages.rows += report.stages.map { row($0, alone: alone[$0.stage], count: count) }
      totals.rows.append(total(report, alone: alone))
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
    guard let drop = DropoutRate(perMille: dropPerMille(organizations)),
      let corrupt = DropoutRate(perMille: corruptPerMille)
    else {
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

  /// Of one client among as many, on one core.
  private func timesOfOne(organizations: Int, dimension: Int) throws -> [RoundStage: Elapsed] {
    let isRegular = organizations > SumGraph.largestAutomaticComplete
    var sum = try DrivenSum(
      organizations: organizations, dimension: dimension, bits: 32,
      corrupt: organizations * Self.corruptPerMille / 1000,
      dropouts: isRegular ? DropoutRate(perMille: Self.dropPerMille(organizations)) : nil,
      lanes: .one)
    try sum.advance(to: .completed, lanes: .one)
    keep(try sum.result(of: sum.server, survivors: organizations))
    return sum.clientTimes
  }

  private func row(_ stage: StageFigures, alone: Elapsed?, count: Int) -> [String] {
    [
      "\(count)", stage.stage.rawValue, alone.map { Figure.time($0.cpu) } ?? "–",
      Figure.time(stage.clientSeconds.median), Figure.time(stage.serverSeconds), Figure.bytes(stage.sentBytes.median),
      Figure.bytes(stage.receivedBytes.median),
    ]
  }

  private func total(_ report: SimulationReport, alone: [RoundStage: Elapsed]) -> [String] {
    func sum(_ figure: (StageFigures) -> Double) -> Double { report.stages.reduce(0) { $0 + figure($1) } }
    return [
      "\(report.settings.organizations)", report.regularGraph.map { "k = \($0.neighborCount)" } ?? "complete",
      "\(report.threshold)", Figure.time(alone.values.reduce(0) { $0 + $1.cpu }), Figure.time(sum(\.serverSeconds)),
      Figure.bytes(sum(\.sentBytes.median)), Figure.bytes(sum(\.receivedBytes.median)),
      Figure.bytes(Double(report.maskedInputBytes)),
      Figure.decimals(Double(report.maskedInputBytes) / report.maskedInputLimit, 3), Figure.time(report.seconds),
    ]
  }
}
