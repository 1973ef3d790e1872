extension FailureKey {
  var json: CanonicalJSON { .object(["code": .string(code), "blame": .string(blame)]) }
}

extension HandshakeFigures {
  var json: CanonicalJSON {
    .object([
      "established": established.json, "refused": refused.json, "allRefusals": .number(allRefusals),
      "parameters": parameters.json("parameters") { key in
        .object(["version": .string(key.version), "cipher": .text(key.cipher), "group": .text(key.group)])
      },
      "peers": peers.json("peer"), "refusedPeers": refusedPeers.json("peer"),
      "refusalCodes": refusalCodes.json("error") { $0.json },
      "summedUp": .object([
        "records": summedUp.records.json, "refusals": .number(summedUp.refusals),
        "mostAddresses": .number(summedUp.mostAddresses),
      ]),
    ])
  }
}

extension DecisionFigures {
  var json: CanonicalJSON {
    .object([
      "allowed": allowed.json, "refused": refused.json, "receipts": receipts.json,
      "purposes": purposes.json("purpose"), "retentions": retentions.json("retention"),
      "rules": rules.json("rule") { key in
        .object([
          "event": .string(key.event.rawValue), "decision": .string(key.decision.rawValue), "rule": .string(key.rule),
        ])
      },
      "deliveries": deliveries.json("result") { key in
        .object(["outcome": .string(key.outcome.rawValue), "error": key.failure?.json ?? .null])
      },
      "failures": failures.json("failure") { key in
        .object(["event": .string(key.event.rawValue), "error": key.failure.json])
      },
    ])
  }
}

extension ConnectionFigures {
  var json: CanonicalJSON {
    .object([
      "closedWithTraffic": .number(closedWithTraffic), "closedWithoutTraffic": .number(closedWithoutTraffic),
      "closedPlaintextBytes": .number(closedPlaintextBytes), "unfollowed": .number(unfollowed),
      "unclosed": .array(unclosed.map(\.json)), "latestClosed": .array(closed.elements.map(\.json)),
    ])
  }
}

extension ConnectionFigures.Connection {
  fileprivate var json: CanonicalJSON {
    .object([
      "peer": .string(peer), "exporter": .text(exporter?.hexadecimal), "closed": .boolean(isClosed),
      "first": first?.json ?? .null, "last": last?.json ?? .null, "sent": sent.json, "traffic": traffic?.json ?? .null,
    ])
  }
}

extension AuditRecord.Traffic {
  fileprivate var json: CanonicalJSON {
    .object([
      "plaintextBytes": .number(plaintextBytes), "headerLists": .number(headerLists),
      "headersSHA256": .text(headersSHA256?.hexadecimal),
      "frames": .object(
        Dictionary(
          uniqueKeysWithValues: frames.map { frame, count in
            (frame.rawValue, .object(["frames": .number(count.frames), "bytes": .number(count.bytes)]))
          })),
    ])
  }
}

extension WitnessFigures {
  var json: CanonicalJSON {
    .object([
      "cosignatures": cosignatures.json, "conflicts": conflicts.json,
      "cosigned": cosigned.json("checkpoint", value: \.json) { $0.json },
      "witnessed": witnessed.json("checkpoint", value: \.json) { $0.json },
    ])
  }
}

extension WitnessFigures.Pair {
  fileprivate var json: CanonicalJSON { .object(["origin": .string(origin), "witness": .text(witness)]) }
}

extension WitnessFigures.Checkpoints {
  fileprivate var json: CanonicalJSON {
    .object(["records": tally.json, "largestSize": .number(largestSize), "root": .text(root)])
  }
}

extension RunFigures {
  var json: CanonicalJSON {
    .object([
      "records": records.json, "sent": sent.json, "received": received.json, "masked": masked.json,
      "roundsCompleted": roundsCompleted.json, "plan": .text(plan?.hexadecimal),
      "manifest": .text(manifest?.hexadecimal), "program": .text(program?.hexadecimal),
      "ended": .text(ended?.rawValue), "error": failure?.json ?? .null,
    ])
  }
}
