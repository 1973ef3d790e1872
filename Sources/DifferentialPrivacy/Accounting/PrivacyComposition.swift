import Foundation

/// What a sequence of releases, each of which may depend on those before, comes to.
///
/// Every kind of release has a Rényi curve, and curves add up: that bound always counts. Where it is tighter, another takes
/// its place:
///
/// - only Gaussian noise and trees of it: a composition of Gaussian mechanisms is one, accounted exactly;
/// - only pure releases: the sum of their ε as well;
/// - of these, sampled Gaussian and scalar discrete Gaussian releases, at most ``mostKinds`` different ones:
///   ``PrivacyLossDistribution``, pessimistic.
///
/// Skellam, distributed or sampled discrete Gaussian, and zero-concentrated releases have no privacy loss distribution here; one of them
/// leaves the Rényi curve alone.
///
/// A release more never lowers ε or δ, but for the last digits: the interval of the privacy loss distribution only grows
/// with the composition, by powers of two, and a coarser pessimistic one dominates. Relative to ε, what remains is below 1e-6.
public struct PrivacyComposition: Hashable, Sendable {
  /// Different releases, Gaussian ones counted as one, that are still composed by privacy loss distribution.
  public static let mostKinds = 64

  private struct Part: Hashable, Sendable {
    var count: Int
    let curve: RenyiCurve
  }

  private var parts: [PrivacyEvent: Part] = [:]

  /// Of no release.
  public init() {}

  /// Adds so many releases of one kind; 0 adds none. In all there are at most 1e12 of a kind. A joint event is added as
  /// its parts, so that it makes no difference whether releases were charged together or one by one.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)`` if the event or the count is out of range; then nothing is
  /// added.
  public mutating func compose(_ event: PrivacyEvent, count: Int = 1) throws(PrivacyAccountingError) {
    try event.validate()
    try Checked.count(count)
    guard count > 0 else { return }
    guard event.isJoint else { return try add(event, count: count) }
    // All parts or none.
    var next = self
    for release in event.releases { try next.add(release, count: count) }
    self = next
  }

  private mutating func add(_ event: PrivacyEvent, count: Int) throws(PrivacyAccountingError) {
    let curve: RenyiCurve
    if let known = parts[event] { curve = known.curve } else { curve = try event.renyiCurve() }
    let total = (parts[event]?.count ?? 0) + count
    try Checked.count(total)
    parts[event] = Part(count: total, curve: curve)
  }

  /// The kinds of release and how many of each, in the order of their texts.
  public var events: [(event: PrivacyEvent, count: Int)] {
    parts.map { (text: $0.key.canonical, event: $0.key, count: $0.value.count) }
      .sorted { $0.text < $1.text }.map { (event: $0.event, count: $0.count) }
  }

  /// The sum of the releases' Rényi curves.
  public func renyiCurve() throws(PrivacyAccountingError) -> RenyiCurve {
    var sum = RenyiCurve.none
    // In a fixed order, so that the same releases give the same digits.
    for (event, _) in events {
      guard let part = parts[event] else { continue }
      sum = sum.adding(try part.curve.repeated(part.count))
    }
    return sum
  }

  /// An ε that holds at δ: infinite if none does, as after an ``PrivacyEvent/unbounded`` release, or for δ = 0 after any but
  /// pure ones.
  ///
  /// Takes up to about a second where it needs privacy loss distributions; ask ``privacyLossDistribution(estimate:)`` once
  /// for several δ. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func epsilon(delta: Double) throws(PrivacyAccountingError) -> Double {
    var best = try renyiCurve().epsilon(delta: delta)
    guard best > 0 else { return 0 }
    let kinds = ComposedKinds(events)
    if let sum = kinds.sumOfPureEpsilons { best = min(best, sum) }
    guard delta > 0 else { return best }
    if let noise = kinds.noiseOfOneGaussian { return min(best, GaussianMechanism.epsilon(delta: delta, noise: noise)) }
    if let tight = try privacyLossDistribution() { best = min(best, try tight.epsilon(delta: delta)) }
    return best
  }

  /// A δ that holds at ε, which is 0 or more, or infinite.
  ///
  /// As ``epsilon(delta:)``. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func delta(epsilon: Double) throws(PrivacyAccountingError) -> Double {
    let best = try renyiCurve().delta(epsilon: epsilon)
    guard best > 0 else { return 0 }
    let kinds = ComposedKinds(events)
    if let sum = kinds.sumOfPureEpsilons, sum <= epsilon { return 0 }
    if let noise = kinds.noiseOfOneGaussian {
      return min(best, exp(GaussianMechanism.logDelta(epsilon: epsilon, noise: noise)))
    }
    guard let tight = try privacyLossDistribution() else { return best }
    return min(best, try tight.delta(epsilon: epsilon))
  }

  /// ``epsilon(delta:)`` with its δ.
  public func guarantee(delta: Double) throws(PrivacyAccountingError) -> PrivacyGuarantee {
    try PrivacyGuarantee(epsilon: try epsilon(delta: delta), delta: delta)
  }

  /// The privacy loss distribution of all releases; nil where one has none, or would need too many cells.
  ///
  /// Fails with ``PrivacyAccountingError``.
  public func privacyLossDistribution(
    estimate: PrivacyLossEstimate = .pessimistic
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution? {
    let kinds = ComposedKinds(events)
    guard let plan = kinds.lossPlan, plan.kinds.count <= Self.mostKinds else { return nil }
    do throws(PrivacyAccountingError) {
      var distributions: [(distribution: PrivacyLossDistribution, count: Int)] = []
      for kind in plan.kinds {
        distributions.append((try kind.distribution(interval: plan.interval, estimate: estimate), kind.count))
      }
      return try .composed(distributions, interval: plan.interval, estimate: estimate)
    } catch .distributionTooLarge {
      return nil
    }
  }
}
