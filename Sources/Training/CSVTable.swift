import Foundation
import Learning

/// Which columns of a file are features.
public enum FeatureSelection: Sendable, Equatable {
  /// Every column but the label, in the file's order.
  case all
  /// These columns, in this order; others are ignored.
  case list([String])
}

/// What a label column may hold.
public enum LabelRule: Sendable, Equatable {
  /// Two texts, both of which occur: a slip in the column is noticed.
  case twoClasses
  /// Whatever is not the positive text is class 0. A class may be missing, and so may all rows: under differential privacy
  /// one row more or less must not decide whether the others can be used, since a refusal is seen outside.
  case oneAgainstRest
}

/// Tables in CSV files.
///
/// Reading is strict (RFC 4180, UTF-8 with or without a byte order mark, LF or CR LF): a duplicate or missing column, a
/// row of another length, an open quote, text or nothing where a number belongs, infinities and NaN are errors that name
/// file, row and column. The header is row 1.
public enum CSVTable {
  /// Reads a table with a label column.
  ///
  /// - Parameters:
  ///   - label: name of the label column.
  ///   - positive: the label's text that means class 1; the other text that occurs is class 0.
  ///   - labels: what else the column may hold. Rows that are no rows of numbers are errors under every rule.
  /// - Throws: `TrainingError.file`, `.csv`, `.learning`.
  public static func load(
    path: String, label: String, positive: String, labels: LabelRule = .twoClasses, features: FeatureSelection = .all,
    limits: CSVLimits = CSVLimits()
  ) throws(TrainingError) -> FeatureTable {
    var sink = CSVTableSink(label: (label, positive), labels: labels, features: features, limits: limits)
    try read(path: path, limits: limits, into: &sink)
    let table = try sink.table(path: path)
    guard labels == .twoClasses else { return table }
    let positives = table.positiveCount
    guard positives > 0, positives < table.rowCount else {
      throw .csv(
        path: path, .oneClass(label: label, positive: positive, rows: table.rowCount, positives: positives))
    }
    return table
  }

  /// Reads features only, for prediction. The table's labels are zero and mean nothing.
  ///
  /// - Throws: `TrainingError.file`, `.csv`, `.learning`.
  public static func loadUnlabelled(
    path: String, features: FeatureSelection, limits: CSVLimits = CSVLimits()
  ) throws(TrainingError) -> FeatureTable {
    var sink = CSVTableSink(label: nil, features: features, limits: limits)
    try read(path: path, limits: limits, into: &sink)
    return try sink.table(path: path)
  }

  /// Reads a file in chunks of 64 KiB.
  private static func read(
    path: String, limits: CSVLimits, into sink: inout CSVTableSink
  ) throws(TrainingError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file(path: path, action: .read, reason: systemReason()) }
    defer { close(descriptor) }
    var scanner = CSVScanner(limits: limits)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var total = 0
    while true {
      let count = try fill(&buffer, from: descriptor, path: path)
      guard count > 0 else { break }
      // The byte order mark is no part of the first column's name.
      let hasMark = total == 0 && count >= 3 && Array(buffer[..<3]) == [0xef, 0xbb, 0xbf]
      total += count
      do throws(CSVFault) {
        guard total <= limits.bytes else { throw .tooLarge(limit: limits.bytes) }
        try scan(buffer, hasMark ? 3..<count : 0..<count, &scanner, &sink)
      } catch { throw .csv(path: path, error) }
    }
    do throws(CSVFault) {
      guard total > 0 else { throw .empty }
      try scanner.finish(&sink)
    } catch { throw .csv(path: path, error) }
  }

  private static func scan(
    _ buffer: [UInt8], _ range: Range<Int>, _ scanner: inout CSVScanner, _ sink: inout CSVTableSink
  ) throws(CSVFault) {
    var fault: CSVFault?
    buffer.withUnsafeBufferPointer { bytes in
      do throws(CSVFault) {
        try scanner.consume(UnsafeBufferPointer(rebasing: bytes[range]), &sink)
      } catch { fault = error }
    }
    if let fault { throw fault }
  }

  /// Reads until the buffer is full or the file ends.
  private static func fill(
    _ buffer: inout [UInt8], from descriptor: Int32, path: String
  ) throws(TrainingError) -> Int {
    var filled = 0
    while filled < buffer.count {
      let offset = filled
      let count = buffer.withUnsafeMutableBytes { bytes in
        Foundation.read(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .file(path: path, action: .read, reason: systemReason()) }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  /// The table as CSV: label column first, LF line ends, numbers in the shortest form that reads back the same.
  public static func encode(_ table: FeatureTable, label: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(table.values.count * 10)
    for (index, name) in ([label] + table.featureNames).enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      append(name: name, to: &bytes)
    }
    bytes.append(UInt8(ascii: "\n"))
    for row in 0..<table.rowCount {
      bytes.append(UInt8(ascii: "0") + table.labels[row])
      for value in table.row(row) {
        bytes.append(UInt8(ascii: ","))
        append(value: value, to: &bytes)
      }
      bytes.append(UInt8(ascii: "\n"))
    }
    return bytes
  }

  /// Writes ``encode(_:label:)`` to a file, whole or not at all.
  ///
  /// - Throws: `TrainingError.file`.
  public static func write(_ table: FeatureTable, label: String, path: String) throws(TrainingError) {
    do {
      try Data(encode(table, label: label)).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw .file(path: path, action: .write, reason: error.localizedDescription)
    }
  }

  private static func append(name: String, to bytes: inout [UInt8]) {
    let special = Set(",\"\r\n".utf8)
    guard name.utf8.contains(where: special.contains) else {
      bytes.append(contentsOf: name.utf8)
      return
    }
    bytes.append(UInt8(ascii: "\""))
    for byte in name.utf8 {
      if byte == UInt8(ascii: "\"") { bytes.append(byte) }
      bytes.append(byte)
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private static func append(value: Double, to bytes: inout [UInt8]) {
    if let whole = Int64(exactly: value), whole.magnitude < 1 << 53, !(whole == 0 && value.sign == .minus) {
      bytes.append(contentsOf: String(whole).utf8)
    } else {
      bytes.append(contentsOf: value.description.utf8)
    }
  }

  private static func systemReason() -> String { String(cString: strerror(errno)) }
}
