import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismTreeTests {
  private static func tree(_ steps: Int, multiplier: Double = 2, squared: UInt64 = 400) throws -> TreeAggregation {
    try TreeAggregation(
      steps: steps, noise: CentralGaussian(noiseMultiplier: multiplier, squaredL2Sensitivity: squared))
  }

  /// Noise of each node, drawn once.
  private final class Nodes {
    private(set) var noise: [TreeAggregation.Node: [Int64]] = [:]
    private var randomness: SeededRandomness
    private let tree: TreeAggregation
    private let dimension: Int

    init(_ tree: TreeAggregation, dimension: Int, seed: UInt64) {
      self.tree = tree
      self.dimension = dimension
      randomness = SeededRandomness(seed: seed)
    }

    subscript(_ node: TreeAggregation.Node) -> [Int64] {
      if let known = noise[node] { return known }
      let drawn = tree.noise.samples(count: dimension, using: &randomness)
      noise[node] = drawn
      return drawn
    }
  }

  @Test func prefixesAreDisjointNodesAndComplete() {
    for step in 1...300 {
      let nodes = TreeAggregation.prefix(step)
      #expect(nodes.flatMap { Array($0.steps) } == Array(1...step))
      #expect(nodes.count == step.nonzeroBitCount && nodes.count <= TreeAggregation.height(steps: step))
      // Nodes start at multiples of their length: the same node serves every prefix that has it.
      #expect(nodes.allSatisfy { ($0.first - 1).isMultiple(of: 1 << $0.level) })
    }
  }

  /// Over all prefixes, one step is in no more nodes than are charged for, and in exactly those that are stated.
  @Test(arguments: [1, 2, 3, 5, 7, 8, 11, 100, 127, 128]) func aStepIsInFewNodes(steps: Int) throws {
    var nodesOf = [Int: Set<TreeAggregation.Node>]()
    for step in 1...steps {
      for node in TreeAggregation.prefix(step) {
        for member in node.steps { nodesOf[member, default: []].insert(node) }
      }
    }
    let tree = try Self.tree(steps)
    for step in 1...steps { #expect(try tree.nodes(of: step) == nodesOf[step]?.count, "\(step)") }
    #expect(try tree.nodes(of: 1) == tree.height)
    #expect(nodesOf.values.map(\.count).max() == tree.height)
    #expect(tree.height == Int(log2(Double(steps + 1)).rounded(.up)))
  }

  /// By hand, for 8 steps: (level, first) of what is added and of what is taken off.
  @Test func incrementsOfAFewSteps() throws {
    let expected: [(added: (Int, Int), removed: [(Int, Int)])] = [
      ((0, 1), []), ((1, 1), [(0, 1)]), ((0, 3), []), ((2, 1), [(1, 1), (0, 3)]), ((0, 5), []), ((1, 5), [(0, 5)]),
      ((0, 7), []), ((3, 1), [(2, 1), (1, 5), (0, 7)]),
    ]
    let tree = try Self.tree(8)
    for (index, step) in expected.enumerated() {
      let increment = try tree.increment(index + 1)
      #expect(increment.added == .init(level: step.added.0, first: step.added.1))
      #expect(increment.removed == step.removed.map { .init(level: $0.0, first: $0.1) })
    }
  }

  /// Every increment is the difference of two prefixes, whatever the step.
  @Test func incrementsAreDifferencesOfPrefixes() throws {
    let tree = try Self.tree(1000)
    for step in 1...1000 {
      let increment = try tree.increment(step)
      let (before, after) = (Set(TreeAggregation.prefix(step - 1)), Set(TreeAggregation.prefix(step)))
      #expect(after.subtracting(before) == [increment.added])
      #expect(before.subtracting(after) == Set(increment.removed))
      #expect(increment.removed.count == Set(increment.removed).count)
    }
  }

  @Test func sumsOfIncrementsHaveTheNoiseOfTheirPrefix() throws {
    let dimension = 4000
    let tree = try Self.tree(20)
    let nodes = Nodes(tree, dimension: dimension, seed: 81)
    var total = [Int64](repeating: 0, count: dimension)
    var exact: Int64 = 0
    for step in 1...20 {
      var sum = [Int64](repeating: Int64(step) * 1000, count: dimension)
      exact += Int64(step) * 1000
      try tree.increment(step).add(to: &sum) { nodes[$0] }
      for index in total.indices { total[index] += sum[index] }
      let noise = total.map { $0 - exact }
      // To the last unit: nothing but the nodes of the prefix is left.
      var expected = [Int64](repeating: 0, count: dimension)
      for node in TreeAggregation.prefix(step) {
        for index in expected.indices { expected[index] += nodes[node][index] }
      }
      #expect(noise == expected)
      let (mean, variance) = moments(noise)
      let planned = 1600.0 * Double(step.nonzeroBitCount)
      #expect(abs(variance / planned - 1) < 0.12)
      #expect(abs(mean) < 5 * (planned / Double(dimension)).squareRoot())
    }
    // No node was asked for that no prefix has.
    #expect(Set(nodes.noise.keys) == Set((1...20).flatMap { TreeAggregation.prefix($0) }))
  }

  @Test func withoutNoiseASumStaysAsItIsAndAFailureLeavesIt() throws {
    struct Failure: Error {}
    let tree = try Self.tree(8)
    for step in 1...8 {
      var sum: [Int64] = [3, -4, .max]
      try tree.increment(step).add(to: &sum) { _ in [0, 0, 0] }
      #expect(sum == [3, -4, .max])
    }
    var sum: [Int64] = [1, 2]
    var asked = 0
    #expect(throws: Failure.self) {
      try tree.increment(8).add(to: &sum) { _ throws(Failure) in
        asked += 1
        if asked == 3 { throw Failure() }
        return [10, 10]
      }
    }
    #expect(sum == [1, 2] && asked == 3)
  }

  /// At most the published figures: z = 1.13 and 8.83, 1600 steps, δ = 10⁻⁶.
  @Test(arguments: [(1.13, 19.74), (8.83, 2.04)]) func chargesForOneParticipation(multiplier: Double, most: Double)
    throws
  {
    let tree = try Self.tree(1600, multiplier: multiplier, squared: 1 << 20)
    var composition = PrivacyComposition()
    try composition.compose(tree.noise.event, count: tree.height)
    let epsilon = try composition.epsilon(delta: 1e-6)
    #expect(epsilon <= most && epsilon > 0.8 * most)
    // The accountant's own event of a tree says the same.
    let event = PrivacyEvent.tree(noiseMultiplier: multiplier, leaves: 1600)
    #expect(try tree.height == 11 && abs(event.renyiCurve().epsilon(delta: 1e-6) / epsilon - 1) < 1e-4)
  }

  @Test func refusesParameters() throws {
    for steps in [0, -1, (1 << 24) + 1] {
      #expect(throws: MechanismError.parameter(.steps)) { try Self.tree(steps) }
    }
    let tree = try Self.tree(5)
    for step in [0, -3, 6, .max, .min] {
      #expect(throws: MechanismError.parameter(.steps)) { try tree.increment(step) }
      #expect(throws: MechanismError.parameter(.steps)) { try tree.nodes(of: step) }
    }
  }
}

@Suite struct MechanismTreeNoiseTests {
  private static func setting(rounds: Int, passes: Int?, bits: Int = 32) throws -> CentralNoise.Setting {
    try CentralNoise.Setting(
      clip: 1, dimension: 50, organizations: 3, records: 1000, bits: bits, rounds: rounds, passes: passes, counters: 16,
      evaluationShare: 0.1)
  }

  @Test func releasesAreNodes() throws {
    for (rounds, passes, releases) in [(7, 1, 3), (8, 1, 4), (8, 2, 6), (8, 8, 8), (1000, 1, 10), (1000, 10, 70)] {
      #expect(try Self.setting(rounds: rounds, passes: passes).releases == releases)
      #expect(try Self.setting(rounds: rounds, passes: nil).releases == rounds)
    }
    for passes in [0, -1, 3, 9] {
      #expect(throws: MechanismError.parameter(.steps)) { try Self.setting(rounds: 8, passes: passes) }
    }
  }

  /// The same ε takes less noise of a node than of a round, as there are fewer of them.
  @Test func isCalibratedByNodes() throws {
    let tree = try CentralNoise.calibrated(epsilon: 2, setting: Self.setting(rounds: 64, passes: 1), delta: 1e-5)
    #expect(tree.epsilon <= 2 && tree.epsilon > 1.98)
    #expect(tree.tree?.height == 7 && tree.tree?.noise == tree.model)
    let independent = try CentralNoise.calibrated(
      epsilon: 2, setting: tree.setting.independent(rounds: 64), delta: 1e-5)
    #expect(independent.tree == nil)
    let ratio = independent.model.noiseMultiplier / tree.model.noiseMultiplier
    #expect(abs(ratio / (64.0 / 7).squareRoot() - 1) < 0.01)
    // The evaluation's share of ρ is the same.
    let evaluation = try #require(tree.evaluation).noise.noiseMultiplier
    #expect(abs(evaluation / tree.model.noiseMultiplier / (9.0 / 7).squareRoot() - 1) < 0.01)
  }

  /// The grid leaves room for all draws of one round's sum, also where they are more than there are organisations.
  @Test func doesNotWrap() throws {
    let noise = try CentralNoise(
      noiseMultiplier: 600, setting: Self.setting(rounds: 512, passes: 1, bits: 22), delta: 1e-5)
    let height = try #require(noise.tree).height
    let variance = Double(noise.model.variance.numerator) / Double(noise.model.variance.denominator)
    let tail = NoiseTail.bound(
      .distributedDiscreteGaussian, variance: variance * Double(height), coordinates: 50, bits: WrapBound.bits + 1)
    let signal = 3 * 1000 * noise.encoding.rounding.integerClip.rounded(.up)
    #expect(height == 10 && signal + tail < 0x1p21)
    // With as many draws as organisations the grid would be finer than that allows.
    let finer = try CentralNoise(
      noiseMultiplier: 600, setting: Self.setting(rounds: 512, passes: nil, bits: 22), delta: 1e-5)
    #expect(finer.encoding.scale > noise.encoding.scale)
  }
}
