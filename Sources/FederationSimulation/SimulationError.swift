public import Cryptography
public import SecureAggregation

/// Why a simulation is not started.
public enum SimulationError: BlamedError, Hashable {
  public enum Field: String, Hashable, Sendable {
    case organizations, dimension, counters, bits, faults, rounds, cores
  }

  case outOfRange(Field, allowed: ClosedRange<Int>)
  /// The graph asked for is not made of so many organisations.
  case cohortOutsideGraph(isRegular: Bool, allowed: ClosedRange<Int>)
  /// No k-regular graph is private and alive at these rates.
  case infeasibleGraph(InfeasibleRates)
  /// The secure sum refuses the parameters, or a machine failed while it was prepared.
  case refused(AggregationError)

  public var code: String {
    switch self {
    case .outOfRange: "simulation-out-of-range"
    case .cohortOutsideGraph: "cohort-size"
    case .infeasibleGraph: "graph-infeasible"
    case .refused(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .outOfRange, .cohortOutsideGraph, .infeasibleGraph: .caller
    case .refused(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .outOfRange(let field, let allowed):
      "--\(field.rawValue) is from \(allowed.lowerBound) to \(allowed.upperBound)."
    case .cohortOutsideGraph(let isRegular, let allowed):
      "A \(isRegular ? "k-regular" : "complete") graph takes \(allowed.lowerBound) to \(allowed.upperBound) organisations."
    case .infeasibleGraph(let rates): rates.message
    case .refused(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .outOfRange: "Give a number in that range."
    case .cohortOutsideGraph:
      "Use --graph auto, which takes the complete graph for small cohorts and a k-regular one above."
    case .infeasibleGraph(let rates): rates.remedy
    case .refused(let error): error.remedy
    }
  }
}

/// Rates at which no k-regular graph is private and survives the losses, and rates at which one is.
public struct InfeasibleRates: Hashable, Sendable {
  public let organizations: Int
  public let corrupt: Int
  /// Those that leave and those that misbehave.
  public let losses: Int
  /// The largest share that may be lost with as many corrupt; nil if none.
  public let largestLosses: DropoutRate?
  /// The largest share that may be corrupt with as many losses; nil if none.
  public let largestCorrupt: DropoutRate?

  var message: String {
    "No k-regular graph of \(organizations) organisations keeps terms private and recovers the sum with \(corrupt) of "
      + "them corrupt and \(losses) lost."
  }

  var remedy: String {
    var ways: [String] = []
    if let largestLosses { ways.append("with \(corrupt) corrupt, --drop up to \(Self.text(largestLosses))") }
    if let largestCorrupt { ways.append("with \(losses) lost, --corrupt up to \(Self.text(largestCorrupt))") }
    let complete = AggregationContext.cohortCounts.upperBound
    ways.append("up to \(complete) organisations, --graph complete")
    return "Possible: " + ways.joined(separator: "; ") + "."
  }

  private static func text(_ rate: DropoutRate) -> String { "\(Double(rate.perMille) / 1000)" }
}
