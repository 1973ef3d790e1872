import AuditLog

/// One log, in figures.
struct ReportLog {
  /// A page more of them helps nobody; the JSON has the last 200.
  static let shownTerms = 60

  let log: AuditReport.Log
  let id: String

  private var figures: LogFigures { log.figures }

  var markup: Markup {
    """
    <section class="log" id="\(id)"><h2>\(.logged(log.name))</h2>
    \(introduction)\
    \(messages("What left", figures.sent, verb: "sent", isOutward: true))\
    \(messages("What arrived", figures.received, verb: "received", isOutward: false))\
    \(terms)\(privacy)\
    \(ReportConnections(figures: figures).markup)\
    \(ReportDecisions(figures: figures).markup)\
    \(ReportWitnesses(figures: figures).markup)\
    \(runs)\(events)</section>

    """
  }

  private var introduction: Markup {
    var lines: [Markup] = []
    let state: Markup =
      log.isVerified ? "<span class=\"word good\">verified</span>" : "<span class=\"word bad\">NOT VERIFIED</span>"
    let size: Markup = log.verification.size.map { ", \(.number($0)) entries under its checkpoint" } ?? ""
    lines.append("\(state)\(size). Directory <code>\(log.directory)</code>.")
    if log.analysis.unreadable > 0 {
      lines.append(
        "<b class=\"bad\">\(Figures.counted(log.analysis.unreadable, "place")) cannot be read</b>, the first: "
          + "\(.logged(log.analysis.defects.first, limit: 300))")
    }
    if figures.foreign > 0 {
      lines.append("<b class=\"bad\">\(Figures.counted(figures.foreign, "record"))</b> under another name.")
    }
    if let first = log.analysis.firstEntry, first > 0 {
      lines.append("Entries before \(.number(first)) are no longer kept.")
    }
    if figures.clockSetBack.count > 0, let place = figures.clockSetBack.first {
      lines.append(
        """
        The clock went back \(Figures.counted(figures.clockSetBack.count, "time")), by up to \
        \(ChartTimeAxis.words(figures.longestSetBack)); first at entry \(.number(place.entry)).
        """)
    }
    let federations = figures.federations.sorted.map { Markup.logged($0.key, limit: 60) }
    if !federations.isEmpty { lines.append("Federation: \(.joined(federations, separator: ", ")).") }
    let purposes = figures.decisions.purposes.sorted.map {
      "\(Markup.logged($0.key, limit: 60)) (\(.number($0.value.count)))" as Markup
    }
    if !purposes.isEmpty { lines.append("Purposes on record: \(.joined(purposes, separator: ", ")).") }
    let classes = figures.decisions.retentions.sorted.map {
      "\(Markup.logged($0.key, limit: 60)) (\(.number($0.value.count)))" as Markup
    }
    if !classes.isEmpty { lines.append("Retention classes: \(.joined(classes, separator: ", ")).") }
    return .list(lines)
  }

  // MARK: - Messages

  private func messages(_ title: String, _ messages: MessageFigures, verb: String, isOutward: Bool) -> Markup {
    guard messages.total.count > 0 else {
      return isOutward && figures.received.total.count == 0
        ? "<h3>\(title)</h3>\n<p>No message in these records.</p>\n" : ""
    }
    var table = ReportTable(
      "\(title), by kind and \(isOutward ? "destination" : "sender")",
      [
        .text("kind"), .text(isOutward ? "to" : "from"), .number("messages"), .number("bytes"), .number("sent again"),
        .text("first"), .text("last"), .number("first entry"),
      ])
    for (group, tally) in messages.groups.sorted {
      table.append(row(.logged(group.stage.map { "\(group.kind) \($0)" } ?? group.kind), .logged(group.peer), tally))
    }
    if let others = messages.groups.others { table.append(row("other kinds and sides", "", others)) }
    table.append(row("<b>all</b>", "", messages.total))
    return """
      <h3>\(title)</h3>
      \(ReportChart("Bytes \(verb) over time, by kind", messages.timeline, .bytes).markup)\
      \(ReportChart("Messages \(verb) over time, by kind", messages.timeline, .messages).markup)\
      \(table.markup)\
      <p class="note">Bytes are those of the payload. What HTTP/2 and TLS add is counted by connection where it is on \
      record.</p>

      """
  }

  private func row(_ kind: Markup, _ peer: Markup, _ tally: Tally) -> [Markup] {
    [
      kind, peer, .number(tally.count), .number(tally.bytes), .number(tally.resent), .time(tally.first?.time),
      .time(tally.last?.time), tally.first.map { .number($0.entry) } ?? "–",
    ]
  }

  // MARK: - Terms and budget

  private var terms: Markup {
    let terms = figures.terms
    guard terms.total.count > 0 else { return "" }
    var kinds = ReportTable(
      "Masked terms, by how they were protected",
      [
        .text("sum"), .number("terms"), .number("U2"), .number("masks"), .number("bits"), .number("clip"),
        .number("own noise"), .text("commitment"),
      ])
    for (key, tally) in terms.protections.sorted {
      kinds.append([
        .logged(key.task), .number(tally.count), .number(key.u2), .number(key.masks), .number(key.bits),
        .logged(key.clip), .logged(key.localNoise), key.isCommitted ? "yes" : "none on record",
      ])
    }
    if let others = terms.protections.others {
      kinds.append(["other combinations", .number(others.count), "", "", "", "", "", ""])
    }
    return """
      <h3>How terms were protected</h3>
      <p>A term is what an organisation adds to a sum. It left with masks on it that only the sum of all takes off. \
      <b>U2</b> counts the organisations whose masks are in it, <b>U3</b> those whose terms are in the sum that came out: \
      the fewer there are, the more a sum says about each. Smallest U2: \(.number(terms.smallestU2)); smallest U3: \
      \(.number(terms.smallestU3)); fewest masks: \(.number(terms.fewestMasks)). \
      With a salted commitment to the term: \(.number(terms.withCommitment)) of \(.number(terms.total.count)); with noise \
      of its own: \(.number(terms.withLocalNoise)).</p>
      \(kinds.markup)\(singleTerms)
      """
  }

  private var singleTerms: Markup {
    let shown = figures.terms.recent.elements.suffix(Self.shownTerms)
    let omitted = figures.terms.recent.total - UInt64(shown.count)
    var table = ReportTable(
      omitted > 0 ? "The last \(shown.count) terms" : "Every term",
      [
        .number("entry"), .text("run"), .text("sum"), .number("round"), .number("attempt"), .number("values"),
        .number("counters"), .number("U2"), .number("U3"), .number("masks"), .number("bits"), .number("clip"),
        .number("noise"), .number("ε"),
      ])
    for term in shown {
      table.append([
        .number(term.entry), .logged(term.opening.run, limit: 40), .logged(term.opening.task, limit: 40),
        .number(term.opening.round), .number(term.opening.attempt), .number(term.input.dimension),
        .number(term.input.counters), .number(term.u2), .number(term.u3), .number(term.input.masks),
        .number(term.input.bits), .logged(term.input.clip?.text), .logged(term.input.localNoise?.text),
        .logged(term.input.epsilonCharged?.text),
      ])
    }
    let note: Markup =
      omitted > 0
      ? .paragraph("<span class=\"note\">\(.number(omitted)) before these are counted above only.</span>") : ""
    return table.markup + note
  }

  private var privacy: Markup {
    let ledger = figures.privacy.ledger
    guard ledger.count > 0 else {
      guard figures.terms.total.count > 0 else {
        return "<h3>Privacy budget</h3>\n<p>No charge is in these records, and no masked term.</p>\n"
      }
      return """
        <h3>Privacy budget</h3>
        <p>No charge is on record. No noise was accounted for: the sums are exact, and what they tell about a single \
        organisation or row is bounded only by how many terms are in them.</p>

        """
    }
    var table = ReportTable(
      ledger.count > UInt64(ledger.curve.count) ? "Some of the charges, up to the latest" : "The latest charges",
      [.number("entry"), .text("time"), .number("ε charged"), .number("ε used up")])
    for charge in ledger.curve.suffix(20) {
      table.append([
        .number(charge.entry), .time(charge.time), .logged(charge.charged?.text), .logged(charge.total?.text),
      ])
    }
    let several: Markup =
      ledger.isOfSeveral ? " with those of all data sets added up: composed, as the ledger does, it is less" : ""
    return """
      <h3>Privacy budget</h3>
      <p>\(Figures.counted(ledger.count, "charge")), together ε = \(Figures.decimals(ledger.sum, 4))\(several). After the last one, \
      the account of its data stood at ε = \(.logged(ledger.last?.total?.text)).</p>
      \(ReportCurve(ledger.curve).markup)\(table.markup)
      """
  }

  // MARK: - Runs and events

  private var runs: Markup {
    let runs = figures.runs.groups.sorted {
      ($0.value.records.first?.entry ?? 0) < ($1.value.records.first?.entry ?? 0)
    }
    guard !runs.isEmpty else { return "" }
    var table = ReportTable(
      "Each run",
      [
        .text("run"), .text("from"), .text("to"), .text("plan"), .number("sent"), .number("bytes"), .number("masked"),
        .number("received"), .number("sums"), .text("end"),
      ])
    for (name, run) in runs {
      let failure: Markup = run.failure.map { " (\(.logged("\($0.code), \($0.blame)")))" } ?? ""
      let end: Markup = run.ended.map { "\($0.rawValue)" } ?? "not on record"
      table.append([
        .logged(name, limit: 40), .time(run.records.first?.time), .time(run.records.last?.time),
        .hash(run.plan?.hexadecimal), .number(run.sent.count), .number(run.sent.bytes), .number(run.masked.count),
        .number(run.received.count), .number(run.roundsCompleted.count), end + failure,
      ])
    }
    let more: Markup =
      figures.runs.others.map {
        .paragraph("<span class=\"note\">\(.number($0.records.count)) records of further runs.</span>")
      } ?? ""
    return "<h3>Runs</h3>\n\(table.markup)\(more)"
  }

  private var events: Markup {
    var table = ReportTable(
      "Every kind of event, and how often it is on record",
      [
        .text("event"), .number("records"), .number("first entry"), .number("last entry"), .text("what it means"),
      ], isStacked: true)
    var absent: [Markup] = []
    for event in AuditRecord.Event.allCases {
      guard let tally = figures.events[event] else {
        absent.append("<code>\(event.rawValue)</code>")
        continue
      }
      table.append([
        "<code>\(event.rawValue)</code>", .number(tally.count), tally.first.map { .number($0.entry) } ?? "–",
        tally.last.map { .number($0.entry) } ?? "–", "\(event.meaning)",
      ])
    }
    let rest: Markup =
      absent.isEmpty ? "" : .paragraph("Not once in these records: \(.joined(absent, separator: ", ")).")
    return "<h3>Events</h3>\n\(table.markup)\(rest)"
  }
}
