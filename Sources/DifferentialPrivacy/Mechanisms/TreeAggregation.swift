/// Noise that is correlated over the steps of a run as in DP-FTRL, so that sums over many steps carry little of it.
/// **Central noise: whoever adds it sees every step's sum without noise.** See ``CentralGaussian/trust``.
///
/// Implements the tree aggregation of Kairouz et al. 2021 (arXiv 2103.00039, after Dwork et al. 2010 and Chan, Shi,
/// Song 2011), without restarts within a tree. A node of level j is the sum of 2ʲ consecutive steps with noise of its own,
/// drawn once; the sum of the first t steps is that of the nodes at the ones of t in binary (``prefix(_:)``), with noise N_t
/// of at most ⌈log₂(T + 1)⌉ draws instead of t.
///
/// What is published of step t is not the prefix but its difference from the one before, g_t + (N_t − N_{t−1}): the noise of
/// the node that t completes less that of the nodes that go into it (``Increment``). Both tell the same, for either follows
/// from the other. So gradient descent on the published steps is DP-FTRL: its iterates, momentum included, depend on noised
/// prefixes alone. And nobody keeps a sum without noise: the increments need the noise of nodes, and no sums.
///
/// One unit that takes part in **one** of T steps is in at most ⌈log₂(T + 1)⌉ nodes, and ``height`` releases of a
/// node are what the whole tree costs it. A unit that takes part more often is not covered: whoever orders the participations has to see to
/// that. Nor is a node whose noise is drawn a second time: it has to be the same for as long as increments need it.
public struct TreeAggregation: Hashable, Sendable {
  public static let maximumSteps = 1 << 24

  /// A node: the steps `first` … `first + 2^level − 1`, counted from 1.
  public struct Node: Hashable, Sendable {
    public let level: Int
    public let first: Int
    public var steps: ClosedRange<Int> { first...(first + (1 << level) - 1) }
  }

  /// What the noise of one step consists of: N_t − N_{t−1}.
  public struct Increment: Hashable, Sendable {
    /// The node that the step completes.
    public let added: Node
    /// Those that go into it, of lower levels, whose noise is taken off again.
    public let removed: [Node]

    /// Adds the increment's noise to the integer sum of its step.
    ///
    /// - Parameter noise: of a node, as many values as the sum has; the same whenever it is asked for the same node.
    /// - Throws: what `noise` throws; the sum is then as it was.
    public func add<Failure: Error>(
      to sum: inout [Int64], noise: (_ node: Node) throws(Failure) -> [Int64]
    ) throws(Failure) {
      var result = sum
      for (index, value) in zip(result.indices, try noise(added)) { result[index] &+= value }
      for node in removed {
        for (index, value) in zip(result.indices, try noise(node)) { result[index] &-= value }
      }
      sum = result
    }
  }

  /// T
  public let steps: Int
  /// Of one node.
  public let noise: CentralGaussian

  /// - Parameters:
  ///   - steps: T, 1…2²⁴.
  ///   - noise: of a node, for the sensitivity of one step.
  /// - Throws: ``MechanismError/parameter(_:)``
  public init(steps: Int, noise: CentralGaussian) throws(MechanismError) {
    guard (1...Self.maximumSteps).contains(steps) else { throw .parameter(.steps) }
    self.steps = steps
    self.noise = noise
  }

  /// ⌈log₂(T + 1)⌉: levels, and nodes that one step is in at most.
  public static func height(steps: Int) -> Int { Int.bitWidth - max(steps, 0).leadingZeroBitCount }

  /// The same of this tree.
  public var height: Int { Self.height(steps: steps) }

  /// The nodes that make up the sum of the first `step` steps, the oldest first.
  public static func prefix(_ step: Int) -> [Node] {
    var nodes: [Node] = []
    var first = 1
    for level in (0..<height(steps: step)).reversed() where step >> level & 1 == 1 {
      nodes.append(Node(level: level, first: first))
      first += 1 << level
    }
    return nodes
  }

  /// What is added at a step.
  ///
  /// - Parameter step: 1…T.
  /// - Throws: ``MechanismError/parameter(_:)`` for another.
  public func increment(_ step: Int) throws(MechanismError) -> Increment {
    guard (1...steps).contains(step) else { throw .parameter(.steps) }
    // t − 1 ends in as many ones as t in zeros: these nodes end where t − 1 does.
    let level = step.trailingZeroBitCount
    return Increment(
      added: Node(level: level, first: step - (1 << level) + 1),
      removed: (0..<level).reversed().map { Node(level: $0, first: step - (2 << $0) + 1) })
  }

  /// How many nodes of all the tree's prefixes have a step in them: what one participation in this step is charged for.
  ///
  /// Of level j that is the block ⌊(t − 1)/2ʲ⌋, if it is complete within T and even: an odd one is only ever a part of the
  /// node above it. At most ``height``, which is that of the first step.
  /// - Throws: ``MechanismError/parameter(_:)`` for a step outside 1…T.
  public func nodes(of step: Int) throws(MechanismError) -> Int {
    guard (1...steps).contains(step) else { throw .parameter(.steps) }
    return (0..<height).count { level in
      let block = (step - 1) >> level
      return block & 1 == 0 && (block + 1) << level <= steps
    }
  }
}
