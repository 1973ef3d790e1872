/// e⁻ˣ in integers: with any precision for rational x, and quickly in fixed point.
enum Exponential {
  /// e^(−numerator/denominator) · 2^fractionBits, within a few units.
  ///
  /// The exponent is halved until it is at most ½, the alternating series summed, and the result squared as often.
  /// Every rounding widens the bounds.
  static func bounds(numerator: Natural, denominator: Natural, fractionBits: Int) -> Bounds {
    guard !numerator.isZero else {
      return Bounds(lower: .powerOfTwo(fractionBits), upper: .powerOfTwo(fractionBits))
    }
    let halvings = max(0, numerator.bitWidth - denominator.bitWidth + 2)
    // Each squaring doubles the width of the bounds.
    let guardBits = halvings + 16
    let bits = fractionBits + guardBits
    let one = Natural.powerOfTwo(bits)
    let exponent = (numerator << bits) / (denominator << halvings)
    var (positive, negative) = (one, Natural(0))
    var (term, count) = (one, UInt64(0))
    while !term.isZero {
      count += 1
      term = (term * exponent) >> bits
      term.divide(by: count)
      if count.isMultiple(of: 2) { positive = positive + term } else { negative = negative + term }
    }
    // A term loses less than three units: two by its own two roundings, and at most half of what the one before lost.
    // The series from the first term that vanished on is below three units as well. The exponent lost less than one.
    let error = Natural(3 * count + 4)
    var lower = positive - (negative + error)
    var upper = min(one, positive - negative + error)
    for _ in 0..<halvings {
      lower = (lower * lower) >> bits
      upper = (upper * upper) >> bits + Natural(1)
    }
    return Bounds(lower: lower >> guardBits, upper: upper >> guardBits + Natural(1))
  }

  /// How far ``estimate(_:)`` may be from e⁻ˣ, in units of 2⁻⁶⁴.
  ///
  /// A step of Horner's rule loses less than two units of 2⁻⁶³ (coefficient and product) and keeps at most ln 2 of what the
  /// step before lost: less than 6.6 in all. The series left out is below 2⁻⁶⁶. One unit goes where 1 does not fit. The
  /// reduced exponent is up to n units of 2⁻⁶⁴ too large, which costs n · 2⁻ⁿ, at most one half.
  static let estimateTolerance: UInt64 = 24

  /// e⁻ˣ · 2⁶⁴ to within ``estimateTolerance``, for x below 2⁶³ given in units of 2⁻⁶⁴. The same instructions whatever x is.
  @inline(__always)
  static func estimate(_ x: UInt128) -> UInt64 {
    let whole = UInt64(truncatingIfNeeded: x >> 64)
    // From 44 on the result is below 2⁻⁶³, so it may be taken for that of just below 44.
    let large = Mask.isLess(43, whole)
    let integer = Mask.choose(43, if: large, else: whole)
    let fraction = UInt64(truncatingIfNeeded: x) | large
    // ⌊x / ln 2⌋ or one less, at most 63: x in 2⁻⁵⁸, 1 / ln 2 in 2⁻⁶³, both rounded down.
    let halvings = high(integer << 58 | fraction >> 6, 0xB8AA_3B29_5C17_F0BB) >> 57
    // ln 2 in 2⁻⁶⁴, rounded down; what is left lies in [0, 0.6932), so the words above need not be subtracted.
    let r = fraction &- halvings &* 0xB172_17F7_D1CF_79AB
    var sum = coefficient(6_402_373_705_728_000)
    sum = coefficient(355_687_428_096_000) &- high(r, sum)
    sum = coefficient(20_922_789_888_000) &- high(r, sum)
    sum = coefficient(1_307_674_368_000) &- high(r, sum)
    sum = coefficient(87_178_291_200) &- high(r, sum)
    sum = coefficient(6_227_020_800) &- high(r, sum)
    sum = coefficient(479_001_600) &- high(r, sum)
    sum = coefficient(39_916_800) &- high(r, sum)
    sum = coefficient(3_628_800) &- high(r, sum)
    sum = coefficient(362_880) &- high(r, sum)
    sum = coefficient(40_320) &- high(r, sum)
    sum = coefficient(5_040) &- high(r, sum)
    sum = coefficient(720) &- high(r, sum)
    sum = coefficient(120) &- high(r, sum)
    sum = coefficient(24) &- high(r, sum)
    sum = coefficient(6) &- high(r, sum)
    sum = coefficient(2) &- high(r, sum)
    sum = coefficient(1) &- high(r, sum)
    sum = coefficient(1) &- high(r, sum)
    // 1 itself is 2⁶³ here and has no place in 64 bits of fraction.
    return ((sum &- sum >> 63) << 1) &>> halvings
  }

  /// 1/n! in units of 2⁻⁶³; the compiler computes it.
  @inline(__always)
  private static func coefficient(_ factorial: UInt64) -> UInt64 { (1 << 63) / factorial }

  /// The upper word of a product.
  @inline(__always)
  static func high(_ first: UInt64, _ second: UInt64) -> UInt64 { first.multipliedFullWidth(by: second).high }
}

/// Conditions on secrets as words of 64 equal bits, computed and used without branches.
enum Mask {
  /// Ones if first < second, for words that are less than 2⁶³ apart.
  @inline(__always)
  static func isLess(_ first: UInt64, _ second: UInt64) -> UInt64 { 0 &- (first &- second) >> 63 }

  /// Ones if the words, both below 2⁶³, are equal.
  @inline(__always)
  static func isEqual(_ first: UInt64, _ second: UInt64) -> UInt64 { isLess(first ^ second, 1) }

  @inline(__always)
  static func choose(_ first: UInt64, if mask: UInt64, else second: UInt64) -> UInt64 {
    second ^ (first ^ second) & mask
  }

  /// The word with its sign changed, modulo 2⁶⁴, if the mask is ones.
  @inline(__always)
  static func negate(_ word: UInt64, if mask: UInt64) -> UInt64 { (word ^ mask) &- mask }
}
