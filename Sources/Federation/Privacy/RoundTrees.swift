import Cryptography
import DifferentialPrivacy
public import Learning

/// `privacy.tree` of a plan: the noise of its rounds is that of trees, as in DP-FTRL. See `TreeAggregation`.
public struct TreeSettings: Sendable, Hashable {
  /// How often every row is used: each pass is a tree of its own over as many rounds as there are for it.
  public let passes: Int

  init(_ group: YAMLMapping) throws(FederationError) {
    passes = try group.optional("passes", .integer(RunPlan.roundCounts), default: 1)
  }

  static let keys = ["passes"]
}

/// How the rounds of a run are divided into passes, with a tree over the rounds of each.
public struct RoundTrees: Sendable, Hashable {
  /// From 1.
  public let passes: Int
  /// Rounds of a pass, from 1.
  public let steps: Int

  /// Where a round is: its pass, and its step in there, both from 1.
  public func place(ofRound round: Int) -> (pass: Int, step: Int) {
    let (quotient, remainder) = (round - 1).quotientAndRemainder(dividingBy: steps)
    return (quotient + 1, remainder + 1)
  }

  /// The rounds of the pass that a round is in.
  func pass(ofRound round: Int) -> ClosedRange<Int> {
    let first = (place(ofRound: round).pass - 1) * steps + 1
    return first...(first + steps - 1)
  }
}

extension RunPlan {
  /// Nil for a plan without `privacy.tree`.
  public var trees: RoundTrees? {
    privacy.settings?.tree.map { RoundTrees(passes: $0.passes, steps: rounds / $0.passes) }
  }

  /// The rows whose gradients are summed in a round: all of them; with `privacy.tree` those that are assigned to the round
  /// in its pass, and so every row in one round of each.
  ///
  /// Which round that is follows from the row by itself and from public numbers (`RecordAssignment`): one row more or less
  /// moves no other, and so changes the sum of one round.
  ///
  /// - Parameter table: the rows to train on, before what the model's constants do to them.
  /// - Throws: `LearningError.privacy`.
  public func rows(of table: FeatureTable, inRound round: Int) throws(LearningError) -> FeatureTable {
    guard let trees else { return table }
    let (pass, step) = trees.place(ofRound: round)
    let batches = try assignment(inPass: pass).batches(table, count: trees.steps)
    return table.selecting(rows: batches.indices.filter { batches[$0] == step - 1 })
  }

  /// Who is in which round, another in each pass.
  private func assignment(inPass pass: Int) -> RecordAssignment {
    var encoder = CanonicalEncoder("bauta/v1/tree-pass")
    encoder.append(data.splitSeed)
    encoder.append(UInt64(clamping: pass))
    let digest = SHA256Digest(hashing: encoder.finish()).bytes
    return RecordAssignment(seed: digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
  }
}
