import ArgumentParser
import AuditLog

struct AuditListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the records of a log.",
    discussion: """
      Records are shown as they stand; whether nobody changed them is what `bauta audit verify` says.

        bauta audit list alder --last 40
        bauta audit list alder --event messageSent --kind masked-input --since 2h
        bauta audit list hub --source birch.example --json

      With --json, or --format jsonl, each line is the record, byte for byte, whose hash is in the log's tree. For one \
      record in words see `bauta audit show`, for a file `bauta audit export`.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table, jsonl, csv
  }

  /// A table of more rows than this ends with a word on how to see fewer.
  static let longTable = 200

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @OptionGroup(title: "Which records") var selection: RecordFilterOptions

  @Option(help: ArgumentHelp("Only the last ones of these records.", valueName: "n"))
  var last: Int?

  @Option(help: "table, jsonl (as --json), or csv (as `bauta audit export`).")
  var format: Format?

  @OptionGroup var json: JSONOption

  func validate() throws {
    if let last, last < 1 { throw ValidationError("--last takes a number from 1.") }
    if let last, last > 1_000_000 { throw ValidationError("--last takes at most 1000000.") }
    if json.json, let format, format != .jsonl { throw ValidationError("Give --json or --format \(format), not both.") }
  }

  private var chosen: Format { json.json ? .jsonl : format ?? .table }

  func run() async throws {
    try LocalFile.requireLogDirectory(directory)
    var display = RecordDisplay(format: chosen)
    var recent = last.map { Recent<Line>(limit: $0) }
    let damage = try LogScan.run(directory, selection.filter) { entry in
      if recent != nil { recent?.append(Line(entry)) } else { display.take(Line(entry)) }
      return true
    }
    for line in recent?.elements ?? [] { display.take(line) }
    display.finish(omitted: recent?.omitted ?? 0, isWhole: damage == nil)
    if let damage { throw damage }
  }

  /// A record with its bytes as they stand.
  struct Line: Hashable, Sendable {
    let record: AuditRecord
    let bytes: [UInt8]

    init(_ entry: AuditLogReader.Entry) {
      record = entry.record
      bytes = entry.bytes
    }
  }
}

/// Shows records one after the other: at once where the form allows it, a table at the end.
private struct RecordDisplay {
  let format: AuditListCommand.Format
  private var table = RecordRow.table
  private var count: UInt64 = 0
  private var sent: UInt64 = 0
  private var bytes: UInt64 = 0

  init(format: AuditListCommand.Format) {
    self.format = format
    if format == .csv { Output.standard.write(RecordCSV.header) }
  }

  mutating func take(_ line: AuditListCommand.Line) {
    count += 1
    switch format {
    case .jsonl: Output.standard.write(line.bytes + [0x0A])
    case .csv: Output.standard.write(RecordCSV.row(entry: line.bytes))
    case .table:
      table.append(RecordRow.cells(line.record))
      if line.record.event == .messageSent {
        sent += 1
        bytes &+= line.record.message?.bytes ?? 0
      }
    }
  }

  func finish(omitted: UInt64, isWhole: Bool) {
    guard format == .table else { return }
    let output = Output.standard
    guard count > 0 else {
      output.line(isWhole ? "No record matches." : "No record that can be read matches.")
      return
    }
    output.table(table)
    output.line()
    let earlier = omitted > 0 ? " before them: \(Figures.grouped(omitted));" : ""
    output.line(
      "\(Figures.counted(count, "record"));\(earlier) sent: \(Figures.counted(sent, "message")), \(Figures.bytes(bytes))"
    )
    if count > UInt64(AuditListCommand.longTable) {
      output.line(
        "\("Shorter:", .faint) --last 40 for the latest, --since 1h, --event messageSent; or bauta audit report for figures"
      )
    }
  }
}
