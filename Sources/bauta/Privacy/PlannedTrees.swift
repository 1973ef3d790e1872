import DifferentialPrivacy
import Federation

/// What correlated noise (`privacy.tree`) comes to, against independent noise in every round at the same ε.
///
/// What counts for training is the noise of the sum over all rounds so far, for the model follows from these sums. All
/// standard deviations are in real units, of one coordinate.
struct PlannedTrees: Sendable {
  /// Noise that is drawn anew in each round, over as many rounds as a tree has.
  struct Independent: Sendable {
    /// σ of the sum over these rounds.
    let deviation: Double
    /// The same over the number of gradients that are summed.
    let meanError: Double
  }

  let trees: RoundTrees
  /// Nodes of a tree that one row is in, at most.
  let nodes: Int
  /// Rows of one round, as everybody may know it.
  let expectedExamples: Int
  /// σ of a node.
  let node: Double
  /// σ of the sum over a whole tree, and the largest of a sum over its first rounds.
  let pass: Double
  let largest: Double
  /// With every row in one round of each pass, as with the tree: not a plan, but what the tree is to be better than. Nil
  /// where such noise cannot be had.
  let sameRows: Independent?
  /// With all rows in every round: the plan without `privacy.tree`, which reads every row in each round.
  let allRows: Independent?

  /// How wrong the mean gradient over a tree becomes.
  var meanError: Double { pass / (Double(expectedExamples) * Double(trees.steps)) }

  func show() {
    let output = Output.standard
    let passes = trees.passes == 1 ? "1 tree" : "\(trees.passes) trees, one after another,"
    output.line(
      "  tree            \(passes) over \(Figures.counted(trees.steps, "round")); every row is in one round of each, "
        + "and in at most \(Figures.counted(nodes, "node"))")
    output.line(
      "  in sums         over a whole tree σ = \(Figures.measured(pass, 3)), over its first rounds at most "
        + "\(Figures.measured(largest, 3)); of one round at most \(Figures.measured(node * Double(nodes).squareRoot(), 3))"
    )
    output.line(
      "  expected error  \(Figures.measured(meanError, 5)) in each coordinate of the mean gradient over a tree, of "
        + "\(Figures.grouped(expectedExamples)) rows a round")
    show(sameRows, "anew each round", "the same rows")
    show(allRows, "without a tree", "all rows in every round")
  }

  private func show(_ noise: Independent?, _ label: String, _ what: String) {
    guard let noise else { return }
    let padding = String(repeating: " ", count: max(1, 16 - label.count))
    Output.standard.line(
      "  \(label)\(padding)\(what), the same ε: σ = \(Figures.measured(noise.deviation, 3)) over "
        + "\(Figures.counted(trees.steps, "round")), an error of \(Figures.measured(noise.meanError, 5))")
  }

  var json: JSONValue {
    func object(_ noise: Independent?) -> JSONValue {
      noise.map { .object(["deviation": .number($0.deviation), "meanError": .number($0.meanError)]) } ?? .null
    }
    return .object([
      "passes": .count(trees.passes), "steps": .count(trees.steps), "nodesOfARow": .count(nodes),
      "nodeDeviation": .number(node), "passDeviation": .number(pass), "largestPrefixDeviation": .number(largest),
      "meanError": .number(meanError), "independentSameRows": object(sameRows), "independentAllRows": object(allRows),
    ])
  }
}

extension PlannedPrivacy {
  /// Nil for a plan without trees.
  var trees: PlannedTrees? {
    guard case .central(let noise) = agreement.form, let tree = noise.tree, let trees = agreement.trees else {
      return nil
    }
    let (steps, examples) = (Double(trees.steps), plan.strategy.gradient?.expectedExamples ?? 1)
    func deviation(_ noise: CentralNoise) -> Double { noise.model.standardDeviation / noise.encoding.scale }
    /// - Parameters:
    ///   - releases: that one row is in.
    ///   - gradients: that are summed over the rounds of a tree.
    func independent(releases: Int, gradients: Double) -> PlannedTrees.Independent? {
      let other = try? CentralNoise.calibrated(
        epsilon: noise.epsilon, setting: noise.setting.independent(rounds: releases), delta: noise.delta)
      return other.map { deviation($0) * steps.squareRoot() }.map { .init(deviation: $0, meanError: $0 / gradients) }
    }
    let node = deviation(noise)
    // Most ones in binary: of the largest 2^k − 1 among the steps, or of the last step.
    let ones = max(tree.steps.nonzeroBitCount, TreeAggregation.height(steps: tree.steps) - 1)
    return PlannedTrees(
      trees: trees, nodes: tree.height, expectedExamples: examples, node: node,
      pass: node * Double(tree.steps.nonzeroBitCount).squareRoot(), largest: node * Double(ones).squareRoot(),
      sameRows: independent(releases: trees.passes, gradients: Double(examples) * steps),
      allRows: independent(releases: noise.setting.rounds, gradients: Double(examples) * steps * steps))
  }
}
