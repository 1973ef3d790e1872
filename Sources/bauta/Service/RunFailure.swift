import Cryptography
import Federation

/// A run that ended before its last round: the last line on standard error, and the status.
struct RunFailure: BlamedError, Equatable {
  let run: RunIdentifier
  /// Whether it ended because too few organisations took part.
  let isStopped: Bool
  let reason: String

  /// - Throws: `RunFailure` unless the run came to its end.
  static func check(_ report: RunReport) throws(RunFailure) {
    switch report.state {
    case .completed: return
    case .queued, .running, .interrupted, .stopped, .failed, .cancelled:
      throw RunFailure(
        run: report.run, isStopped: report.state == .stopped, reason: report.reason ?? "no reason given")
    }
  }

  var code: String { isStopped ? "run-stopped" : "run-failed" }
  var blame: Blame { isStopped ? .participants : .peer }
  var message: String { "run \(run) \(isStopped ? "stopped" : "failed"): \(reason)" }

  var remedy: String {
    isStopped
      ? "Bring the organisations named back, or see what each of them says, and start another run."
      : "Mend what the reason names, and start another run; nothing of this one is used again."
  }
}
