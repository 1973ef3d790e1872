import Foundation

/// What a sequence of releases, each of which may depend on those before, comes to.
public struct PrivacyComposition: Hashable, Sendable {
  private struct Part: Hashable, Sendable {
    var count: Int
    let curve: RenyiCurve
  }

  private var parts: [PrivacyEvent: Part] = [:]

  public init() {}

  /// Adds so many releases of one kind; 0 adds none.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)`` if the event or the count is, or would be in sum, out of
  /// range; then nothing is added.
  public mutating func compose(_ event: PrivacyEvent, count: Int = 1) throws(PrivacyAccountingError) {
    try event.validate()
    try Checked.count(count)
    guard count > 0 else { return }
    let curve: RenyiCurve
    if let known = parts[event] { curve = known.curve } else { curve = try event.renyiCurve() }
    // Both are at most 1e12.
    let total = (parts[event]?.count ?? 0) + count
    try Checked.count(total)
    parts[event] = Part(count: total, curve: curve)
  }

  /// The kinds of release and how many of each, in the order of their texts.
  public var events: [(event: PrivacyEvent, count: Int)] {
    parts.map { (event: $0.key, count: $0.value.count) }.sorted { $0.event.canonical < $1.event.canonical }
  }

  /// The sum of the releases' Rényi curves.
  public func renyiCurve() throws(PrivacyAccountingError) -> RenyiCurve {
    var sum = RenyiCurve.none
    for (event, _) in events {
      guard let part = parts[event] else { continue }
      sum = sum.adding(try part.curve.repeated(part.count))
    }
    return sum
  }

  /// An ε that holds at δ.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func epsilon(delta: Double) throws(PrivacyAccountingError) -> Double {
    try renyiCurve().epsilon(delta: delta)
  }

  /// A δ that holds at ε.
  public func delta(epsilon: Double) throws(PrivacyAccountingError) -> Double {
    try renyiCurve().delta(epsilon: epsilon)
  }
}
