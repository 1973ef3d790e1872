public import Cryptography

/// Why no k-regular graph is made. Blame: caller; both sides compute the same and refuse the same.
public enum GraphFault: BlamedError, Hashable {
  public enum Field: String, Hashable, Sendable {
    case organizations, corrupt, dropouts, tighteningBits
  }

  case outOfRange(Field)
  /// No even k below the number of organisations gives privacy and liveness, or the fractions leave no room for one.
  case infeasible(organizations: Int, corrupt: Int, dropouts: Int, adversary: Adversary)

  public var code: String {
    switch self {
    case .outOfRange: "graph-parameter-out-of-range"
    case .infeasible: "graph-infeasible"
    }
  }

  public var blame: Blame { .caller }

  public var message: String {
    switch self {
    case .outOfRange(let field): "The graph parameter \(field.rawValue) is outside its range."
    case .infeasible(let organizations, let corrupt, let dropouts, let adversary):
      "No regular graph of \(organizations) organisations is private and survives dropouts with \(corrupt) corrupt, "
        + "\(dropouts) dropping out and a \(adversary.rawValue) server."
    }
  }

  public var remedy: String {
    switch self {
    case .outOfRange: "Change the plan or the cohort so that the parameter is in its range."
    case .infeasible: "Assume fewer dropouts, bring more organisations, or use the complete graph."
    }
  }
}
