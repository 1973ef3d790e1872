import ArgumentParser
import AuditLog

struct AuditShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show one record in words, with what each field means.",
    discussion: """
        bauta audit show alder 12
        bauta audit show alder 12 --next
        bauta audit show alder 12..15
        (printf '\\0'; bauta audit show alder 12 --json | tr -d '\\n') | sha256sum

      With --json it prints the record as it stands, byte for byte, and a newline; its leaf hash is SHA-256 over \
      a zero byte and the record without the newline, as in the last line above. The record is shown whether the log \
      is right or not: see `bauta audit verify`.
      """)

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @Argument(
    help: ArgumentHelp("Number of an entry, or two of them: 12..15.", valueName: "entry"),
    transform: { text in
      guard let range = EntryRange(argument: text) else {
        throw ValidationError("Give a number from 0, or two of them in order: 12..15.")
      }
      return range
    })
  var entry: EntryRange

  @Flag(help: "Show the entry before as well.")
  var previous = false

  @Flag(help: "Show the entry after as well.")
  var next = false

  @OptionGroup var format: JSONOption

  func run() async throws {
    try LocalFile.requireLogDirectory(directory)
    let first = previous && entry.first > 0 ? entry.first - 1 : entry.first
    let last = next ? entry.last + 1 : entry.last
    var reader = try AuditLogReader(directory: directory, from: first)
    var shown: UInt64 = 0
    var isPast = false
    var damage: AuditLogError?
    while !isPast {
      let place = reader.position
      do throws(AuditLogError) {
        guard let found = try reader.next() else { break }
        // What an entry says of itself counts: a log that lacks entries has others in their places.
        let sequence = found.record.sequence
        isPast = sequence >= last
        guard (first...last).contains(sequence) else { continue }
        show(found, isFirst: shown == 0)
        shown += 1
      } catch {
        guard error.isSkipped else { throw error }
        if place <= last, reader.position > first { damage = damage ?? error }
      }
    }
    if let damage { throw damage }
    if shown == 0 { throw absence(reader, hasLater: isPast) }
  }

  private func absence(_ reader: AuditLogReader, hasLater: Bool) -> CommandError {
    let (problem, remedy) =
      if entry.first < reader.firstSequence {
        ("entry \(entry.first) is not kept; the first one that is is \(reader.firstSequence)", "Ask for a later one.")
      } else if hasLater {
        (
          "it has no entry \(entry.first), but later ones",
          "Run `bauta audit verify`; it names what is wrong with the log."
        )
      } else if reader.position > 0 {
        ("it has no entry \(entry.first); the last one is \(reader.position - 1)", "See `bauta audit list --last 20`.")
      } else {
        ("it has no entries", "See `bauta audit list --last 20`.")
      }
    return .unsuitable(path: directory, problem: problem, remedy: remedy)
  }

  private func show(_ entry: AuditLogReader.Entry, isFirst: Bool) {
    if format.json {
      Output.standard.write(entry.bytes + [0x0A])
    } else {
      if !isFirst { Output.standard.line() }
      Self.show(entry)
    }
  }

  /// A hash in hexadecimal.
  private static let longestAligned = 64

  private static func show(_ entry: AuditLogReader.Entry) {
    let record = entry.record
    let values = RecordValues(entry: entry.bytes)
    let output = Output.standard
    output.line(
      "\("Entry \(record.sequence)", .strong) of \(record.organization), \(record.time): \(record.event.rawValue)")
    output.line("\(record.event.meaning)")
    output.line("leaf hash \(entry.leaf)")
    for group in RecordField.Group.allCases {
      let rows = RecordField.all.filter { $0.group == group }.compactMap { field in
        values[field].map { (field: field, value: StyledText($0)) }
      }
      guard !rows.isEmpty else { continue }
      output.line()
      output.line("\(group.title, .strong). \(group.explanation)")
      let nameWidth = rows.map { $0.field.path.count }.max() ?? 0
      // A value that is longer does not push the others' meanings away.
      let valueWidth = rows.map { $0.value.width }.filter { $0 <= longestAligned }.max() ?? 0
      for (field, value) in rows {
        let gap = String(repeating: " ", count: nameWidth - field.path.count + 2)
        let rest = String(repeating: " ", count: max(0, valueWidth - value.width) + 2)
        output.line("  \(field.path)\(gap)\(value)\(rest)\(field.meaning, .faint)")
      }
    }
  }
}

/// One entry, or all from one to another.
struct EntryRange: ExpressibleByArgument, Sendable, Equatable {
  let first: UInt64
  let last: UInt64

  init?(argument: String) {
    let parts = argument.split(separator: ".", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { UInt64($0) }
    // No entry has a number that an entry cannot hold, and the one after it is a number too.
    guard numbers.allSatisfy({ $0 < 1 << 53 }), let first = numbers.first, let last = numbers.last, first <= last else {
      return nil
    }
    guard parts.count == 1 || parts.count == 3 && parts[1].isEmpty && numbers.count == 2 else { return nil }
    self.first = first
    self.last = last
  }
}
