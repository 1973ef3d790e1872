/// The report as JSON, schema `bauta/audit-report/1`: the figures that the page shows.
///
///     schema, time, verified, conflicts, filter
///     logs[]        directory, name, verified, key, keyOrigin, tie, entries, firstEntry, unreadable, defects,
///                   verification (bauta/audit-verify/1), figures
///     comparison    directory, verification, key, keyOrigin, reconciliation (bauta/audit-reconcile/1), and of its
///                   differences how many are between the logs that were given, how many are messages of others; whether
///                   the logs that were given agree, which they do not if there was nothing to compare; null without
///                   --ingress
///     controls[]    framework, reference, title, asks, notAnswered, evidence[] {kind, count, example {log, entry}},
///                   checks[] {name, passed, logs}
///     figures       of the records that the filter let pass; a tally is {count, bytes, resent, first, last}, a place
///                   {entry, time}. Where more groups came than are counted apart, `others` has what is left.
///
/// Numbers are integers of at most 2⁵³ − 1, at which sums stop; decimals are text.
extension AuditReport {
  public var json: CanonicalJSON {
    .object([
      "schema": .string(Self.schema),
      "time": .string(time.description),
      "verified": .boolean(isVerified),
      "conflicts": .number(conflicts),
      "filter": filter.json,
      "logs": .array(logs.map(\.json)),
      "comparison": comparison?.json ?? .null,
      "controls": .array(controls.map(\.json)),
    ])
  }
}

extension CanonicalJSON {
  static func number(_ value: UInt64) -> CanonicalJSON { .integer(Int64(min(value, Tally.largest))) }

  static func text(_ value: String?) -> CanonicalJSON { value.map { .string($0) } ?? .null }

  static func number(_ value: Int?) -> CanonicalJSON {
    value.map { .integer(min(max(Int64($0), integerRange.lowerBound), integerRange.upperBound)) } ?? .null
  }
}

extension AuditFilter {
  fileprivate var json: CanonicalJSON {
    .object([
      "since": .text(from?.description), "until": .text(to?.description), "run": .text(run), "round": .number(round),
      "kind": .text(kind), "destination": .text(destination?.value), "source": .text(source?.value),
      "events": events.map { .array($0.map(\.rawValue).sorted().map { .string($0) }) } ?? .null,
    ])
  }
}

extension AuditReport.Log {
  fileprivate var json: CanonicalJSON {
    .object([
      "directory": .string(directory), "name": .string(name), "verified": .boolean(isVerified), "key": .text(key),
      "keyOrigin": .string(keyOrigin.text), "tie": .string(analysis.tie.text), "entries": .number(analysis.entries),
      "firstEntry": analysis.firstEntry.map { .number($0) } ?? .null, "unreadable": .number(analysis.unreadable),
      "defects": .array(analysis.defects.map { .string($0) }), "verification": verification.json,
      "figures": figures.json,
    ])
  }
}

extension AuditReport.KeyOrigin {
  fileprivate var text: String {
    switch self {
    case .besideLog: "besideLog"
    case .file(let path): "file:\(path)"
    case .manifest(let path): "manifest:\(path)"
    }
  }
}

extension LogAnalysis.Tie {
  fileprivate var text: String {
    switch self {
    case .same: "same"
    case .differs: "differs"
    case .notChecked(let reason): "notChecked: \(reason)"
    }
  }
}

extension AuditReport.Comparison {
  fileprivate var json: CanonicalJSON {
    .object([
      "directory": .string(directory), "verification": verification.json, "key": .text(key),
      "keyOrigin": .string(keyOrigin.text), "agrees": .boolean(agrees), "differences": .number(differences.count),
      "ofOthers": .number(ofOthers), "reconciliation": result.json,
    ])
  }
}

extension AuditReport.ControlAnswer {
  fileprivate var json: CanonicalJSON {
    .object([
      "framework": .string(control.framework), "reference": .string(control.reference),
      "title": .string(control.title), "asks": .string(control.asks), "notAnswered": .string(control.notAnswered),
      "evidence": .array(
        items.map { item in
          .object([
            "kind": .string(item.evidence.rawValue), "count": .number(item.count),
            "example": item.example.map { .object(["log": .string($0.log), "entry": .number($0.entry)]) } ?? .null,
          ])
        }),
      "checks": .array(
        checks.map { check in
          .object([
            "name": .string(check.name.rawValue), "passed": .number(check.passed), "logs": .number(check.logs),
          ])
        }),
    ])
  }
}
