/// Bounds on what a CSV file may make the reader do.
public struct CSVLimits: Sendable, Equatable {
  /// Size of the file.
  public var bytes: Int
  /// Length of one field.
  public var fieldBytes: Int
  public var columns: Int
  /// Numbers kept in memory, 8 bytes each.
  public var values: Int

  public init(bytes: Int = 4 << 30, fieldBytes: Int = 4096, columns: Int = 20_000, values: Int = 200_000_000) {
    self.bytes = bytes
    self.fieldBytes = fieldBytes
    self.columns = columns
    self.values = values
  }
}

/// What a scanner hands its fields to.
protocol CSVSink {
  /// The name of a column (from 0), once known.
  func name(ofColumn column: Int) -> String?
  /// One field without its quotes; row from 1 (the header), column from 0.
  mutating func field(_ bytes: UnsafeBufferPointer<UInt8>, row: Int, column: Int) throws(CSVFault)
  /// The end of a row with its number of fields.
  mutating func endRow(_ row: Int, fields: Int) throws(CSVFault)
}

/// A streaming scanner for RFC 4180, strict: what the grammar does not allow is an error at a row and a column.
///
/// Rows end with LF or CR LF, the last one may end with the file. Feed it chunks of any size, then ``finish(_:)``. It
/// holds at most one field.
struct CSVScanner {
  private enum State {
    case fieldStart, unquoted, quoted, quoteInQuoted, carriageReturn
  }

  private static let comma = UInt8(ascii: ",")
  private static let quote = UInt8(ascii: "\"")
  private static let lineFeed = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  private let limits: CSVLimits
  private var state = State.fieldStart
  /// Counts records: a quoted field may span lines, its record is one row.
  private var row = 1
  private var column = 0
  /// The part of a field that came with earlier chunks, or in quotes.
  private var field: [UInt8] = []

  init(limits: CSVLimits) {
    self.limits = limits
  }

  mutating func consume(_ chunk: UnsafeBufferPointer<UInt8>, _ sink: inout some CSVSink) throws(CSVFault) {
    var index = 0
    while index < chunk.count {
      let byte = chunk[index]
      switch state {
      case .fieldStart where byte == Self.quote:
        try checkColumn()
        state = .quoted
        index += 1
      case .fieldStart, .unquoted:
        index = try unquoted(chunk, from: index, &sink)
      case .quoted where byte == Self.quote:
        state = .quoteInQuoted
        index += 1
      case .quoted:
        var end = index
        while end < chunk.count, chunk[end] != Self.quote { end += 1 }
        try append(chunk, index..<end, sink)
        index = end
      case .quoteInQuoted where byte == Self.quote:
        try append(chunk, index..<index + 1, sink)
        state = .quoted
        index += 1
      case .quoteInQuoted:
        guard byte == Self.comma || byte == Self.lineFeed || byte == Self.carriageReturn else {
          throw .textAfterQuote(position(sink))
        }
        try emitBuffered(&sink)
        try separator(byte, &sink)
        index += 1
      case .carriageReturn:
        guard byte == Self.lineFeed else { throw .bareCarriageReturn(position(sink)) }
        try endRow(&sink)
        index += 1
      }
    }
  }

  /// The end of the file.
  mutating func finish(_ sink: inout some CSVSink) throws(CSVFault) {
    switch state {
    case .fieldStart where column == 0: return
    case .fieldStart, .unquoted, .quoteInQuoted:
      try emitBuffered(&sink)
      column += 1
      try endRow(&sink)
    case .quoted: throw .unclosedQuote(position(sink))
    case .carriageReturn: throw .bareCarriageReturn(position(sink))
    }
  }

  /// From the start of an unquoted field, or inside one, to its end or the chunk's.
  private mutating func unquoted(
    _ chunk: UnsafeBufferPointer<UInt8>, from start: Int, _ sink: inout some CSVSink
  ) throws(CSVFault) -> Int {
    if state == .fieldStart { try checkColumn() }
    var end = start
    while end < chunk.count {
      let byte = chunk[end]
      if byte == Self.comma || byte == Self.lineFeed || byte == Self.carriageReturn { break }
      guard byte != Self.quote else { throw .strayQuote(position(sink)) }
      end += 1
    }
    guard end < chunk.count else {
      try append(chunk, start..<end, sink)
      state = .unquoted
      return end
    }
    let byte = chunk[end]
    if state == .fieldStart, column == 0, end == start, byte != Self.comma { throw .blankRow(row: row) }
    if field.isEmpty {
      // The whole field lies in this chunk: no copy.
      guard end - start <= limits.fieldBytes else {
        throw .fieldTooLong(position(sink), limit: limits.fieldBytes)
      }
      try sink.field(UnsafeBufferPointer(rebasing: chunk[start..<end]), row: row, column: column)
    } else {
      try append(chunk, start..<end, sink)
      try emitBuffered(&sink)
    }
    try separator(byte, &sink)
    return end + 1
  }

  private mutating func separator(_ byte: UInt8, _ sink: inout some CSVSink) throws(CSVFault) {
    column += 1
    if byte == Self.lineFeed {
      try endRow(&sink)
    } else {
      state = byte == Self.comma ? .fieldStart : .carriageReturn
    }
  }

  private mutating func endRow(_ sink: inout some CSVSink) throws(CSVFault) {
    try sink.endRow(row, fields: column)
    row += 1
    column = 0
    state = .fieldStart
  }

  private mutating func emitBuffered(_ sink: inout some CSVSink) throws(CSVFault) {
    let bytes = field
    field.removeAll(keepingCapacity: true)
    let (row, column) = (row, column)
    var fault: CSVFault?
    bytes.withUnsafeBufferPointer { buffer in
      do throws(CSVFault) { try sink.field(buffer, row: row, column: column) } catch { fault = error }
    }
    if let fault { throw fault }
  }

  private mutating func append(
    _ chunk: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ sink: borrowing some CSVSink
  ) throws(CSVFault) {
    guard field.count + range.count <= limits.fieldBytes else {
      throw .fieldTooLong(position(sink), limit: limits.fieldBytes)
    }
    field.append(contentsOf: UnsafeBufferPointer(rebasing: chunk[range]))
  }

  private func checkColumn() throws(CSVFault) {
    guard column < limits.columns else { throw .tooManyColumns(limit: limits.columns) }
  }

  private func position(_ sink: borrowing some CSVSink) -> CSVPosition {
    CSVPosition(row: row, column: column + 1, name: sink.name(ofColumn: column))
  }
}
