import Cryptography
import Federation

/// A run that ended before its last round: the last line on standard error, and the status.
struct RunFailure: BlamedError, Equatable {
  enum Kind: Equatable, Sendable {
    case failed
    /// Too few organisations took part.
    case stopped
    /// By the operator.
    case cancelled
    /// A member's privacy budget is spent; there is a model.
    case budgetSpent
    /// Not over: the server was stopped, and goes on with it.
    case interrupted
  }

  let run: RunIdentifier
  let kind: Kind
  let reason: String

  /// - Throws: `RunFailure` unless the run came to its end.
  static func check(_ report: RunReport) throws(RunFailure) {
    let kind: Kind
    switch report.state {
    case .completed: return
    case .stopped: kind = .stopped
    case .budgetSpent: kind = .budgetSpent
    case .cancelled: kind = .cancelled
    case .queued, .running, .interrupted: kind = .interrupted
    case .failed: kind = .failed
    }
    throw RunFailure(run: report.run, kind: kind, reason: report.reason ?? "no reason given")
  }

  var code: String {
    switch kind {
    case .failed: "run-failed"
    case .stopped: "run-stopped"
    case .budgetSpent: "run-budget-spent"
    case .cancelled: "run-cancelled"
    case .interrupted: "run-interrupted"
    }
  }

  var blame: Blame {
    switch kind {
    case .failed, .interrupted: .peer
    case .stopped, .budgetSpent: .participants
    case .cancelled: .caller
    }
  }

  var message: String {
    switch kind {
    case .failed: "run \(run) failed: \(reason)"
    case .stopped: "run \(run) stopped: \(reason)"
    case .budgetSpent: "run \(run) ended before its last round: \(reason)"
    case .cancelled: "run \(run) ended: \(reason)"
    case .interrupted: "run \(run) is interrupted: its server was stopped"
    }
  }

  var remedy: String {
    switch kind {
    case .failed: "Mend what the reason names, and start another run; nothing of this one is used again."
    case .stopped:
      "Bring the organisations named back, or see what each of them says, and start another run."
    case .budgetSpent:
      "The model is that of the last round that was paid for. What is left of a budget: bauta privacy spent"
    case .cancelled: "Start another run when it may be; nothing of this one is used again."
    case .interrupted: "Start the server: it goes on with the run. Then: bauta run watch \(run)"
    }
  }
}
