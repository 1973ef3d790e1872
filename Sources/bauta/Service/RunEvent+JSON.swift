import Cryptography
import Federation
import FederationServer

extension RunEvent {
  /// One object a line with `--json`; `event` says which.
  var json: JSONValue {
    switch self {
    case .listening(let address): .event("listening", ["address": .string(address)])
    case .waiting(let names): .event("waiting", ["organizations": .names(names)])
    case .connected(let name): .event("connected", ["organization": .string(name.value)])
    case .disconnected(let name): .event("disconnected", ["organization": .string(name.value)])
    case .accepted(let name): .event("accepted", ["organization": .string(name.value)])
    case .refused(let name, let reason):
      .event("refused", ["organization": .string(name.value), "reason": .string(reason)])
    case .refusedMessage(let name, let code, let message):
      .event(
        "refusedMessage",
        ["organization": .string(name.value), "code": .string(code), "message": .string(message)])
    case .runStarted(let run, let cohort):
      .event("runStarted", ["run": .string(run.text), "cohort": .names(cohort)])
    case .openingStarted(let opening): .event("openingStarted", opening.members)
    case .answered(let name, let stage, let opening):
      .event(
        "answered", opening.members,
        ["organization": .string(name.value), "stage": .string(stage.rawValue)])
    case .stageClosed(let stage, let opening, let answered, let missing):
      .event(
        "stageClosed", opening.members,
        ["stage": .string(stage.rawValue), "answered": .names(answered), "missing": .names(missing)])
    case .attemptFailed(let opening, let reason):
      .event("attemptFailed", opening.members, ["reason": .string(reason)])
    case .blamed(let name, let opening, let code):
      .event("blamed", opening.members, ["organization": .string(name.value), "code": .string(code)])
    case .openingCompleted(let opening, let survivors):
      .event("openingCompleted", opening.members, ["survivors": .names(survivors)])
    case .evaluated(let round, let metrics):
      .event(
        "evaluated",
        [
          "round": .count(round), "examples": .count(metrics.examples),
          "metrics": .object(metrics.named.mapValues { .number($0) }),
        ])
    case .approved(let name, let version, let missing):
      .event(
        "approved",
        ["organization": .string(name.value), "version": .count(version), "missing": .names(missing)])
    case .pinsStated(let name, let sequence):
      .event("pinsStated", ["organization": .string(name.value), "sequence": .count(sequence)])
    case .revoked(let name): .event("revoked", ["organization": .string(name.value)])
    case .logConflict(let conflict):
      .event(
        "logConflict",
        [
          "organization": .string(conflict.organization), "kind": .string(conflict.kind),
          "held": .count(Int(clamping: conflict.held)), "offered": .count(Int(clamping: conflict.offered)),
        ])
    case .certificateDates(let owner, let notBefore, let notAfter):
      .event(
        "certificateDates",
        [
          "owner": .string(owner), "notBefore": .string(Moment.text(notBefore)),
          "notAfter": .string(Moment.text(notAfter)),
        ])
    case .reloaded(let version): .event("reloaded", ["version": .count(version)])
    case .reloadFailed(let reason): .event("reloadFailed", ["reason": .string(reason)])
    case .witnessSilent(let code, let reason):
      .event("witnessSilent", ["code": .string(code), "reason": .string(reason)])
    case .ended(let report):
      .event(
        "ended",
        [
          "run": .string(report.run.text), "state": .string(report.state.rawValue),
          "reason": .optional(report.reason),
        ])
    }
  }
}

extension OpeningIdentifier {
  fileprivate var members: [String: JSONValue] {
    ["task": .string(task.rawValue), "round": .count(round), "attempt": .count(attempt)]
  }
}

extension JSONValue {
  fileprivate static func event(
    _ name: String, _ members: [String: JSONValue], _ more: [String: JSONValue] = [:]
  ) -> JSONValue {
    .object(members.merging(more) { first, _ in first }.merging(["event": .string(name)]) { first, _ in first })
  }

  fileprivate static func names(_ names: [OrganizationName]) -> JSONValue { .strings(names.map(\.value)) }
}
