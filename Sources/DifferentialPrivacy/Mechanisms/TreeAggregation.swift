public import NoiseSampling

/// Sums over all steps so far by a binary tree of noised partial sums, for DP-FTRL. **Central noise: whoever runs it
/// sees every step's sum without noise.**
///
/// Implements the tree aggregation of Kairouz et al. 2021 (arXiv 2103.00039, after Dwork et al. 2010 and Chan, Shi,
/// Song 2011) without restarts: step t (from 1) completes the nodes of a binary counter. A node of level j is the sum
/// of 2ʲ consecutive steps with noise of its own, drawn once; the sum of the first t steps is the sum of the nodes
/// at the ones of t in binary, so it carries at most ⌈log₂(T + 1)⌉ draws instead of t.
///
/// One unit that takes part in **one** of T steps is in at most ⌈log₂(T + 1)⌉ nodes, which is what ``event`` charges for
/// the whole tree. A unit that takes part more often is not covered: whoever orders the participations has to see to
/// that.
public struct TreeAggregation: Sendable {
  public static let maximumSteps = 1 << 24

  /// A node: the steps `first` … `first + 2^level − 1`, counted from 1.
  public struct Node: Hashable, Sendable {
    public let level: Int
    public let first: Int
    public var steps: ClosedRange<Int> { first...(first + (1 << level) - 1) }
  }

  /// T
  public let steps: Int
  public let dimension: Int
  private let noise: CentralGaussian
  public private(set) var completed = 0
  /// Noise-free sum of the last complete node of each level, as long as a higher one may need it.
  private var sums: [[Int64]?]
  /// The same with noise, as long as it is part of the current sum.
  private var noised: [[Int64]?]

  /// - Parameters:
  ///   - steps: T, 1…2²⁴.
  ///   - noiseMultiplier: z: standard deviation of a node's noise over the sensitivity of one step.
  /// - Throws: ``MechanismError/parameter(_:)``
  public init(
    steps: Int, dimension: Int, noiseMultiplier: Double, squaredL2Sensitivity: UInt64
  ) throws(MechanismError) {
    guard (1...Self.maximumSteps).contains(steps) else { throw .parameter(.steps) }
    guard (1...ConditionalRounding.maximumDimension).contains(dimension) else { throw .parameter(.dimension) }
    noise = try CentralGaussian(noiseMultiplier: noiseMultiplier, squaredL2Sensitivity: squaredL2Sensitivity)
    self.steps = steps
    self.dimension = dimension
    sums = [[Int64]?](repeating: nil, count: Self.height(steps: steps))
    noised = sums
  }

  /// ⌈log₂(T + 1)⌉: levels, and nodes that one step is in at most.
  public static func height(steps: Int) -> Int { Int.bitWidth - max(steps, 0).leadingZeroBitCount }

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

  /// σ² of one node, squared integer units.
  public var variance: PositiveRational { noise.variance }

  /// What the whole tree is charged as, for one participation: ε(α) = α·⌈log₂(T + 1)⌉/(2z²).
  public var event: PrivacyEvent { .tree(noiseMultiplier: noise.noiseMultiplier, leaves: steps) }

  /// Adds the integer sum of the next step; returns the noised sum of all steps so far.
  ///
  /// - Parameter randomness: A cryptographically secure source.
  /// - Throws: ``MechanismError/shape(expected:found:)``; ``MechanismError/parameter(_:)`` after the last step.
  public mutating func append(
    _ step: [Int64], using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) -> [Int64] {
    guard step.count == dimension else { throw .shape(expected: dimension, found: step.count) }
    guard completed < steps else { throw .parameter(.steps) }
    completed += 1
    let level = completed.trailingZeroBitCount
    var sum = step
    for lower in 0..<level {
      if let part = sums[lower] {
        for index in sum.indices { sum[index] &+= part[index] }
      }
      sums[lower] = nil
      noised[lower] = nil
    }
    sums[level] = sum
    noise.add(to: &sum, using: &randomness)
    noised[level] = sum
    return total()
  }

  private func total() -> [Int64] {
    var result = [Int64](repeating: 0, count: dimension)
    for case .some(let part) in noised {
      for index in result.indices { result[index] &+= part[index] }
    }
    return result
  }
}
