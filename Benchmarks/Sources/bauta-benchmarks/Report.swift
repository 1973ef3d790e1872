import Foundation

/// Numbers as people read them, independent of the locale.
enum Figure {
  static func decimals(_ value: Double, _ count: Int) -> String {
    value.isFinite ? String(format: "%.\(count)f", locale: Locale(identifier: "en_US_POSIX"), value) : "–"
  }

  /// 12,345.
  static func grouped(_ value: Int) -> String {
    var groups: [Substring] = []
    var rest = String(value.magnitude)[...]
    while rest.count > 3 {
      groups.append(rest.suffix(3))
      rest = rest.dropLast(3)
    }
    groups.append(rest)
    return (value < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
  }

  /// Three figures in the unit that suits.
  static func time(_ seconds: Double) -> String {
    for (limit, factor, unit) in [(1e-3, 1e6, "µs"), (1, 1e3, "ms"), (.infinity, 1, "s")] where seconds < limit {
      let value = seconds * factor
      return "\(decimals(value, value < 10 ? 2 : value < 100 ? 1 : 0)) \(unit)"
    }
    return "–"
  }

  static func bytes(_ count: Double) -> String {
    var value = count
    for unit in ["B", "KiB", "MiB"] {
      if value < 1024 { return "\(decimals(value, unit == "B" ? 0 : 1)) \(unit)" }
      value /= 1024
    }
    return "\(decimals(value, 2)) GiB"
  }

  /// 10^5 where it is a power of ten.
  static func dimension(_ count: Int) -> String {
    let digits = String(count)
    return digits.dropFirst().allSatisfy { $0 == "0" } && digits.first == "1" && digits.count > 3
      ? "10^\(digits.count - 1)" : grouped(count)
  }
}

/// A table with what to know about it.
struct Section {
  let title: String
  /// Shown above the table.
  var notes: [String] = []
  let columns: [String]
  var rows: [[String]] = []
}

/// Something that a figure has to reach.
struct Goal {
  let text: String
  let figure: String
  let isMet: Bool
}

/// What a suite found.
struct SuiteResult {
  var sections: [Section]
  var goals: [Goal] = []
}

/// Writes sections as text or as Markdown.
struct ReportWriter {
  let isMarkdown: Bool

  func text(of section: Section) -> String {
    let table = isMarkdown ? markdown(section) : aligned(section)
    let heading = isMarkdown ? "## \(section.title)\n" : section.title
    let notes = section.notes.map { isMarkdown ? "\($0)\n" : $0 }
    return ([heading] + notes + table + [""]).joined(separator: "\n")
  }

  private func markdown(_ section: Section) -> [String] {
    let rule = section.columns.indices.map { $0 == 0 ? "---" : "---:" }
    return ([section.columns, rule] + section.rows).map { "| " + $0.joined(separator: " | ") + " |" }
  }

  private func aligned(_ section: Section) -> [String] {
    let lines = [section.columns] + section.rows
    let widths = section.columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      let cells = zip(line, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == 0 ? cell.0 + padding : padding + cell.0
      }
      return "  " + cells.joined(separator: "  ")
    }
  }
}
