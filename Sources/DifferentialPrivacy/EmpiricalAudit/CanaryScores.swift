import Foundation

/// What an auditor holds about each canary before it guesses, and, for whoever marks the guesses, how the coins fell.
public struct CanaryScores: Sendable {
  /// Guesses are about so many canaries at the least.
  static let leastGuesses = 8
  /// About all, a half, a quarter … of them.
  private static let halvings = 7

  /// Above zero where the canary is rather there, below where it is rather not; the further away, the surer.
  public private(set) var scores: [Double]
  private var isIncluded: [Bool]

  public var count: Int { scores.count }

  /// - Parameters:
  ///   - scores: One a canary. What is not a number counts as zero.
  ///   - isIncluded: How the coins fell.
  /// - Throws: ``EmpiricalAuditError/scores(found:canaries:)``
  public init(scores: [Double], isIncluded: [Bool]) throws(EmpiricalAuditError) {
    guard scores.count == isIncluded.count else { throw .scores(found: scores.count, canaries: isIncluded.count) }
    self.scores = scores.map { $0.isNaN ? 0 : $0 }
    self.isIncluded = isIncluded
  }

  /// Those of further runs, with other canaries.
  public mutating func append(_ others: CanaryScores) {
    scores += others.scores
    isIncluded += others.isIncluded
  }

  /// Positions, the surest first. Of equal ones that which comes first, whatever its coin.
  private func surestFirst() -> [Int] {
    let magnitudes = scores.map(\.magnitude)
    return magnitudes.indices.sorted { (magnitudes[$1], $0) < (magnitudes[$0], $1) }
  }

  /// The guesses about the surest `guesses` canaries: there if the score is above zero, not there otherwise.
  ///
  /// - Throws: ``EmpiricalAuditError/counts(canaries:guesses:correct:)``
  public func audit(guesses: Int) throws(EmpiricalAuditError) -> OneRunAudit {
    guard (0...count).contains(guesses) else { throw .counts(canaries: count, guesses: guesses, correct: 0) }
    let correct = surestFirst().prefix(guesses).count { (scores[$0] > 0) == isIncluded[$0] }
    return try OneRunAudit(canaries: count, guesses: guesses, correct: correct)
  }

  /// How many of `canaries` others to guess about, as these scores suggest: the number whose bound would be largest.
  ///
  /// These canaries are a pilot and must not be counted again: the theorem needs a number that does not depend on the
  /// coins. Scores are taken as normal about two means, which smooths chance out; where they are not, the number is less
  /// than the best, and the bound holds all the same.
  ///
  /// - Throws: as ``OneRunAudit/init(canaries:guesses:correct:)`` and
  ///   ``OneRunAudit/epsilonLowerBound(delta:confidence:)``.
  public func guesses(canaries: Int, delta: Double, confidence: Double) throws(EmpiricalAuditError) -> Int {
    let chances = chances()
    var best = (guesses: canaries, bound: -1.0)
    for halving in 0..<Self.halvings {
      let (guesses, sample) = (canaries >> halving, count >> halving)
      guard halving == 0 || min(guesses, sample) >= Self.leastGuesses else { break }
      let share = sample > 0 ? chances.prefix(sample).reduce(0, +) / Double(sample) : 0
      let expected = try OneRunAudit(
        canaries: canaries, guesses: guesses, correct: min(guesses, Int(share * Double(guesses))))
      let bound = try expected.epsilonLowerBound(delta: delta, confidence: confidence)
      if bound > best.bound { best = (guesses, bound) }
    }
    return best.guesses
  }

  /// With which chance each guess is right, the surest first.
  private func chances() -> [Double] {
    let signed = zip(scores, isIncluded).map { $1 ? $0 : -$0 }
    let mean = signed.reduce(0, +) / Double(count)
    let variance = signed.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
    // Of normal numbers about ±mean with this variance.
    let oddsPerUnit = 2 * max(mean, 0) / max(variance, 0x1p-64)
    return surestFirst().map { 1 / (1 + exp(-oddsPerUnit * scores[$0].magnitude)) }
  }
}
