import AuditLog

/// Controls of laws and standards, and how many records of these logs speak to each.
struct ReportControls {
  let report: AuditReport

  var markup: Markup {
    let answers = report.controls
    var frameworks: [String] = []
    for answer in answers where !frameworks.contains(answer.control.framework) {
      frameworks.append(answer.control.framework)
    }
    let tables = frameworks.map { framework in table(framework, answers.filter { $0.control.framework == framework }) }
    return """
      <p>What a control asks is told in our words and shortened; its own text binds. Counts are of records in \
      \(report.logs.count == 1 ? "this log" : "these logs")\(report.isFiltered ? ", after the selection" : ""); the entry \
      in brackets is one to look at, with <code>bauta audit show</code>. A count of 0 means that nothing here speaks to it.</p>
      \(.joined(tables))
      """
  }

  private func table(_ framework: String, _ answers: [AuditReport.ControlAnswer]) -> Markup {
    var table = ReportTable(
      framework,
      [.text("control"), .text("what it asks"), .text("what these logs have"), .text("what they do not answer")],
      isStacked: true)
    for answer in answers {
      let control = answer.control
      table.append([
        "<b>\(control.reference)</b><br />\(control.title)", "\(control.asks)", evidence(answer),
        "\(control.notAnswered)",
      ])
    }
    return table.markup
  }

  private func evidence(_ answer: AuditReport.ControlAnswer) -> Markup {
    var items = answer.items.map { item -> Markup in
      let example: Markup =
        item.example.map { example in
          report.logs.count == 1
            ? " (entry \(.number(example.entry)))" : " (\(.logged(example.log, limit: 40)) \(.number(example.entry)))"
        } ?? ""
      return "\(.number(item.count)) \(item.evidence.phrase)\(example)"
    }
    if !answer.checks.isEmpty {
      var passed = answer.checks.filter { $0.passed == $0.logs }.map { ReportVerification.words($0.name) }
      let integrity = Control.integrity.map(ReportVerification.words)
      if Set(integrity).isSubset(of: passed) {
        passed = ["integrity of the whole log (\(integrity.count) checks)"] + passed.filter { !integrity.contains($0) }
      }
      let other = answer.checks.filter { $0.passed < $0.logs }.map { ReportVerification.words($0.name) }
      if !passed.isEmpty { items.append("<span class=\"good\">Verified:</span> \(passed.joined(separator: ", "))") }
      if !other.isEmpty {
        items.append("<span class=\"caution\">Not verified:</span> \(other.joined(separator: ", "))")
      }
    }
    return .list(items)
  }
}
