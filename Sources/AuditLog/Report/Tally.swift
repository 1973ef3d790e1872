/// How many records, how many bytes of messages, and where the first and the last of them are.
///
/// Sums stop at 2⁵³ − 1, the largest number that every reader of JSON gets right, so that a hostile log cannot make
/// them wrap around.
public struct Tally: Hashable, Sendable {
  /// A record's place: what an auditor needs to look it up.
  public struct Place: Hashable, Sendable {
    public let entry: UInt64
    public let time: AuditTime

    init(_ record: AuditRecord) {
      entry = record.sequence
      time = record.time
    }
  }

  public private(set) var count: UInt64 = 0
  public private(set) var bytes: UInt64 = 0
  /// Of `count`, those whose bytes had been sent before.
  public private(set) var resent: UInt64 = 0
  public private(set) var first: Place?
  public private(set) var last: Place?

  init() {}

  mutating func add(_ record: AuditRecord) {
    count = Self.sum(count, 1)
    if let message = record.message {
      bytes = Self.sum(bytes, message.bytes)
      if message.label.resendOf != nil { resent = Self.sum(resent, 1) }
    }
    let place = Place(record)
    first = first ?? place
    last = place
  }

  static let largest = UInt64(CanonicalJSON.integerRange.upperBound)

  static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? largest : min(sum, largest)
  }
}

/// Figures by key, in bounded memory: the first `limit` keys are counted exactly, whatever comes under further keys is
/// counted together.
public struct Grouped<Key: Hashable & Sendable, Value: Hashable & Sendable>: Hashable, Sendable {
  public private(set) var groups: [Key: Value] = [:]
  /// Everything under keys that came after the first `limit`; nil if there was none.
  public private(set) var others: Value?
  let limit: Int
  private let empty: Value

  init(limit: Int, empty: Value) {
    self.limit = limit
    self.empty = empty
  }

  mutating func update(_ key: Key, _ change: (inout Value) -> Void) {
    if groups[key] != nil || groups.count < limit {
      var value = groups[key] ?? empty
      change(&value)
      groups[key] = value
    } else {
      var value = others ?? empty
      change(&value)
      others = value
    }
  }
}

extension Grouped where Value == Tally {
  init(limit: Int) { self.init(limit: limit, empty: Tally()) }

  mutating func add(_ record: AuditRecord, to key: Key) { update(key) { $0.add(record) } }

  /// The most bytes first, then the most records, then by first appearance.
  public var sorted: [(key: Key, value: Tally)] {
    groups.sorted { left, right in
      let (a, b) = (left.value, right.value)
      if a.bytes != b.bytes { return a.bytes > b.bytes }
      if a.count != b.count { return a.count > b.count }
      return (a.first?.entry ?? 0) < (b.first?.entry ?? 0)
    }
  }
}

/// The last `limit` of something, and how many there were.
public struct Recent<Element: Hashable & Sendable>: Hashable, Sendable {
  public private(set) var total: UInt64 = 0
  private var ring: [Element] = []
  private var next = 0
  let limit: Int

  public init(limit: Int) { self.limit = max(1, limit) }

  public mutating func append(_ element: Element) {
    if ring.count < limit { ring.append(element) } else { ring[next] = element }
    next = (next + 1) % limit
    total = Tally.sum(total, 1)
  }

  /// Oldest first.
  public var elements: [Element] { ring.count < limit ? ring : Array(ring[next...] + ring[..<next]) }

  public var omitted: UInt64 { total - UInt64(ring.count) }

  /// Changes the newest element that `isMeant` holds for, if it is still kept.
  mutating func amendLast(where isMeant: (Element) -> Bool, change: (inout Element) -> Void) {
    for age in 1...limit where age <= ring.count {
      let place = (next + 2 * limit - age) % limit
      // Until the ring is full, places that were never written lie behind `next`.
      guard place < ring.count, isMeant(ring[place]) else { continue }
      change(&ring[place])
      return
    }
  }
}
