public import Cryptography
public import DifferentialPrivacy
public import Learning
public import SecureAggregation
public import TransparencyLog

/// What can be wrong with what both sides agree on, and with the files that hold it.
public enum FederationError: BlamedError, Equatable {
  /// A plan, policy or manifest that cannot be read as one.
  case document(SourcePosition, DocumentFault)
  /// A file or directory that is not as it must be.
  case file(FileFault)
  /// A manifest that must not be acted upon.
  case manifest(ManifestFault)
  /// A join request or an invitation that must not be acted upon.
  case exchange(ExchangeFault)
  /// A change of members or of their certificate keys that does not count.
  case membership(MembershipFault)
  /// An identifier or address in a form that is not allowed.
  case malformed(MalformedValue)
  /// The plan's features do not fit.
  case features(FeatureFault)
  case note(TransparencyLogError)
  case aggregation(AggregationError)
  case learning(LearningError)
  /// The plan's differential privacy cannot be had in this cohort, or a charge cannot be accounted for.
  case privacy(MechanismError)
  case cryptography(CryptographyError)

  public enum MalformedValue: String, Sendable {
    case runIdentifier, networkAddress, hours
  }

  public enum FeatureFault: Hashable, Sendable {
    case none
    case tooMany(count: Int, limit: Int)
    case duplicate(String)
    case name
    case differ(expected: Int, found: Int)
    case missing(String)
  }

  public var code: String {
    switch self {
    case .document(_, let fault): fault.code
    case .file(let fault): fault.code
    case .manifest(let fault): fault.code
    case .exchange(let fault): fault.code
    case .membership(let fault): fault.code
    case .malformed(.runIdentifier): "run-identifier-malformed"
    case .malformed(.networkAddress): "network-address-malformed"
    case .malformed(.hours): "hours-malformed"
    case .features: "plan-features"
    case .note(let error): error.code
    case .aggregation(let error): error.code
    case .learning(let error): error.code
    case .privacy(let error): error.code
    case .cryptography(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .document, .malformed, .features: .caller
    case .file: .local
    case .manifest, .exchange, .membership: .peer
    case .note(let error): error.blame
    case .aggregation(let error): error.blame
    case .learning(let error): error.blame
    case .privacy(let error): error.blame
    case .cryptography(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .document(let position, let fault): "\(position): \(fault.message)"
    case .file(let fault): fault.message
    case .manifest(let fault): fault.message
    case .exchange(let fault): fault.message
    case .membership(let fault): fault.message
    case .malformed(let value): value.message
    case .features(let fault): fault.message
    case .note(let error): error.message
    case .aggregation(let error): error.message
    case .learning(let error): error.message
    case .privacy(let error): error.message
    case .cryptography(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .document(_, let fault): fault.remedy
    case .file(let fault): fault.remedy
    case .manifest(let fault): fault.remedy
    case .exchange(let fault): fault.remedy
    case .membership(let fault): fault.remedy
    case .malformed(let value): value.remedy
    case .features: "Name each feature of the data once, or write 'features: all'."
    case .note(let error): error.remedy
    case .aggregation(let error): error.remedy
    case .learning(let error): error.remedy
    case .privacy(let error): error.remedy
    case .cryptography(let error): error.remedy
    }
  }

  /// Errors that say the same: what an error holds is in its message.
  public static func == (left: FederationError, right: FederationError) -> Bool {
    left.code == right.code && left.message == right.message && left.remedy == right.remedy
  }
}

extension FederationError.MalformedValue {
  var message: String {
    switch self {
    case .runIdentifier: "the run identifier is not 1 to 64 lowercase letters, digits and inner hyphens"
    case .networkAddress: "the address is not HOST:PORT with a port from 1 to 65535"
    case .hours: "the hours are not DAYS HH:MM-HH:MM, as in 'mon-fri 08:00-18:00'"
    }
  }

  var remedy: String {
    switch self {
    case .runIdentifier: "Copy the identifier from the list of runs."
    case .networkAddress: "Write, for instance, hub.example:7443, 127.0.0.1:7443 or [::1]:7443."
    case .hours: "Use mon tue wed thu fri sat sun, single or as a range, and times from 00:00 to 24:00."
    }
  }
}

extension FederationError.FeatureFault {
  var message: String {
    switch self {
    case .none: "there are no features to learn from"
    case .tooMany(let count, let limit): "there are \(count) features; at most \(limit) can be used"
    case .duplicate(let name): "the feature \(excerpt(name)) appears twice"
    case .name: "a feature's name is empty or longer than \(RunPlan.maximumFeatureNameBytes) bytes"
    case .differ(let expected, let found): "the plan names \(expected) features and the data have \(found) others"
    case .missing(let name): "the plan's feature \(excerpt(name)) is not among those of the data"
    }
  }
}
