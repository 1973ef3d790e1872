import Foundation

extension RenyiCurve {
  /// Gaussian noise of standard deviation z times the L2 sensitivity: r(α) = α/(2z²) (Mironov 2017, Corollary 3).
  ///
  /// z is from 1e-9 to 1e9. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func gaussian(noiseMultiplier: Double) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.noiseMultiplier(noiseMultiplier)
    return RenyiCurve { $0 / (2 * noiseMultiplier * noiseMultiplier) }
  }

  /// ρ-zero-concentrated privacy: r(α) = αρ (Bun and Steinke, [Concentrated Differential
  /// Privacy](https://arxiv.org/abs/1605.02065), Definition 1.1).
  ///
  /// ρ is from 0 to 1e18. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func zeroConcentrated(rho: Double) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.rho(rho)
    return RenyiCurve { $0 * rho }
  }

  /// One draw of scalar or vector discrete Gaussian noise: r(α) = αΔ²/(2σ²) (Canonne, Kamath, Steinke 2020, Theorem 4).
  ///
  /// σ is the parameter of the noise, from 0.01 to 1e9, and Δ the L2 sensitivity, from 1 to 1e9, both in integer units.
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func discreteGaussian(
    sigma: Double, sensitivity: Int
  ) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.discreteGaussian(sigma: sigma, sensitivity: sensitivity)
    let ratio = Double(sensitivity) / sigma
    return RenyiCurve { $0 * ratio * ratio / 2 }
  }

  /// Pure ε-privacy. Randomised response is its worst case (Kairouz, Oh, Viswanath 2015), and gives
  /// r(α) = ln[(exp(αε) + exp((1 − α)ε)) / (1 + exp(ε))]/(α − 1), written here without cancellation.
  ///
  /// ε is 0 or more; infinite is no privacy. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func pure(epsilon: Double) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.epsilon(epsilon)
    guard epsilon < .infinity else { return .unbounded }
    return RenyiCurve { order in
      let outer = (order - 0.5) * epsilon
      let inner = 0.5 * epsilon
      guard outer < .infinity else { return epsilon }
      // ln cosh(outer) − ln cosh(inner)
      let difference =
        outer < 1
        ? log1p(2 * sinh((outer + inner) / 2) * sinh((outer - inner) / 2) / cosh(inner))
        : (outer - inner) + log1p(exp(-2 * outer)) - log1p(exp(-2 * inner))
      return min(epsilon, difference / (order - 1))
    }
  }

  /// Sums released through a binary tree, in which every record takes part in one leaf: r(α) = α·⌈log₂(T + 1)⌉/(2z²)
  /// (Kairouz et al., [Practical and Private (Deep) Learning without Sampling or
  /// Shuffling](https://arxiv.org/abs/2103.00039), Theorem 4.1 and Appendix D).
  ///
  /// z, from 1e-9 to 1e9, is the noise of a node over the sensitivity of a leaf; T, from 1 to 1e12, the leaves. It does not
  /// hold for a record in several leaves. Neighbours differ in one record that is there or counts for nothing, with the leaves
  /// as they are. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public static func tree(noiseMultiplier: Double, leaves: Int) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.noiseMultiplier(noiseMultiplier)
    try Checked.leaves(leaves)
    let depth = Double(depthOfTree(leaves: leaves))
    return RenyiCurve { $0 * depth / (2 * noiseMultiplier * noiseMultiplier) }
  }

  /// ⌈log₂(T + 1)⌉ is the number of binary digits of T.
  static func depthOfTree(leaves: Int) -> Int { Int.bitWidth - leaves.leadingZeroBitCount }

  /// A sum of discrete Gaussian shares: with τ = 10·Σₖ exp(−2π²σ²·k/(k+1)), k = 1 … n_h − 1, and a_p = Δ_p/(√n_h·σ),
  /// r(α) = min{ α·a₂²/2 + τd, (α/2)(a₂² + 2a₁τ + τ²d), (α/2)(a₂ + √d·τ)² } (Kairouz, Liu, Steinke, [The Distributed
  /// Discrete Gaussian Mechanism](https://arxiv.org/abs/2102.06387), Theorem 1).
  ///
  /// At integer orders, so that it compares like with like with Skellam noise.
  public static func distributedDiscreteGaussian(_ noise: DistributedNoise) -> RenyiCurve {
    let distance = distanceFromDiscreteGaussian(honestShares: noise.honestShares, localVariance: noise.localVariance)
    let dimension = Double(noise.dimension)
    let squared = noise.squaredL2Sensitivity / noise.centralVariance
    let first = noise.l1Sensitivity / noise.centralVariance.squareRoot()
    let mixed = squared + 2 * first * distance + distance * distance * dimension
    let norms = squared.squareRoot() + dimension.squareRoot() * distance
    let concentrated = 0.5 * min(mixed, norms * norms)
    return atIntegerOrders { min($0 * squared / 2 + distance * dimension, $0 * concentrated) }
  }

  /// τ: how far the sum of the shares is from one discrete Gaussian of their variances' sum.
  static func distanceFromDiscreteGaussian(honestShares: Int, localVariance: Double) -> Double {
    guard honestShares > 1 else { return 0 }
    let scale = -2 * Double.pi * Double.pi * localVariance
    return 10 * (1..<honestShares).reduce(0) { $0 + exp(scale * Double($1) / Double($1 + 1)) }
  }

  /// A sum of Skellam shares, with μ = n_h·σ²: r(α) = αΔ₂²/(2μ) + min{ [(2α − 1)Δ₂² + 6Δ₁]/(4μ²), 3Δ₁/(2μ) } for integer α
  /// (Agarwal, Kairouz, Liu, [The Skellam Mechanism for Differentially Private Federated
  /// Learning](https://arxiv.org/abs/2110.04995)).
  public static func skellam(_ noise: DistributedNoise) -> RenyiCurve {
    let squared = noise.squaredL2Sensitivity
    let first = noise.l1Sensitivity
    let variance = noise.centralVariance
    return atIntegerOrders { order in
      let quadratic = ((2 * order - 1) * squared + 6 * first) / (4 * variance * variance)
      return order * squared / (2 * variance) + min(quadratic, 3 * first / (2 * variance))
    }
  }
}
