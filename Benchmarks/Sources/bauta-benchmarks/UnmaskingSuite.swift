import Cryptography
import Foundation
import SecureAggregation

/// The server's last step: recovering secrets and taking the masks off the sum.
struct UnmaskingSuite {
  let effort: Effort

  /// One sum that waits for its last step.
  private struct Waiting {
    let sum: DrivenSum
    let survivors: Int
    /// Whole masks that have to be expanded.
    let masks: Int
  }

  private var sizes: [(organizations: Int, dimension: Int)] {
    effort.isQuick
      ? [(100, 100_000)] : [(100, 100_000), (100, 1_000_000), (300, 100_000), (300, 1_000_000)]
  }

  func run() throws -> SuiteResult {
    var section = Section(
      title: "Unmasking",
      notes: [
        "The server's last step on \(Machine.cores) cores, wall time: a secret is recovered for each organisation, a seed "
          + "agreed on for each mask between one that left after ShareKeys and one that stayed, and every such mask and "
          + "every own mask expanded and taken away. The ratio is bytes of mask over the whole time against AES-256-CTR on "
          + "as many cores. A twentieth assumed corrupt."
      ],
      columns: ["n", "graph", "d", "left", "masks", "time", "processor time", "GB/s of mask", "ratio to AES-256-CTR"])
    for size in sizes {
      for left in [0, 10, 30] {
        section.rows.append(try row(organizations: size.organizations, dimension: size.dimension, percent: left))
      }
    }
    return SuiteResult(sections: [section])
  }

  private func row(organizations: Int, dimension: Int, percent: Int) throws -> [String] {
    let isRegular = organizations > SumGraph.largestAutomaticComplete
    let waiting: Waiting
    do {
      waiting = try prepare(
        organizations: organizations, dimension: dimension, leaving: organizations * percent / 100,
        dropouts: isRegular ? DropoutRate(perMille: 10 * percent) : nil)
    } catch AggregationError.parameters(.graph(_)) {
      return ["\(organizations)", "k-regular", Figure.dimension(dimension), "\(percent) %", "no graph bears it"]
        + Array(repeating: "–", count: 4)
    }
    let byteCount = Double(4 * dimension * waiting.masks)
    var comparison = Comparison()
    var (wall, cpu) = (Samples(), Samples())
    for _ in 0..<effort.repetitions {
      let reference = try CipherReference.bytesPerSecond(cores: Machine.cores)
      var server = waiting.sum.server
      let elapsed = try measure { _ = try server.advance(signer: waiting.sum.serverIdentity.key) }
      keep(try waiting.sum.result(of: server, survivors: waiting.survivors))
      comparison.add(rate: byteCount / elapsed.wall, reference: reference)
      wall.add(elapsed.wall)
      cpu.add(elapsed.cpu)
    }
    let graph = waiting.sum.context.regularGraph.map { "k = \($0.neighborCount)" } ?? "complete"
    return [
      "\(organizations)", graph, Figure.dimension(dimension), "\(percent) %", Figure.grouped(waiting.masks),
      Figure.time(wall.median), Figure.time(cpu.median),
    ] + comparison.cells
  }

  private func prepare(
    organizations: Int, dimension: Int, leaving: Int, dropouts: DropoutRate?
  ) throws -> Waiting {
    let lanes = Lanes(count: Machine.cores)
    var sum = try DrivenSum(
      organizations: organizations, dimension: dimension, bits: 32, corrupt: organizations / 20, dropouts: dropouts,
      lanes: lanes)
    try sum.advance(to: .maskedInputCollection, lanes: lanes)
    // Spread over the cohort, so that masks of both signs are left.
    let gone = Set((0..<leaving).map { sum.members[$0 * organizations / leaving].name })
    var masks = organizations - leaving
    for name in gone {
      guard case .shares(let delivery) = sum.server.message(for: name) else { throw BenchmarkError.wrongSum }
      masks += delivery.entries.count { !gone.contains($0.sender) }
    }
    try sum.advance(to: .unmasking, leaving: gone, lanes: lanes)
    try sum.collect(lanes: lanes)
    return Waiting(sum: sum, survivors: organizations - leaving, masks: masks)
  }
}
