/// Approximate differential privacy: for neighbouring data, every event E has
/// Pr[M(D) ∈ E] ≤ exp(ε)·Pr[M(D′) ∈ E] + δ.
///
/// Which data are neighbours is said by the plan, not here. ``epsilon`` may be infinite: then nothing is promised.
public struct PrivacyGuarantee: Hashable, Sendable {
  /// 0 or more, or infinite.
  public let epsilon: Double
  /// From 0 to 1.
  public let delta: Double

  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public init(epsilon: Double, delta: Double) throws(PrivacyAccountingError) {
    try Checked.epsilon(epsilon)
    try Checked.delta(delta)
    self.epsilon = epsilon
    self.delta = delta
  }
}
