/// Counters of one kind in a vector: what each means and how large one organisation's may be.
public struct CounterGroup: Sendable, Equatable {
  public let name: String
  /// Number of counters in the group.
  public let count: Int
  /// Largest magnitude of one organisation's counter.
  public let bound: Int64
  /// Whether counters may be negative.
  public let isSigned: Bool

  public init(name: String, count: Int, bound: Int64, isSigned: Bool) {
    self.name = name
    self.count = count
    self.bound = bound
    self.isSigned = isSigned
  }
}

/// The counter section of a secure sum's vector: groups, one after the other.
public struct CounterLayout: Sendable, Equatable {
  /// Largest row cap a layout takes. How many organisations it serves is for ``check(organizations:)`` to say: sums of
  /// squares allow 1342 at a cap of 100,000 and 13 at this one.
  public static let maximumWeightCap = 10_000_000

  public let groups: [CounterGroup]

  public init(groups: [CounterGroup]) {
    self.groups = groups
  }

  /// Number of counters in all groups.
  public var counterCount: Int { groups.reduce(0) { $0 + $1.count } }

  /// The declared bound of every counter, in order.
  public var bounds: [Int64] { groups.flatMap { Array(repeating: $0.bound, count: $0.count) } }

  /// The no-wrap condition: organisations · bound < 2^63 for every group.
  ///
  /// - Throws: `LearningError.vector(.boundWraps)`.
  public func check(organizations: Int) throws(LearningError) {
    for group in groups {
      let (_, overflow) = group.bound.multipliedReportingOverflow(by: Int64(clamping: organizations))
      if overflow || organizations < 0 {
        throw .vector(.boundWraps(group: group.name, organizations: organizations))
      }
    }
  }

  /// Whether one organisation's vector has the length and keeps the bounds declared.
  public func admits(_ counters: [Int64]) -> Bool {
    guard counters.count == counterCount else { return false }
    var start = 0
    for group in groups {
      let lowest = group.isSigned ? -group.bound : 0
      for counter in counters[start..<start + group.count] where counter < lowest || counter > group.bound {
        return false
      }
      start += group.count
    }
    return true
  }
}
