import Foundation

/// The Gaussian mechanism, accounted exactly.
///
/// Implements Theorem 8 of Balle and Wang, [Improving the Gaussian Mechanism for Differential
/// Privacy](https://arxiv.org/abs/1805.06530): with z the standard deviation of the noise over the L2 sensitivity,
/// δ(ε) = Φ(1/(2z) − εz) − exp(ε)·Φ(−1/(2z) − εz), and no smaller δ holds.
///
/// Noise multipliers are from 1e-9 to 1e9. Relative error of δ and of what is solved from it: below 1e-11 wherever δ is a
/// normal floating-point number. It says nothing of noise that is only close to Gaussian.
public enum GaussianMechanism {
  /// The least δ for which one release is (ε, δ)-private; ε is 0 or more, or infinite.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func delta(epsilon: Double, noiseMultiplier: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.epsilon(epsilon)
    try Checked.noiseMultiplier(noiseMultiplier)
    return exp(logDelta(epsilon: epsilon, noise: noiseMultiplier))
  }

  /// The least ε for which one release is (ε, δ)-private: infinite for δ = 0, and 0 where δ alone is enough.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func epsilon(delta: Double, noiseMultiplier: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.delta(delta)
    try Checked.noiseMultiplier(noiseMultiplier)
    return epsilon(delta: delta, noise: noiseMultiplier)
  }

  /// The least noise multiplier for which one release is (ε, δ)-private; ε finite, δ strictly between 0 and 1.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or with
  /// ``PrivacyAccountingError/unreachable(epsilon:delta:)`` where the answer would be none, infinite or outside 1e-9…1e9.
  public static func noiseMultiplier(epsilon: Double, delta: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.epsilon(epsilon)
    try Checked.delta(delta)
    let target = log(delta)
    var low = 1e-9
    var high = 1e9
    guard epsilon < .infinity, delta > 0, delta < 1, logDelta(epsilon: epsilon, noise: low) > target,
      logDelta(epsilon: epsilon, noise: high) <= target
    else { throw .unreachable(epsilon: epsilon, delta: delta) }
    // The multiplier spans many decades: the geometric mean halves them.
    while true {
      let middle = (low * high).squareRoot()
      guard middle > low, middle < high else { return high }
      if logDelta(epsilon: epsilon, noise: middle) > target { low = middle } else { high = middle }
    }
  }

  /// ε for any positive noise, unchecked: a composition may be noisier or less noisy than any one release.
  static func epsilon(delta: Double, noise: Double) -> Double {
    guard delta > 0 else { return .infinity }
    let target = log(delta)
    guard delta < 1, logDelta(epsilon: 0, noise: noise) > target else { return 0 }
    var low = 0.0
    var high = 1.0
    while logDelta(epsilon: high, noise: noise) > target {
      low = high
      high *= 2
      guard high < .infinity else { return .infinity }
    }
    while true {
      let middle = low + (high - low) / 2
      guard middle > low, middle < high else { return high }
      if logDelta(epsilon: middle, noise: noise) > target { low = middle } else { high = middle }
    }
  }

  /// ln δ(ε).
  ///
  /// With x = εz − 1/(2z), y = εz + 1/(2z) and R the Mills ratio, φ(x) = exp(ε)·φ(y), so that δ = φ(x)·(R(x) − R(y)):
  /// the exponential is gone, and where the difference would cancel it is the integral of −R′.
  static func logDelta(epsilon: Double, noise: Double) -> Double {
    let width = 1 / noise
    let low = epsilon * noise - 0.5 * width
    let high = epsilon * noise + 0.5 * width
    guard high < .infinity else { return epsilon < .infinity ? 0 : -.infinity }
    if width <= 1 {
      let sum = GaussQuadrature.rule.reduce(0) {
        $0 + $1.weight * NormalDistribution.millsSlope(low + 0.5 * width * (1 + $1.point))
      }
      return -0.5 * low * low - NormalDistribution.logRootTwoPi + log(0.5 * width * sum)
    }
    if low > 0 {
      let first = NormalDistribution.millsRatio(low)
      return -0.5 * low * low - NormalDistribution.logRootTwoPi + log(first - NormalDistribution.millsRatio(high))
    }
    // δ = 1 − (Φ(low) + φ(low)·R(high)): both parts are small where δ is close to 1.
    return log1p(
      -(NormalDistribution.cumulative(low) + NormalDistribution.density(low) * NormalDistribution.millsRatio(high)))
  }
}
