import Foundation

/// A UTC time in milliseconds, from 1970 to 9999, written as `2026-03-01T09:30:00.000Z`.
public struct AuditTime: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Since 1970-01-01T00:00:00Z.
  public let milliseconds: Int64

  static let range: ClosedRange<Int64> = 0...253_402_300_799_999

  /// Nil outside 1970 … 9999.
  public init?(milliseconds: Int64) {
    guard Self.range.contains(milliseconds) else { return nil }
    self.milliseconds = milliseconds
  }

  /// Rounded down to the millisecond; nil outside 1970 … 9999.
  public init?(_ date: Date) {
    guard let whole = Int64(exactly: (date.timeIntervalSince1970 * 1000).rounded(.down)) else { return nil }
    self.init(milliseconds: whole)
  }

  /// Reads exactly the form that `description` writes.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count == 24 else { return nil }
    func number(_ range: Range<Int>) -> Int64? {
      guard bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19), let fraction = number(20..<23),
      (1...12).contains(month), hour < 24, minute < 60, second < 60
    else { return nil }
    let days = Self.days(year: year, month: month, day: day)
    self.init(milliseconds: (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + fraction)
    // Catches wrong separators and days that the month does not have.
    guard description.utf8.elementsEqual(bytes) else { return nil }
  }

  public var date: Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

  public var description: String {
    let days = milliseconds / 86_400_000
    let rest = milliseconds % 86_400_000
    let (year, month, day) = Self.civil(days: days)
    func padded(_ number: Int64, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    let minutes = "\(padded(rest / 3_600_000, 2)):\(padded(rest / 60_000 % 60, 2))"
    return "\(date)T\(minutes):\(padded(rest / 1000 % 60, 2)).\(padded(rest % 1000, 3))Z"
  }

  public static func < (left: AuditTime, right: AuditTime) -> Bool { left.milliseconds < right.milliseconds }

  /// Days since 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day is the last.
  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let century = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - century * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return century * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth + (shiftedMonth < 10 ? 3 : -9)
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
