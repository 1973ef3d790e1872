import ArgumentParser
import AuditLog
import Cryptography

/// Which records a command is about; without any of these, all.
struct RecordFilterOptions: ParsableArguments {
  @Option(name: .customLong("run"), help: ArgumentHelp("Records of this run only.", valueName: "run"))
  var runIdentifier: String?

  @Option(help: ArgumentHelp("Records of this round only.", valueName: "n"))
  var round: Int?

  @Option(help: ArgumentHelp("Events of this kind only; may be repeated.", valueName: "event"))
  var event: [AuditRecord.Event] = []

  @Option(help: ArgumentHelp("Messages of this kind only, such as masked-input.", valueName: "kind"))
  var kind: String?

  @Option(
    help: ArgumentHelp("Not before this moment: \(AuditMoment.explanation).", valueName: "time"),
    transform: { try AuditMoment.parse($0) })
  var since: AuditMoment?

  @Option(
    help: ArgumentHelp("Before this moment.", valueName: "time"), transform: { try AuditMoment.parse($0) })
  var until: AuditMoment?

  @Option(
    help: ArgumentHelp("What was sent to this member only.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var destination: OrganizationName?

  @Option(
    help: ArgumentHelp("What was received from this member only.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var source: OrganizationName?

  func validate() throws {
    if let since, let until, until.time <= since.time {
      throw ValidationError("--until is not after --since: no record can be between them.")
    }
  }

  var filter: AuditFilter {
    var filter = AuditFilter()
    filter.from = since?.time
    filter.to = until?.time
    filter.run = runIdentifier
    filter.round = round
    filter.kind = kind
    filter.destination = destination
    filter.source = source
    filter.events = event.isEmpty ? nil : Set(event)
    return filter
  }

  /// The options again, as one types them, with moments as UTC times.
  var words: [String] {
    var words: [String] = []
    func add(_ name: String, _ value: String?) {
      if let value { words += [name, ShellWord.quoted(value)] }
    }
    add("--run", runIdentifier)
    add("--round", round.map { "\($0)" })
    for event in event { add("--event", event.rawValue) }
    add("--kind", kind)
    add("--since", since?.time.description)
    add("--until", until?.time.description)
    add("--destination", destination?.value)
    add("--source", source?.value)
    return words
  }
}

extension AuditRecord.Event: ExpressibleByArgument {}

/// Goes through the records of a log, and does not stop at lines that are none or where a segment is missing.
enum LogScan {
  /// - Parameter take: is given each record that the filter lets pass; false ends the scan.
  /// - Returns: the first damage that was met on the way.
  /// - Throws: `noJournal`, `storage`.
  static func run(
    _ directory: String, _ filter: AuditFilter = AuditFilter(), _ take: (AuditLogReader.Entry) -> Bool
  ) throws(AuditLogError) -> AuditLogError? {
    var reader = try AuditLogReader(directory: directory, filter: filter)
    var damage: AuditLogError?
    while true {
      do throws(AuditLogError) {
        guard let entry = try reader.next(), take(entry) else { return damage }
      } catch {
        guard error.isSkipped else { throw error }
        damage = damage ?? error
      }
    }
  }
}
