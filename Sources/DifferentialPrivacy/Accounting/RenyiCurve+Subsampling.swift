import Foundation

extension RenyiCurve {
  /// Gaussian noise on a sum over records each of which is drawn independently with probability q, neighbours differing in
  /// one record added or removed (Mironov, Talwar, Zhang, [Rényi Differential Privacy of the Sampled Gaussian
  /// Mechanism](https://arxiv.org/abs/1908.10530), section 3.3).
  ///
  /// Integer orders are exact. Between them the paper's series is summed with all its terms taken as positive: a bound, and
  /// the one that dp_accounting 0.6 gives. An order at which it has not converged after 1000 terms is infinite. z is from
  /// 1e-9 to 1e9, q from 0 to 1. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  ///
  /// It holds for Poisson sampling by somebody who keeps the draw secret, and for no other sampling.
  public static func poissonSubsampledGaussian(
    noiseMultiplier: Double, samplingProbability: Double
  ) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.noiseMultiplier(noiseMultiplier)
    try Checked.samplingProbability(samplingProbability)
    guard samplingProbability > 0 else { return .none }
    guard samplingProbability < 1 else { return try gaussian(noiseMultiplier: noiseMultiplier) }
    let moments = SampledGaussianMoments(noise: noiseMultiplier, probability: samplingProbability)
    return RenyiCurve { moments.logMoment($0) / ($0 - 1) }
  }

  /// Discrete Gaussian noise of parameter z times the L2 sensitivity on an integer sum over records each of which is drawn
  /// independently with probability q, neighbours differing in one record added or removed.
  ///
  /// At integer orders its moments are at most those of ``poissonSubsampledGaussian(noiseMultiplier:samplingProbability:)``:
  /// see <doc:Accounting>. Nothing is claimed between them. z is from 1e-9 to 1e9, q from 0 to 1. Fails with
  /// ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func poissonSubsampledDiscreteGaussian(
    noiseMultiplier: Double, samplingProbability: Double
  ) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.noiseMultiplier(noiseMultiplier)
    try Checked.samplingProbability(samplingProbability)
    guard samplingProbability > 0 else { return .none }
    guard samplingProbability < 1 else { return atIntegerOrders { $0 / (2 * noiseMultiplier * noiseMultiplier) } }
    let moments = SampledGaussianMoments(noise: noiseMultiplier, probability: samplingProbability)
    return atIntegerOrders { moments.logMoment($0) / ($0 - 1) }
  }
}

/// ln E[(mixture/Gaussian)^α] under the Gaussian, with the mixture (1 − q)·N(0, z²) + q·N(1, z²).
struct SampledGaussianMoments {
  private let noise: Double
  private let logChosen: Double
  private let logNotChosen: Double
  private let threshold: Double
  /// Below this the series' terms cancel in the exponents; no noise so small has a use.
  private static let leastNoiseOfSeries = 0.05
  private static let mostTerms = 1000
  /// ln k!, k = 0 … 1024.
  private static let logFactorials: [Double] = (0...1024).map { logGamma(Double($0) + 1) }

  init(noise: Double, probability: Double) {
    self.noise = noise
    logChosen = log(probability)
    logNotChosen = log1p(-probability)
    threshold = noise * noise * (logNotChosen - logChosen) + 0.5
  }

  func logMoment(_ order: Double) -> Double {
    if order == order.rounded() { return exact(Int(order)) }
    guard noise >= Self.leastNoiseOfSeries else { return .infinity }
    // Moments grow with the order, which holds rounding in check where they are tiny.
    return max(series(order), order > 2 ? exact(Int(order)) * (order - 1) / (order.rounded(.down) - 1) : 0)
  }

  /// ln(1 + Σ C(α, k)·qᵏ(1 − q)^(α − k)·(exp((k² − k)/(2z²)) − 1)), k = 2 … α: the binomial sum of which 1 is left out, so
  /// that nothing cancels.
  private func exact(_ order: Int) -> Double {
    var excess = -Double.infinity
    for k in 2...order {
      let exponent = Double(k * k - k) / (2 * noise * noise)
      let logExcess = exponent > 40 ? exponent : log(expm1(exponent))
      let binomial = Self.logFactorials[order] - Self.logFactorials[k] - Self.logFactorials[order - k]
      excess = logSum(
        excess, binomial + Double(k) * logChosen + Double(order - k) * logNotChosen + logExcess)
    }
    return excess > 40 ? excess : log1p(exp(excess))
  }

  private func series(_ order: Double) -> Double {
    let rootTwo = 2.0.squareRoot()
    var below = -Double.infinity
    var above = -Double.infinity
    var lastBelow = -Double.infinity
    var lastAbove = -Double.infinity
    for index in 0..<Self.mostTerms {
      let i = Double(index)
      let j = order - i
      let binomial = logGamma(order + 1) - Self.logFactorials[index] - logGamma(j + 1)
      let termBelow =
        binomial + i * logChosen + j * logNotChosen + (i * i - i) / (2 * noise * noise) - M_LN2
        + NormalDistribution.logErrorComplement((i - threshold) / (rootTwo * noise))
      let termAbove =
        binomial + j * logChosen + i * logNotChosen + (j * j - j) / (2 * noise * noise) - M_LN2
        + NormalDistribution.logErrorComplement((threshold - j) / (rootTwo * noise))
      below = logSum(below, termBelow)
      above = logSum(above, termAbove)
      let total = logSum(below, above)
      if termBelow < lastBelow, termAbove < lastAbove, max(termBelow, termAbove) < total - 30 { return total }
      lastBelow = termBelow
      lastAbove = termAbove
    }
    return .infinity
  }
}

/// ln |Γ(x)|; the sign is not kept.
private func logGamma(_ x: Double) -> Double {
  let result: (Double, Int) = lgamma(x)
  return result.0
}
