/// A positive fraction in lowest terms: a variance, a mean or a scale.
///
/// Two values are equal exactly if they are the same number.
public struct PositiveRational: Hashable, Sendable {
  public let numerator: UInt64
  public let denominator: UInt64

  /// `numerator / denominator`, reduced; `nil` if either is zero.
  public init?(numerator: UInt64, denominator: UInt64) {
    guard numerator > 0, denominator > 0 else { return nil }
    let divisor = Self.greatestCommonDivisor(numerator, denominator)
    self.numerator = numerator / divisor
    self.denominator = denominator / divisor
  }

  /// A whole number; `nil` if it is zero.
  public init?(_ value: UInt64) { self.init(numerator: value, denominator: 1) }

  /// Half of it; `nil` if the denominator would pass 64 bits.
  var half: PositiveRational? {
    if numerator.isMultiple(of: 2) { return PositiveRational(numerator: numerator / 2, denominator: denominator) }
    let (doubled, overflow) = denominator.multipliedReportingOverflow(by: 2)
    return overflow ? nil : PositiveRational(numerator: numerator, denominator: doubled)
  }

  /// The largest whole number that is not above it.
  var floor: UInt64 { numerator / denominator }

  private static func greatestCommonDivisor(_ first: UInt64, _ second: UInt64) -> UInt64 {
    var (larger, smaller) = (first, second)
    while smaller > 0 { (larger, smaller) = (smaller, larger % smaller) }
    return larger
  }
}

/// What every sampler accepts, so that no intermediate integer overflows; the bounds are derived where they are used.
enum SamplerRange {
  /// The largest variance, scale or mean: 2⁴⁰.
  static let largestParameter: UInt64 = 1 << 40
  /// The largest denominator of a variance or scale: 2²⁰. That of a mean may be twice as large, because a Skellam
  /// variable halves its variance.
  static let largestDenominator: UInt64 = 1 << 20

  static func contains(_ parameter: PositiveRational, denominatorUpTo largest: UInt64 = largestDenominator) -> Bool {
    // The product is at most 2⁶¹.
    parameter.denominator <= largest && parameter.numerator <= largestParameter * parameter.denominator
  }
}

/// The largest integer whose square is not above `value`.
func squareRoot(_ value: UInt64) -> UInt64 {
  var root: UInt64 = 0
  var bit: UInt64 = 1 << 31
  while bit > 0 {
    let candidate = root | bit
    if candidate * candidate <= value { root = candidate }
    bit >>= 1
  }
  return root
}
