/// Integer noise of which every participant adds a share to its own integer vector, as one release.
///
/// Everything is in **integer units**, that is after scaling: where real-valued vectors are multiplied by s before they
/// are rounded, Δ₂, Δ₁ and σ here are s times the real ones. A curve made from it does not depend on s.
///
/// The sensitivities are those of the *rounded* vector, and bound what one neighbouring change can do to the sum; the
/// caller must have tested them exactly. Only the honest shares count: a participant that does not add its share, or tells
/// it to another, is none.
public struct DistributedNoise: Hashable, Sendable {
  /// Δ₂², above 0 and at most 1e24.
  public let squaredL2Sensitivity: Double
  /// Δ₁, at least Δ₂ and at most 1e24.
  public let l1Sensitivity: Double
  /// Length of the vector, from 1 to 1e12.
  public let dimension: Int
  /// Participants whose share is known to nobody else, from 1 to 1e6.
  public let honestShares: Int
  /// σ² of one share and one coordinate, from 0.25 to 1e24. For the discrete Gaussian it is the parameter, not the variance.
  public let localVariance: Double

  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``. A local σ below ½ is refused: the analysis of sums of
  /// discrete Gaussians needs it, and the noise would mostly be 0.
  public init(
    squaredL2Sensitivity: Double, l1Sensitivity: Double, dimension: Int, honestShares: Int, localVariance: Double
  ) throws(PrivacyAccountingError) {
    try Checked.require(
      squaredL2Sensitivity > 0 && squaredL2Sensitivity <= 1e24, .squaredL2Sensitivity, squaredL2Sensitivity)
    // Rounding of a square root must not refuse Δ₁ = Δ₂.
    let least = squaredL2Sensitivity.squareRoot() * (1 - 1e-12)
    try Checked.require(l1Sensitivity >= least && l1Sensitivity <= 1e24, .l1Sensitivity, l1Sensitivity)
    try Checked.require(dimension >= 1 && dimension <= 1_000_000_000_000, .dimension, Double(dimension))
    try Checked.require(honestShares >= 1 && honestShares <= 1_000_000, .honestShares, Double(honestShares))
    try Checked.require(localVariance >= 0.25 && localVariance <= 1e24, .localVariance, localVariance)
    self.squaredL2Sensitivity = squaredL2Sensitivity
    self.l1Sensitivity = l1Sensitivity
    self.dimension = dimension
    self.honestShares = honestShares
    self.localVariance = localVariance
  }

  /// The same with Δ₁ = Δ₂·min(√d, Δ₂), which holds for every integer vector of d coordinates.
  public init(
    squaredL2Sensitivity: Double, dimension: Int, honestShares: Int, localVariance: Double
  ) throws(PrivacyAccountingError) {
    let l2 = squaredL2Sensitivity.squareRoot()
    try self.init(
      squaredL2Sensitivity: squaredL2Sensitivity, l1Sensitivity: l2 * max(1, min(Double(dimension).squareRoot(), l2)),
      dimension: dimension, honestShares: honestShares, localVariance: localVariance)
  }

  /// Δ₂.
  public var l2Sensitivity: Double { squaredL2Sensitivity.squareRoot() }
  /// n_h·σ²: the variance of the honest shares' sum.
  public var centralVariance: Double { Double(honestShares) * localVariance }
}
