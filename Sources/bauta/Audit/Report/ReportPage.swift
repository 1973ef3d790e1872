import AuditLog
import Cryptography
import Foundation

/// The report as one page: it needs nothing but itself, and no script.
struct ReportPage {
  let report: AuditReport
  /// The command that made it, to be given again.
  let command: String

  var html: String {
    let title = "Audit report: \(Self.names(report)), \(report.time.description.prefix(10))"
    let page: Markup = """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8" />
      <meta http-equiv="Content-Security-Policy" content="\(Self.contentPolicy)" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="referrer" content="no-referrer" />
      <meta name="generator" content="bauta audit report" />
      <title>\(title)</title>
      <style>\(Markup(stringLiteral: ReportStyle.css))</style>
      </head>
      <body>
      <main>
      \(ReportSummary(report: report).markup)\(contents)\(logs)\
      <section id="controls"><h2>Controls, and what answers them</h2>
      \(ReportControls(report: report).markup)</section>
      <section id="verification"><h2>What was verified, and what was not</h2>
      \(ReportVerification(report: report, command: command).markup)</section>
      <section id="limits"><h2>What this report does not show</h2>
      \(limits)</section>
      </main>
      </body>
      </html>

      """
    return page.html
  }

  /// Nothing may be loaded, run or sent, and no style but this page's own applies.
  static var contentPolicy: String {
    let digest = SHA256Digest(hashing: Array(ReportStyle.css.utf8))
    let hash = Data(digest.bytes).base64EncodedString()
    return "default-src 'none'; style-src 'sha256-\(hash)'; base-uri 'none'; form-action 'none'"
  }

  /// The keepers: one by name, two or more by the first and how many.
  static func names(_ report: AuditReport) -> String {
    guard let first = report.logs.first?.name else { return "no log" }
    return report.logs.count == 1 ? first : "\(first) and \(report.logs.count - 1) more"
  }

  private var contents: Markup {
    let links = report.logs.enumerated().map { place, log -> Markup in
      "<a href=\"#log\(place)\">What \(.logged(log.name, limit: 60)) sent and received</a>"
    }
    let rest: [Markup] = [
      "<a href=\"#controls\">Controls, and what answers them</a>",
      "<a href=\"#verification\">What was verified, and what was not</a>",
      "<a href=\"#limits\">What this report does not show</a>",
    ]
    return "<nav aria-label=\"Contents\">\(.list(links + rest))</nav>\n"
  }

  private var logs: Markup {
    .joined(report.logs.enumerated().map { ReportLog(log: $0.element, id: "log\($0.offset)").markup })
  }

  private var limits: Markup {
    var items: [Markup] = [
      """
      <b>Other ways out.</b> It shows what left by this program. That nothing left an organisation by another way, no log \
      can show: that is for the network, and for whoever looks after the machine.
      """,
      """
      <b>What is in a masked term.</b> Sizes, bounds and masks are on record, values are not: neither the values nor \
      anything that depends on single rows is in a log.
      """,
      """
      <b>That data or model are right.</b> A log shows how something was computed and protected, not that it should have \
      been.
      """,
      """
      <b>True time.</b> Times are those of each keeper's own clock.
      """,
      """
      <b>A keeper who wrote another history from the start.</b> Who holds a log's key can sign a second log. Only \
      cosignatures of witnesses, or the log of the other side, make that noticed.
      """,
      """
      <b>Persons.</b> Records name organisations, services and keys. Who sat at the keyboard is in the records of the \
      organisation.
      """,
      """
      <b>A judgement.</b> Counts of records say that there is something to look at. Whether a control is met is the \
      auditor's to say.
      """,
    ]
    if report.isFiltered {
      items.append("<b>Records that were left out.</b> This report was made of a selection: \(Self.selection(report)).")
    }
    return .list(items)
  }

  /// The filter in words.
  static func selection(_ report: AuditReport) -> Markup {
    let filter = report.filter
    var parts: [Markup] = []
    if let run = filter.run { parts.append("run \(.logged(run))") }
    if let round = filter.round { parts.append("round \(round)") }
    if let from = filter.from { parts.append("from \(.time(from))") }
    if let to = filter.to { parts.append("before \(.time(to))") }
    if let kind = filter.kind { parts.append("messages of kind \(.logged(kind))") }
    if let events = filter.events { parts.append("events \(events.map(\.rawValue).sorted().joined(separator: ", "))") }
    if let peer = filter.destination { parts.append("sent to \(peer.value)") }
    if let peer = filter.source { parts.append("received from \(peer.value)") }
    let note: Markup =
      filter.run == nil && filter.round == nil
      ? "" : ". Connections, approvals, keys and witnesses belong to no run: they are left out"
    return .joined(parts, separator: "; ") + note
  }
}
