/// Which sums of gradients are released when, for DP-FTRL: prefix sums from few noised nodes of a binary tree.
///
/// Implements the tree of Kairouz et al. 2021 ("Practical and Private (Deep) Learning without Sampling or Shuffling") in
/// the form of a Fenwick tree. In round t = 1…T one node is released with fresh noise: the sum of the gradients of rounds
/// t − 2^k + 1…t, where 2^k is the largest power of two that divides t; a client keeps the sums of its own gradients for
/// it. The sum of rounds 1…t is then the sum of as many nodes as t has ones in binary, and so are the noises in it. Each
/// round's gradient is in at most ⌈log₂(T + 1)⌉ nodes, which is what one record that takes part in one round is charged.
///
/// Unlike noise in every round's gradient, this needs no sampling of records; a record must be in one round of a tree only:
/// ``RecordAssignment/batches(_:count:)``.
public struct TreeAggregation: Sendable, Equatable {
  /// Rounds of the tree, T.
  public let rounds: Int

  /// - Throws: `LearningError.privacy(.constant)` unless `rounds` is in 1…100,000.
  public init(rounds: Int) throws(LearningError) {
    guard 1...100_000 ~= rounds else {
      throw .privacy(.constant(name: "the tree's rounds", value: Double(rounds), requirement: "in 1…100000"))
    }
    self.rounds = rounds
  }

  /// Most nodes that one round's gradient is in: ⌈log₂(T + 1)⌉. The squared sensitivity of all releases together, in units of
  /// the clipping norm's square.
  public var depth: Int { Int.bitWidth - rounds.leadingZeroBitCount }

  /// The rounds whose gradients the node released in `round` sums.
  ///
  /// - Throws: `LearningError.privacy(.roundOutOfRange)` for a round outside 1…T.
  public func node(releasedIn round: Int) throws(LearningError) -> ClosedRange<Int> {
    guard 1...rounds ~= round else { throw .privacy(.roundOutOfRange(rounds: rounds)) }
    let length = round & -round
    return (round - length + 1)...round
  }

  /// The rounds whose nodes add up to rounds 1…`round`, latest first.
  public func prefix(of round: Int) -> [Int] {
    var nodes: [Int] = []
    var last = round
    while last > 0 {
      nodes.append(last)
      last &= last - 1
    }
    return nodes
  }

  /// Variance of the noise in the sum of rounds 1…`round`, in units of one node's: the number of ones in `round`.
  public func variance(of round: Int) -> Int { round.nonzeroBitCount }

  /// The nodes that contain a round's gradient, earliest first: what a record of that round is charged.
  public func nodes(containing round: Int) -> [Int] {
    var nodes: [Int] = []
    var last = round
    while last >= 1, last <= rounds {
      nodes.append(last)
      last += last & -last
    }
    return nodes
  }

  /// The sum of rounds 1…`round`, from nodes by the round they were released in; latest node first, element by element.
  ///
  /// - Throws: `LearningError.privacy` for a round outside 1…T, a missing node, or nodes of different lengths.
  public func prefixSum(of round: Int, nodes: [Int: [Double]]) throws(LearningError) -> [Double] {
    guard 1...rounds ~= round else { throw .privacy(.roundOutOfRange(rounds: rounds)) }
    var sum: [Double] = []
    for (position, index) in prefix(of: round).enumerated() {
      guard let node = nodes[index] else { throw .privacy(.missingNode(round: index)) }
      if position == 0 {
        sum = node
        continue
      }
      guard node.count == sum.count else {
        throw .privacy(.gradientCount(expected: sum.count, found: node.count))
      }
      for element in sum.indices { sum[element] += node[element] }
    }
    return sum
  }

  /// Follow-the-regularised-leader without momentum: w₀ − learningRate · prefix / expectedExamples, bit for bit the same
  /// everywhere.
  ///
  /// - Throws: `LearningError.privacy` for a sum of another length or a result that is not finite.
  public static func parameters(
    initial: [Double], prefixSum: [Double], learningRate: Double, expectedExamples: Double
  ) throws(LearningError) -> [Double] {
    guard prefixSum.count == initial.count else {
      throw .privacy(.gradientCount(expected: initial.count, found: prefixSum.count))
    }
    let next = initial.indices.map { initial[$0] - learningRate * (prefixSum[$0] / expectedExamples) }
    if let index = next.firstIndex(where: { !$0.isFinite }) { throw .privacy(.stepNotFinite(index: index)) }
    return next
  }
}
