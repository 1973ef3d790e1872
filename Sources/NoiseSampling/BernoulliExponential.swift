/// True with probability e^(−numerator/denominator), exactly.
///
/// The probability is computed once to 64 bits with bounds; a draw compares one word with it. Only if the word is one of
/// the few next to the probability, more digits of both decide.
///
/// A draw takes the same time whatever its outcome, but for those about 4 in 2⁶⁴ words.
public struct BernoulliExponential: Sampler {
  /// Of the exponent, as given.
  public let numerator: UInt64
  public let denominator: UInt64
  private let estimate: UInt64
  private let tolerance: UInt64

  /// `nil` if the denominator is zero. Every other exponent is supported; zero gives true always.
  public init?(numerator: UInt64, denominator: UInt64) {
    self.init(numerator: numerator, denominator: denominator, extraTolerance: 0)
  }

  /// - Parameter extraTolerance: widens the bounds, so that tests reach what else happens once in 2⁶⁰ draws.
  init?(numerator: UInt64, denominator: UInt64, extraTolerance: UInt64) {
    guard denominator > 0 else { return nil }
    self.numerator = numerator
    self.denominator = denominator
    let bounds = Exponential.bounds(
      numerator: Natural(numerator), denominator: Natural(denominator), fractionBits: 64)
    // Certainty has no place in a word, and is then one unit away.
    estimate = bounds.lower.word ?? .max
    tolerance = 4 + extraTolerance
  }

  /// One draw.
  /// - Parameter generator: cryptographically secure, under a fresh seed; see <doc:NoiseSampling>.
  public func sample(using generator: inout some RandomNumberGenerator) -> Bool {
    let digits = generator.next()
    switch Verdict(digits: digits, estimate: estimate, tolerance: tolerance) {
    case .below: return true
    case .notBelow: return false
    case .undecided:
      var uniform = LazyUniform(digits: digits, count: 64)
      return uniform.isBelow(using: &generator) {
        Exponential.bounds(
          numerator: Natural(numerator), denominator: Natural(denominator), fractionBits: $0)
      }
    }
  }
}
