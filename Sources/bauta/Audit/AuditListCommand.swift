import ArgumentParser
import AuditLog
import Cryptography

struct AuditListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the records of a log.",
    discussion: """
      Records are shown as they stand; whether nobody changed them is what `bauta audit verify` says.

        bauta audit list alder
        bauta audit list alder --event messageSent --kind maskedInput --since 2h
        bauta audit list hub --source birch.example --json

      With --json each line is the record, byte for byte, whose hash is in the log's tree.
      """)

  @Argument(help: "Directory of an organisation, a server or a log.", completion: .directory)
  var directory: String

  @Option(name: .customLong("run"), help: ArgumentHelp("Records of this run only.", valueName: "run"))
  var runIdentifier: String?

  @Option(help: ArgumentHelp("Records of this round only.", valueName: "n"))
  var round: Int?

  @Option(help: ArgumentHelp("Events of this kind only; may be repeated.", valueName: "event"))
  var event: [AuditRecord.Event] = []

  @Option(help: ArgumentHelp("Messages of this kind only, such as maskedInput.", valueName: "kind"))
  var kind: String?

  @Option(help: ArgumentHelp("Not before this moment: \(AuditMoment.explanation).", valueName: "time"))
  var since: AuditMoment?

  @Option(help: ArgumentHelp("Before this moment.", valueName: "time"))
  var until: AuditMoment?

  @Option(
    help: ArgumentHelp("What was sent to this member only.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var destination: OrganizationName?

  @Option(
    help: ArgumentHelp("What was received from this member only.", valueName: "name"),
    transform: { try OrganizationName($0) })
  var source: OrganizationName?

  @OptionGroup var format: JSONOption

  func run() async throws {
    try LocalFile.requireDirectory(directory)
    var records: [AuditRecord] = []
    let asJSON = format.json
    let damage = try Self.scan(directory, filter) { entry in
      if asJSON { Output.standard.write(entry.bytes + [0x0A]) } else { records.append(entry.record) }
    }
    if !asJSON { Self.show(records) }
    if let damage { throw damage }
  }

  /// Reads what can be read, and returns the first damage met on the way.
  private static func scan(
    _ directory: String, _ filter: AuditFilter, _ found: (AuditLogReader.Entry) -> Void
  ) throws(AuditLogError) -> AuditLogError? {
    var reader = try AuditLogReader(directory: directory, filter: filter)
    var damage: AuditLogError?
    while true {
      do throws(AuditLogError) {
        guard let entry = try reader.next() else { return damage }
        found(entry)
      } catch {
        guard case .malformedEntry = error else { throw error }
        damage = damage ?? error
      }
    }
  }

  private var filter: AuditFilter {
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

  private static func show(_ records: [AuditRecord]) {
    guard !records.isEmpty else {
      Output.standard.line("No record matches.")
      return
    }
    var table = Table([
      .number("entry"), .text("time (UTC)"), .text("event"), .text("peer"), .text("message"), .number("bytes"),
      .text("SHA-256"), .text("round"), .text("remark"),
    ])
    for record in records {
      table.append([
        "\(record.sequence)", "\(record.time)", "\(record.event.rawValue)", "\(peer(of: record))",
        "\(message(of: record))", "\(record.message.map { Figures.grouped($0.bytes) } ?? "")",
        "\(record.message.map { String($0.sha256.hexadecimal.prefix(16)) } ?? "")", "\(round(of: record))",
        remark(on: record),
      ])
    }
    Output.standard.table(table)
    let sent = records.filter { $0.event == .messageSent }
    let bytes = sent.reduce(UInt64(0)) { $0 &+ ($1.message?.bytes ?? 0) }
    Output.standard.line()
    Output.standard.line(
      "\(Figures.counted(records.count, "record")); sent: \(Figures.counted(sent.count, "message")), \(Figures.bytes(bytes))"
    )
  }

  private static func peer(of record: AuditRecord) -> String {
    if let peer = record.destination { return "→ \(peer.name?.value ?? peer.address ?? "unknown")" }
    if let peer = record.source { return "← \(peer.name?.value ?? peer.address ?? "unknown")" }
    return ""
  }

  private static func message(of record: AuditRecord) -> String {
    guard let label = record.message?.label else { return record.task ?? "" }
    return label.stage.map { $0 == label.kind ? label.kind : "\(label.kind) \($0)" } ?? label.kind
  }

  private static func round(of record: AuditRecord) -> String {
    guard let round = record.round else { return "" }
    return record.attempt.map { $0 > 1 ? "\(round), attempt \($0)" : "\(round)" } ?? "\(round)"
  }

  private static func remark(on record: AuditRecord) -> StyledText {
    if let error = record.error { return StyledText(error.code, .bad) }
    if let suppressed = record.suppressed {
      return StyledText(
        "\(suppressed.count) more from \(Figures.counted(suppressed.addresses, "address", "addresses"))", .caution)
    }
    if let policy = record.policy, policy.decision == .refused { return StyledText("refused: \(policy.rule)", .bad) }
    if let outcome = record.outcome, outcome != .succeeded { return StyledText(outcome.rawValue, .caution) }
    if let handshake = record.handshake { return "\(handshake.version) \(handshake.cipher ?? "")" }
    if let masked = record.maskedInput { return "\(masked.masks) masks, \(masked.dimension) + \(masked.counters)" }
    return ""
  }
}

extension AuditRecord.Event: ExpressibleByArgument {}
