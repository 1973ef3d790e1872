import Foundation

/// Numbers as people read them.
enum Figures {
  /// A fixed number of decimals, independent of the locale; a dash for none.
  static func decimals(_ value: Double?, _ count: Int) -> String {
    guard let value, value.isFinite else { return "–" }
    return String(format: "%.\(count)f", locale: Locale(identifier: "en_US_POSIX"), value)
  }

  /// With what noise may have moved it by, where there is noise: 0.7558 ± 0.0121.
  static func decimals(_ value: Double?, _ count: Int, plusMinus error: Double?) -> String {
    decimals(value, count) + (value == nil ? "" : error.map { " ± \(decimals($0, count))" } ?? "")
  }

  /// A fixed number of decimals, or two digits and a power of ten where they would not show two.
  static func measured(_ value: Double, _ count: Int) -> String {
    guard value != 0, abs(value) < 10 * pow(10, -Double(count)) else { return decimals(value, count) }
    return String(format: "%.1e", locale: Locale(identifier: "en_US_POSIX"), value).lowercased()
  }

  /// 12,345.
  static func grouped(_ value: some BinaryInteger) -> String {
    let digits = String(value.magnitude)
    var groups: [Substring] = []
    var rest = digits[...]
    while rest.count > 3 {
      groups.append(rest.suffix(3))
      rest = rest.dropLast(3)
    }
    groups.append(rest)
    return (value < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
  }

  /// 1 row, 2 rows.
  static func counted(_ count: some BinaryInteger, _ singular: String, _ plural: String? = nil) -> String {
    "\(grouped(count)) \(count == 1 ? singular : plural ?? singular + "s")"
  }

  /// 9.3 %.
  static func percent(_ part: Int, of whole: Int) -> String {
    whole == 0 ? "–" : decimals(100 * Double(part) / Double(whole), 1) + " %"
  }

  static func bytes(_ count: UInt64) -> String {
    var value = Double(count)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 { return unit == "B" ? "\(count) B" : "\(decimals(value, 1)) \(unit)" }
      value /= 1024
    }
    return "\(decimals(value, 1)) TiB"
  }
}

/// A hash in groups of four, to be compared by eye or by voice.
enum Fingerprint {
  /// `1a2b 3c4d …`: all 64 digits.
  static func grouped(_ hexadecimal: String) -> String {
    stride(from: 0, to: hexadecimal.utf8.count, by: 4).map { start in
      String(hexadecimal.dropFirst(start).prefix(4))
    }.joined(separator: " ")
  }
}
