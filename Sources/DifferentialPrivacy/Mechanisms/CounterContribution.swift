/// One organisation's counters with a bounded contribution of each unit, for what else leaves in a private run: counts
/// of an evaluation, histograms, the bits of adaptive clipping.
///
/// Counters are integers already, so the scale is 1 and the sensitivity exact: the contribution of one unit (a record,
/// or the organisation with its only one) has 1-norm and squared 2-norm within ``sensitivity``, or is refused. Like a
/// sum of gradients, they leave with noise only, and once.
public struct CounterContribution: ~Copyable {
  public let sensitivity: CounterSensitivity
  private(set) var sums: [Int64]
  private var contributions = 0

  /// - Throws: ``MechanismError/parameter(_:)`` for a count outside 1…2²⁴.
  public init(count: Int, sensitivity: CounterSensitivity) throws(MechanismError) {
    guard (1...(1 << 24)).contains(count) else { throw .parameter(.dimension) }
    self.sensitivity = sensitivity
    sums = [Int64](repeating: 0, count: count)
  }

  /// Adds what one unit contributes.
  ///
  /// - Throws: ``MechanismError/sensitivityExceeded``, ``MechanismError/shape(expected:found:)``,
  ///   ``MechanismError/tooManyRecords(limit:)``. The counters are then as they were.
  public mutating func add(_ contribution: [Int64]) throws(MechanismError) {
    guard contribution.count == sums.count else {
      throw .shape(expected: sums.count, found: contribution.count)
    }
    guard sensitivity.allows(contribution) else { throw .sensitivityExceeded }
    guard contributions < RecordContribution.maximumRecords else {
      throw .tooManyRecords(limit: RecordContribution.maximumRecords)
    }
    contributions += 1
    for index in sums.indices { sums[index] += contribution[index] }
  }

  /// Adds one unit that counts 1 in one place: a bin of a histogram.
  public mutating func increment(_ index: Int) throws(MechanismError) {
    guard sums.indices.contains(index) else { throw .shape(expected: sums.count, found: index + 1) }
    guard contributions < RecordContribution.maximumRecords else {
      throw .tooManyRecords(limit: RecordContribution.maximumRecords)
    }
    contributions += 1
    sums[index] += 1
  }

  /// The counters with this organisation's share of the noise.
  public consuming func finish(
    adding noise: NoiseShare, using randomness: inout some RandomNumberGenerator
  ) -> NoisedIntegers {
    NoisedIntegers(sums, adding: noise, using: &randomness)
  }

  /// The counters **without noise**, for a run in which the server adds it (``CentralGaussian``) and is trusted to: nothing
  /// but the secure sum hides them then. For no other use.
  public consuming func finish(trusting _: CentralNoise) -> [Int64] { sums }
}

/// What one unit may contribute to a section of counters.
public struct CounterSensitivity: Hashable, Sendable {
  /// Δ₂²
  public let squaredL2: UInt64
  /// Δ₁
  public let l1: UInt64

  /// One counter by one: a histogram.
  public static let one = CounterSensitivity(exactly: 1, l1: 1)

  /// - Throws: ``MechanismError/parameter(_:)`` unless 1 ≤ Δ₁ ≤ Δ₂² ≤ Δ₁² and Δ₁ ≤ 2³⁰, as for integers.
  public init(squaredL2: UInt64, l1: UInt64) throws(MechanismError) {
    guard l1 >= 1, l1 <= 1 << 30, squaredL2 >= l1, squaredL2 <= l1 * l1 else { throw .parameter(.sensitivity) }
    self.init(exactly: squaredL2, l1: l1)
  }

  private init(exactly squaredL2: UInt64, l1: UInt64) {
    self.squaredL2 = squaredL2
    self.l1 = l1
  }

  func allows(_ contribution: [Int64]) -> Bool {
    var sum: UInt64 = 0
    var squares: UInt64 = 0
    for value in contribution {
      guard value.magnitude <= l1 else { return false }
      // Below 2^31 and 2^61 while the guards hold.
      sum += value.magnitude
      squares += value.magnitude * value.magnitude
      guard sum <= l1, squares <= squaredL2 else { return false }
    }
    return true
  }
}
