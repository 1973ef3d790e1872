extension LogFigures {
  public var json: CanonicalJSON {
    .object([
      "organization": .text(organization), "foreign": .number(foreign), "records": records.json,
      "earliest": .text(earliest?.description), "latest": .text(latest?.description),
      "clockSetBack": clockSetBack.json, "longestSetBack": .number(Int(longestSetBack)),
      "clocks": clocks.json("clock"), "federations": federations.json("federation"), "actors": actors.json("actor"),
      "events": .object(
        Dictionary(
          uniqueKeysWithValues: AuditRecord.Event.allCases.map { ($0.rawValue, (events[$0] ?? Tally()).json) })),
      "sent": sent.json, "received": received.json, "terms": terms.json, "privacy": privacy.json,
      "handshakes": handshakes.json, "decisions": decisions.json, "connections": connections.json,
      "witnesses": witnesses.json,
      "runs": runs.json("run", value: \.json) { .string($0) },
      "changes": changes.json, "openings": openings.json, "service": service.json,
    ])
  }
}

extension Tally {
  var json: CanonicalJSON {
    .object([
      "count": .number(count), "bytes": .number(bytes), "resent": .number(resent), "first": first?.json ?? .null,
      "last": last?.json ?? .null,
    ])
  }
}

extension Tally.Place {
  var json: CanonicalJSON { .object(["entry": .number(entry), "time": .string(time.description)]) }
}

extension Grouped {
  /// `{groups: [{NAME: key, figures: value}], others: value}`, in the order of the keys' text, so that equal figures are
  /// equal bytes.
  func json(
    _ name: String, value: (Value) -> CanonicalJSON, key: (Key) -> CanonicalJSON
  ) -> CanonicalJSON {
    let entries = groups.map { (key($0.key), value($0.value)) }
      .map { (text: $0.0.text, json: CanonicalJSON.object([name: $0.0, "figures": $0.1])) }
      .sorted { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }
    return .object(["groups": .array(entries.map(\.json)), "others": others.map(value) ?? .null])
  }
}

extension Grouped where Value == Tally {
  func json(_ name: String, key: (Key) -> CanonicalJSON) -> CanonicalJSON { json(name, value: \.json, key: key) }
}

extension Grouped where Key == String, Value == Tally {
  func json(_ name: String) -> CanonicalJSON { json(name) { .string($0) } }
}

extension Recent where Element == AuditRecord {
  /// The records themselves, as they stand in the log.
  var json: CanonicalJSON {
    let records = elements.compactMap { record in (try? record.entry()).flatMap { try? CanonicalJSON(parsing: $0) } }
    return .object(["total": .number(total), "latest": .array(records)])
  }
}

extension MessageFigures {
  var json: CanonicalJSON {
    .object([
      "total": total.json, "underDecision": underDecision.json, "peers": peers.json("peer"),
      "groups": groups.json("message") { group in
        .object(["kind": .string(group.kind), "stage": .text(group.stage), "peer": .string(group.peer)])
      },
      "timeline": timeline.json,
    ])
  }
}

extension Timeline {
  var json: CanonicalJSON {
    .object([
      "width": .integer(width),
      "intervals": .array(
        intervals.filter { !$0.amounts.isEmpty }.map { interval in
          .object([
            "start": .string(interval.start.description),
            "kinds": .object(
              interval.amounts.mapValues { .object(["messages": .number($0.messages), "bytes": .number($0.bytes)]) }),
          ])
        }),
    ])
  }
}

extension TermFigures {
  var json: CanonicalJSON {
    .object([
      "total": total.json, "fewestMasks": .number(fewestMasks), "smallestU2": .number(smallestU2),
      "smallestU3": .number(smallestU3), "withCommitment": .number(withCommitment),
      "withLocalNoise": .number(withLocalNoise),
      "protections": protections.json("protection") { protection in
        .object([
          "task": .text(protection.task), "u2": .number(protection.u2), "masks": .number(protection.masks),
          "bits": .number(protection.bits), "clip": .text(protection.clip),
          "localNoise": .text(protection.localNoise), "committed": .boolean(protection.isCommitted),
        ])
      },
      "latest": .array(recent.elements.map(\.json)), "omitted": .number(recent.omitted),
    ])
  }
}

extension TermFigures.Term {
  fileprivate var json: CanonicalJSON {
    .object([
      "entry": .number(entry), "time": .string(time.description), "run": .text(opening.run),
      "round": .number(opening.round), "task": .text(opening.task), "attempt": .number(opening.attempt),
      "u2": .number(u2), "u3": .number(u3), "dimension": .number(input.dimension),
      "counters": .number(input.counters), "bits": .number(input.bits), "masks": .number(input.masks),
      "clip": .text(input.clip?.text), "localNoise": .text(input.localNoise?.text),
      "epsilonCharged": .text(input.epsilonCharged?.text), "epsilonTotal": .text(input.epsilonTotal?.text),
      "commitment": .text(input.commitment?.hexadecimal),
    ])
  }
}

extension PrivacyFigures {
  var json: CanonicalJSON {
    let ledger = ledger
    return .object([
      "charges": .number(ledger.count), "sum": .text(AuditDecimal(ledger.sum)?.text),
      "total": .text(ledger.last?.total?.text),
      "curve": .array(
        ledger.curve.map { charge in
          .object([
            "entry": .number(charge.entry), "time": .string(charge.time.description),
            "charged": .text(charge.charged?.text), "total": .text(charge.total?.text),
          ])
        }),
    ])
  }
}
