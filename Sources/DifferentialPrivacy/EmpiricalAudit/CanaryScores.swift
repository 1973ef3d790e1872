/// What an auditor holds about each canary before it guesses, and, for whoever marks the guesses, how the coins fell.
public struct CanaryScores: Sendable {
  /// Of the canaries, guesses are made about: so many at the least.
  static let leastGuesses = 8
  /// 1, ½, ¼ … of the canaries.
  private static let halvings = 7

  /// Above zero where the canary is rather there, below where it is rather not; the further away, the surer.
  public private(set) var scores: [Double]
  private var isIncluded: [Bool]
  /// The surest first. Of equal ones that which comes first, whatever its coin.
  private var order: [Int]

  public var count: Int { scores.count }

  /// - Parameters:
  ///   - scores: One a canary. What is not a number counts as zero.
  ///   - isIncluded: How the coins fell.
  /// - Throws: ``EmpiricalAuditError/scores(found:canaries:)``
  public init(scores: [Double], isIncluded: [Bool]) throws(EmpiricalAuditError) {
    guard scores.count == isIncluded.count else { throw .scores(found: scores.count, canaries: isIncluded.count) }
    self.scores = scores.map { $0.isNaN ? 0 : $0 }
    self.isIncluded = isIncluded
    order = []
    sort()
  }

  private mutating func sort() {
    let magnitudes = scores.map(\.magnitude)
    order = magnitudes.indices.sorted { (magnitudes[$1], $0) < (magnitudes[$0], $1) }
  }

  /// Those of further runs, with other canaries.
  public mutating func append(_ others: CanaryScores) {
    scores += others.scores
    isIncluded += others.isIncluded
    sort()
  }

  /// The guesses about the surest `guesses` canaries: there if the score is above zero, not there otherwise.
  ///
  /// - Throws: ``EmpiricalAuditError/counts(canaries:guesses:correct:)``
  public func audit(guesses: Int) throws(EmpiricalAuditError) -> OneRunAudit {
    guard (0...count).contains(guesses) else { throw .counts(canaries: count, guesses: guesses, correct: 0) }
    let correct = order.prefix(guesses).count { (scores[$0] > 0) == isIncluded[$0] }
    return try OneRunAudit(canaries: count, guesses: guesses, correct: correct)
  }

  /// How many of `canaries` others to guess about, as these scores suggest: the number whose bound would be largest if
  /// the same share were right.
  ///
  /// These canaries are a pilot and must not be counted again: the theorem needs a number that does not depend on the
  /// coins.
  ///
  /// - Throws: as ``OneRunAudit/init(canaries:guesses:correct:)`` and
  ///   ``OneRunAudit/epsilonLowerBound(delta:confidence:)``.
  public func guesses(canaries: Int, delta: Double, confidence: Double) throws(EmpiricalAuditError) -> Int {
    var best = (guesses: canaries, bound: -1.0)
    for halving in 0..<Self.halvings {
      let guesses = canaries >> halving
      let pilot = try audit(guesses: count >> halving)
      guard halving == 0 || min(guesses, pilot.guesses) >= Self.leastGuesses else { break }
      // One right and one wrong guess more: from few guesses that are all right it does not follow that all would be.
      let share = (Double(pilot.correct) + 1) / (Double(pilot.guesses) + 2)
      let expected = try OneRunAudit(
        canaries: canaries, guesses: guesses, correct: Int(share * Double(guesses)))
      let bound = try expected.epsilonLowerBound(delta: delta, confidence: confidence)
      if bound > best.bound { best = (guesses, bound) }
    }
    return best.guesses
  }
}
