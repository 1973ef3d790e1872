import Cryptography
import Federation
import FederationWire
import SecureAggregation

/// Why a run ends before its last round.
enum RunStop: Error {
  case shortage(what: String, missing: [OrganizationName], details: [String])
  /// Shares were released, and too few came back: the sum can be neither opened nor tried again.
  case unmaskable(missing: [OrganizationName], details: [String])
  case differentColumns(OrganizationName, OrganizationName, columns: [String])
  case noColumns
  case shutDown
  /// As many attempts at a sum as organisations take part in, those of earlier servers included.
  case attemptsExhausted(TaskKind, round: Int)
  case cancelled(reason: String)
  /// The next sum would cost a member more than its policy allows.
  case budgetSpent(OrganizationName, TaskKind, round: Int)
  /// The server stops, and goes on with the run when it is started again.
  case paused

  var reason: String {
    switch self {
    case .shortage(let what, let missing, let details):
      "too few participants: \(what)" + (missing.isEmpty ? "" : "; missing: \(Self.list(missing))")
        + details.map { "; \($0)" }.joined()
    case .unmaskable(let missing, let details):
      "unmaskable: too few shares came back to open the sum, and too many were released to try again; missing: "
        + Self.list(missing) + details.map { "; \($0)" }.joined()
    case .differentColumns(let one, let other, let columns):
      "\(one) and \(other) do not have the same columns"
        + (columns.isEmpty ? " in the same order" : ": \(columns.prefix(8).joined(separator: ", "))")
    case .noColumns: "the organisations have no numeric columns"
    case .attemptsExhausted(let task, let round):
      "\(task.rawValue) of round \(round) has been begun \(AttemptLedger.maximumAttempt) times, those of earlier servers "
        + "included; organisations take part in no more"
    case .shutDown: "the server was told to stop"
    case .budgetSpent(let organization, let task, let round):
      "the privacy budget of \(organization) does not reach the \(task.rawValue) of round \(round)"
    case .cancelled(let reason): "cancelled by the operator" + (reason.isEmpty ? "" : ": \(reason)")
    case .paused: "the server was told to stop; the run goes on when it is started again"
    }
  }

  private static func list(_ names: [OrganizationName]) -> String { names.map(\.value).joined(separator: ", ") }
}

extension FederationWire.Refusal {
  static let otherManifest = FederationWire.Refusal(
    code: "other-manifest", message: "this organisation acts under another version of the federation's manifest",
    remedy: "get the current manifest from the operator and approve it: bauta federation approve NOTE")

  static let invalidAcceptance = FederationWire.Refusal(
    code: "acceptance-invalid", message: "the acceptance does not match the announced run",
    remedy: "start the client again; if it repeats, compare versions with the operator")

  static let notInCohort = FederationWire.Refusal(
    code: "not-in-cohort", message: "the run began without this organisation and its cohort is fixed",
    remedy: "wait for the next run")
}
