import AuditLog

/// The first page: what a security officer can read aloud.
struct ReportSummary {
  let report: AuditReport

  var markup: Markup {
    """
    <header class="verdict \(tone)"><h1><span class="stamp \(tone)">\(stamp)</span>
    Audit report of \(.logged(ReportPage.names(report), limit: 80))</h1>
    <p>\(verdict)</p></header>
    \(conflict)<section id="summary">\(facts)\(sentences)</section>

    """
  }

  private var tone: String { report.isVerified && report.conflicts == 0 ? "good" : "bad" }

  private var stamp: String {
    guard report.isVerified else { return "NOT VERIFIED" }
    return report.conflicts == 0 ? "VERIFIED" : "VERIFIED, but a CONFLICT is on record"
  }

  private var verdict: Markup {
    guard report.isVerified else {
      return """
        Do not rely on the figures below: \(.joined(problems, separator: "; ")). \
        <a href="#verification">The checks in full</a> name the places.
        """
    }
    let subject: Markup =
      report.logs.count == 1 ? "No entry under the log's checkpoint" : "No entry under the checkpoints of these logs"
    var text: Markup = """
      \(subject) was changed, removed or added since its key signed it, and the figures below are made of \(figuresOrigin).
      """
    if report.logs.contains(where: { $0.keyOrigin == .besideLog }) {
      let (keys, whose): (Markup, Markup) =
        report.logs.count == 1
        ? (" The key is the one that lay beside the log", "whose it is")
        : (" The keys are the ones that lay beside the logs", "whose they are")
      text =
        text + "\(keys): <b>\(whose) was not checked</b>; give <code>--manifest</code> or <code>--key</code> for that."
    } else if report.comparison?.keyOrigin == .besideLog {
      text =
        text
        + " The receiver's key is the one that lay beside its log: <b>whose it is was not checked</b>; give <code>--manifest</code> for that."
    }
    return text
  }

  private var figuresOrigin: Markup {
    report.logs.allSatisfy { $0.analysis.tie == .same }
      ? "these very entries" : "entries as they stand, of which not all could be held against the signed root"
  }

  private var problems: [Markup] {
    var problems: [Markup] = []
    for log in report.logs where !log.isVerified {
      let name: Markup = .logged(log.name, limit: 60)
      let failed = log.verification.checks.filter { $0.result == .failed }.map(\.name.rawValue)
      let names = Set(failed).sorted().joined(separator: ", ")
      if !failed.isEmpty {
        problems.append("the log of \(name) fails \(names)")
      } else if log.analysis.tie == .differs {
        problems.append("the log of \(name) changed while the report was made")
      } else {
        problems.append("the log of \(name) has no checkpoint whose signature could be checked")
      }
    }
    if let comparison = report.comparison {
      if comparison.differences.isEmpty, !comparison.agrees {
        problems.append("there was nothing to compare with the receiver's log")
      } else if !comparison.agrees {
        problems.append(
          "the logs differ from the receiver's in \(Figures.counted(comparison.differences.count, "place"))")
      }
      if !comparison.verification.verified { problems.append("the receiver's log is not verified") }
    }
    return problems
  }

  private var conflict: Markup {
    guard report.conflicts > 0 else { return "" }
    return """
      <section class="verdict bad"><p><b class="bad">CONFLICT ON RECORD.</b> \
      \(Figures.counted(report.conflicts, "record")) of these logs \
      \(report.conflicts == 1 ? "says" : "say") that two histories of one log do not fit together. Somebody may have \
      been shown another log than you. Clear this up before anything else: see the tables of witnesses.</p></section>

      """
  }

  // MARK: - Figures

  private var facts: Markup {
    let sent = total(\.sent.total)
    let received = total(\.received.total)
    let refusals = report.logs.reduce(UInt64(0)) { $0 &+ $1.figures.handshakes.allRefusals }
    let terms = report.logs.reduce(UInt64(0)) { $0 &+ $1.figures.terms.total.count }
    var items: [Markup] = []
    if sent.count > 0 || received.count == 0 {
      items.append("<b>\(.number(sent.count))</b>messages left")
      items.append("<b>\(.size(sent.bytes))</b>left, in payload")
      items.append("<b>\(.number(terms))</b>of them masked terms")
    }
    if received.count > 0 {
      items.append("<b>\(.number(received.count))</b>messages arrived")
      items.append("<b>\(.size(received.bytes))</b>arrived, in payload")
    }
    items.append("<b>\(.number(refusals))</b>connections refused")
    items.append("<b>\(.number(total(\.decisions.refused).count))</b>refusals by policy")
    if let comparison = report.comparison {
      items.append("<b>\(.number(comparison.result.matched))</b>messages with the same bytes on both sides")
    }
    return "<ul class=\"facts\">\(.joined(items.map { "<li>\($0)</li>" }))</ul>\n"
  }

  private func total(_ path: KeyPath<LogFigures, Tally>) -> (count: UInt64, bytes: UInt64) {
    report.logs.reduce((0, 0)) { sum, log in
      (sum.0 &+ log.figures[keyPath: path].count, sum.1 &+ log.figures[keyPath: path].bytes)
    }
  }

  private var sentences: Markup {
    var text: Markup = ""
    if report.isFiltered {
      text = text + .paragraph("<b>A selection:</b> \(ReportPage.selection(report)).")
    }
    for log in report.logs { text = text + .paragraph(sentence(log)) }
    text = text + .paragraph(verified) + .paragraph(unverified)
    if let comparison = report.comparison { text = text + .paragraph(compared(comparison)) }
    return text + .paragraph("<span class=\"note\">Made \(.time(report.time)) UTC. All times are UTC.</span>")
  }

  private func sentence(_ log: AuditReport.Log) -> Markup {
    let figures = log.figures
    guard let from = figures.earliest, let to = figures.latest else {
      return "<b>\(.logged(log.name))</b> has no record in this selection."
    }
    var parts: [Markup] = [
      "From \(.time(from)) to \(.time(to)), <b>\(.logged(log.name))</b> recorded \(counted(figures.records.count, "event"))."
    ]
    if figures.sent.total.count > 0 {
      parts.append(
        "It sent \(counted(figures.sent.total.count, "message")) with \(.size(figures.sent.total.bytes)) "
          + "to \(peers(figures.sent)).")
      parts.append(terms(figures))
    }
    if figures.received.total.count > 0 {
      parts.append(
        "It received \(counted(figures.received.total.count, "message")) with \(.size(figures.received.total.bytes)) "
          + "from \(peers(figures.received)).")
    }
    if figures.sent.total.count == 0, figures.received.total.count == 0 { parts.append("No message left or arrived.") }
    parts.append(connections(figures.handshakes))
    return .joined(parts, separator: " ")
  }

  private func terms(_ figures: LogFigures) -> Markup {
    let terms = figures.terms
    guard terms.total.count > 0 else { return "None of them was a masked term." }
    let least = terms.fewestMasks.map { ", each under at least \(Figures.counted($0, "mask"))" } ?? ""
    let cohort = terms.smallestU2.map { ", in sums of at least \(Figures.counted($0, "organisation"))" } ?? ""
    let charges = figures.privacy.ledger
    let budget: Markup =
      charges.count == 0
      ? "No privacy budget was charged: what protects the terms is the secure sum, not noise."
      : "The privacy budget was charged \(Figures.counted(charges.count, "time")), in all ε = \(Figures.decimals(charges.sum, 3))\(charges.isOfSeveral ? ", with those of all data sets added up" : "")."
    let what: Markup =
      terms.total.count == 1 ? "1 of them was a masked term" : "\(.number(terms.total.count)) of them were masked terms"
    return "\(what)\(least)\(cohort). \(budget)"
  }

  private func peers(_ messages: MessageFigures) -> Markup {
    let named = messages.peers.sorted.prefix(4).map { Markup.logged($0.key, limit: 60) }
    let more = messages.peers.groups.count - named.count
    let rest: Markup = messages.peers.others != nil ? " and many others" : more > 0 ? " and \(more) more" : ""
    return .joined(named, separator: ", ") + rest
  }

  private func connections(_ handshakes: HandshakeFigures) -> Markup {
    let versions = Set(handshakes.parameters.groups.keys.map(\.version)).sorted().joined(separator: ", ")
    var text: Markup = ""
    if handshakes.established.count > 0 {
      text =
        "\(counted(handshakes.established.count, "connection")) \(handshakes.established.count == 1 ? "was" : "were") made"
      if !versions.isEmpty { text = text + " under \(.logged(versions))" }
      text = text + ", with both sides proving their keys"
    }
    if handshakes.allRefusals > 0 {
      let refused: Markup =
        "\(counted(handshakes.allRefusals, "attempt")) to connect \(handshakes.allRefusals == 1 ? "was" : "were") refused"
      text = text.isEmpty ? refused : text + "; \(refused)"
    }
    return text.isEmpty ? "" : text + "."
  }

  // MARK: - Verification in words

  private var verified: Markup {
    let passed = checkNames(.passed)
    let list: Markup = passed.isEmpty ? "nothing" : .joined(passed.map { "\($0)" }, separator: "; ")
    return "<b>Verified</b> of every log here: \(list)."
  }

  private var unverified: Markup {
    var reasons: [Markup] = []
    for log in report.logs {
      for check in log.verification.checks where check.result == .notChecked {
        let reason: Markup = "\(ReportVerification.words(check.name)) (\(check.detail))"
        if !reasons.contains(where: { $0.html == reason.html }) { reasons.append(reason) }
      }
    }
    guard !reasons.isEmpty else { return "<b>Not checked</b>: nothing was left out." }
    let shown = Array(reasons.prefix(6))
    let more: Markup = reasons.count > shown.count ? "; and more, see below" : ""
    return "<b>Not checked:</b> \(.joined(shown, separator: "; "))\(more)."
  }

  /// Checks that came out so in every log.
  private func checkNames(_ result: VerificationReport.Result) -> [String] {
    VerificationReport.CheckName.allCases.filter { name in
      !report.logs.isEmpty
        && report.logs.allSatisfy { log in
          let results = log.verification.checks.filter { $0.name == name }
          return !results.isEmpty && results.allSatisfy { $0.result == result }
        }
    }.map(ReportVerification.words)
  }

  private func compared(_ comparison: AuditReport.Comparison) -> Markup {
    let result = comparison.result
    let receiver: Markup = .logged(comparison.verification.origin ?? comparison.directory)
    guard comparison.differences.isEmpty else {
      return """
        <b class="bad">The logs differ</b> from that of \(receiver) in \
        \(Figures.counted(comparison.differences.count, "place")): see below.
        """
    }
    guard comparison.agrees else {
      return """
        <b class="bad">Nothing was compared</b> with the log of \(receiver): it has no message of these \
        organisations, and they sent it none.
        """
    }
    let open: Markup =
      result.unconfirmed.isEmpty
      ? "" : "; \(Figures.counted(result.unconfirmed.count, "message")) did not arrive, for a reason on the record"
    let others: Markup =
      comparison.ofOthers == 0
      ? ""
      : "; \(Figures.counted(comparison.ofOthers, "message")) of organisations whose logs are not here were not compared"
    return """
      <b>Both sides agree:</b> \(counted(UInt64(result.matched), "message")) left and arrived at \(receiver) with the same \
      bytes\(open)\(others).
      """
  }

  private func counted(_ count: UInt64, _ noun: String) -> Markup {
    "<data value=\"\(count)\">\(Figures.counted(count, noun))</data>"
  }
}
