import FederationServer

extension RunEvent {
  /// One line of a service's log.
  func write(to log: ServiceLog) {
    guard case .object(let members) = json, case .string(let name)? = members["event"] else { return }
    var fields: [String: String] = [:]
    for (key, value) in members where key != "event" { fields[key] = Self.text(value) }
    log.log(level, name, fields)
  }

  /// Figures are sums over a cohort, which everybody in it is sent.
  private var level: ServiceLog.Level {
    switch self {
    case .reloadFailed, .logConflict: .error
    case .refused, .refusedMessage, .attemptFailed, .blamed, .revoked, .certificateDates, .witnessSilent: .warning
    case .stageClosed(_, _, _, let missing): missing.isEmpty ? .debug : .warning
    case .listening, .connected, .disconnected, .accepted, .runStarted, .openingCompleted, .evaluated, .approved,
      .pinsStated, .reloaded:
      .info
    case .waiting, .openingStarted, .answered: .debug
    case .ended(let report):
      switch report.state {
      case .completed, .interrupted, .queued, .running: .info
      case .stopped, .failed, .cancelled, .budgetSpent: .warning
      }
    }
  }

  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: ""
    case .string(let text): text
    case .array(let values): values.map(text).joined(separator: ",")
    case .boolean, .integer, .number, .object: value.text
    }
  }
}
