/// How many powers of 1/e a uniform number lies below: v with probability e⁻ᵛ (1 − 1/e).
///
/// One comparison with each of 44 powers instead of a draw for each success, so that the time does not tell v.
struct GeometricCount: Sendable {
  /// ⌊e⁻ᵛ · 2⁶³⌋ for v = 1, 2, … up to the first that is zero.
  private let powers: [UInt64]
  private let extraTolerance: UInt64

  /// The most that ``count(digits:)`` gives where it does not leave it open.
  static let largestCount = 43

  init(extraTolerance: UInt64) {
    powers = Self.roundedPowers
    self.extraTolerance = extraTolerance
  }

  /// The count for a number with these first 63 binary digits, and whether they leave it open, once in 2⁵⁷.
  @inline(__always)
  func count(digits: UInt64) -> (count: UInt64, isUndecided: Bool) {
    var count: UInt64 = 0
    var close: UInt64 = 0
    for power in powers {
      count &+= digits < power ? 1 : 0
      // Equal to the rounded power: the power itself, which is irrational, lies somewhere among the digits to follow.
      close |= digits &- power &+ extraTolerance <= 2 &* extraTolerance ? 1 : 0
    }
    return (count, close != 0)
  }

  /// The count where the first digits leave it open.
  static func resolve(_ uniform: inout LazyUniform, using generator: inout some RandomNumberGenerator) -> UInt64 {
    var count: UInt64 = 0
    while uniform.isBelow(using: &generator, { bounds(power: count + 1, fractionBits: $0) }) { count += 1 }
    return count
  }

  private static func bounds(power: UInt64, fractionBits: Int) -> Bounds {
    Exponential.bounds(numerator: Natural(power), denominator: Natural(1), fractionBits: fractionBits)
  }

  private static let roundedPowers: [UInt64] = (1...UInt64(largestCount + 1)).map { power in
    var bits = 64
    while true {
      let bounds = bounds(power: power, fractionBits: 63 + bits)
      if let word = (bounds.lower >> bits).word, bounds.upper >> bits == Natural(word) { return word }
      bits *= 2
    }
  }
}
