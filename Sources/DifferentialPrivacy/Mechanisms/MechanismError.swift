/// What the mechanisms refuse.
///
/// Every error carries a stable kebab-case ``code``, who is at fault (``blame``), one sentence saying what is wrong
/// and what to do about it. None carries a value of a vector.
public enum MechanismError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A field of a plan outside its range.
  case parameter(Parameter)
  /// A vector, or a sum, of another length than the parameters say.
  case shape(expected: Int, found: Int)
  /// The parts of a contribution are not made for each other.
  case dimensions(Int, Int)
  /// More examples, or more contributions of one organisation, than may be added up.
  case tooManyRecords(limit: Int)
  /// Counters beyond the sensitivity that they are charged for.
  case sensitivityExceeded
  /// No attempt of conditional rounding met the bound. Its chance is stated at ``ConditionalRounding``.
  case roundingBoundNotMet(attempts: Int)
  /// Noise of one draw too narrow for the integer grid: a standard deviation below ½.
  case noiseTooNarrow(standardDeviation: Double)
  /// No scale at which a sum of `bits` bits does not wrap and the noise is wide enough for the grid.
  case noScaleFits(bits: Int)
  /// No amount of noise that this module handles reaches the target.
  case targetOutOfReach(epsilon: Double)
  /// What the accountant refuses.
  case accounting(PrivacyAccountingError)

  /// A field that is outside its range.
  public enum Parameter: String, Sendable, CaseIterable {
    case clip
    case scale
    case dimension
    case bits
    case cohort
    case minimumCohort = "minimum-cohort"
    case assumedCorrupt = "assumed-corrupt"
    case variance
    case noiseMultiplier = "noise-multiplier"
    case sensitivity
    case sumBound = "sum-bound"
    case samplingProbability = "sampling-probability"
    case releases
    case epsilon
    case delta
    case quantile
    case learningRate = "learning-rate"
    case steps
    case section

    var range: String {
      switch self {
      case .clip: "a norm from 2^-40 to 2^40"
      case .scale: "above zero, with clip · scale from 1 to 2^30"
      case .dimension: "from 1 to 2^28"
      case .bits: "from 8 to 32"
      case .cohort: "at least the smallest cohort, at most 1e6"
      case .minimumCohort: "from 2 to 1e6"
      case .assumedCorrupt: "at least 1 (one's own share does not count) and below the smallest cohort"
      case .variance: "from 1/4 to 2^40"
      case .noiseMultiplier: "above zero and at most 2^20"
      case .sensitivity: "above zero, the 1-norm between the 2-norm and its square"
      case .sumBound: "above zero and at most 2^40"
      case .samplingProbability: "above 0 and at most 1/2"
      case .releases: "from 1 to 2^24"
      case .epsilon: "above 0 and at most 2^16"
      case .delta: "above 0 and below 1"
      case .quantile: "above 0 and below 1"
      case .learningRate: "above 0 and at most 10"
      case .steps: "from 1 to 2^24, and no step beyond the last"
      case .section: "at least one, each with a name of its own"
      }
    }
  }

  /// Stable, kebab-case name of the error.
  public var code: String {
    switch self {
    case .parameter(let parameter): "privacy-\(parameter.rawValue)-out-of-range"
    case .shape: "privacy-vector-shape"
    case .dimensions: "privacy-dimensions-differ"
    case .tooManyRecords: "privacy-too-many-records"
    case .sensitivityExceeded: "privacy-sensitivity-exceeded"
    case .roundingBoundNotMet: "privacy-rounding-bound-not-met"
    case .noiseTooNarrow: "privacy-noise-too-narrow"
    case .noScaleFits: "privacy-no-scale-fits"
    case .targetOutOfReach: "privacy-target-out-of-reach"
    case .accounting(let error): error.code
    }
  }

  /// `caller`: whoever wrote the plan or calls; `local`: chance, on this machine.
  public var blame: String {
    switch self {
    case .parameter, .noiseTooNarrow, .noScaleFits, .targetOutOfReach, .accounting: "caller"
    case .shape, .dimensions, .tooManyRecords, .sensitivityExceeded: "caller"
    case .roundingBoundNotMet: "local"
    }
  }

  /// One sentence: what is wrong.
  public var message: String {
    switch self {
    case .parameter(let parameter):
      "\(parameter.rawValue.replacing("-", with: " ")) is out of range: it is to be \(parameter.range)"
    case .shape(let expected, let found): "a vector has \(found) values; expected \(expected)"
    case .dimensions(let first, let second): "parts for \(first) and for \(second) values do not go together"
    case .tooManyRecords(let limit): "more than \(limit) contributions to one sum"
    case .sensitivityExceeded: "a contribution to the counters is larger than what it is charged for"
    case .roundingBoundNotMet(let attempts): "rounding did not meet its norm bound in \(attempts) attempts"
    case .noiseTooNarrow(let deviation):
      "the noise of one draw has standard deviation \(deviation) in integer units, below 1/2"
    case .noScaleFits(let bits): "no scale lets the sum fit into \(bits) bits with noise wide enough for the grid"
    case .accounting(let error): error.message
    case .targetOutOfReach(let epsilon): "no amount of noise reaches epsilon \(epsilon) here"
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .parameter: "Correct the plan."
    case .shape, .dimensions: "Use the dimensions of the plan."
    case .tooManyRecords: "Use fewer records in one round."
    case .sensitivityExceeded: "Declare the largest contribution of one unit as the sensitivity."
    case .roundingBoundNotMet: "Try the round again."
    case .noiseTooNarrow: "Use a larger scale, more noise or a smaller least cohort."
    case .noScaleFits: "Use more bits, a smaller cohort, fewer records or less noise."
    case .targetOutOfReach: "Raise epsilon or delta, or use fewer rounds."
    case .accounting(let error): error.remedy
    }
  }

  public var description: String { message }

  /// The accountant's errors as this module's.
  static func accounted<Value>(
    _ body: () throws(PrivacyAccountingError) -> Value
  ) throws(MechanismError) -> Value {
    do throws(PrivacyAccountingError) {
      return try body()
    } catch {
      throw .accounting(error)
    }
  }
}
