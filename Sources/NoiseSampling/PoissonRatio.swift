/// p(k) / p(m) for a Poisson variable and its mode m = ⌊mean⌋: a rational number of at most 1, to any precision.
struct PoissonRatio: Sendable {
  /// a.
  let numerator: UInt64
  /// b.
  let denominator: UInt64
  /// m.
  let mode: UInt64

  init(mean: PositiveRational) {
    numerator = mean.numerator
    denominator = mean.denominator
    mode = mean.floor
  }

  /// The ratio · 2^fractionBits, as the product of its factors: a/(b·i) for i = m + 1 … k, or b·i/a for i = k + 1 … m.
  ///
  /// Takes |k − m| steps. Each factor is at most 1, so the bounds move apart by at most a unit a step.
  func bounds(of k: UInt64, fractionBits: Int) -> Bounds {
    var lower = Natural.powerOfTwo(fractionBits)
    var upper = lower
    if k >= mode {
      for index in mode..<k { Self.scale(&lower, &upper, by: numerator, over: denominator * (index + 1)) }
    } else {
      for index in k..<mode { Self.scale(&lower, &upper, by: denominator * (index + 1), over: numerator) }
    }
    return Bounds(lower: lower, upper: upper)
  }

  private static func scale(_ lower: inout Natural, _ upper: inout Natural, by factor: UInt64, over divisor: UInt64) {
    lower.multiply(by: factor)
    lower.divide(by: divisor)
    upper.multiply(by: factor)
    if upper.divide(by: divisor) { upper = upper + Natural(1) }
  }
}
