import Foundation

extension PrivacyLossDistribution {
  /// Least noise multiplier that is discretised; with less, no ε is worth knowing.
  static let leastNoise = 0.02
  /// Largest parameter of a discrete Gaussian whose atoms are enumerated.
  static let mostSigma = 50_000.0

  /// One release with Gaussian noise of standard deviation z times the L2 sensitivity; z is from 0.02 to 1e9.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or ``PrivacyAccountingError/distributionTooLarge(cells:)``.
  public static func gaussian(
    noiseMultiplier: Double, interval: Double = defaultInterval, estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try poissonSubsampledGaussian(
      noiseMultiplier: noiseMultiplier, samplingProbability: 1, interval: interval, estimate: estimate)
  }

  /// One release with Gaussian noise on a secret Poisson sample, neighbours differing in one record added or removed.
  ///
  /// With q the probability of being drawn, the worst pair of outputs is (1 − q)·N(0, z²) + q·N(1, z²) and N(0, z²), in both
  /// directions (Zhu, Dong, Wang, [Optimal Accounting of Differential Privacy via Characteristic
  /// Function](https://arxiv.org/abs/2106.08567)). z is from 0.02 to 1e9, q from 0 to 1.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or ``PrivacyAccountingError/distributionTooLarge(cells:)``.
  public static func poissonSubsampledGaussian(
    noiseMultiplier: Double, samplingProbability: Double, interval: Double = defaultInterval,
    estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try Checked.noiseMultiplier(noiseMultiplier)
    try Checked.require(noiseMultiplier >= leastNoise, .noiseMultiplier, noiseMultiplier)
    try Checked.samplingProbability(samplingProbability)
    let empty = try none(interval: interval, estimate: estimate)
    guard samplingProbability > 0 else { return empty }
    let mass = { (direction: SampledGaussianLoss.Direction) throws(PrivacyAccountingError) -> PrivacyLossMass in
      let loss = SampledGaussianLoss(noise: noiseMultiplier, probability: samplingProbability, direction: direction)
      let grid = SampledGaussianGrid(loss: loss, interval: interval)
      guard grid.cells <= Double(maximumCells) else { throw .distributionTooLarge(cells: grid.cells) }
      return estimate == .pessimistic ? grid.pessimistic() : grid.optimistic()
    }
    return try PrivacyLossDistribution(
      interval: interval, estimate: estimate, remove: try mass(.remove),
      add: samplingProbability < 1 ? try mass(.add) : nil)
  }

  /// One release of an integer that a neighbouring change moves by at most Δ, with discrete Gaussian noise of parameter σ.
  ///
  /// σ is from 0.01 to 50,000, Δ from 1 to 1e9. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or
  /// ``PrivacyAccountingError/distributionTooLarge(cells:)``.
  public static func discreteGaussian(
    sigma: Double, sensitivity: Int, interval: Double = defaultInterval, estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try Checked.discreteGaussian(sigma: sigma, sensitivity: sensitivity)
    try Checked.require(sigma <= mostSigma, .sigma, sigma)
    // Beyond, less than a Gaussian's tail beyond 10 σ (Canonne, Kamath, Steinke 2020, Proposition 25).
    let bound = Int((10 * sigma).rounded(.up)) + 1
    let weights = (-bound...bound).map { exp(-Double($0 * $0) / (2 * sigma * sigma)) }
    let total = weights.reduce(0, +)
    let shift = Double(sensitivity)
    let atoms = zip(-bound...bound, weights).map { place, weight in
      (loss: shift * (shift - 2 * Double(place)) / (2 * sigma * sigma), mass: weight / total)
    }
    return try atomic(
      atoms, tail: 2 * NormalDistribution.cumulative(-10), interval: interval, estimate: estimate)
  }

  /// One (ε, 0)-private release, at its worst: randomised response (Kairouz, Oh, Viswanath, [The Composition Theorem for
  /// Differential Privacy](https://arxiv.org/abs/1311.0776)). ε is finite.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or ``PrivacyAccountingError/distributionTooLarge(cells:)``.
  public static func pure(
    epsilon: Double, interval: Double = defaultInterval, estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try Checked.require(epsilon >= 0 && epsilon < .infinity, .epsilon, epsilon)
    let atoms = [(loss: -epsilon, mass: 1 / (1 + exp(epsilon))), (loss: epsilon, mass: 1 / (1 + exp(-epsilon)))]
    return try atomic(atoms, tail: 0, interval: interval, estimate: estimate)
  }

  /// From losses that each have a probability; the same in both directions.
  private static func atomic(
    _ atoms: [(loss: Double, mass: Double)], tail: Double, interval: Double, estimate: PrivacyLossEstimate
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    let empty = try none(interval: interval, estimate: estimate)
    let losses = atoms.map(\.loss)
    guard let least = losses.min(), let most = losses.max() else { return empty }
    let low = (least / interval).rounded(.down)
    let cells = (most / interval).rounded(.up) - low + 2
    guard cells <= Double(maximumCells) else { throw .distributionTooLarge(cells: cells) }
    var masses = [Double](repeating: 0, count: Int(cells))
    switch estimate {
    case .pessimistic:
      for (loss, mass) in atoms {
        let place = (loss / interval).rounded(.down)
        let share = LossRounding.upperShare(of: loss - place * interval, loss: loss, interval: interval)
        let index = Int(place - low)
        masses[index] += mass * (1 + LossRounding.mass) * (1 - share)
        masses[index + 1] += mass * (1 + LossRounding.mass) * share
      }
    case .optimistic:
      // A loss that is a multiple but for rounding is taken as one; δ(ε) changes by no more than the loss.
      for (loss, mass) in atoms {
        masses[Int((loss / interval + LossRounding.multiple).rounded(.down) - low)] += mass * (1 - LossRounding.mass)
      }
    }
    let mass = PrivacyLossMass(
      first: Int(low), masses: masses, infinite: estimate == .pessimistic ? tail : 0,
      slack: estimate == .pessimistic ? 0 : LossRounding.multiple * interval)
    return try PrivacyLossDistribution(interval: interval, estimate: estimate, remove: mass, add: nil)
  }
}

/// What arithmetic may lose, put on the safe side.
enum LossRounding {
  /// Relative, of a probability.
  static let mass = 1e-11
  /// Of a loss, in intervals.
  static let multiple = 1e-9

  /// The part of a mass at a loss, `above` a multiple of the interval, that goes to the next: so much that the mass under Q
  /// is kept as well, and a little more.
  static func upperShare(of above: Double, loss: Double, interval: Double) -> Double {
    min(1, max(0, expm1(-max(0, above)) / expm1(-interval) + allowance(loss: loss, interval: interval)))
  }

  /// How wrong a share may be: the loss is known to a few units in the last place.
  static func allowance(loss: Double, interval: Double) -> Double { 2e-15 * (1 + abs(loss)) / interval }
}
