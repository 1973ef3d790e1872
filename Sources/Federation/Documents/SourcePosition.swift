/// A place in a text: lines and columns count from 1, columns in Unicode scalars.
public struct SourcePosition: Hashable, Sendable, CustomStringConvertible {
  /// The file as the reader knows it.
  public let file: String
  public let line: Int
  public let column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  public var description: String { "\(file):\(line):\(column)" }
}

/// What somebody else wrote, cut and escaped so that it is safe to show on a terminal and in a log.
func excerpt(_ text: String, limit: Int = 40) -> String {
  var shown = ""
  for scalar in text.unicodeScalars.prefix(limit) {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
      shown += "\\u{\(String(scalar.value, radix: 16))}"
    default: shown.unicodeScalars.append(scalar)
    }
  }
  return text.unicodeScalars.count > limit ? "'\(shown)…'" : "'\(shown)'"
}

/// The candidate that a typing error most likely meant: one letter away, or at most a third of its letters.
func nearest(to text: String, among candidates: [String]) -> String? {
  guard text.unicodeScalars.count <= 64 else { return nil }
  let ranked = candidates.filter { $0.unicodeScalars.count > 2 }.map {
    (distance: editDistance(text.lowercased(), $0.lowercased()), candidate: $0)
  }
  guard let best = ranked.min(by: { ($0.distance, $0.candidate) < ($1.distance, $1.candidate) }) else { return nil }
  return best.distance <= max(1, best.candidate.unicodeScalars.count / 3) ? best.candidate : nil
}

/// Insertions, deletions, substitutions and swaps of neighbours between two short texts (optimal string alignment).
private func editDistance(_ left: String, _ right: String) -> Int {
  let (left, right) = (Array(left.unicodeScalars), Array(right.unicodeScalars))
  var rows = [Array(0...right.count)]
  for i in 0..<left.count {
    var row = [i + 1]
    for j in 0..<right.count {
      var cost = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (left[i] == right[j] ? 0 : 1))
      if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { cost = min(cost, rows[i - 1][j - 1] + 1) }
      row.append(cost)
    }
    rows.append(row)
  }
  return rows[left.count][right.count]
}
