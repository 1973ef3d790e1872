import Learning

/// Turns the fields of a CSV file into the numbers of a table.
struct CSVTableSink: CSVSink {
  private enum Role {
    case label
    case feature(Int)
    case ignored
  }

  private let label: (name: String, positive: String)?
  private let positive: [UInt8]
  private let rule: LabelRule
  private let selection: FeatureSelection
  private let limits: CSVLimits
  private var header: [String] = []
  private var columns: [String: Int] = [:]
  private var roles: [Role] = []
  private var featureNames: [String] = []
  private var negative: [UInt8]?
  private var current: [Double] = []
  private var currentLabel: UInt8 = 0
  private var values: [Double] = []
  private var labels: [UInt8] = []

  init(
    label: (name: String, positive: String)?, labels rule: LabelRule = .twoClasses, features: FeatureSelection,
    limits: CSVLimits
  ) {
    self.label = label
    self.rule = rule
    positive = Array((label?.positive ?? "").utf8)
    selection = features
    self.limits = limits
  }

  func name(ofColumn column: Int) -> String? {
    header.indices.contains(column) ? header[column] : nil
  }

  mutating func field(_ bytes: UnsafeBufferPointer<UInt8>, row: Int, column: Int) throws(CSVFault) {
    guard row > 1 else {
      try headerField(bytes, column: column)
      return
    }
    guard column < header.count else { throw .longRow(row: row, expected: header.count) }
    switch roles[column] {
    case .ignored: return
    case .label: currentLabel = try labelValue(bytes, row: row, column: column)
    case .feature(let slot): current[slot] = try number(bytes, row: row, column: column)
    }
  }

  mutating func endRow(_ row: Int, fields: Int) throws(CSVFault) {
    guard row > 1 else {
      try resolve()
      return
    }
    guard fields == header.count else { throw .shortRow(row: row, fields: fields, expected: header.count) }
    guard values.count + current.count <= limits.values else {
      throw .tooManyRows(row: row, limit: limits.values)
    }
    values.append(contentsOf: current)
    labels.append(currentLabel)
  }

  /// The table read.
  func table(path: String) throws(TrainingError) -> FeatureTable {
    guard !labels.isEmpty || rule == .oneAgainstRest else { throw .csv(path: path, .noRows) }
    do throws(LearningError) {
      return try FeatureTable(featureNames: featureNames, values: values, labels: labels)
    } catch { throw .learning(error) }
  }

  private mutating func headerField(_ bytes: UnsafeBufferPointer<UInt8>, column: Int) throws(CSVFault) {
    guard let name = String(validating: bytes, as: UTF8.self) else {
      throw .notUTF8(CSVPosition(row: 1, column: column + 1))
    }
    guard !name.isEmpty else { throw .emptyHeader(column: column + 1) }
    if let first = columns[name] { throw .duplicateHeader(column: column + 1, name: name, first: first + 1) }
    columns[name] = column
    header.append(name)
  }

  /// Decides what each column is, once the header is complete.
  private mutating func resolve() throws(CSVFault) {
    roles = Array(repeating: .ignored, count: header.count)
    if let label {
      guard let column = columns[label.name] else { throw .missingLabel(name: label.name) }
      roles[column] = .label
    }
    switch selection {
    case .all: featureNames = header.filter { $0 != label?.name }
    case .list(let names):
      if let label, names.contains(label.name) { throw .labelIsFeature(name: label.name) }
      let missing = names.filter { columns[$0] == nil }
      guard missing.isEmpty else { throw .missingFeatures(missing) }
      featureNames = names
    }
    for (slot, name) in featureNames.enumerated() {
      if let column = columns[name] { roles[column] = .feature(slot) }
    }
    current = Array(repeating: 0, count: featureNames.count)
  }

  private mutating func labelValue(
    _ bytes: UnsafeBufferPointer<UInt8>, row: Int, column: Int
  ) throws(CSVFault) -> UInt8 {
    guard !bytes.isEmpty else { throw .emptyField(position(row, column)) }
    if bytes.elementsEqual(positive) { return 1 }
    guard rule == .twoClasses else { return 0 }
    if let negative {
      guard bytes.elementsEqual(negative) else {
        throw .thirdLabel(
          position(row, column), text: String(decoding: bytes, as: UTF8.self),
          positive: String(decoding: positive, as: UTF8.self), negative: String(decoding: negative, as: UTF8.self))
      }
    } else {
      negative = Array(bytes)
    }
    return 0
  }

  private func number(
    _ bytes: UnsafeBufferPointer<UInt8>, row: Int, column: Int
  ) throws(CSVFault) -> Double {
    guard !bytes.isEmpty else { throw .emptyField(position(row, column)) }
    switch DecimalNumber.parse(bytes) {
    case .value(let value): return value
    case .notFinite: throw .notFinite(position(row, column), text: String(decoding: bytes, as: UTF8.self))
    case .notANumber: throw .notANumber(position(row, column), text: String(decoding: bytes, as: UTF8.self))
    }
  }

  private func position(_ row: Int, _ column: Int) -> CSVPosition {
    CSVPosition(row: row, column: column + 1, name: header[column])
  }
}
