import Cryptography
import Learning

/// Why no model follows from a sum, or a model does not belong to the run.
public enum ProgressionError: BlamedError, Equatable {
  case learning(LearningError)
  /// The server hands out a model of other columns, another label or another run.
  case modelOfAnotherRun
  /// A sum came before the sums it builds on.
  case outOfOrder

  public var code: String {
    switch self {
    case .learning(let error): error.code
    case .modelOfAnotherRun: "model-of-another-run"
    case .outOfOrder: "sum-out-of-order"
    }
  }

  public var blame: Blame {
    switch self {
    case .learning: .participants
    case .modelOfAnotherRun, .outOfOrder: .peer
    }
  }

  public var message: String {
    switch self {
    case .learning(let error): "the sum over the cohort gives no model: \(error.message)"
    case .modelOfAnotherRun: "the server handed out a model that does not belong to this run, plan or columns"
    case .outOfOrder: "a sum came before the sums that it builds on"
    }
  }

  public var remedy: String {
    switch self {
    case .learning(let error): error.remedy
    case .modelOfAnotherRun, .outOfOrder:
      "this organisation has left the run; nothing more leaves it. Ask the operator, and keep the log"
    }
  }
}
