/// Messages over time, by kind, in intervals that grow with the period: at most `maximumIntervals` of them, whatever
/// the log's length and whatever times it claims.
public struct Timeline: Hashable, Sendable {
  public struct Amount: Hashable, Sendable {
    public var messages: UInt64 = 0
    public var bytes: UInt64 = 0

    mutating func add(_ other: Amount) {
      messages = Tally.sum(messages, other.messages)
      bytes = Tally.sum(bytes, other.bytes)
    }

    public static func + (left: Amount, right: Amount) -> Amount {
      var sum = left
      sum.add(right)
      return sum
    }
  }

  /// One interval, empty ones included.
  public struct Interval: Hashable, Sendable {
    public let start: AuditTime
    public let amounts: [String: Amount]
  }

  public static let maximumIntervals = 60
  /// Kinds beyond these are counted under the empty name.
  static let maximumKinds = 24

  /// Each divides the next, so that intervals can be joined without splitting one.
  private static let shortWidths: [Int64] = [
    10, 50, 100, 500, 1000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000, 10_800_000,
    21_600_000, 43_200_000, 86_400_000,
  ]

  /// Of an interval, in milliseconds: from ten milliseconds through the units of a clock to a day, then twice and twice
  /// that.
  public private(set) var width: Int64 = Self.shortWidths[0]
  /// In the order in which they appeared.
  public private(set) var kinds: [String] = []
  private var filled: [Int64: [String: Amount]] = [:]
  private var bounds: ClosedRange<Int64>?

  init() {}

  mutating func add(_ record: AuditRecord) {
    guard let message = record.message else { return }
    let time = record.time.milliseconds
    let range = bounds.map { min($0.lowerBound, time)...max($0.upperBound, time) } ?? time...time
    bounds = range
    while range.upperBound / width - range.lowerBound / width >= Int64(Self.maximumIntervals) { widen() }
    let kind = known(message.label.kind)
    filled[time / width, default: [:]][kind, default: Amount()].add(Amount(messages: 1, bytes: message.bytes))
  }

  private mutating func known(_ kind: String) -> String {
    if kinds.contains(kind) { return kind }
    if kinds.filter({ !$0.isEmpty }).count < Self.maximumKinds, !kind.isEmpty {
      kinds.append(kind)
      return kind
    }
    if !kinds.contains("") { kinds.append("") }
    return ""
  }

  private mutating func widen() {
    let wider = Self.shortWidths.first { $0 > width } ?? width * 2
    var joined: [Int64: [String: Amount]] = [:]
    for (place, amounts) in filled {
      let start = place * width / wider
      for (kind, amount) in amounts { joined[start, default: [:]][kind, default: Amount()].add(amount) }
    }
    width = wider
    filled = joined
  }

  /// From the first interval with a message to the last one.
  public var intervals: [Interval] {
    guard let bounds else { return [] }
    return (bounds.lowerBound / width...bounds.upperBound / width).compactMap { place in
      AuditTime(milliseconds: place * width).map { Interval(start: $0, amounts: filled[place] ?? [:]) }
    }
  }
}
