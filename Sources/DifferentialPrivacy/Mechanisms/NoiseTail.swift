import Foundation

/// How far sums of the noise reach, as rigorous upper bounds.
///
/// The discrete Gaussian is sub-Gaussian with its variance parameter (Canonne, Kamath, Steinke 2020, Corollary 17), so
/// a sum of independent ones with total v exceeds t with a chance of at most exp(−t²/(2v)). For Skellam noise of
/// variance v the Chernoff bound with its moment generating function exp(v(cosh λ − 1)) is
/// exp(−t·arsinh(t/v) + √(t² + v²) − v), taken at the best λ. Two sides and all coordinates by the union bound.
enum NoiseTail {
  /// A t that no coordinate exceeds in magnitude, but for a chance of 2^−`bits` in all.
  static func bound(_ mechanism: NoiseMechanism, variance: Double, coordinates: Int, bits: Double) -> Double {
    let logarithm = log(2 * Double(coordinates)) + bits * log(2.0)
    switch mechanism {
    case .distributedDiscreteGaussian:
      return (2 * variance * logarithm).squareRoot() * (1 + 0x1p-40)
    case .skellam:
      return skellam(variance: variance, logarithm: logarithm) * (1 + 0x1p-30)
    }
  }

  /// The smallest t with rate(t) ≥ logarithm, by bisection from above.
  private static func skellam(variance: Double, logarithm: Double) -> Double {
    // The closed form of Bernstein, rate(t) ≥ t²/(2(v + t/3)), gives a t that is enough.
    let third = logarithm / 3
    var high = third + (third * third + 2 * variance * logarithm).squareRoot()
    var low = 0.0
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if skellamRate(middle, variance: variance) >= logarithm { high = middle } else { low = middle }
    }
    return high
  }

  /// −log of the one-sided Chernoff bound: t·arsinh(t/v) − (√(t² + v²) − v).
  static func skellamRate(_ t: Double, variance: Double) -> Double {
    // The difference as a quotient: nothing cancels where t is small against v.
    t * asinh(t / variance) - t * t / ((t * t + variance * variance).squareRoot() + variance)
  }
}
