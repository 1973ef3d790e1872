import FederationSimulation
import SecureAggregation

extension SimulationReport {
  /// Schema `bauta/simulation/1`.
  var json: JSONValue {
    .object([
      "schema": .string("bauta/simulation/1"), "settings": settings.json, "graph": graphJSON,
      "stages": .array(stages.map(\.json)), "sums": .array(sums.map(\.json)), "maskedInput": maskedInputJSON,
      "seconds": .number(seconds), "peakMemoryBytes": .integer(Int64(peakMemoryBytes)), "exact": .boolean(isExact),
      "sound": .boolean(isSound), "outcome": .string(outcome.hexadecimal),
    ])
  }

  private var graphJSON: JSONValue {
    .object([
      "kind": .string(regularGraph == nil ? "complete" : "regular"), "neighbors": .count(neighborCount),
      "threshold": .count(threshold),
    ])
  }

  private var maskedInputJSON: JSONValue {
    .object([
      "bytes": .count(maskedInputBytes), "coordinateBytes": .number(termBytes), "limitBytes": .number(maskedInputLimit),
    ])
  }
}

extension SimulationSettings {
  fileprivate var json: JSONValue {
    .object([
      "organizations": .count(organizations), "dimension": .count(dimension), "counters": .count(counters),
      "bits": .count(bits), "dropouts": .count(dropouts), "assumedCorrupt": .count(assumedCorrupt),
      "faults": .count(faults), "graph": .string(graph.rawValue), "rounds": .count(rounds),
      // A number above 2^53 would not survive every reader.
      "seed": .string(String(seed)), "cores": .count(cores),
    ])
  }
}

extension StageFigures {
  fileprivate var json: JSONValue {
    .object([
      "stage": .string(stage.rawValue), "answers": .count(clientSeconds.count), "clientSeconds": clientSeconds.json,
      "serverSeconds": .number(serverSeconds), "sentBytes": sentBytes.json, "receivedBytes": receivedBytes.json,
    ])
  }
}

extension Spread {
  fileprivate var json: JSONValue {
    .object([
      "mean": .number(mean), "median": .number(median), "max": .number(maximum), "total": .number(total),
    ])
  }
}

extension SumOutcome {
  fileprivate var json: JSONValue {
    .object([
      "round": .count(round), "attempts": .count(attempts), "survivors": .count(survivors.count),
      "lost": .strings(lost.map(\.value)), "blamed": .strings(blamed.map(\.value)), "exact": .boolean(isExact),
      "faults": .array(injections.map(\.json)), "stopCode": .optional(stop?.code), "stop": .optional(stop?.message),
      "seconds": .number(seconds),
    ])
  }
}

extension Injection {
  fileprivate var json: JSONValue {
    .object([
      "organization": .string(organization.value), "kind": .string(misbehavior.rawValue),
      "stage": .string(stage.rawValue), "sent": .boolean(wasSent), "noticed": .optional(noticed),
    ])
  }
}
