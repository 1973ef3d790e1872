import Foundation

/// Rényi differential privacy: for each of a fixed list of orders α, a bound r(α) on the Rényi divergence between the
/// outputs on neighbouring data, in both directions.
///
/// Follows Mironov, [Rényi Differential Privacy](https://arxiv.org/abs/1702.07476): curves of releases that may each depend
/// on those before add up, order by order. A value may be infinite: then nothing is known at that order. No value is
/// negative or not a number.
///
/// Conversions take the best of the orders in the list, so they are valid but not the least possible.
public struct RenyiCurve: Hashable, Sendable {
  /// The orders of every curve: 1.1, 1.2 … 10.9, 11 … 128, 256, 512, 1024.
  ///
  /// They include all of dp_accounting's, and all integers up to 128, which bounds for integer orders need.
  public static let defaultOrders: [Double] = {
    let tenths = (1...99).map { 1 + Double($0) / 10 }
    let integers = (11...128).map { Double($0) }
    return tenths + integers + [256, 512, 1024]
  }()

  /// One bound for each of ``defaultOrders``.
  public let values: [Double]

  /// No release: 0 at every order.
  public static let none = RenyiCurve { _ in 0 }
  /// No privacy: infinite at every order.
  public static let unbounded = RenyiCurve { _ in .infinity }

  init(_ bound: (Double) -> Double) {
    values = Self.defaultOrders.map { max(0, bound($0)) }
  }

  /// A bound that is stated for integer orders; nothing is claimed between them.
  static func atIntegerOrders(_ bound: (Double) -> Double) -> RenyiCurve {
    RenyiCurve { $0 == $0.rounded() ? bound($0) : .infinity }
  }

  private init(values: [Double]) { self.values = values }

  /// Both releases, whichever comes first.
  public func adding(_ other: RenyiCurve) -> RenyiCurve {
    RenyiCurve(values: zip(values, other.values).map(+))
  }

  /// So many releases of this kind, from 0 to 1e12.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func repeated(_ times: Int) throws(PrivacyAccountingError) -> RenyiCurve {
    try Checked.count(times)
    // 0 times infinity is not a number.
    return times == 0 ? .none : RenyiCurve(values: values.map { $0 * Double(times) })
  }

  /// The least ε that the curve gives at δ: infinite if none.
  ///
  /// ε = min over α of r(α) + ln(1 − 1/α) − ln(δα)/(α − 1): Proposition 12 of Canonne, Kamath and Steinke, [The Discrete
  /// Gaussian for Differential Privacy](https://arxiv.org/abs/2004.00010). It is 0 where δ is at least the bound on the
  /// total variation distance, √(1 − exp(−r)), of Bretagnolle and Huber. δ is from 0 to 1; at 0 the answer is infinite
  /// unless nothing was released.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func epsilon(delta: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.delta(delta)
    if delta == 0 { return values.contains { $0 > 0 } ? .infinity : 0 }
    if delta == 1 { return 0 }
    var best = Double.infinity
    for (order, value) in zip(Self.defaultOrders, values) where value < .infinity {
      if delta * delta + expm1(-value) > 0 { return 0 }
      best = min(best, value + log1p(-1 / order) - log(delta * order) / (order - 1))
    }
    return max(0, best)
  }

  /// The least δ that the curve gives at ε: 1 if none. ε is 0 or more, or infinite.
  ///
  /// The same bounds as in ``epsilon(delta:)``, solved for δ. Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func delta(epsilon: Double) throws(PrivacyAccountingError) -> Double {
    try Checked.epsilon(epsilon)
    var best = 0.0
    for (order, value) in zip(Self.defaultOrders, values) where value < .infinity {
      best = min(best, 0.5 * log(-expm1(-value)))
      best = min(best, (order - 1) * (value - epsilon + log1p(-1 / order)) - log(order))
    }
    return exp(best)
  }
}
