/// The discrete Laplace distribution: x with probability proportional to e^(−|x|/scale), exactly.
///
/// Algorithm 2 of Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020). Its trials are
/// independent and each of them does the same work with three words, so the time that a sample takes depends on how many
/// were rejected, which is independent of the sample. See <doc:NoiseSampling> for what that does not cover.
public struct DiscreteLaplace: Sampler, TrialSampler {
  public let scale: PositiveRational
  /// The scale is modulus / divisor.
  private let modulus: UniformBelow
  private let divisor: UInt64
  /// The modulus divided by the divisor.
  private let whole: (quotient: UInt64, remainder: UInt64)
  private let geometric: GeometricCount
  /// 2^(64 + reciprocalShift) / modulus, rounded down.
  private let reciprocal: UInt128
  private let reciprocalShift: Int
  private let tolerance: UInt64

  /// `nil` unless the scale is at most 2⁴⁰ and its reduced denominator at most 2²⁰.
  ///
  /// A sample that does not fit into 64 bits stops the program; that has a probability below e^(−2²²).
  public init?(scale: PositiveRational) { self.init(scale: scale, extraTolerance: 0) }

  /// - Parameter extraTolerance: widens the bounds, so that tests reach what else happens once in 2⁵⁷ trials.
  init?(scale: PositiveRational, extraTolerance: UInt64) {
    guard SamplerRange.contains(scale) else { return nil }
    self.scale = scale
    // At most 2⁶⁰, so that all products below stay within 128 bits.
    modulus = UniformBelow(scale.numerator)
    divisor = scale.denominator
    whole = scale.numerator.quotientAndRemainder(dividingBy: scale.denominator)
    geometric = GeometricCount(extraTolerance: extraTolerance)
    reciprocalShift = 63 - scale.numerator.leadingZeroBitCount
    reciprocal = (1 << (64 + UInt128(reciprocalShift))) / UInt128(scale.numerator)
    // The exponent below loses less than 2^(1 − 64) by the reciprocal and one unit by the shift.
    tolerance = Exponential.estimateTolerance + 3 + extraTolerance
  }

  public func sample(using generator: inout some RandomNumberGenerator) -> Int64 { firstAccepted(using: &generator) }

  /// X = U + modulus · V with U uniform below the modulus, accepted with e^(−U/modulus), and V geometric; the magnitude is
  /// ⌊X / divisor⌋. Zero with a negative sign is rejected.
  func trial(_ first: UInt64, _ second: UInt64, _ third: UInt64) -> (Int64, Verdict) {
    let (uniform, isUniform) = modulus.reduce(first)
    let (count, isUndecided) = geometric.count(digits: second >> 1)
    // In units of 2⁻⁶⁴, a little too small. U below 2⁶⁰ times a reciprocal of at most 2⁶⁴.
    let exponent = (UInt128(uniform) * reciprocal) >> UInt128(reciprocalShift)
    let magnitude = magnitude(uniform: uniform, count: count)
    let isNegative = second & 1 == 1
    let verdict = Verdict(digits: third, estimate: Exponential.estimate(exponent), tolerance: tolerance)
    let value = Int64(magnitude).withSign(isNegative)
    if !isUniform || (!isUndecided && isNegative && magnitude == 0) { return (value, .notBelow) }
    return (value, isUndecided ? .undecided : verdict)
  }

  func resolve(
    _ first: UInt64, _ second: UInt64, _ third: UInt64, using generator: inout some RandomNumberGenerator
  ) -> Int64? {
    let (uniform, _) = modulus.reduce(first)
    var digits = LazyUniform(digits: second >> 1, count: 63)
    let count = GeometricCount.resolve(&digits, using: &generator)
    let magnitude = magnitude(uniform: uniform, count: count)
    let isNegative = second & 1 == 1
    if isNegative && magnitude == 0 { return nil }
    var acceptance = LazyUniform(digits: third, count: 64)
    let isAccepted = acceptance.isBelow(using: &generator) {
      Exponential.bounds(
        numerator: Natural(uniform), denominator: Natural(modulus.bound), fractionBits: $0)
    }
    return isAccepted ? Int64(magnitude).withSign(isNegative) : nil
  }

  /// ⌊(U + modulus · V) / divisor⌋ without a division by secrets, whose time might tell. U + (modulus mod divisor) · V is
  /// below 2⁶¹ for a V that is not resolved.
  @inline(__always)
  private func magnitude(uniform: UInt64, count: UInt64) -> UInt64 {
    let rest = uniform + whole.remainder * count
    // One too small at most, because rest · 2⁻⁶⁴ is below one half.
    let estimate = Exponential.high(rest, UInt64.max / divisor)
    return whole.quotient * count + estimate + (rest - estimate * divisor >= divisor ? 1 : 0)
  }
}

/// Uniform integers below a bound, by Lemire's multiplication: one word a trial, rejected with probability bound / 2⁶⁴ at
/// most.
struct UniformBelow: Sendable {
  let bound: UInt64
  /// 2⁶⁴ mod bound.
  private let threshold: UInt64

  /// - Parameter bound: positive.
  init(_ bound: UInt64) {
    self.bound = bound
    threshold = (0 &- bound) % bound
  }

  /// The integer, uniform if the flag is true and the word was.
  @inline(__always)
  func reduce(_ word: UInt64) -> (value: UInt64, isUniform: Bool) {
    let product = word.multipliedFullWidth(by: bound)
    return (product.high, product.low >= threshold)
  }
}

extension Int64 {
  /// Negated or not, without a branch.
  @inline(__always)
  func withSign(_ isNegative: Bool) -> Int64 {
    let mask: Int64 = isNegative ? -1 : 0
    return (self ^ mask) - mask
  }
}
