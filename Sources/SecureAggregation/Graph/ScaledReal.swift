/// A positive number with an exponent of its own, so that factorials and their quotients neither overflow nor
/// vanish.
///
/// Only the basic operations of IEEE double take part, which are the same on every platform; `log` and `exp` of two
/// platforms may differ in the last bit, and then two sides could disagree on a bound. Each operation has a relative
/// error of at most 2⁻⁵³.
struct ScaledReal: Sendable {
  /// 1 ..< 2.
  let significand: Double
  let exponent: Int

  /// `value` is positive and finite.
  init(_ value: Double) { self.init(value, exponent: 0) }

  /// value · 2^exponent; `value` is positive and finite.
  private init(_ value: Double, exponent: Int) {
    significand = value.significand
    self.exponent = exponent + Int(value.exponent)
  }

  static func powerOfTwo(_ exponent: Int) -> ScaledReal { ScaledReal(1, exponent: exponent) }

  static func * (left: ScaledReal, right: ScaledReal) -> ScaledReal {
    ScaledReal(left.significand * right.significand, exponent: left.exponent + right.exponent)
  }

  static func / (left: ScaledReal, right: ScaledReal) -> ScaledReal {
    ScaledReal(left.significand / right.significand, exponent: left.exponent - right.exponent)
  }

  /// The nearest double, or `cap` if that is smaller; 0 far below the range of doubles.
  func value(atMost cap: Double) -> Double {
    if exponent > 1000 { return cap }
    if exponent < -1000 { return 0 }
    return min(cap, Double(sign: .plus, exponent: exponent, significand: significand))
  }
}
