import AuditLog

/// Every check of every log in full, how logs agree, and the commands that do it again.
struct ReportVerification {
  static let shownDifferences = 200

  let report: AuditReport
  let command: String

  var markup: Markup {
    let logs = report.logs.map { log in
      checks(log.name, log.verification, key: log.key, origin: log.keyOrigin, tie: log.analysis.tie)
    }
    return "\(.joined(logs))\(comparison)\(commands)"
  }

  private static let checkNames: [VerificationReport.CheckName: String] = [
    .checkpoint: "signature of the checkpoint",
    .cosignatures: "cosignatures of witnesses",
    .journal: "form, order and chain of the entries",
    .root: "root of the tree",
    .tiles: "every hash of the tree",
    .entryBundles: "entries as they are served",
    .layout: "the files are complete and no others are there",
    .unsignedTail: "every entry is under the checkpoint",
    .byteAccounting: "bytes on the wire",
  ]

  /// A check's name for people; its own if there is none.
  static func words(_ name: VerificationReport.CheckName) -> String { checkNames[name] ?? name.rawValue }

  private func checks(
    _ name: String, _ verification: VerificationReport, key: String?, origin: AuditReport.KeyOrigin,
    tie: LogAnalysis.Tie?
  ) -> Markup {
    var table = ReportTable(
      "Checks of the log of \(name)", [.text("check"), .text("result"), .text("at"), .text("detail")], isStacked: true)
    for check in verification.checks {
      table.append([
        "\(Self.words(check.name)) <span class=\"note\">\(check.name.rawValue)</span>", Self.word(check.result),
        .logged(check.at), .logged(check.detail, limit: 400),
      ])
    }
    if let tie { table.append(["figures are of these entries", Self.word(tie), "", Self.detail(tie)]) }
    let verdict: Markup =
      verification.verified ? "<span class=\"good\">verified</span>" : "<span class=\"bad\">NOT VERIFIED</span>"
    let size: Markup = verification.size.map { ", \(.number($0)) entries" } ?? ""
    let root: Markup = verification.root.map { ", root <code>\($0.hexadecimal)</code>" } ?? ""
    return """
      <h3>\(.logged(name)): \(verdict)</h3>
      <p class="note">Directory <code>\(verification.log)</code>\(size)\(root). Key \
      <code>\(key ?? "none")</code>, \(Self.words(origin)).</p>
      \(table.markup)
      """
  }

  private static func words(_ origin: AuditReport.KeyOrigin) -> Markup {
    switch origin {
    case .besideLog: "which lay beside the log: that both belong together was checked, whose they are was not"
    case .file(let path): "given as the file <code>\(path)</code>"
    case .manifest(let path): "from the signed manifest <code>\(path)</code>"
    }
  }

  private static func word(_ result: VerificationReport.Result) -> Markup {
    switch result {
    case .passed: "<span class=\"word good\">passed</span>"
    case .failed: "<span class=\"word bad\">FAILED</span>"
    case .notChecked: "<span class=\"word caution\">not checked</span>"
    }
  }

  private static func word(_ tie: LogAnalysis.Tie) -> Markup {
    switch tie {
    case .same: word(VerificationReport.Result.passed)
    case .differs: word(VerificationReport.Result.failed)
    case .notChecked: word(VerificationReport.Result.notChecked)
    }
  }

  private static func detail(_ tie: LogAnalysis.Tie) -> Markup {
    switch tie {
    case .same: "the entries that were counted give the signed root"
    case .differs: "the entries that were counted do not give the signed root"
    case .notChecked(let reason): "\(reason)"
    }
  }

  // MARK: - Comparison

  private var comparison: Markup {
    guard let comparison = report.comparison else {
      return """
        <h3>Comparison with the receiver's log</h3>
        <p><span class="word caution">Not done:</span> no log of what arrived was given (<code>--ingress</code>). That \
        messages arrived as they were sent is known from receipts only.</p>

        """
    }
    let result = comparison.result
    let verdict: Markup =
      comparison.agrees
      ? "<span class=\"good\">the logs agree</span>"
      : comparison.differences.isEmpty
        ? "<span class=\"bad\">nothing was compared</span>" : "<span class=\"bad\">the logs DIFFER</span>"
    let elsewhere: Markup =
      result.sentElsewhere > 0 ? " \(.number(result.sentElsewhere)) went elsewhere and were not compared." : ""
    let others: Markup =
      comparison.ofOthers > 0
      ? """
       \(Figures.counted(comparison.ofOthers, "message")) came from organisations whose logs were not given: they were \
      not compared, and <code>reconcile</code> names each.
      """ : ""
    return """
      \(receiver(comparison))<h3>Comparison with the receiver's log: \(verdict)</h3>
      <p>\(.number(result.matched)) messages were sent and received with the same bytes.\(elsewhere)\(others) \
      Whole logs are compared, whatever is selected above.</p>
      \(differences(comparison.differences))\(unconfirmed(result))
      """
  }

  private func receiver(_ comparison: AuditReport.Comparison) -> Markup {
    if report.logs.contains(where: { $0.verification == comparison.verification }) { return "" }
    return checks(
      comparison.verification.origin ?? comparison.directory, comparison.verification, key: comparison.key,
      origin: comparison.keyOrigin, tie: nil)
  }

  private func differences(_ differences: [ReconciliationReport.Difference]) -> Markup {
    var table = ReportTable(
      "Differences", [.text("difference"), .text("organisation"), .number("entry"), .text("detail")], isStacked: true)
    for difference in differences.prefix(Self.shownDifferences) {
      table.append([
        "<span class=\"bad\">\(difference.kind.rawValue)</span>", .logged(difference.organization),
        .number(difference.sequence), .logged(difference.detail, limit: 400),
      ])
    }
    return table.markup + more(differences.count)
  }

  private func unconfirmed(_ result: ReconciliationReport) -> Markup {
    var table = ReportTable(
      "Sent, arrival unconfirmed, for a reason on the record",
      [.text("organisation"), .number("entry"), .text("reason")], isStacked: true)
    for message in result.unconfirmed.prefix(Self.shownDifferences) {
      table.append([.logged(message.organization), .number(message.sequence), .logged(message.detail, limit: 400)])
    }
    return table.markup + more(result.unconfirmed.count)
  }

  private func more(_ count: Int) -> Markup {
    count > Self.shownDifferences
      ? .paragraph("<span class=\"note\">\(Figures.grouped(count - Self.shownDifferences)) more.</span>") : ""
  }

  // MARK: - Commands

  private var commands: Markup {
    let directories = report.logs.map { ShellWord.quoted($0.directory) }.joined(separator: " ")
    let origin = report.logs.first?.keyOrigin ?? .besideLog
    var lines = [Self.verify(directories, origin)]
    if let comparison = report.comparison {
      let ingress = ShellWord.quoted(comparison.directory)
      lines.append(Self.verify(ingress, comparison.keyOrigin))
      lines.append("bauta audit reconcile \(directories) --ingress \(ingress)")
    }
    lines.append(command)
    return """
      <div class="keep"><h3>To do it again</h3>
      <p>From the files alone, without network, in the same directory:</p>
      \(.command(lines.joined(separator: "\n")))</div>

      """
  }

  private static func verify(_ directories: String, _ origin: AuditReport.KeyOrigin) -> String {
    switch origin {
    case .besideLog: "bauta audit verify \(directories)"
    case .file(let path): "bauta audit verify \(directories) --key \(ShellWord.quoted(path))"
    case .manifest(let path): "bauta audit verify \(directories) --manifest \(ShellWord.quoted(path))"
    }
  }
}

/// Words of a command line for /bin/sh.
enum ShellWord {
  static func quoted(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
        || "-_./:,+@%".utf8.contains(byte)
    }
    guard !plain || word.isEmpty else { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}
