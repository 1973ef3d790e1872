import Learning

/// Anything this module refuses: files, tables in files, and training itself.
///
/// Members as ``LearningError``. Messages about a CSV file name the file, the row and the column; the header is row 1,
/// columns count from 1, as spreadsheets show them.
public enum TrainingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file cannot be read or written; `reason` is the system's.
  case file(path: String, action: FileAction, reason: String)
  case csv(path: String, CSVFault)
  case optimization(OptimizationFault)
  case learning(LearningError)

  public enum FileAction: String, Sendable { case read, write }

  /// Stable, kebab-case name of the error.
  public var code: String {
    switch self {
    case .file(_, .read, _): "file-not-readable"
    case .file(_, .write, _): "file-not-writable"
    case .csv(_, let fault): fault.code
    case .optimization(let fault): fault.code
    case .learning(let error): error.code
    }
  }

  /// Who is at fault: `caller`, `peer`, `participants` or `local`.
  public var blame: String {
    switch self {
    case .file, .csv: "caller"
    case .optimization(let fault): fault.blame
    case .learning(let error): error.blame
    }
  }

  /// One sentence: what is wrong, and where.
  public var message: String {
    switch self {
    case .file(let path, let action, let reason): "cannot \(action.rawValue) \(path): \(reason)"
    case .csv(let path, let fault): "\(path)\(fault.place): \(fault.problem)"
    case .optimization(let fault): fault.message
    case .learning(let error): error.message
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .file(_, .read, _): "Check the path and that you may read the file."
    case .file(_, .write, _): "Check that the directory exists, may be written to and has space."
    case .csv(_, let fault): fault.remedy
    case .optimization(let fault): fault.remedy
    case .learning(let error): error.remedy
    }
  }

  public var description: String { message }
}

/// Training that cannot go on.
public enum OptimizationFault: Error, Sendable, Equatable {
  case notFinite(step: Int)
  case settings(String)
  case noExamples
  case tooManyRows(Int)
  case gradientNotFinite(row: Int)
  case randomness(step: Int)
  case sumOverflows

  public var code: String {
    switch self {
    case .notFinite: "training-diverged"
    case .settings: "training-settings"
    case .noExamples: "training-without-examples"
    case .tooManyRows: "training-too-many-rows"
    case .gradientNotFinite: "gradient-not-finite"
    case .randomness: "training-without-randomness"
    case .sumOverflows: "gradient-sum-overflows"
    }
  }

  var blame: String {
    switch self {
    case .notFinite, .gradientNotFinite, .randomness, .sumOverflows: "local"
    case .settings, .noExamples, .tooManyRows: "caller"
    }
  }

  var message: String {
    switch self {
    case .notFinite(let step): "training produced a value that is not finite at step \(step)"
    case .settings(let problem): "trainer settings: \(problem)"
    case .noExamples: "there are no training rows"
    case .tooManyRows(let rows): "\(rows) rows are more than the linear algebra library can index"
    case .gradientNotFinite(let row): "the gradient of training row \(row + 1) is not finite"
    case .randomness(let step): "step \(step + 1) did not get the noise and random words it needs"
    case .sumOverflows: "the sum of the clipped gradients and the noise does not fit 64 bits"
    }
  }

  var remedy: String {
    switch self {
    case .notFinite: "Standardise the features, or raise l2 in the plan."
    case .settings: "Correct the plan's model and trainer sections."
    case .noExamples: "Give a training table with at least one row."
    case .tooManyRows: "Train on fewer rows."
    case .gradientNotFinite: "Bound the features with publicScale in the plan; discard the model if it still happens."
    case .randomness: "Check the system's random generator; nothing has left."
    case .sumOverflows: "Lower the scale or the noise in the plan."
    }
  }
}

/// Text from a file, safe to print on one line: at most 64 characters, control characters replaced.
func shown(_ text: String) -> String {
  var result = ""
  for (count, scalar) in text.unicodeScalars.enumerated() {
    if count == 64 { return result + "…" }
    let isControl = scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
    result.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
  }
  return result
}

func quoted(_ text: String) -> String { "\"\(shown(text))\"" }
