/// Anything this module refuses, grouped by the part that refuses it.
///
/// Every error carries a stable kebab-case ``code``, who is at fault (``blame``: `caller`, `peer`, `participants` or
/// `local`), one sentence saying what is wrong and where, and what to do about it.
public enum LearningError: Error, Sendable, Equatable, CustomStringConvertible {
  case table(TableFault)
  case split(SplitFault)
  case preprocessing(PreprocessingFault)
  case vector(VectorFault)
  case model(ModelFault)
  case artifact(ArtifactFault)
  case strategy(StrategyFault)
  case synthesis(SynthesisFault)
  case privacy(PrivacyFault)

  private var fault: any Fault {
    switch self {
    case .table(let fault): fault
    case .split(let fault): fault
    case .preprocessing(let fault): fault
    case .vector(let fault): fault
    case .model(let fault): fault
    case .artifact(let fault): fault
    case .strategy(let fault): fault
    case .synthesis(let fault): fault
    case .privacy(let fault): fault
    }
  }

  /// Stable, kebab-case name of the error.
  public var code: String { fault.code }
  /// Who is at fault: `caller`, `peer`, `participants` or `local`.
  public var blame: String { fault.blame }
  /// One sentence: what is wrong, and where.
  public var message: String { fault.message }
  /// What to do about it.
  public var remedy: String { fault.remedy }
  public var description: String { message }
}

/// What each group of faults says about itself.
protocol Fault: Sendable {
  var code: String { get }
  var blame: String { get }
  var message: String { get }
  var remedy: String { get }
}

extension Fault {
  var blame: String { "caller" }
}

/// A table that is not one.
public enum TableFault: Sendable, Equatable, Fault {
  case noFeatures
  case duplicateFeature(String)
  case emptyFeatureName(index: Int)
  case shape(values: Int, features: Int, labels: Int)
  case notFinite(row: Int, feature: String)
  case labelNotBinary(row: Int, value: UInt8)
  case differentFeatures(expected: [String], found: [String])
  case missingFeature(String)

  var code: String {
    switch self {
    case .noFeatures: "table-without-features"
    case .duplicateFeature: "table-duplicate-feature"
    case .emptyFeatureName: "table-empty-feature-name"
    case .shape: "table-shape"
    case .notFinite: "table-value-not-finite"
    case .labelNotBinary: "table-label-not-binary"
    case .differentFeatures: "table-different-features"
    case .missingFeature: "table-missing-feature"
    }
  }

  var message: String {
    switch self {
    case .noFeatures: "the table has no feature columns"
    case .duplicateFeature(let name): "the feature \(quoted(name)) appears twice"
    case .emptyFeatureName(let index): "feature \(index + 1) has an empty name"
    case .shape(let values, let features, let labels):
      "\(values) values do not make \(labels) rows of \(features) features"
    case .notFinite(let row, let feature): "row \(row + 1), feature \(quoted(feature)) is not a finite number"
    case .labelNotBinary(let row, let value): "row \(row + 1) has label \(value); labels are 0 or 1"
    case .differentFeatures(let expected, let found): Self.difference(expected, found)
    case .missingFeature(let name): "the table has no feature \(quoted(name))"
    }
  }

  var remedy: String {
    switch self {
    case .noFeatures, .duplicateFeature, .emptyFeatureName: "Give every feature column a name of its own."
    case .shape, .labelNotBinary: "Build the table from complete rows with one binary label each."
    case .notFinite: "Remove or repair the value; missing values must be filled before loading."
    case .differentFeatures, .missingFeature: "Use data with the same feature columns in the same order."
    }
  }

  private static func difference(_ expected: [String], _ found: [String]) -> String {
    if expected.count != found.count {
      return "expected \(expected.count) features, found \(found.count)"
    }
    guard let index = expected.indices.first(where: { expected[$0] != found[$0] }) else {
      return "the features differ"
    }
    return "feature \(index + 1) should be \(quoted(expected[index])) and is \(quoted(found[index]))"
  }
}

/// A split that cannot be made.
public enum SplitFault: Sendable, Equatable, Fault {
  case fraction(Double)
  case tooFewRows(label: UInt8, rows: Int)

  var code: String {
    switch self {
    case .fraction: "split-fraction"
    case .tooFewRows: "split-too-few-rows"
    }
  }

  var message: String {
    switch self {
    case .fraction(let value): "the test fraction \(value) is not between 0 and 1"
    case .tooFewRows(let label, let rows):
      "only \(rows) \(rows == 1 ? "row has" : "rows have") label \(label); a stratified split needs at least 2"
    }
  }

  var remedy: String {
    switch self {
    case .fraction: "Choose a test fraction above 0 and below 1, such as 0.2."
    case .tooFewRows: "Add rows of the rarer class, or check the label column and its positive value."
    }
  }
}

/// Preprocessing that is not defined.
public enum PreprocessingFault: Sendable, Equatable, Fault {
  case unknownStep(String)
  case order([String])
  case notStandardized
  case valueTooLarge(row: Int, feature: String, limit: Double)
  case oneClass(examples: Int64, positives: Int64)

  var code: String {
    switch self {
    case .unknownStep: "preprocessing-unknown-step"
    case .order: "preprocessing-order"
    case .notStandardized: "preprocessing-shape"
    case .valueTooLarge: "statistics-value-too-large"
    case .oneClass: "one-class-only"
    }
  }

  var blame: String {
    switch self {
    case .unknownStep, .order, .notStandardized, .valueTooLarge: "caller"
    case .oneClass: "participants"
    }
  }

  var message: String {
    switch self {
    case .unknownStep(let name): "unknown preprocessing step \(quoted(name))"
    case .order(let names): "preprocessing steps in an unsupported order: \(names.joined(separator: ", "))"
    case .notStandardized: "means and standard deviations must be finite, one per feature, deviations above zero"
    case .valueTooLarge(let row, let feature, let limit):
      "row \(row + 1), feature \(quoted(feature)) exceeds \(limit) in magnitude after preprocessing"
    case .oneClass(let examples, let positives):
      "\(positives) of \(examples) training rows that may be counted are positive; both classes are needed"
    }
  }

  var remedy: String {
    switch self {
    case .unknownStep, .order: "Use signedLog1p, then standardize or publicScale; each may be left out."
    case .notStandardized: "Compute the standardisation from statistics of the same features."
    case .valueTooLarge: "Add signedLog1p to the plan's preprocessing, or rescale the column."
    case .oneClass: "Check the label column and its positive value, and the policies' minimum rows."
    }
  }
}

/// A vector of counters that is out of its declared bounds or shape.
public enum VectorFault: Sendable, Equatable, Fault {
  case length(expected: Int, found: Int)
  case rowsAboveCap(rows: Int, cap: Int)
  case capOutOfRange(Int)
  case boundWraps(group: String, organizations: Int)
  case bins(Int)
  case minimumRows(Int)
  case implausible(group: String)
  case scoreNotANumber(row: Int)

  var code: String {
    switch self {
    case .length: "vector-length"
    case .rowsAboveCap: "rows-above-weight-cap"
    case .capOutOfRange: "weight-cap-out-of-range"
    case .boundWraps: "counter-bound-wraps"
    case .bins: "histogram-bins"
    case .minimumRows: "minimum-rows"
    case .implausible: "counters-implausible"
    case .scoreNotANumber: "score-not-a-number"
    }
  }

  var blame: String {
    switch self {
    case .length, .implausible: "peer"
    case .rowsAboveCap, .capOutOfRange, .boundWraps, .bins, .minimumRows, .scoreNotANumber: "caller"
    }
  }

  var message: String {
    switch self {
    case .length(let expected, let found): "a vector of \(found) counters was given where \(expected) are declared"
    case .rowsAboveCap(let rows, let cap): "\(rows) rows are more than the weight cap of \(cap)"
    case .capOutOfRange(let cap): "the weight cap \(cap) is outside 1…\(CounterLayout.maximumWeightCap)"
    case .boundWraps(let group, let organizations):
      "the counters \(quoted(group)) of \(organizations) organisations could exceed 2^63"
    case .bins(let bins): "\(bins) histogram bins are outside 2…65536"
    case .minimumRows(let rows): "the minimum of \(rows) rows is negative"
    case .implausible(let group): "the summed counters \(quoted(group)) cannot come from honest terms"
    case .scoreNotANumber(let row): "the score of row \(row + 1) is not a number"
    }
  }

  var remedy: String {
    switch self {
    case .length: "Both sides must use the same plan."
    case .rowsAboveCap: "Raise weightCap in the plan, or use fewer rows."
    case .capOutOfRange, .boundWraps: "Lower weightCap in the plan."
    case .bins: "Choose histogramBins between 2 and 65536 in the plan, such as 1024."
    case .minimumRows: "Set minimumRows in the policy to zero or more."
    case .implausible: "Discard the round; a participant sent values outside the declared bounds."
    case .scoreNotANumber: "Discard the model; its parameters have overflowed."
    }
  }
}

/// A model whose parts do not fit together.
public enum ModelFault: Sendable, Equatable, Fault {
  case parameterCount(expected: Int, found: Int)
  case notFinite(index: Int)
  case classWeights(negative: Double, positive: Double)

  var code: String {
    switch self {
    case .parameterCount: "model-parameter-count"
    case .notFinite: "model-not-finite"
    case .classWeights: "model-class-weights"
    }
  }

  var message: String {
    switch self {
    case .parameterCount(let expected, let found): "the model needs \(expected) parameters and was given \(found)"
    case .notFinite(let index): "parameter \(index + 1) of the model is not a finite number"
    case .classWeights(let negative, let positive):
      "class weights \(negative) and \(positive) must be finite and above zero"
    }
  }

  var remedy: String {
    switch self {
    case .parameterCount: "Use a model trained on the same features."
    case .notFinite: "Lower the number of local steps or raise l2; the training diverged."
    case .classWeights: "Use balanced or no class weights."
    }
  }
}

/// A model file that is refused.
public enum ArtifactFault: Sendable, Equatable, Fault {
  case truncated(expected: Int, found: Int)
  case headerLength(UInt64)
  case header(offset: Int, problem: String)
  case tensor(name: String, problem: String)
  case trailingBytes(Int)
  case missing(String)
  case unexpectedTensor(String)
  case schema(String)
  case metadata(key: String, problem: String)
  case reservedKey(String)

  var code: String {
    switch self {
    case .truncated: "model-file-truncated"
    case .headerLength: "model-file-header-length"
    case .header: "model-file-header"
    case .tensor: "model-file-tensor"
    case .trailingBytes: "model-file-trailing-bytes"
    case .missing: "model-file-incomplete"
    case .unexpectedTensor: "model-file-unexpected-tensor"
    case .schema: "model-file-schema"
    case .metadata: "model-file-metadata"
    case .reservedKey: "model-metadata-reserved-key"
    }
  }

  var message: String {
    switch self {
    case .truncated(let expected, let found): "the model file ends after \(found) of \(expected) bytes"
    case .headerLength(let length): "the model file declares a header of \(length) bytes; 2…1048576 are allowed"
    case .header(let offset, let problem): "the model file's header is malformed at byte \(offset): \(problem)"
    case .tensor(let name, let problem): "the model file's tensor \(quoted(name)): \(problem)"
    case .trailingBytes(let count): "the model file has \(count) bytes after its last tensor"
    case .missing(let name): "the model file lacks \(quoted(name))"
    case .unexpectedTensor(let name): "the model file has an unexpected tensor \(quoted(name))"
    case .schema(let schema): "the model file has schema \(quoted(schema)); bauta/model/1 is expected"
    case .metadata(let key, let problem): "the model file's metadata \(quoted(key)): \(problem)"
    case .reservedKey(let key): "the metadata key \(quoted(key)) is reserved"
    }
  }

  var remedy: String {
    switch self {
    case .truncated, .trailingBytes: "Copy the file again; compare its SHA-256 with the one `bauta run show` prints."
    case .headerLength, .header, .tensor, .missing, .unexpectedTensor, .schema, .metadata:
      "Use a model file written by bauta, unchanged."
    case .reservedKey: "Choose another metadata key."
    }
  }
}

/// A step of a strategy that cannot be taken.
public enum StrategyFault: Sendable, Equatable, Fault {
  case tooFewClients(available: Int, needed: Int)
  case fraction(Double)
  case minimumClients(Int)
  case noExamples
  case examplesOutOfRange(examples: Int, cap: Int)
  case parameterCount(expected: Int, found: Int)
  case notFinite(index: Int)

  var code: String {
    switch self {
    case .tooFewClients: "too-few-clients"
    case .fraction: "strategy-fraction"
    case .minimumClients: "strategy-minimum-clients"
    case .noExamples: "aggregate-without-examples"
    case .examplesOutOfRange: "examples-out-of-range"
    case .parameterCount: "aggregate-parameter-count"
    case .notFinite: "aggregate-not-finite"
    }
  }

  var blame: String {
    switch self {
    case .tooFewClients: "participants"
    case .noExamples, .parameterCount, .notFinite: "peer"
    case .fraction, .minimumClients, .examplesOutOfRange: "caller"
    }
  }

  var message: String {
    switch self {
    case .tooFewClients(let available, let needed):
      "\(available) \(available == 1 ? "client is" : "clients are") available and \(needed) are needed"
    case .fraction(let value): "the fraction of clients \(value) is not above 0 and at most 1"
    case .minimumClients(let value): "the minimum of \(value) clients is below 1"
    case .noExamples: "the sum counts no examples"
    case .examplesOutOfRange(let examples, let cap): "\(examples) examples are outside 1…\(cap), the weight cap"
    case .parameterCount(let expected, let found): "the sum has \(found) parameters where the model has \(expected)"
    case .notFinite(let index): "parameter \(index + 1) of the sum is not a finite number"
    }
  }

  var remedy: String {
    switch self {
    case .tooFewClients: "Wait for more clients, or lower the plan's minimum."
    case .fraction: "Choose a fraction above 0 and at most 1."
    case .minimumClients: "Choose a minimum of at least 1 client."
    case .noExamples, .parameterCount, .notFinite: "Discard the round."
    case .examplesOutOfRange: "Raise weightCap in the plan, or use fewer rows."
    }
  }
}

/// Synthetic data that cannot be made.
public enum SynthesisFault: Sendable, Equatable, Fault {
  case rows(Int)
  case organization(index: Int, organizations: Int)

  var code: String {
    switch self {
    case .rows: "synthesis-rows"
    case .organization: "synthesis-organization"
    }
  }

  var message: String {
    switch self {
    case .rows(let rows): "\(rows) synthetic rows are outside 20…1000000"
    case .organization(let index, let organizations):
      "organisation \(index) of \(organizations) does not exist; 0..<organizations with 1…1000 organisations is allowed"
    }
  }

  var remedy: String {
    switch self {
    case .rows: "Ask for 20 to 1,000,000 rows an organisation."
    case .organization: "Use an index from zero to one below the number of organisations."
    }
  }
}

/// A name from outside, safe to print on one line: at most 64 characters, control characters replaced.
func quoted(_ name: String) -> String {
  var text = "\""
  var count = 0
  for scalar in name.unicodeScalars {
    if count == 64 {
      text += "…"
      break
    }
    let isControl = scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
    text.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
    count += 1
  }
  return text + "\""
}
