/// A rate with a burst: holds `capacity` tokens at most and gains `perSecond` of them every second.
///
/// Times are durations since any fixed origin. A clock that goes back neither gives nor takes tokens.
public struct TokenBucket: Sendable, Hashable {
  public let capacity: Int
  public let perSecond: Double
  private var tokens: Double
  private(set) var updated: Duration

  /// A full bucket.
  public init(capacity: Int, perSecond: Double, at now: Duration) {
    self.capacity = max(0, capacity)
    self.perSecond = max(0, perSecond)
    tokens = Double(self.capacity)
    updated = now
  }

  /// Takes one token; false when there is none.
  public mutating func take(at now: Duration) -> Bool {
    refill(at: now)
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }

  /// Whether nothing would be lost by forgetting this bucket.
  func isFull(at now: Duration) -> Bool {
    var copy = self
    copy.refill(at: now)
    return copy.tokens >= Double(capacity)
  }

  private mutating func refill(at now: Duration) {
    guard now > updated else {
      updated = now
      return
    }
    tokens = min(Double(capacity), tokens + (now - updated) / .seconds(1) * perSecond)
    updated = now
  }
}
