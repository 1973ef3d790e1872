import Foundation

/// The standard normal distribution, accurate in its tails.
enum NormalDistribution {
  static let logRootTwoPi = 0.918_938_533_204_672_8
  private static let rootHalfPi = 1.253_314_137_315_500_3
  /// Beyond this the asymptotic series of the Mills ratio is exact to the last digits.
  private static let asymptotic = 10.0

  static func density(_ x: Double) -> Double { exp(-0.5 * x * x - logRootTwoPi) }

  /// Φ(x), relatively accurate for negative x too, down to underflow.
  static func cumulative(_ x: Double) -> Double { 0.5 * erfc(-x * 0.5.squareRoot()) }

  /// ln Φ(x), for any x.
  static func logCumulative(_ x: Double) -> Double {
    if x > -5 { return log1p(-0.5 * erfc(x * 0.5.squareRoot())) }
    return -0.5 * x * x - logRootTwoPi + log(millsRatio(-x))
  }

  /// ln erfc(x), for any x.
  static func logErrorComplement(_ x: Double) -> Double {
    x < 3 ? log(erfc(x)) : M_LN2 + logCumulative(-x * 2.0.squareRoot())
  }

  /// Φ(−x)/φ(x) for x ≥ 0.
  static func millsRatio(_ x: Double) -> Double {
    if x < asymptotic { return rootHalfPi * exp(0.5 * x * x) * erfc(x * 0.5.squareRoot()) }
    return asymptoticSeries(x, from: 1) / x
  }

  /// 1 − x·(Φ(−x)/φ(x)), the negative derivative of ``millsRatio(_:)``, for x ≥ −1; without cancellation for large x.
  static func millsSlope(_ x: Double) -> Double {
    if x < 0 { return 1 - x * cumulative(-x) / density(x) }
    if x < asymptotic { return 1 - x * millsRatio(x) }
    // 1 − (1 − 1/x² + 3/x⁴ − …) = (1/x²)·(1 − 3/x² + 15/x⁴ − …)
    return asymptoticSeries(x, from: 3) / (x * x)
  }

  /// Σ (−1)ᵏ·f·(f+2)…(f+2k−2)/x²ᵏ, cut at its smallest term or the last digit.
  private static func asymptoticSeries(_ x: Double, from first: Double) -> Double {
    let inverse = 1 / (x * x)
    var term = 1.0
    var sum = 1.0
    var factor = first
    while true {
      let next = -term * factor * inverse
      guard abs(next) < abs(term), abs(next) > 1e-18 else { return sum }
      sum += next
      term = next
      factor += 2
    }
  }
}

/// ln(exp(a) + exp(b)), also where one or both are −∞.
func logSum(_ a: Double, _ b: Double) -> Double {
  let high = max(a, b)
  guard high > -.infinity, high < .infinity else { return high }
  return high + log1p(exp(min(a, b) - high))
}

/// Points and weights of Gauss's quadrature on −1…1, exact for polynomials up to degree 19.
enum GaussQuadrature {
  private static let half: [(point: Double, weight: Double)] = [
    (0.148_874_338_981_631_21, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_19, 0.269_266_719_309_996_36),
    (0.679_409_568_299_024_41, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_51, 0.149_451_349_150_580_59),
    (0.973_906_528_517_171_72, 0.066_671_344_308_688_14),
  ]
  static let rule: [(point: Double, weight: Double)] =
    half.reversed().map { (-$0.point, $0.weight) } + half
}
