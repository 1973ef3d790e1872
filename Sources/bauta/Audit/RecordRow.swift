import AuditLog

/// A record on one line: the columns of `bauta audit list` and `watch`.
enum RecordRow {
  static var table: Table {
    Table([
      .number("entry"), .text("time (UTC)"), .text("event"), .text("peer"), .text("message"), .number("bytes"),
      .text("SHA-256"), .text("round"), .text("remark"),
    ])
  }

  static func cells(_ record: AuditRecord) -> [StyledText] {
    [
      "\(record.sequence)", "\(record.time)", "\(record.event.rawValue)", "\(peer(of: record))",
      "\(message(of: record))", "\(record.message.map { Figures.grouped($0.bytes) } ?? "")",
      "\(record.message.map { String($0.sha256.hexadecimal.prefix(16)) } ?? "")", "\(round(of: record))",
      remark(on: record),
    ]
  }

  /// Where no table can be made because the next record is not there yet.
  static func line(_ record: AuditRecord) -> StyledText {
    cells(record).filter { $0.width > 0 }.reduce(StyledText("")) { line, cell in
      line.width == 0 ? cell : line + "  " + cell
    }
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
    if record.event == .checkpointConflict {
      return StyledText("CONFLICT: \(record.checkpoint?.origin ?? "")", .bad)
    }
    if let error = record.error { return StyledText(error.code, .bad) }
    if let suppressed = record.suppressed {
      return StyledText(
        "\(suppressed.count) more from \(Figures.counted(suppressed.addresses, "address", "addresses"))", .caution)
    }
    if let policy = record.policy, policy.decision == .refused { return StyledText("refused: \(policy.rule)", .bad) }
    if let outcome = record.outcome, outcome != .succeeded { return StyledText(outcome.rawValue, .caution) }
    if let handshake = record.handshake { return "\(handshake.version) \(handshake.cipher ?? "")" }
    if let masked = record.maskedInput, record.event == .privacyCharge {
      let charged =
        "ε \(rounded(masked.epsilonCharged)) more, \(masked.epsilonTotal?.value.map { PrivacyAccount.text($0) } ?? "–") for these data"
      // Whom the charge counts on, where that is somebody in particular.
      return record.reason.map { StyledText("\(charged); \($0)", .caution) } ?? "\(charged)"
    }
    if let masked = record.maskedInput { return "\(masked.masks) masks, \(masked.dimension) + \(masked.counters)" }
    if let checkpoint = record.checkpoint { return "\(checkpoint.origin), \(Figures.grouped(checkpoint.size)) entries" }
    if let traffic = record.traffic { return "\(Figures.bytes(traffic.plaintextBytes)) before encryption" }
    return ""
  }

  private static func rounded(_ epsilon: AuditDecimal?) -> String {
    Figures.decimals(epsilon?.value, 4)
  }
}
