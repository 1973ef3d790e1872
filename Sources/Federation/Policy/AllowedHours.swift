public import Foundation

/// When a run may begin, on the organisation's own clock and in its own time zone.
public enum AllowedHours: Sendable, Equatable, CustomStringConvertible {
  case any
  case windows([Window])

  /// Days and a time of day, as in `mon-fri 08:00-18:00`. A window that ends before it begins runs past midnight and
  /// belongs to the day it begins on.
  public struct Window: Sendable, Hashable, CustomStringConvertible {
    /// 0 is Monday.
    public let days: Set<Int>
    /// Minutes since midnight, 0…1439.
    public let start: Int
    /// Minutes since midnight, 0…1440; not included.
    public let end: Int
    private let text: String

    static let dayNames = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    /// - Throws: ``FederationError/malformed(_:)``.
    public init(_ text: String) throws(FederationError) {
      let parts = text.split(separator: " ", omittingEmptySubsequences: false)
      guard text.utf8.count <= 128, parts.count == 2, let days = Self.days(parts[0]) else { throw .malformed(.hours) }
      let times = parts[1].split(separator: "-", omittingEmptySubsequences: false).map(Self.minutes)
      guard times.count == 2, let start = times[0], let end = times[1], start < 1440, start != end else {
        throw .malformed(.hours)
      }
      self.days = days
      self.start = start
      self.end = end
      self.text = text
    }

    public var description: String { text }

    func contains(day: Int, minute: Int) -> Bool {
      if start < end { return days.contains(day) && (start..<end).contains(minute) }
      return days.contains(day) && minute >= start || days.contains((day + 6) % 7) && minute < end
    }

    /// `mon`, `mon-fri`, `mon,wed`; a range may pass the end of the week.
    private static func days(_ text: Substring) -> Set<Int>? {
      var days = Set<Int>()
      for item in text.split(separator: ",", omittingEmptySubsequences: false) {
        let ends = item.split(separator: "-", omittingEmptySubsequences: false)
          .map { name in dayNames.firstIndex { $0 == name } }
        guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1] else { return nil }
        for offset in 0...((last - first + 7) % 7) { days.insert((first + offset) % 7) }
      }
      return days
    }

    private static func minutes(_ text: Substring) -> Int? {
      let digits = text.utf8.map { Int($0) - 0x30 }
      guard digits.count == 5, digits[2] == 0x3A - 0x30,
        [0, 1, 3, 4].allSatisfy({ (0...9).contains(digits[$0]) })
      else { return nil }
      let (hour, minute) = (digits[0] * 10 + digits[1], digits[3] * 10 + digits[4])
      let total = hour * 60 + minute
      return minute < 60 && total <= 1440 ? total : nil
    }
  }

  /// Whether a moment lies within.
  public func contains(_ moment: Date, timeZone: TimeZone = .current) -> Bool {
    switch self {
    case .any: return true
    case .windows(let windows):
      var calendar = Calendar(identifier: .gregorian)
      calendar.timeZone = timeZone
      let parts = calendar.dateComponents([.weekday, .hour, .minute], from: moment)
      guard let weekday = parts.weekday, let hour = parts.hour, let minute = parts.minute else { return false }
      // Calendar counts from Sunday as 1.
      return windows.contains { $0.contains(day: (weekday + 5) % 7, minute: hour * 60 + minute) }
    }
  }

  public var description: String {
    switch self {
    case .any: "any"
    case .windows(let windows): windows.map(\.description).joined(separator: ", ")
    }
  }
}
