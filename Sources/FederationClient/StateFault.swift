import Cryptography
import Federation

/// What the organisation's own state forbids, or what is wrong between the state and the log.
public enum StateFault: BlamedError, Equatable {
  /// `state.sqlite` does not hold what the log says was decided under it.
  case olderThanLog(path: String, version: UInt64, recorded: UInt64)
  /// There is no `state.sqlite`, and the log says that there was.
  case missing(path: String, recorded: UInt64)
  /// The log does not hold what the state remembers.
  case logShorter(path: String, entries: UInt64, remembered: UInt64)
  /// The log holds something else where the state remembers a message.
  case logDiffers(path: String, entry: UInt64)
  /// State and log agree: there is nothing to say about them.
  case nothingToAcknowledge(path: String)
  /// The name of an opening, used again with another plan, model, cohort or manifest.
  case otherOpening(OpeningIdentifier)
  /// The sum is published or its run is over.
  case closed(OpeningIdentifier)
  /// Nothing can be released for the attempt: its keys were lost before a reply was made.
  case notReleased(OpeningIdentifier)
  /// Other bytes than those that were made for this attempt.
  case otherMessage(OpeningIdentifier, kind: String)
  /// A run whose state was lost.
  case lostRun(RunIdentifier)

  public var code: String {
    switch self {
    case .olderThanLog: "state-older-than-log"
    case .missing: "state-missing"
    case .logShorter: "log-shorter-than-state"
    case .logDiffers: "log-other-than-state"
    case .nothingToAcknowledge: "nothing-to-acknowledge"
    case .otherOpening: "opening-made-under-other-terms"
    case .closed: "opening-closed"
    case .notReleased: "attempt-not-released"
    case .otherMessage: "attempt-other-message"
    case .lostRun: "run-state-lost"
    }
  }

  public var blame: Blame {
    switch self {
    case .olderThanLog, .missing, .logShorter, .logDiffers, .notReleased, .otherMessage, .lostRun: .local
    case .nothingToAcknowledge: .caller
    case .otherOpening, .closed: .peer
    }
  }

  public var message: String {
    switch self {
    case .olderThanLog(let path, let version, let recorded):
      "\(path) is older than the log says: it is at version \(version), and messages left under version \(recorded)"
    case .missing(let path, let recorded):
      "\(path) is missing or empty, and the log says that messages left under its version \(recorded)"
    case .logShorter(let path, let entries, let remembered):
      "the log at \(path) has \(entries) entries, and the state remembers a message in entry \(remembered)"
    case .logDiffers(let path, let entry):
      "entry \(entry) of the log at \(path) is not the message that the state remembers"
    case .nothingToAcknowledge(let path): "state and log of \(path) agree: there is nothing to acknowledge"
    case .otherOpening(let opening):
      "\(opening) was begun under another plan, model, cohort or manifest; its term is not used for this one"
    case .closed(let opening): "\(opening) is closed here and is not opened again"
    case .notReleased(let opening):
      "the keys of \(opening) ended with an earlier process before a reply was made; nothing is released for it"
    case .otherMessage(let opening, let kind): "another \(kind) was made for \(opening) before"
    case .lostRun(let run): "what was signed in run \(run) was lost with an older state; it is not taken part in again"
    }
  }

  public var remedy: String {
    switch self {
    case .olderThanLog(let path, _, _), .missing(let path, _), .logShorter(let path, _, _), .logDiffers(let path, _):
      "nothing leaves until its owner says what happened: put the newest copy back, or run "
        + "bauta organization acknowledge --directory \(Self.directory(of: path)) --reason \"restored from …\""
    case .nothingToAcknowledge: "start the client"
    case .otherOpening, .closed: "keep the log and ask the operator why this is asked for again"
    case .notReleased: "the others go on without this organisation; it takes part in the next sum"
    case .otherMessage: "keep the state and the log, and report it"
    case .lostRun: "wait for the next run"
    }
  }

  /// The organisation's directory, which holds both the state and the log.
  private static func directory(of path: String) -> String {
    let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return parent.isEmpty ? "." : parent
  }
}
