import Cryptography
import Federation
import FederationServer
import Foundation
import SecureAggregation

/// Tells an operator how a run goes: a line for every sum, and at once when somebody is missing.
struct RunProgress: Sendable {
  let output: Output

  func show(_ event: RunEvent) {
    guard let line = Self.line(event) else { return }
    output.line(line)
    output.flush()
  }

  static func line(_ event: RunEvent) -> StyledText? {
    switch event {
    case .listening(let address): return "listening on \(address)"
    case .waiting(let names): return names.isEmpty ? nil : "waiting for \(list(names))"
    case .connected(let name): return "\(name) connected"
    case .disconnected(let name): return "\(name) disconnected"
    case .accepted(let name): return "\(name) accepted the plan"
    case .refused(let name, let reason): return StyledText("\(name) does not take part: \(reason)", .bad)
    case .refusedMessage(let name, let code, let message):
      return StyledText("a message of \(name) was refused (\(code)): \(message)", .bad)
    case .runStarted(let run, let cohort): return "run \(run) with \(list(cohort))"
    case .openingStarted, .answered: return nil
    case .stageClosed(let stage, let opening, let answered, let missing):
      guard !missing.isEmpty else { return nil }
      return "\(title(opening)), \(stage.rawValue): \(answered.count) answered, \(list(missing)) missing"
    case .attemptFailed(let opening, let reason):
      return StyledText("\(title(opening)), attempt \(opening.attempt) failed: \(reason)", .bad)
    case .blamed(let name, let opening, let code):
      let what = code == "disputed-shares" ? "dealt or released" : "dealt"
      return StyledText("\(title(opening)): \(name) \(what) wrong shares (\(code)); recovered without them", .bad)
    case .openingCompleted(let opening, let survivors):
      return "\(title(opening)): sum over \(Figures.counted(survivors.count, "organisation"))"
    case .evaluated(let round, let metrics):
      return
        "round \(round): ROC AUC \(Figures.decimals(metrics.rocAuc, 4, plusMinus: metrics.rocAucNoiseError)), log loss "
        + "\(Figures.decimals(metrics.logLoss, 4)), accuracy \(Figures.decimals(metrics.accuracy, 4)) on "
        + "\(Figures.counted(metrics.examples, "held-out row"))"
    case .approved(let name, let version, let missing):
      return "\(name) has approved version \(version) of the manifest"
        + (missing.isEmpty ? "; it is in force" : "; missing: \(list(missing))")
    case .pinsStated(let name, let sequence): return "\(name) has stated its certificate keys (number \(sequence))"
    case .revoked(let name): return StyledText("\(name) is not let in any more", .caution)
    case .logConflict(let conflict):
      return StyledText(
        "the log of \(conflict.organization) does not continue what was cosigned: entry count \(conflict.held) before, "
          + "\(conflict.offered) now (\(conflict.kind)); ask its owner what happened", .bad)
    case .certificateDates(let owner, let notBefore, let notAfter):
      return StyledText(
        notBefore > Date()
          ? "\(owner) is not valid before \(Moment.text(notBefore)): check this machine's clock"
          : "\(owner) is \(Moment.expiry(notAfter)): bauta federation renew", .caution)
    case .reloaded(let version): return "directory read again; latest version of the manifest: \(version)"
    case .reloadFailed(let reason):
      return StyledText("the directory could not be read again, what counted before goes on to count: \(reason)", .bad)
    case .witnessSilent(_, let reason):
      return StyledText("\(reason); the next checkpoint is submitted again", .caution)
    case .ended(let report):
      switch report.state {
      case .queued: return StyledText("run \(report.run) waits for its turn", .caution)
      case .interrupted:
        return StyledText("run \(report.run) is interrupted; it goes on when the server is started again", .caution)
      case .completed: return StyledText("run \(report.run) completed", .good)
      case .budgetSpent:
        return StyledText("run \(report.run) ended early: \(report.reason ?? "a privacy budget is spent")", .caution)
      case .running, .stopped, .failed, .cancelled:
        return StyledText("run \(report.run) \(report.state.rawValue): \(report.reason ?? "no reason given")", .bad)
      }
    }
  }

  private static func title(_ opening: OpeningIdentifier) -> String {
    switch opening.task {
    case .statistics: "statistics"
    case .fit: "round \(opening.round), training"
    case .evaluate: "round \(opening.round), evaluation"
    }
  }

  static func list(_ names: [OrganizationName]) -> String { names.map(\.value).joined(separator: ", ") }
}
