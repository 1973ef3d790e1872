import AuditLog

/// What the policy decided, what became of messages, who approved what, and which keys changed.
struct ReportDecisions {
  let figures: LogFigures

  var markup: Markup {
    "<h3>Decisions, approvals and changes</h3>\n\(rules)\(deliveries)\(failures)\(changes)\(service)"
  }

  private var rules: Markup {
    let decisions = figures.decisions
    guard decisions.allowed.count > 0 || decisions.refused.count > 0 else {
      return .paragraph("No decision of a policy is in these records.")
    }
    var table = ReportTable(
      "Decisions of the organisation's own policy",
      [.text("decision"), .text("about"), .number("records"), .number("first entry"), .text("rules")], isStacked: true)
    for (key, tally) in decisions.rules.sorted {
      let word: Markup =
        key.decision == .allowed ? "allowed" : "<span class=\"word bad\">refused</span>"
      table.append([
        word, "\(key.event.rawValue)", .number(tally.count), ReportConnections.entry(tally),
        .logged(key.rule, limit: 300),
      ])
    }
    if let others = decisions.rules.others { table.append(["others", "", .number(others.count), "", ""]) }
    return table.markup
  }

  private var deliveries: Markup {
    let deliveries = figures.decisions.deliveries
    guard !deliveries.groups.isEmpty else { return "" }
    var table = ReportTable(
      "What became of messages that were sent",
      [.text("outcome"), .text("error"), .text("at fault"), .number("messages"), .number("first entry")])
    for (key, tally) in deliveries.sorted {
      table.append([
        "\(key.outcome.rawValue)", .logged(key.failure?.code), .logged(key.failure?.blame), .number(tally.count),
        ReportConnections.entry(tally),
      ])
    }
    if let others = deliveries.others { table.append(["others", "", "", .number(others.count), ""]) }
    let receipts = figures.decisions.receipts.count
    return table.markup
      + .paragraph("The other side gave a receipt, with the place in its own log, for \(.number(receipts)) of them.")
  }

  private var failures: Markup {
    let failures = figures.decisions.failures
    guard !failures.groups.isEmpty else { return .paragraph("No error is in these records.") }
    var table = ReportTable(
      "Errors",
      [.text("event"), .text("error"), .text("at fault"), .number("records"), .number("first entry"), .text("last")])
    for (key, tally) in failures.sorted {
      table.append([
        "\(key.event.rawValue)", .logged(key.failure.code), .logged(key.failure.blame), .number(tally.count),
        ReportConnections.entry(tally), .time(tally.last?.time),
      ])
    }
    if let others = failures.others { table.append(["others", "", "", .number(others.count), "", ""]) }
    return table.markup
  }

  private var changes: Markup {
    guard figures.changes.total > 0 else {
      return .paragraph("No approval and no change of keys, manifest or retention is in these records.")
    }
    return Self.list("Approvals, and changes of keys, manifest, state and retention", figures.changes)
  }

  private var service: Markup {
    figures.service.total > 0 ? Self.list("Starts, stops and early ends", figures.service) : ""
  }

  /// Records one by one, with whatever they say.
  static func list(_ caption: String, _ records: Recent<AuditRecord>) -> Markup {
    var table = ReportTable(
      caption, [.number("entry"), .text("time"), .text("event"), .text("who"), .text("what"), .text("outcome")],
      isStacked: true)
    for record in records.elements {
      table.append([
        .number(record.sequence), .time(record.time), "<code>\(record.event.rawValue)</code>", who(record),
        what(record),
        outcome(record),
      ])
    }
    let note: Markup =
      records.omitted > 0
      ? .paragraph("<span class=\"note\">The latest \(records.elements.count) of \(.number(records.total)).</span>")
      : ""
    return table.markup + note
  }

  private static func who(_ record: AuditRecord) -> Markup {
    if let approver = record.approver { return .logged(approver) }
    if let witness = record.checkpoint?.witness { return .logged(witness) }
    if let peer = record.source ?? record.destination { return .logged(peer.label) }
    guard let actor = record.actor else { return "–" }
    return .logged(actor.keyID.map { "\(actor.service), key \($0)" } ?? actor.service)
  }

  private static func what(_ record: AuditRecord) -> Markup {
    var parts: [Markup] = []
    if let federation = record.federation { parts.append("federation \(.logged(federation))") }
    if let manifest = record.manifest { parts.append("manifest \(.hash(manifest.hexadecimal))") }
    if let run = record.run { parts.append("run \(.logged(run))") }
    if let checkpoint = record.checkpoint {
      parts.append(
        "log of \(.logged(checkpoint.origin)), \(Figures.counted(checkpoint.size, "entry", "entries")), root \(.hash(checkpoint.root.hexadecimal))"
      )
    }
    if let opening = record.opening {
      parts.append(
        "masked input of \(.logged(opening.organization.value)), opening \(opening.slot), statement \(.hash(opening.statement.hexadecimal))"
      )
    }
    if let pruned = record.pruned { parts.append("entries below \(Figures.grouped(pruned.below)) are not kept") }
    if let version = record.stateVersion { parts.append("state version \(version)") }
    if let reason = record.reason { parts.append("“\(.logged(reason, limit: 300))”") }
    return parts.isEmpty ? "–" : .joined(parts, separator: "; ")
  }

  private static func outcome(_ record: AuditRecord) -> Markup {
    let word = record.outcome?.rawValue
    guard let error = record.error else { return word.map { "\($0)" } ?? "–" }
    return "<span class=\"bad\">\(.logged(error.code)) (\(error.blame.rawValue))</span>"
  }
}
