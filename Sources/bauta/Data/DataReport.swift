import Federation
import Learning
import Training

/// What a table would bring into a run: its size, its classes, and each column after the signed logarithm.
struct DataReport: Sendable {
  static let schema = "bauta/data-check/1"

  struct Column: Sendable {
    let name: String
    let nonZeroRows: Int
    /// After sign(x) · log(1 + |x|).
    let minimum: Double
    let maximum: Double
    /// Too few non-zero rows: the organisation contributes nothing for it.
    let isSuppressed: Bool
    /// Larger than any secure sum of statistics takes.
    let isTooLarge: Bool

    var varies: Bool { minimum < maximum }
  }

  let file: String
  let label: String
  let positive: String
  let rows: Int
  let positives: Int
  let minimumRows: Int
  let columns: [Column]

  var negatives: Int { rows - positives }
  var suppressed: [Column] { columns.filter(\.isSuppressed) }
  var tooLarge: [Column] { columns.filter(\.isTooLarge) }
  /// Too few rows of one class: not even the counts of the classes leave.
  var isLabelSuppressed: Bool { min(positives, negatives) < minimumRows }

  /// - Parameters:
  ///   - table: the rows that would be trained on.
  ///   - minimumRows: the policy's smallest number of non-zero rows of a column that may be counted.
  init(_ table: FeatureTable, file: String, label: String, positive: String, minimumRows: Int) {
    self.file = file
    self.label = label
    self.positive = positive
    self.minimumRows = minimumRows
    rows = table.rowCount
    positives = table.positiveCount
    var nonZero = Array(repeating: 0, count: table.columnCount)
    var lowest = Array(repeating: Double.infinity, count: table.columnCount)
    var highest = Array(repeating: -Double.infinity, count: table.columnCount)
    for row in 0..<table.rowCount {
      for (column, raw) in table.row(row).enumerated() {
        let value = signedLog1p(raw)
        if value != 0 { nonZero[column] += 1 }
        lowest[column] = min(lowest[column], value)
        highest[column] = max(highest[column], value)
      }
    }
    columns = table.featureNames.indices.map { index in
      Column(
        name: table.featureNames[index], nonZeroRows: nonZero[index], minimum: lowest[index], maximum: highest[index],
        isSuppressed: nonZero[index] < minimumRows,
        isTooLarge: max(lowest[index].magnitude, highest[index].magnitude) > StatisticsVector.valueLimit)
    }
  }

  /// Reads a file as a run under `plan` would.
  ///
  /// - Throws: `TrainingError`, `LearningError`, `FederationError`.
  static func load(_ file: String, plan: RunPlan, minimumRows: Int) throws -> DataReport {
    let features: Training.FeatureSelection =
      switch plan.task.features {
      case .all: .all
      case .named(let names): .list(names)
      }
    let table = try CSVTable.load(
      path: file, label: plan.task.label, positive: plan.task.positive,
      labels: plan.privacy.settings == nil ? .twoClasses : .oneAgainstRest, features: features)
    let train = try plan.split(table).train
    return DataReport(
      train, file: file, label: plan.task.label, positive: plan.task.positive, minimumRows: minimumRows)
  }

  /// Reads a whole file.
  ///
  /// - Throws: `TrainingError`.
  static func load(_ file: String, label: String, positive: String, minimumRows: Int) throws -> DataReport {
    let table = try CSVTable.load(path: file, label: label, positive: positive)
    return DataReport(table, file: file, label: label, positive: positive, minimumRows: minimumRows)
  }

  var json: JSONValue {
    .object([
      "schema": .string(Self.schema), "file": .string(file), "rows": .count(rows), "columns": .count(columns.count),
      "label": .object([
        "name": .string(label), "positive": .string(positive), "positives": .count(positives),
        "negatives": .count(negatives), "suppressed": .boolean(isLabelSuppressed),
      ]),
      "minimumRows": .count(minimumRows),
      "features": .array(
        columns.map { column in
          .object([
            "name": .string(column.name), "nonZeroRows": .count(column.nonZeroRows),
            "minimum": .number(column.minimum), "maximum": .number(column.maximum),
            "suppressed": .boolean(column.isSuppressed), "tooLarge": .boolean(column.isTooLarge),
          ])
        }),
    ])
  }
}
