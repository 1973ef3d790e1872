/// A search for the least noise multiplier with which something holds that more noise does not undo.
struct MultiplierSearch {
  /// With which it does not hold, or which is not to be had.
  let low: Double
  /// Where the search begins, above ``low``.
  let start: Double
  /// The largest that is tried.
  let limit: Double
  /// By halves, from a factor of two: the result is the least to a part in 2^bisections.
  let bisections: Int

  /// - Parameter attempt: what a multiplier gives; nil where that is not enough.
  /// - Returns: nil where nothing up to ``limit`` is enough.
  /// - Throws: what `attempt` throws.
  func least<Value>(
    _ attempt: (_ multiplier: Double) throws(MechanismError) -> Value?
  ) throws(MechanismError) -> (multiplier: Double, value: Value)? {
    var (low, high) = (low, start)
    var best = try attempt(high)
    while best == nil {
      guard high < limit else { return nil }
      (low, high) = (high, min(2 * high, limit))
      best = try attempt(high)
    }
    while high / 2 > low, let better = try attempt(high / 2) { (high, best) = (high / 2, better) }
    low = max(low, high / 2)
    for _ in 0..<bisections {
      let middle = (low + high) / 2
      if let better = try attempt(middle) { (high, best) = (middle, better) } else { low = middle }
    }
    return best.map { (high, $0) }
  }
}
