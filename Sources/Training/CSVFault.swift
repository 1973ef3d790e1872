/// Where in a CSV file: row (the header is 1), column (from 1) and, where known, the column's name.
public struct CSVPosition: Sendable, Equatable {
  public let row: Int
  public let column: Int
  public let name: String?

  public init(row: Int, column: Int, name: String? = nil) {
    self.row = row
    self.column = column
    self.name = name
  }
}

/// What is wrong in a CSV file.
public enum CSVFault: Error, Sendable, Equatable {
  case empty
  case noRows
  case blankRow(row: Int)
  case shortRow(row: Int, fields: Int, expected: Int)
  case longRow(row: Int, expected: Int)
  case emptyHeader(column: Int)
  case duplicateHeader(column: Int, name: String, first: Int)
  case unclosedQuote(CSVPosition)
  case strayQuote(CSVPosition)
  case textAfterQuote(CSVPosition)
  case bareCarriageReturn(CSVPosition)
  case notUTF8(CSVPosition)
  case emptyField(CSVPosition)
  case notANumber(CSVPosition, text: String)
  case notFinite(CSVPosition, text: String)
  case tooLarge(limit: Int)
  case fieldTooLong(CSVPosition, limit: Int)
  case tooManyColumns(limit: Int)
  case tooManyRows(row: Int, limit: Int)
  case missingLabel(name: String)
  case missingFeatures([String])
  case labelIsFeature(name: String)
  case thirdLabel(CSVPosition, text: String, positive: String, negative: String)
  case oneClass(label: String, positive: String, rows: Int, positives: Int)

  /// Stable, kebab-case name of the fault.
  public var code: String {
    switch self {
    case .empty: "csv-empty"
    case .noRows: "csv-no-rows"
    case .blankRow: "csv-blank-row"
    case .shortRow: "csv-short-row"
    case .longRow: "csv-long-row"
    case .emptyHeader: "csv-empty-header"
    case .duplicateHeader: "csv-duplicate-header"
    case .unclosedQuote: "csv-unclosed-quote"
    case .strayQuote: "csv-stray-quote"
    case .textAfterQuote: "csv-text-after-quote"
    case .bareCarriageReturn: "csv-bare-carriage-return"
    case .notUTF8: "csv-not-utf8"
    case .emptyField: "csv-empty-field"
    case .notANumber: "csv-not-a-number"
    case .notFinite: "csv-not-finite"
    case .tooLarge: "csv-too-large"
    case .fieldTooLong: "csv-field-too-long"
    case .tooManyColumns: "csv-too-many-columns"
    case .tooManyRows: "csv-too-many-rows"
    case .missingLabel: "csv-missing-label"
    case .missingFeatures: "csv-missing-features"
    case .labelIsFeature: "csv-label-is-feature"
    case .thirdLabel: "csv-third-label"
    case .oneClass: "one-class-only"
    }
  }

  /// ", row 3, column 5 (age)", or nothing for a fault of the whole file.
  var place: String {
    switch self {
    case .empty, .noRows, .tooLarge, .missingLabel, .missingFeatures, .labelIsFeature, .oneClass: ""
    case .blankRow(let row), .shortRow(let row, _, _), .longRow(let row, _), .tooManyRows(let row, _): ", row \(row)"
    case .emptyHeader(let column), .duplicateHeader(let column, _, _): ", row 1, column \(column)"
    case .tooManyColumns: ", row 1"
    case .unclosedQuote(let at), .strayQuote(let at), .textAfterQuote(let at), .bareCarriageReturn(let at),
      .notUTF8(let at), .emptyField(let at), .notANumber(let at, _), .notFinite(let at, _), .fieldTooLong(let at, _),
      .thirdLabel(let at, _, _, _):
      ", row \(at.row), column \(at.column)" + (at.name.map { " (\(shown($0)))" } ?? "")
    }
  }

  var problem: String {
    switch self {
    case .empty: "the file is empty"
    case .noRows: "there is a header but no row of data"
    case .blankRow: "the row is blank"
    case .shortRow(_, let fields, let expected):
      "\(fields) \(fields == 1 ? "field" : "fields") where the header has \(expected)"
    case .longRow(_, let expected): "more fields than the \(expected) of the header"
    case .emptyHeader: "the column has no name"
    case .duplicateHeader(_, let name, let first): "the name \(quoted(name)) is already that of column \(first)"
    case .unclosedQuote: "the quote that opens here is never closed"
    case .strayQuote: "a quote inside an unquoted field"
    case .textAfterQuote: "text after the closing quote"
    case .bareCarriageReturn: "a carriage return without a line feed"
    case .notUTF8: "the text is not UTF-8"
    case .emptyField: "the field is empty"
    case .notANumber(_, let text): "\(quoted(text)) is not a number"
    case .notFinite(_, let text): "\(quoted(text)) is not a finite number"
    case .tooLarge(let limit): "the file is larger than \(limit) bytes"
    case .fieldTooLong(_, let limit): "the field is longer than \(limit) bytes"
    case .tooManyColumns(let limit): "more than \(limit) columns"
    case .tooManyRows(_, let limit): "the table has more than \(limit) values"
    case .missingLabel(let name): "there is no label column \(quoted(name))"
    case .missingFeatures(let names):
      "\(names.count == 1 ? "column is" : "columns are") missing: "
        + names.prefix(5).map(quoted).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
    case .labelIsFeature(let name): "the label column \(quoted(name)) is also listed as a feature"
    case .thirdLabel(_, let text, let positive, let negative):
      "the label \(quoted(text)) is neither \(quoted(positive)) nor \(quoted(negative)); two classes are expected"
    case .oneClass(let label, let positive, let rows, let positives):
      positives == 0
        ? "none of the \(rows) rows has \(quoted(positive)) in the label column \(quoted(label))"
        : "all \(rows) rows have \(quoted(positive)) in the label column \(quoted(label))"
    }
  }

  var remedy: String {
    switch self {
    case .empty, .noRows: "Give a CSV file with a header row and at least one row of data."
    case .blankRow: "Remove the blank row."
    case .shortRow, .longRow: "Give every row as many fields as the header; quote fields that contain commas."
    case .emptyHeader, .duplicateHeader: "Give every column a name of its own in the first row."
    case .unclosedQuote, .strayQuote, .textAfterQuote:
      "Quote the whole field and double every quote inside it (RFC 4180)."
    case .bareCarriageReturn: "End lines with LF or CR LF."
    case .notUTF8: "Save the file as UTF-8."
    case .emptyField, .notFinite: "Fill missing values before training, or remove the row."
    case .notANumber: "Replace the text by a number, or leave the column out of the plan's features."
    case .tooLarge, .tooManyRows, .fieldTooLong, .tooManyColumns: "Split the file or reduce it to what is needed."
    case .missingLabel: "Name a column of the file's header with --label, or in the plan's task."
    case .missingFeatures: "Add the columns, or list other features in the plan."
    case .labelIsFeature: "Remove the label from the plan's features."
    case .thirdLabel: "Reduce the label column to two values, and name the positive one in the plan."
    case .oneClass: "Check the label column and the positive value in the plan; both classes are needed."
    }
  }
}
