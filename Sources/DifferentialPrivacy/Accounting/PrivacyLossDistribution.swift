import Foundation

/// The privacy loss distribution of releases: the tight accountant.
///
/// For outputs P and Q on neighbouring data, the loss ln(P(x)/Q(x)) of an x drawn from P says all about δ(ε) = E[(1 −
/// exp(ε − loss))₊], and of independent releases the losses add up (Sommer, Meiser, Mohammadi, [Privacy Loss
/// Classes](https://eprint.iacr.org/2018/820)). Kept on multiples of ``interval``, for both directions: a record
/// less, and a record more.
///
/// The **pessimistic** estimate splits what lies between two multiples between them so that its probability is kept under
/// both P and Q: the "connect the dots" of Doroshenko et al., [Connect the Dots](https://arxiv.org/abs/2207.04380). The
/// **optimistic** estimate merges what lies about a multiple, so that its likelihood ratio is at least that multiple's, as
/// any processing of the output might. Rounding of the arithmetic, cut tails and the Fourier transform's error are added to
/// δ in the first and taken from it in the second, so the truth lies between. That this bound is on arithmetic with
/// correctly rounded operations and library functions within a few units of the last place is assumed, not proved.
///
/// δ below about 1e-13 times the number of releases lies under that bound: ε is then infinite. Account by ``RenyiCurve``.
public struct PrivacyLossDistribution: Sendable {
  /// Cells kept at most, for either direction.
  public static let maximumCells = 1 << 22
  /// dp_accounting's.
  public static let defaultInterval = 1e-4

  /// Losses are multiples of it; from 1e-12 to 1e12.
  public let interval: Double
  public let estimate: PrivacyLossEstimate
  /// P on the data with the record, Q on those without.
  let remove: PrivacyLossMass
  /// The other way round; nil if it is the same.
  let add: PrivacyLossMass?

  /// Of no release. Fails with ``PrivacyAccountingError/outOfRange(_:value:)`` for a bad interval.
  public static func none(
    interval: Double = defaultInterval, estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try PrivacyLossDistribution(interval: interval, estimate: estimate, remove: .none, add: nil)
  }

  init(
    interval: Double, estimate: PrivacyLossEstimate, remove: PrivacyLossMass, add: PrivacyLossMass?
  ) throws(PrivacyAccountingError) {
    try Checked.require(interval >= 1e-12 && interval <= 1e12, .interval, interval)
    self.interval = interval
    self.estimate = estimate
    self.remove = remove
    self.add = add
  }

  /// The least ε at δ: infinite if there is none, as for δ = 0 or δ below the bound on rounding.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func epsilon(delta: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.delta(delta)
    return directions.reduce(0) { max($0, $1.epsilon(delta: delta, interval: interval, estimate: estimate)) }
  }

  /// The least δ at ε, which is 0 or more, or infinite.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func delta(epsilon: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.epsilon(epsilon)
    return directions.reduce(0) { max($0, $1.delta(epsilon: epsilon, interval: interval, estimate: estimate)) }
  }

  /// So many releases of this kind, from 0 to 1e12.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``, or ``PrivacyAccountingError/distributionTooLarge(cells:)``
  /// where the interval is too small for the loss.
  public func composed(_ times: Int) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try Checked.count(times)
    return try Self.composed([(self, times)], interval: interval, estimate: estimate)
  }

  /// Both releases, whichever comes first.
  ///
  /// Fails with ``PrivacyAccountingError/incompatibleDistributions`` if interval or estimate differ, or
  /// ``PrivacyAccountingError/distributionTooLarge(cells:)``.
  public func composed(with other: PrivacyLossDistribution) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    try Self.composed([(self, 1), (other, 1)], interval: interval, estimate: estimate)
  }

  /// All of them with one transform back.
  static func composed(
    _ parts: [(distribution: PrivacyLossDistribution, count: Int)], interval: Double, estimate: PrivacyLossEstimate
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    guard parts.allSatisfy({ $0.distribution.interval == interval && $0.distribution.estimate == estimate }) else {
      throw .incompatibleDistributions
    }
    let remove = try PrivacyLossMass.composed(
      parts.map { ($0.distribution.remove, $0.count) }, interval: interval, estimate: estimate)
    var add: PrivacyLossMass?
    if parts.contains(where: { $0.distribution.add != nil }) {
      add = try PrivacyLossMass.composed(
        parts.map { ($0.distribution.add ?? $0.distribution.remove, $0.count) }, interval: interval, estimate: estimate)
    }
    return try PrivacyLossDistribution(interval: interval, estimate: estimate, remove: remove, add: add)
  }

  private var directions: [PrivacyLossMass] { add.map { [remove, $0] } ?? [remove] }
}
