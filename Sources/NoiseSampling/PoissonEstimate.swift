/// An estimate of p(m + d) / p(m) for means of at least 256, in fixed point, whose instructions do not depend on d.
///
/// Let M = m + ½, K = m + d + ½, z = d/(K + M), ε = ln(mean/M). By Stirling's series for Γ(x + ½)
///
///     −ln p(m + d)/p(m) = K ln(K/M) − d − dε + T(K) − T(M),   T(x) = −1/(24x) + 7/(2880x³) − …
///
/// where K ln(K/M) − d = dz + 2K z³ (1/3 + z²/5 + z⁴/7 + …), and with g = 1/(1 − z²), v = g/(K + M)
///
///     1/K − 1/M = −4zv,   1/K³ − 1/M³ = −16z (3 + z²) v³.
///
/// The series T envelops: what follows its second term lies between zero and its third.
struct PoissonEstimate: Sendable {
  /// The largest |d| on either side for which the estimate is good.
  let reach: UInt64
  /// How far the estimate may be from the ratio, in units of 2⁻⁶⁴.
  let tolerance: UInt64
  /// 2m + 1.
  private let center: UInt64
  /// The number of bits of the largest K + M.
  private let bits: Int
  /// 2^(62 + bits) / (2m + 1), rounded down: from it Newton's iteration starts.
  private let centerReciprocal: UInt64
  private let iterations: Int
  /// 1/3, 1/5, 1/7 … in units of 2⁻⁶⁴, rounded down.
  private let coefficients: [UInt64]
  /// |ε| in units of 2^−(62 + bits), and whether ε is negative.
  private let logarithm: UInt64
  private let isLogarithmNegative: Bool

  /// - Parameter ratio: of a mean from 256 to 2⁴⁰, with a denominator of at most 2²¹.
  init(_ ratio: PoissonRatio, extraTolerance: UInt64) {
    let mode = ratio.mode
    center = 2 * mode + 1
    // Ten standard deviations, at most 5/8 of m, where the exponent is at least 37.
    reach = 10 * squareRoot(mode)
    bits = 64 - (center + reach).leadingZeroBitCount
    centerReciprocal = UInt64((UInt128(1) << (62 + UInt128(bits))) / UInt128(center))
    // The first relative error is |d| / (2m + 1), at most 2^−exponent, and each step squares it.
    var exponent = 63 - (center / (reach + 1)).leadingZeroBitCount
    var steps = 0
    while exponent < 62 {
      exponent *= 2
      steps += 1
    }
    iterations = steps
    coefficients = Self.coefficients(center: center, reach: reach)
    (logarithm, isLogarithmNegative) = Self.logarithm(ratio, bits: bits)
    tolerance = Self.tolerance(mode: mode, reach: reach) + extraTolerance
  }

  /// p(m + d)/p(m) in units of 2⁻⁶⁴, for |d| up to ``reach``, and ones for `below` if d is negative.
  @inline(__always)
  func ratio(distance: UInt64, below: UInt64) -> UInt64 {
    let exponent = exponent(distance: distance, below: below)
    // A negative one can only be one that was rounded.
    return Exponential.estimate(UInt128(exponent & ~(0 &- exponent >> 63)) << 8)
  }

  /// The exponent in units of 2⁻⁵⁶, modulo 2⁶⁴; below 64, that is 2⁶². Products of lengths are of at most 64 + 2 · 24 bits.
  @inline(__always)
  private func exponent(distance: UInt64, below: UInt64) -> UInt64 {
    // K + M, between 11/16 and 21/16 of 2m + 1, so more than half of the largest.
    let total = center &+ Mask.negate(distance, if: below)
    let reciprocal = reciprocal(of: total)
    let length = UInt128(distance) * UInt128(reciprocal)
    let z = UInt64(truncatingIfNeeded: length >> UInt128(bits - 2))
    let dz = UInt64(truncatingIfNeeded: (length * UInt128(distance)) >> UInt128(bits + 6))
    let square = Exponential.high(z, z)
    var series: UInt64 = 0
    // 1/(1 − z²) in units of 2⁻⁶³.
    var geometric: UInt64 = 1 << 63
    for coefficient in coefficients.reversed() {
      series = coefficient &+ Exponential.high(square, series)
      geometric = 1 << 63 &+ Exponential.high(square, geometric)
    }
    // 2K |z|³ is dz² + dz³ above and dz² − dz³ below.
    let cube = Exponential.high(dz, z)
    let fourth = Exponential.high(cube, z)
    let odd = Exponential.high(cube &+ Mask.negate(fourth, if: below), series)
    // v in units of 2^−(61 + bits), and of 2⁻⁶⁴.
    let v = Exponential.high(reciprocal, geometric)
    let first = (Exponential.high(v, z) / 6) >> UInt64(bits + 5)
    let small = v >> UInt64(bits - 3)
    let third = Exponential.high(Exponential.high(Exponential.high(small, small), small), z)
    let second = (7 &* (3 &* third &+ Exponential.high(third, square)) / 180) >> 8
    let drift = UInt64(truncatingIfNeeded: (UInt128(distance) * UInt128(logarithm)) >> UInt128(bits + 6))
    // All that changes sign with d.
    let rest = odd &+ first &- second &- (isLogarithmNegative ? 0 &- drift : drift)
    return dz &+ Mask.negate(rest, if: below)
  }

  /// 2^(62 + bits) / total, with a relative error of at most 2⁻⁶⁰.
  @inline(__always)
  private func reciprocal(of total: UInt64) -> UInt64 {
    // As a fraction of 2^bits with 64 digits.
    let normal = total << UInt64(64 - bits)
    var reciprocal = centerReciprocal
    for _ in 0..<iterations {
      let product = Exponential.high(normal, reciprocal)
      reciprocal = UInt64(truncatingIfNeeded: (UInt128(reciprocal) * UInt128(1 << 63 &- product)) >> 62)
    }
    return reciprocal
  }

  /// As many as leave out less than 2⁻⁶⁰ of the sum in the parenthesis at the largest |z|, which is below d.
  private static func coefficients(center: UInt64, reach: UInt64) -> [UInt64] {
    let z = UInt64((UInt128(reach) << 64) / UInt128(center - reach))
    let square = Exponential.high(z, z) + 1
    var coefficients: [UInt64] = []
    // What is left out is at most this power of z² times 1/3 · 1/(1 − z²), and 1/(1 − z²) at most 9/5.
    var power = UInt64.max
    while power >> 4 > 0 {
      coefficients.append(.max / UInt64(2 * coefficients.count + 3))
      power = Exponential.high(power, square)
    }
    return coefficients
  }

  /// ε = 2 artanh(y), y = (mean − M)/(mean + M) = (2a − b(2m + 1))/(2a + b(2m + 1)), where |y| is below 2⁻⁹.
  private static func logarithm(_ ratio: PoissonRatio, bits: Int) -> (UInt64, isNegative: Bool) {
    // At most 2⁶² each.
    let (mean, middle) = (2 * ratio.numerator, ratio.denominator * (2 * ratio.mode + 1))
    let isNegative = mean < middle
    let unit = 62 + bits + 64
    let y = (Natural(isNegative ? middle - mean : mean - middle) << unit) / (Natural(mean) + Natural(middle))
    let square = (y * y) >> unit
    var (sum, power) = (y, y)
    for divisor: UInt64 in [3, 5, 7, 9] {
      power = (power * square) >> unit
      var term = power
      term.divide(by: divisor)
      sum = sum + term
    }
    // At most 0.7 · 2⁶⁴, because |ε| is below 1/(2m) + 1/m² and 2^bits below 5.3m.
    return ((sum >> 63).word ?? .max, isNegative)
  }

  /// Rounding: the exponent is within 32 units of 2⁻⁵⁶. Of these, 4 for dz, which is at most 60 and whose relative error is
  /// 2⁻⁶⁰, less than 8 for the powers of z derived from it, and one or two for each of the other terms. Series: what follows
  /// the second term of T is between zero and 31/(40320 x⁵), for K and M.
  private static func tolerance(mode: UInt64, reach: UInt64) -> UInt64 {
    let least = UInt128(mode - reach)
    let stirling = ((UInt128(1) << 110) / (least * least * least) / (least * least) / 1300) >> 46
    return Exponential.estimateTolerance + (32 << 8) + UInt64(stirling) + 1
  }
}
