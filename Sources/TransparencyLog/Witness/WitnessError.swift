import Cryptography

/// Why a witness cannot be opened, or cannot answer. Nothing was given out.
public enum WitnessError: BlamedError, Equatable {
  /// Another process, or another witness in this one, uses the directory.
  case locked(path: String)
  /// What the witness recorded about a log is not what it wrote.
  case damagedState(path: String)
  /// Two logs with one origin, none, or a name that its key does not have.
  case duplicateLog(origin: String)
  case tooManyLogs(limit: Int)
  case storage(TransparencyLogError)

  public var code: String {
    switch self {
    case .locked: "witness-locked"
    case .damagedState: "witness-state-damaged"
    case .duplicateLog: "witness-log-duplicate"
    case .tooManyLogs: "witness-too-many-logs"
    case .storage(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .locked, .damagedState: .local
    case .duplicateLog, .tooManyLogs: .caller
    case .storage(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .locked(let path): "\(path) is in use by another witness"
    case .damagedState(let path): "\(path) is not what this witness recorded"
    case .duplicateLog(let origin): "the log \(origin) is named twice"
    case .tooManyLogs(let limit): "a witness watches at most \(limit) logs"
    case .storage(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .locked: "Stop the other process, or use another directory."
    case .damagedState:
      "Find out who changed it. A witness that has lost what it recorded must be given a new key and name: it could "
        + "cosign a second history otherwise."
    case .duplicateLog: "Name each log once, with all its keys."
    case .tooManyLogs: "Let a second witness watch the others."
    case .storage(let error): error.remedy
    }
  }
}
