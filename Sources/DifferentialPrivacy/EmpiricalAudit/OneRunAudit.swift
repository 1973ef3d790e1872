import Foundation

/// What an auditor guessed about canaries, and how often that was right: evidence against a claim of (ε, δ)-differential
/// privacy.
///
/// Implements Theorem 5.2 and Corollary 5.4 of Steinke, Nasr, Jagielski 2023 ("Privacy Auditing with One (1) Training
/// Run", arXiv 2305.08846). Of m canaries each is there or not by a fair coin of its own. From all that is published the
/// auditor guesses r of the coins. If one canary more or less is hidden with (ε, δ), then
///
///     P[at least v guesses are right] ≤ β + 2·m·δ·α,
///     β = P[W ≥ v],  α = max_{1 ≤ i ≤ v} P[v > W ≥ v − i]/i,  W ~ Binomial(r, e^ε/(1 + e^ε)).
///
/// r must not depend on the coins that are counted: fix it before, or choose it on others. Several runs, each with
/// canaries of its own, are one mechanism with all these canaries, and count together.
///
/// A lower bound shows that a mechanism is *not* better than it; it never shows that one is as good as it claims.
public struct OneRunAudit: Hashable, Sendable {
  public static let maximumCanaries = 1 << 22
  /// Beyond this no count of canaries could tell anything.
  private static let largestEpsilon = 1024.0
  private static let precision = 0x1p-30
  private static let usualCounts = [250, 500, 1000, 2000, 4000, 8000, 12_000]
  private static let largeCounts = [24_000, 48_000, 96_000]
  /// By how much the ceiling is to be above ε: a few wrong guesses.
  private static let margin = 0.1

  /// m, guessed about or not.
  public let canaries: Int
  /// r
  public let guesses: Int
  /// v
  public let correct: Int

  /// - Throws: ``EmpiricalAuditError/counts(canaries:guesses:correct:)`` unless 0 ≤ v ≤ r ≤ m and 1 ≤ m ≤ 2²².
  public init(canaries: Int, guesses: Int, correct: Int) throws(EmpiricalAuditError) {
    guard (1...Self.maximumCanaries).contains(canaries), 0 <= correct, correct <= guesses, guesses <= canaries else {
      throw .counts(canaries: canaries, guesses: guesses, correct: correct)
    }
    self.canaries = canaries
    self.guesses = guesses
    self.correct = correct
  }

  /// The largest chance of so many right guesses, or more, under (ε, δ)-differential privacy; at most 1.
  ///
  /// - Throws: ``EmpiricalAuditError/epsilon(_:)``, ``EmpiricalAuditError/delta(_:)``.
  public func pValue(epsilon: Double, delta: Double) throws(EmpiricalAuditError) -> Double {
    guard epsilon >= 0 else { throw .epsilon(epsilon) }
    guard (0...1).contains(delta) else { throw .delta(delta) }
    return pValue(RandomizedResponse(guesses: guesses), epsilon: epsilon, delta: delta)
  }

  private func pValue(_ response: RandomizedResponse, epsilon: Double, delta: Double) -> Double {
    let tail = response.tail(atLeast: correct, epsilon: epsilon)
    guard delta > 0 else { return tail }
    let slope = response.slope(below: correct, epsilon: epsilon)
    return min(1, tail + 2 * Double(canaries) * delta * slope)
  }

  /// The ε below which the mechanism is not (ε, δ)-differentially private, with this confidence; 0 where the guesses
  /// show nothing.
  ///
  /// The ε that is returned is itself rejected at the level 1 − confidence, and with it every smaller one. That holds
  /// whether or not the p-value grows with ε: with v* the least number of right guesses for which some ε′ ≥ ε would be
  /// rejected, an (ε, δ)-private mechanism is (ε′, δ)-private too, and reaches v* with a chance of at most 1 − confidence.
  ///
  /// - Throws: ``EmpiricalAuditError/delta(_:)``, ``EmpiricalAuditError/confidence(_:)``.
  public func epsilonLowerBound(delta: Double, confidence: Double) throws(EmpiricalAuditError) -> Double {
    guard (0...1).contains(delta) else { throw .delta(delta) }
    guard confidence > 0, confidence < 1 else { throw .confidence(confidence) }
    let level = 1 - confidence
    let response = RandomizedResponse(guesses: guesses)
    func isRejected(_ epsilon: Double) -> Bool { pValue(response, epsilon: epsilon, delta: delta) <= level }
    guard isRejected(0) else { return 0 }
    var (low, high) = (0.0, 1.0)
    while isRejected(high) {
      guard high < Self.largestEpsilon else { return high }
      (low, high) = (high, 2 * high)
    }
    while high - low > Self.precision {
      let middle = (low + high) / 2
      if isRejected(middle) { low = middle } else { high = middle }
    }
    return low
  }

  /// What so many canaries could show at best: every one guessed, and all guesses right.
  ///
  /// - Throws: as ``init(canaries:guesses:correct:)`` and ``epsilonLowerBound(delta:confidence:)``.
  public static func ceiling(
    canaries: Int, delta: Double, confidence: Double
  ) throws(EmpiricalAuditError) -> Double {
    try OneRunAudit(canaries: canaries, guesses: canaries, correct: canaries)
      .epsilonLowerBound(delta: delta, confidence: confidence)
  }

  /// How many canaries to take: of some numbers that can be had in little time the one that could show most, or a
  /// larger one if a mechanism without any noise would otherwise pass for one with (ε, δ).
  ///
  /// δ counts against every canary, so that more do not always show more: there may be no number that is enough.
  ///
  /// - Throws: as ``ceiling(canaries:delta:confidence:)``.
  public static func canaries(
    toShow epsilon: Double, delta: Double, confidence: Double
  ) throws(EmpiricalAuditError) -> Int {
    var best = (count: usualCounts[0], ceiling: -1.0)
    for count in usualCounts + largeCounts {
      if count >= largeCounts[0], best.ceiling >= epsilon + margin { break }
      let ceiling = try Self.ceiling(canaries: count, delta: delta, confidence: confidence)
      if ceiling > best.ceiling { best = (count, ceiling) }
    }
    return best.count
  }
}
