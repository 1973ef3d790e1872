/// Columns of text, aligned: words to the left, numbers to the right.
struct Table: Sendable {
  struct Column: Sendable {
    let title: String
    let isNumber: Bool

    static func text(_ title: String) -> Column { Column(title: title, isNumber: false) }
    static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
  }

  private let columns: [Column]
  private var rows: [[StyledText]] = []
  private let indentation: String

  init(_ columns: [Column], indentation: Int = 0) {
    self.columns = columns
    self.indentation = String(repeating: " ", count: indentation)
  }

  var isEmpty: Bool { rows.isEmpty }

  /// As many cells as there are columns; line breaks in them become spaces.
  mutating func append(_ cells: [StyledText]) { rows.append(cells) }

  /// The header, then the rows. Trailing spaces are left out.
  var lines: [StyledText] {
    let header = columns.map { StyledText($0.title, .strong) }
    let widths = columns.indices.map { column in
      ([header] + rows).map { column < $0.count ? $0[column].width : 0 }.max() ?? 0
    }
    return ([header] + rows).map { line($0, widths: widths) }
  }

  private func line(_ cells: [StyledText], widths: [Int]) -> StyledText {
    var line = StyledText(indentation)
    guard let last = cells.lastIndex(where: { $0.width > 0 }) else { return "" }
    for (column, cell) in cells[...last].enumerated() {
      if column > 0 { line = line + "  " }
      let padding = StyledText(String(repeating: " ", count: max(0, widths[column] - cell.width)))
      if columns[column].isNumber {
        line = line + padding + cell
      } else {
        line = line + cell + (column == last ? "" : padding)
      }
    }
    return line
  }
}
