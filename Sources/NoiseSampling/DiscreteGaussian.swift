/// The discrete Gaussian distribution: x with probability proportional to e^(−x²/(2σ²)), exactly.
///
/// Algorithm 3 of Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020): a discrete Laplace
/// variable of scale t = ⌊σ⌋ + 1, accepted with e^(−(|x| − σ²/t)²/(2σ²)). The two acceptances of a trial, that within the
/// discrete Laplace sampler and this one, are one here, with the product of their probabilities.
///
/// Trials are independent and each of them does the same work with three words, so the time that a sample takes depends on
/// how many were rejected, which is independent of the sample; about one in two is. See <doc:NoiseSampling> for what that
/// does not cover. The variance of the distribution is a little below σ² for small σ: 0.2 % at σ² = ½, 2 · 10⁻⁷ of it at 1.
public struct DiscreteGaussian: Sampler, TrialSampler {
  /// The parameter σ².
  public let variance: PositiveRational
  /// t.
  private let modulus: UniformBelow
  private let geometric: GeometricCount
  /// 2^(64 + shift) / (2σ²), rounded down.
  private let reciprocal: UInt128
  private let shift: Int
  /// σ² / (2t²) in units of 2⁻⁶⁴, rounded down.
  private let offset: UInt128
  private let tolerance: UInt64

  /// `nil` unless σ² is at most 2⁴⁰ and its reduced denominator at most 2²⁰; so σ² is at least 2⁻²⁰.
  public init?(variance: PositiveRational) { self.init(variance: variance, extraTolerance: 0) }

  /// - Parameter extraTolerance: widens the bounds, so that tests reach what else happens once in 2⁵⁷ trials.
  init?(variance: PositiveRational, extraTolerance: UInt64) {
    guard SamplerRange.contains(variance) else { return nil }
    self.variance = variance
    // At most 2²⁰ + 1.
    let scale = squareRoot(variance.floor) + 1
    modulus = UniformBelow(scale)
    geometric = GeometricCount(extraTolerance: extraTolerance)
    let (numerator, denominator) = (UInt128(variance.numerator), UInt128(variance.denominator))
    // 2^shift is at most 2σ², or one: so the reciprocal's dividend is at most 2⁶⁴ times 2⁶¹, or 2⁶⁴ times 2²⁰.
    let doubled = 2 * variance.numerator / variance.denominator
    shift = doubled == 0 ? 0 : 63 - doubled.leadingZeroBitCount
    reciprocal = (denominator << (64 + UInt128(shift))) / (2 * numerator)
    offset = (numerator << 64) / (2 * denominator * UInt128(scale) * UInt128(scale))
    // Let F be the exponent of x. Its estimate is too small by at most x²/2^shift + 2 units, and x²/2^shift ≤ 2 · x²/(2σ²).
    // Of these e^(−F) leaves little: x²/(2σ²) ≤ F + V, V ≤ 1 + √(2F), and e^(−F) (2(F + V) + 2) is below 8.
    tolerance = Exponential.estimateTolerance + 16 + extraTolerance
  }

  public func sample(using generator: inout some RandomNumberGenerator) -> Int64 { firstAccepted(using: &generator) }

  /// X = U + tV with U uniform below t and V geometric has weight e^(−V). Accepted with e^(−F), F = X²/(2σ²) − V +
  /// σ²/(2t²) = U/t + (X − σ²/t)²/(2σ²), it has weight e^(−X²/(2σ²)). Zero with a negative sign is rejected.
  func trial(_ first: UInt64, _ second: UInt64, _ third: UInt64) -> (Int64, Verdict) {
    let (uniform, isUniform) = modulus.reduce(first)
    let (count, isUndecided) = geometric.count(digits: second >> 1)
    // Below 44 (2²⁰ + 1), so X² is below 2⁵². The reciprocal is at most 2⁶⁴ unless σ < 1; then it is at most 2⁸³, but X² is
    // below 2¹¹.
    let magnitude = uniform + modulus.bound * count
    let weight = (UInt128(magnitude * magnitude) * reciprocal) >> UInt128(shift) + offset
    let exponent = weight - min(weight, UInt128(count) << 64)
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
    let magnitude = uniform + modulus.bound * count
    let isNegative = second & 1 == 1
    if isNegative && magnitude == 0 { return nil }
    var acceptance = LazyUniform(digits: third, count: 64)
    let exponent = exponent(magnitude: magnitude, count: count)
    let isAccepted = acceptance.isBelow(using: &generator) {
      Exponential.bounds(numerator: exponent.numerator, denominator: exponent.denominator, fractionBits: $0)
    }
    return isAccepted ? Int64(magnitude).withSign(isNegative) : nil
  }

  /// F for σ² = n/d over the denominator 2ndt²: (dtX)² + n² − 2ndt²V.
  private func exponent(magnitude: UInt64, count: UInt64) -> (numerator: Natural, denominator: Natural) {
    let (n, d, t) = (Natural(variance.numerator), Natural(variance.denominator), Natural(modulus.bound))
    let product = d * t * Natural(magnitude)
    let denominator = Natural(2) * n * d * t * t
    return (product * product + n * n - denominator * Natural(count), denominator)
  }
}
