import ArgumentParser
import AuditLog
import Foundation

struct AuditExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write the records of a log to a file for other programs.",
    discussion: """
        bauta audit export alder --format csv --output alder.csv
        bauta audit export hub --since 2026-03-01 --until 2026-04-01 \\
          --output march.jsonl
        bauta audit export --columns

      jsonl: the records byte for byte, one a line; hashes can be made again from them. csv: RFC 4180 in UTF-8 with a \
      column for every field, named by its path, empty where a record has none; --columns lists them with their meaning. \
      Text that a spreadsheet would run as a formula begins with an apostrophe there.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable, Sendable {
    case jsonl, csv
  }

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String?

  @OptionGroup(title: "Which records") var selection: RecordFilterOptions

  @Option(help: "jsonl or csv.")
  var format: Format = .jsonl

  @Option(
    help: ArgumentHelp("A new file; standard output without it.", valueName: "file"), completion: .file())
  var output: String?

  @Flag(help: "List the columns of the CSV and what they mean.")
  var columns = false

  func validate() throws {
    if directory == nil, !columns { throw ValidationError("Give the directory of a log.") }
  }

  func run() async throws {
    if columns {
      var table = Table([.text("column"), .text("meaning")])
      for field in RecordField.all { table.append(["\(field.path)", "\(field.meaning)"]) }
      Output.standard.table(table)
      return
    }
    guard let directory else { return }
    try LocalFile.requireLogDirectory(directory)
    guard let output else {
      let (_, damage) = try write(directory, to: .standard)
      if let damage { throw damage }
      return
    }
    let (count, damage) = try StagedFile.create(output) { file in try write(directory, to: file) }
    Output.standard.line("\(output): \(Figures.counted(count, "record"))")
    if let damage { throw damage }
  }

  private func write(_ directory: String, to output: Output) throws -> (count: UInt64, damage: AuditLogError?) {
    var count: UInt64 = 0
    if format == .csv { output.write(RecordCSV.header) }
    let damage = try LogScan.run(directory, selection.filter) { entry in
      count += 1
      switch format {
      case .jsonl: output.write(entry.bytes + [0x0A])
      case .csv: output.write(RecordCSV.row(entry: entry.bytes))
      }
      return true
    }
    return (count, damage)
  }
}

/// A new file of any length that appears whole or not at all.
enum StagedFile {
  /// - Throws: ``CommandError/exists(path:)``, `unwritable`, and what `fill` throws.
  static func create<Result>(_ path: String, fill: (Output) throws -> Result) throws -> Result {
    guard !LocalFile.exists(path) else { throw CommandError.exists(path: path) }
    let temporary = "\(path).\(UInt32.random(in: .min ... .max)).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno))) }
    defer {
      close(descriptor)
      unlink(temporary)
    }
    let output = Output(descriptor: descriptor)
    let result = try fill(output)
    try output.finish()
    guard fsync(descriptor) == 0 else {
      throw CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
    }
    // Unlike rename, link fails when the name is taken.
    guard link(temporary, path) == 0 else {
      throw errno == EEXIST
        ? CommandError.exists(path: path)
        : CommandError.unwritable(path: path, reason: String(cString: strerror(errno)))
    }
    return result
  }
}
