/// A quantity of privacy accounting that has a range.
public enum AccountedQuantity: String, Hashable, Sendable, CaseIterable {
  case epsilon
  case delta
  case noiseMultiplier
  case samplingProbability
  case rho
  case sigma
  case sensitivity
  case squaredL2Sensitivity
  case l1Sensitivity
  case dimension
  case honestShares
  case localVariance
  case leaves
  case count
  case interval
  case parts

  /// The range, as a reader is told it.
  public var range: String {
    switch self {
    case .epsilon: "0 or more"
    case .delta: "from 0 to 1"
    case .noiseMultiplier: "from 1e-9 to 1e9"
    case .samplingProbability: "from 0 to 1"
    case .rho: "from 0 to 1e18"
    case .sigma: "from 0.01 to 1e9"
    case .sensitivity: "from 1 to 1e9"
    case .squaredL2Sensitivity: "above 0 and at most 1e24"
    case .l1Sensitivity: "at least the L2 sensitivity and at most 1e24"
    case .dimension: "from 1 to 1e12"
    case .honestShares: "from 1 to 1e6"
    case .localVariance: "from 0.25 to 1e24"
    case .leaves: "from 1 to 1e12"
    case .count: "from 0 to 1e12"
    case .interval: "from 1e-12 to 1e12"
    case .parts: "from 2 to 8, each a single release"
    }
  }
}

/// What is wrong with the text of a ``PrivacyEvent``.
public enum EventTextFault: String, Hashable, Sendable {
  case tooLong = "is longer than any event's"
  case unknownMechanism = "names no mechanism that is known here"
  case wrongParameters = "does not have the parameters of its mechanism, each once and in order"
  case notANumber = "has a parameter that is no number"
  case notCanonical = "is not written the one way in which it is stored"
}

/// Why an account cannot be given.
///
/// Nothing here depends on data: payloads are parameters that a plan or a ledger holds anyway.
public enum PrivacyAccountingError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A parameter is not a number or lies outside its range. Blame: caller, or whoever wrote the plan or the ledger.
  case outOfRange(AccountedQuantity, value: Double)
  /// A stored event cannot be read. Blame: caller, or whoever wrote the ledger.
  case eventText(EventTextFault)
  /// The target cannot be met by any amount of noise, or by none at all. Blame: caller.
  case unreachable(epsilon: Double, delta: Double)
  /// Two privacy loss distributions that do not have the same interval and estimate were composed. Blame: caller.
  case incompatibleDistributions
  /// The distribution would need more cells than are kept. Blame: caller.
  case distributionTooLarge(cells: Double)

  /// Stable, kebab-case name of the error.
  public var code: String {
    switch self {
    case .outOfRange: "privacy-parameter-out-of-range"
    case .eventText: "privacy-event-malformed"
    case .unreachable: "privacy-target-unreachable"
    case .incompatibleDistributions: "privacy-distributions-differ"
    case .distributionTooLarge: "privacy-distribution-too-large"
    }
  }

  /// Who has to act: always the caller, who passes on what a plan or a ledger says.
  public var blame: String { "caller" }

  /// One sentence: what is wrong.
  public var message: String {
    switch self {
    case .outOfRange(let quantity, let value): "\(quantity.rawValue) is \(value), but must be \(quantity.range)."
    case .eventText(let fault): "The text of a privacy event \(fault.rawValue)."
    case .unreachable(let epsilon, let delta):
      "No finite, positive noise is the least that gives epsilon \(epsilon) at delta \(delta)."
    case .incompatibleDistributions:
      "Privacy loss distributions of different intervals or estimates cannot be composed."
    case .distributionTooLarge(let cells):
      "The privacy loss distribution would need \(cells) cells; at most \(PrivacyLossDistribution.maximumCells) are kept."
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .outOfRange: "Correct the parameter in the plan or in the call."
    case .eventText: "The ledger or the plan was written by another version or changed: restore it, do not edit it."
    case .unreachable: "Choose a finite epsilon and a delta strictly between 0 and 1."
    case .incompatibleDistributions: "Make both with the same interval and the same estimate."
    case .distributionTooLarge: "Use a larger interval, or account by Rényi divergence."
    }
  }

  public var description: String { message }
}

/// Range checks. Comparisons are written so that what is not a number fails them.
enum Checked {
  static func epsilon(_ value: Double) throws(PrivacyAccountingError) { try require(value >= 0, .epsilon, value) }

  static func delta(_ value: Double) throws(PrivacyAccountingError) {
    try require(value >= 0 && value <= 1, .delta, value)
  }

  static func noiseMultiplier(_ value: Double) throws(PrivacyAccountingError) {
    try require(value >= 1e-9 && value <= 1e9, .noiseMultiplier, value)
  }

  static func samplingProbability(_ value: Double) throws(PrivacyAccountingError) {
    try require(value >= 0 && value <= 1, .samplingProbability, value)
  }

  static func rho(_ value: Double) throws(PrivacyAccountingError) {
    try require(value >= 0 && value <= 1e18, .rho, value)
  }

  static func leaves(_ value: Int) throws(PrivacyAccountingError) {
    try require(value >= 1 && value <= 1_000_000_000_000, .leaves, Double(value))
  }

  static func count(_ value: Int) throws(PrivacyAccountingError) {
    try require(value >= 0 && value <= 1_000_000_000_000, .count, Double(value))
  }

  static func parts(_ events: [PrivacyEvent]) throws(PrivacyAccountingError) {
    try require(
      (2...PrivacyEvent.mostParts).contains(events.count) && !events.contains(where: \.isJoint), .parts,
      Double(events.count))
  }

  static func discreteGaussian(sigma: Double, sensitivity: Int) throws(PrivacyAccountingError) {
    try require(sigma >= 0.01 && sigma <= 1e9, .sigma, sigma)
    try require(sensitivity >= 1 && sensitivity <= 1_000_000_000, .sensitivity, Double(sensitivity))
  }

  static func require(
    _ holds: Bool, _ quantity: AccountedQuantity, _ value: Double
  ) throws(PrivacyAccountingError) {
    guard holds else { throw .outOfRange(quantity, value: value) }
  }
}
