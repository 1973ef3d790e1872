/// The one text of an event, for ledgers: `gaussian(noiseMultiplier=1.5)`, `unbounded()`, `joint(unbounded(),unbounded())`.
///
/// Numbers are the shortest that give the same bits back, so nothing is lost.
extension PrivacyEvent: Codable {
  /// No text of a single release is longer.
  private static let longestText = 512
  private static let jointName = "joint"

  /// The event's text, ASCII: at most 512 characters, and those of its parts for a joint one.
  public var canonical: String {
    if case .joint(let parts) = self {
      return "\(Self.jointName)(\(parts.map(\.canonical).joined(separator: ",")))"
    }
    let (name, parameters) = parameters
    return "\(name)(\(parameters.map { "\($0.name)=\($0.text)" }.joined(separator: ",")))"
  }

  /// Reads what ``canonical`` writes, and nothing else.
  ///
  /// Fails with ``PrivacyAccountingError/eventText(_:)``, or with ``PrivacyAccountingError/outOfRange(_:value:)`` where the
  /// text is well-formed but a parameter is out of range.
  public init(canonical text: String) throws(PrivacyAccountingError) {
    let prefix = "\(Self.jointName)("
    guard text.hasPrefix(prefix), text.utf8.count <= (Self.longestText + 1) * (Self.mostParts + 1) else {
      self = try Self.single(text[...])
      return
    }
    guard text.last == ")" else { throw .eventText(.unknownMechanism) }
    self = .joint(try Self.releases(in: text.dropFirst(prefix.count).dropLast()))
    guard canonical == text else { throw .eventText(.notCanonical) }
    try validate()
  }

  /// Texts of single releases with a comma between two; one that is joint itself is unknown here.
  private static func releases(in list: Substring) throws(PrivacyAccountingError) -> [PrivacyEvent] {
    var releases: [PrivacyEvent] = []
    var rest = list
    while let end = rest.firstIndex(of: ")") {
      guard releases.count < mostParts else { throw .eventText(.tooLong) }
      releases.append(try single(rest[...end]))
      // What stands between two is compared with the canonical text in the end.
      rest = rest[rest.index(after: end)...].dropFirst()
    }
    return releases
  }

  private static func single(_ text: Substring) throws(PrivacyAccountingError) -> PrivacyEvent {
    guard text.utf8.count <= longestText else { throw .eventText(.tooLong) }
    guard text.last == ")", let opening = text.firstIndex(of: "(") else { throw .eventText(.unknownMechanism) }
    let inner = text[text.index(after: opening)...].dropLast()
    let parameters = EventParameters(
      inner.split(separator: ",", omittingEmptySubsequences: true).map { String($0) })
    let event = try event(named: String(text[..<opening]), parameters)
    try event.validate()
    guard event.canonical == text else { throw .eventText(.notCanonical) }
    return event
  }

  /// Of a single release.
  private var parameters: (name: String, parameters: [(name: String, text: String)]) {
    switch self {
    case .gaussian(let noise): ("gaussian", [("noiseMultiplier", "\(noise)")])
    case .poissonSubsampledGaussian(let noise, let probability):
      ("poissonSubsampledGaussian", [("noiseMultiplier", "\(noise)"), ("samplingProbability", "\(probability)")])
    case .poissonSubsampledDiscreteGaussian(let noise, let probability):
      (
        "poissonSubsampledDiscreteGaussian",
        [("noiseMultiplier", "\(noise)"), ("samplingProbability", "\(probability)")]
      )
    case .distributedDiscreteGaussian(let noise): ("distributedDiscreteGaussian", Self.parameters(of: noise))
    case .skellam(let noise): ("skellam", Self.parameters(of: noise))
    case .discreteGaussian(let sigma, let sensitivity):
      ("discreteGaussian", [("sigma", "\(sigma)"), ("sensitivity", "\(sensitivity)")])
    case .zeroConcentrated(let rho): ("zeroConcentrated", [("rho", "\(rho)")])
    case .tree(let noise, let leaves): ("tree", [("noiseMultiplier", "\(noise)"), ("leaves", "\(leaves)")])
    case .pure(let epsilon): ("pure", [("epsilon", "\(epsilon)")])
    case .unbounded: ("unbounded", [])
    case .joint: (Self.jointName, [])
    }
  }

  private static func parameters(of noise: DistributedNoise) -> [(name: String, text: String)] {
    [
      ("squaredL2Sensitivity", "\(noise.squaredL2Sensitivity)"), ("l1Sensitivity", "\(noise.l1Sensitivity)"),
      ("dimension", "\(noise.dimension)"), ("honestShares", "\(noise.honestShares)"),
      ("localVariance", "\(noise.localVariance)"),
    ]
  }

  private static func event(
    named name: String, _ parameters: EventParameters
  ) throws(PrivacyAccountingError) -> PrivacyEvent {
    switch name {
    case "gaussian":
      try parameters.require(1)
      return .gaussian(noiseMultiplier: try parameters.number(0, "noiseMultiplier"))
    case "poissonSubsampledGaussian":
      try parameters.require(2)
      return .poissonSubsampledGaussian(
        noiseMultiplier: try parameters.number(0, "noiseMultiplier"),
        samplingProbability: try parameters.number(1, "samplingProbability"))
    case "poissonSubsampledDiscreteGaussian":
      try parameters.require(2)
      return .poissonSubsampledDiscreteGaussian(
        noiseMultiplier: try parameters.number(0, "noiseMultiplier"),
        samplingProbability: try parameters.number(1, "samplingProbability"))
    case "distributedDiscreteGaussian": return .distributedDiscreteGaussian(try noise(parameters))
    case "skellam": return .skellam(try noise(parameters))
    case "discreteGaussian":
      try parameters.require(2)
      return .discreteGaussian(
        sigma: try parameters.number(0, "sigma"), sensitivity: try parameters.integer(1, "sensitivity"))
    case "zeroConcentrated":
      try parameters.require(1)
      return .zeroConcentrated(rho: try parameters.number(0, "rho"))
    case "tree":
      try parameters.require(2)
      return .tree(
        noiseMultiplier: try parameters.number(0, "noiseMultiplier"), leaves: try parameters.integer(1, "leaves"))
    case "pure":
      try parameters.require(1)
      return .pure(epsilon: try parameters.number(0, "epsilon"))
    case "unbounded":
      try parameters.require(0)
      return .unbounded
    default: throw .eventText(.unknownMechanism)
    }
  }

  private static func noise(_ parameters: EventParameters) throws(PrivacyAccountingError) -> DistributedNoise {
    try parameters.require(5)
    return try DistributedNoise(
      squaredL2Sensitivity: try parameters.number(0, "squaredL2Sensitivity"),
      l1Sensitivity: try parameters.number(1, "l1Sensitivity"), dimension: try parameters.integer(2, "dimension"),
      honestShares: try parameters.integer(3, "honestShares"),
      localVariance: try parameters.number(4, "localVariance"))
  }

  /// One string, ``canonical``. Fails with ``PrivacyAccountingError``.
  public init(from decoder: any Decoder) throws {
    try self.init(canonical: try decoder.singleValueContainer().decode(String.self))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(canonical)
  }
}

/// `name=value` pairs, of which each is asked for by place and name.
private struct EventParameters {
  private let pairs: [String]

  init(_ pairs: [String]) { self.pairs = pairs }

  func require(_ count: Int) throws(PrivacyAccountingError) {
    guard pairs.count == count else { throw .eventText(.wrongParameters) }
  }

  func number(_ index: Int, _ name: String) throws(PrivacyAccountingError) -> Double {
    guard let number = Double(try text(index, name)) else { throw .eventText(.notANumber) }
    return number
  }

  func integer(_ index: Int, _ name: String) throws(PrivacyAccountingError) -> Int {
    guard let number = Int(try text(index, name)) else { throw .eventText(.notANumber) }
    return number
  }

  private func text(_ index: Int, _ name: String) throws(PrivacyAccountingError) -> String {
    guard index < pairs.count, pairs[index].hasPrefix("\(name)=") else { throw .eventText(.wrongParameters) }
    return String(pairs[index].dropFirst(name.count + 1))
  }
}
