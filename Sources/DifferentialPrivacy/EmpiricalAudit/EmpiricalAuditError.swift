/// Why an empirical audit cannot be computed. Blame: caller, always.
public enum EmpiricalAuditError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Not 1 ≤ m ≤ 2²², 0 ≤ r ≤ m, 0 ≤ v ≤ r.
  case counts(canaries: Int, guesses: Int, correct: Int)
  /// As many scores as coins are needed, one a canary.
  case scores(found: Int, canaries: Int)
  /// Not a number, or below zero.
  case epsilon(Double)
  /// Outside 0…1.
  case delta(Double)
  /// Not above 0 and below 1.
  case confidence(Double)
  /// Canaries for fewer than two parameters, more than 2²⁴ of them, or rounds outside 1…2¹⁶.
  case shape(dimension: Int, rounds: Int)
  /// Not above zero and finite.
  case clip(Double)

  /// Stable, kebab-case name of the error.
  public var code: String {
    switch self {
    case .counts: "privacy-audit-counts"
    case .scores: "privacy-audit-scores"
    case .epsilon: "privacy-audit-epsilon"
    case .delta: "privacy-audit-delta"
    case .confidence: "privacy-audit-confidence"
    case .shape: "privacy-audit-shape"
    case .clip: "privacy-audit-clip"
    }
  }

  public var blame: String { "caller" }

  /// One sentence: what is wrong.
  public var message: String {
    switch self {
    case .counts(let canaries, let guesses, let correct):
      "\(correct) right of \(guesses) guesses about \(canaries) canaries cannot be audited"
    case .scores(let found, let canaries): "\(found) scores for \(canaries) canaries"
    case .epsilon(let value): "epsilon is \(value); it is to be 0 or more"
    case .delta(let value): "delta is \(value); it is to be from 0 to 1"
    case .confidence(let value): "the confidence is \(value); it is to be above 0 and below 1"
    case .shape(let dimension, let rounds): "no canaries for \(dimension) parameters in \(rounds) rounds"
    case .clip(let value): "the clip is \(value); it is to be above zero"
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .counts: "Use from 1 to \(OneRunAudit.maximumCanaries) canaries, and no more guesses than canaries."
    case .scores: "Give one score for every canary."
    case .epsilon, .delta, .confidence, .clip: "Correct the value."
    case .shape: "Audit a plan with at least one feature."
    }
  }

  public var description: String { message }
}
