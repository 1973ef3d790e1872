/// Records as CSV (RFC 4180): CRLF after every row, a header, a column for every field that a record can have.
///
/// Text that a spreadsheet would take for a formula gets an apostrophe in front: whoever refused a handshake may have
/// chosen the name that stands in the record.
public enum RecordCSV {
  /// The names of the columns: the paths of `RecordField.all`.
  public static var header: [UInt8] { row(RecordField.all.map(\.path)) }

  /// - Parameter entry: the bytes of an entry.
  public static func row(entry: [UInt8]) -> [UInt8] {
    let values = RecordValues(entry: entry)
    return row(
      RecordField.all.map { field in
        guard let value = values[field] else { return "" }
        return values.isText(field) ? neutral(value) : value
      })
  }

  static func row(_ cells: [String]) -> [UInt8] {
    Array((cells.map(quoted).joined(separator: ",") + "\r\n").utf8)
  }

  static func quoted(_ cell: String) -> String {
    // By scalar: a carriage return with a line feed is one character.
    let isPlain = cell.unicodeScalars.allSatisfy { scalar in
      scalar != "," && scalar != "\"" && scalar != "\r" && scalar != "\n"
    }
    guard !isPlain else { return cell }
    return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  /// What spreadsheets begin a formula with, in either width.
  private static let formulaStarts: Set<Unicode.Scalar> = [
    "=", "+", "-", "@", "\t", "\r", "\n", "\u{FF1D}", "\u{FF0B}", "\u{FF0D}", "\u{FF20}",
  ]

  static func neutral(_ text: String) -> String {
    // Some trim what is in front before they look.
    let first = text.unicodeScalars.first { !$0.properties.isWhitespace || formulaStarts.contains($0) }
    guard let first, formulaStarts.contains(first) else { return text }
    return "'" + text
  }
}
