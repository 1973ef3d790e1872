import AuditLog
import DifferentialPrivacy
import Federation
import FederationClient
import Foundation

/// A client's events for people, and for a service's log.
enum ClientEventText {
  struct Entry {
    let level: ServiceLog.Level
    let event: String
    var fields: [String: String] = [:]

    init(_ level: ServiceLog.Level, _ event: String, _ fields: [String: String] = [:]) {
      self.level = level
      self.event = event
      self.fields = fields
    }
  }

  /// One line on standard output; nil for what somebody who waits for one run need not read.
  static func line(_ event: ClientEvent) -> StyledText? {
    switch event {
    case .connecting(let address): return "connecting to \(address)"
    case .unreachable(let reason): return "\(reason.hasSuffix(".") ? String(reason.dropLast()) : reason); trying again"
    case .refusedByServer(_, let reason, let remedy): return StyledText("\(reason) → \(remedy)", .bad)
    case .connectionLost: return "connection lost; trying again"
    case .announced(let run, let plan): return "run \(run) of plan '\(plan)' announced"
    case .accepted(_, let rows, let columns):
      return "policy accepts it; \(Figures.counted(rows, "row")), \(Figures.counted(columns, "column"))"
    case .refused(_, _, let reasons): return StyledText("refused: \(reasons.joined(separator: "; "))", .bad)
    case .training(let opening): return "computing \(title(opening))"
    case .trained(_, let loss, let clipped):
      guard loss != nil || clipped > 0 else { return nil }
      return "  own loss \(Figures.decimals(loss, 4)), \(Figures.counted(clipped, "value")) clipped (stays here)"
    case .charged(_, _, _, let count, let epsilon, let noise):
      let what = count == 0 ? "paid for with an earlier round" : "charged to the privacy budget"
      let charged = "  \(what); ε = \(PrivacyForecast.text(epsilon)) so far"
      return noise == .central ? StyledText("\(charged); \(CentralGaussian.trust)", .caution) : "\(charged)"
    case .completed(let opening, let survivors, let count):
      return "\(title(opening)): sum over \(survivors) of \(Figures.counted(count, "organisation"))"
    case .metrics(let round, let metrics):
      return
        "round \(round): ROC AUC \(Figures.decimals(metrics.rocAuc, 4, plusMinus: metrics.rocAucNoiseError)) over all organisations"
    case .ended(_, let state, let reason, let model):
      if state == "budgetSpent" {
        let place = model.map { "; model of the last round that was paid for: \($0)" } ?? ""
        return StyledText("run ended early: \(reason)\(place)", .caution)
      }
      guard state == "completed" else { return StyledText("run \(state): \(reason)", .bad) }
      return "run completed; model: \(model ?? "none")"
    case .certificateDates(let owner, let notBefore, let notAfter):
      return StyledText(dates(owner, notBefore, notAfter), .caution)
    case .credentialsChanged: return "new certificate or authority; connecting with it from now on"
    case .credentialsUnusable(_, let reason):
      return StyledText("what has replaced the certificate or its key cannot be used yet: \(reason)", .caution)
    case .serverPins(let name, let sequence):
      return "\(name) announced its certificate keys (statement \(sequence)); they count from now on"
    case .forgedPins(let reason, let remedy): return StyledText("\(reason) → \(remedy)", .bad)
    case .proposed(let version, let federation):
      return StyledText("version \(version) of \(federation) awaits your approval: \(approval)", .caution)
    case .inForce(let version): return "version \(version) of the manifest has everybody's approval"
    case .logConflict(let name, let held, let offered):
      return StyledText(
        "the log of \(name) does not continue what was witnessed: \(held) entries before, \(offered) shown now", .bad)
    case .quorumMissed(let found, let needed):
      return StyledText(
        "\(found) witnesses have cosigned the log of this run; the manifest asks for \(needed)", .caution)
    case .unreadable(_, let reason): return StyledText("\(reason); what was read before still counts", .caution)
    case .witnessSilent(_, let reason, _):
      return StyledText("\(reason); the next checkpoint is submitted again", .caution)
    case .trouble(_, let reason, let remedy): return StyledText("\(reason) → \(remedy)", .bad)
    case .connected, .greeted, .sent, .stopping: return nil
    }
  }

  /// One line of a service's log. Figures that depend on data are for `debug` only.
  static func entry(_ event: ClientEvent) -> Entry {
    switch event {
    case .connecting(let address): return Entry(.info, "connecting", ["server": address])
    case .connected(let address, let proxy):
      return Entry(
        .info, "connected", ["server": address.description].merging(proxy.map { ["proxy": $0] } ?? [:]) { $1 })
    case .unreachable(let reason): return Entry(.warning, "unreachable", ["reason": reason])
    case .refusedByServer(let code, let reason, let remedy):
      return Entry(.error, "refusedByServer", ["code": code, "reason": reason, "remedy": remedy])
    case .connectionLost: return Entry(.warning, "connectionLost")
    case .greeted(let version): return Entry(.info, "greeted", ["manifestVersion": "\(version)"])
    case .announced(let run, let plan): return Entry(.info, "runAnnounced", ["run": run.text, "plan": plan])
    case .accepted(let run, _, _): return Entry(.info, "runAccepted", ["run": run.text])
    case .refused(let run, let rule, _):
      return Entry(.warning, "refused", ["run": run.text, "rule": rule, "remedy": refusalRemedy])
    case .training(let opening): return Entry(.info, "computing", fields(opening))
    case .trained(let opening, let loss, let clipped):
      return Entry(
        .debug, "computed",
        fields(opening).merging(["loss": Figures.decimals(loss, 6), "clipped": "\(clipped)"]) { $1 })
    case .charged(let run, let task, let round, let count, let epsilon, let noise):
      return Entry(
        .info, "charged",
        [
          "run": run.text, "task": task.rawValue, "round": "\(round)", "count": "\(count)",
          "epsilon": Figures.decimals(epsilon, 6),
          "noise": noise.rawValue,
        ])
    case .sent(let kind, let opening): return Entry(.debug, "sent", fields(opening).merging(["kind": kind]) { $1 })
    case .completed(let opening, let survivors, let count):
      return Entry(
        .info, "sumCompleted",
        fields(opening).merging(["survivors": "\(survivors)", "organizations": "\(count)"]) { $1 })
    case .metrics(let round, let metrics):
      return Entry(.debug, "evaluated", ["round": "\(round)", "rocAuc": Figures.decimals(metrics.rocAuc, 6)])
    case .ended(let run, let state, let reason, let model):
      var fields = ["run": run.text, "state": state, "reason": reason]
      fields["model"] = model
      return Entry(state == "completed" ? .info : .warning, "runEnded", fields)
    case .certificateDates, .credentialsChanged, .credentialsUnusable, .serverPins, .forgedPins, .proposed, .inForce,
      .unreadable, .logConflict, .quorumMissed:
      return membershipEntry(event)
    case .witnessSilent(let code, let reason, let remedy):
      return Entry(.warning, "witnessSilent", ["code": code, "reason": reason, "remedy": remedy])
    case .trouble(let code, let reason, let remedy):
      return Entry(.error, "trouble", ["code": code, "reason": reason, "remedy": remedy])
    case .stopping: return Entry(.info, "stopping")
    }
  }

  private static func membershipEntry(_ event: ClientEvent) -> Entry {
    switch event {
    case .certificateDates(let owner, let notBefore, let notAfter):
      return Entry(
        notAfter < Date() || notBefore > Date() ? .error : .warning, "certificateDates",
        ["of": owner, "notBefore": Moment.text(notBefore), "notAfter": Moment.text(notAfter)])
    case .credentialsChanged(let key):
      return Entry(.info, "credentialsChanged", ["publicKeySHA256": key.hexadecimal])
    case .credentialsUnusable(let code, let reason):
      return Entry(.error, "credentialsUnusable", ["code": code, "reason": reason, "remedy": tryAgain])
    case .serverPins(let name, let sequence):
      return Entry(.info, "serverPins", ["server": name.value, "sequence": "\(sequence)"])
    case .forgedPins(let reason, let remedy):
      return Entry(.error, "forgedPins", ["reason": reason, "remedy": remedy])
    case .proposed(let version, let federation):
      return Entry(
        .warning, "manifestProposed",
        ["version": "\(version)", "federation": federation.value, "remedy": approval])
    case .inForce(let version): return Entry(.info, "manifestInForce", ["version": "\(version)"])
    case .logConflict(let name, let held, let offered):
      return Entry(.error, "logConflict", ["organization": name.value, "held": "\(held)", "offered": "\(offered)"])
    case .quorumMissed(let found, let needed):
      return Entry(.warning, "quorumMissed", ["found": "\(found)", "needed": "\(needed)"])
    case .unreadable(let code, let reason): return Entry(.error, "unreadable", ["code": code, "reason": reason])
    case _: return Entry(.debug, "other")
    }
  }

  /// What may say something of the data, for those who ask for it: `debug` only.
  static func detail(_ event: ClientEvent) -> Entry? {
    guard case .refused(let run, let rule, let reasons) = event else { return nil }
    return Entry(
      .debug, "refusedBecause", ["run": run.text, "rule": rule, "reason": reasons.joined(separator: "; ")])
  }

  private static let refusalRemedy =
    "bauta client doctor --data FILE --directory DIR; the reason is in the log with --log-level debug"
  private static let tryAgain =
    "mend the files, which are read when they change; what is mended in a token needs: bauta client reload --directory DIR"
  private static let approval = "bauta federation approve --directory DIR"

  private static func dates(_ owner: String, _ notBefore: Date, _ notAfter: Date) -> String {
    notBefore > Date()
      ? "\(owner) is not valid before \(Moment.text(notBefore)): check this machine's clock"
      : "\(owner) is \(Moment.expiry(notAfter)): renew it"
  }

  private static func fields(_ opening: OpeningIdentifier) -> [String: String] {
    [
      "run": opening.run.text, "task": opening.task.rawValue, "round": "\(opening.round)",
      "attempt": "\(opening.attempt)",
    ]
  }

  private static func title(_ opening: OpeningIdentifier) -> String {
    switch opening.task {
    case .statistics: "statistics"
    case .fit: "training of round \(opening.round)"
    case .evaluate: "evaluation of round \(opening.round)"
    }
  }
}
