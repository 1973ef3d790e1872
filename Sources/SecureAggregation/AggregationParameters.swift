public import Cryptography

/// A run of counters with one declared bound.
///
/// A counter is an exact integer; the bound holds for one organisation's value: |value| ≤ `bound`, and
/// 0 ≤ value where `isSigned` is false.
public struct CounterGroup: Hashable, Sendable {
  public var name: String
  public var count: Int
  public var bound: UInt64
  public var isSigned: Bool

  public init(name: String, count: Int, bound: UInt64, isSigned: Bool) {
    self.name = name
    self.count = count
    self.bound = bound
    self.isSigned = isSigned
  }
}

/// How a scaled value becomes an integer.
public enum Rounding: String, Hashable, Sendable, CaseIterable {
  /// Up with the probability of the fraction: unbiased.
  case stochastic
  /// To the nearest integer, ties to even.
  case nearest
}

/// What the coordinates of a term are.
public enum CoordinateEncoding: Hashable, Sendable {
  /// Values, clipped and scaled as finely as a sum that cannot wrap allows.
  case clipped
  /// Integers that a mechanism of differential privacy has made of values, in units of 1/`scale`; their noise has no
  /// bound, so a sum is taken modulo 2^bits and may wrap: how seldom, the mechanism says.
  case integers(scale: Double)

  /// Scales that may be agreed on, powers of two: 2⁻⁴⁰…2⁴⁰.
  static func isAllowed(scale: Double) -> Bool {
    scale >= 0x1p-40 && scale <= 0x1p40 && scale.significand == 1
  }
}

/// Who shares masks and secrets with whom.
public enum SumGraph: Hashable, Sendable {
  /// Everybody with everybody: Bonawitz et al. 2017.
  case complete
  /// Everybody with k others, drawn anew in every attempt: Bell et al. 2020, semi-malicious parameters. k and the
  /// threshold follow from the cohort, `assumedCorrupt` and the share of it that may be lost in an attempt.
  case regular(dropouts: DropoutRate)
  /// Complete for a cohort of at most ``largestAutomaticComplete``, k-regular above.
  case automatic(dropouts: DropoutRate)

  /// The largest cohort for which ``automatic(dropouts:)`` means the complete graph.
  public static let largestAutomaticComplete = 100

  /// The share of a cohort of so many that may be lost, where the graph depends on it.
  func dropouts(members: Int) -> DropoutRate? {
    switch self {
    case .complete: nil
    case .regular(let dropouts): dropouts
    case .automatic(let dropouts): members <= Self.largestAutomaticComplete ? nil : dropouts
    }
  }
}

/// A share of a cohort in thousandths, so that both sides get the same whole number of organisations from it.
public struct DropoutRate: Hashable, Sendable {
  public let perMille: Int

  /// Nil outside 0…1000.
  public init?(perMille: Int) {
    guard (0...1000).contains(perMille) else { return nil }
    self.perMille = perMille
  }

  /// ⌊rate · members⌋
  public func count(of members: Int) -> Int { members * perMille / 1000 }
}

/// What shapes a term of the sum, agreed on by both sides.
///
/// Implements the parameters of §Encoding of values and §Parameters of the protocol. Ranges are checked here;
/// conditions that depend on the cohort are checked by ``AggregationContext``.
public struct AggregationParameters: Hashable, Sendable {
  /// The largest number of tensor coordinates: a gibibyte of words.
  public static let maximumTensorCount = 1 << 28
  /// The largest number of counters over all groups.
  public static let maximumCounterCount = 1 << 24
  public static let maximumCounterGroups = 4096

  /// Number of tensor coordinates, in Z_{2^bits}.
  public let tensorCount: Int
  /// Width of a tensor coordinate on the wire, 8…32.
  public let bits: Int
  /// Tensor values are clipped to [−clip, clip]; 2⁻⁴⁰…2⁴⁰.
  public let clip: Double
  /// Of clipped values; a mechanism that makes integers rounds by itself.
  public let rounding: Rounding
  public let counters: [CounterGroup]
  /// Public cap of an organisation's weight (examples). Bound into the context; applied by the caller.
  public let weightCap: UInt64
  public let generator: MaskGenerator
  /// Fewest organisations in U1, U2 and U3.
  public let minimumCohort: Int
  /// Fewest organisations of U3 that remain when all assumed corrupt ones are in it.
  public let minimumHonest: Int
  /// n_c: organisations assumed to collude with the server.
  public let assumedCorrupt: Int
  public let graph: SumGraph
  public let encoding: CoordinateEncoding

  /// Counters over all groups.
  public var counterCount: Int { counters.reduce(0) { $0 + $1.count } }

  /// - Throws: ``AggregationError/parameters(_:)`` if a field is outside its range.
  public init(
    tensorCount: Int, bits: Int, clip: Double, rounding: Rounding, counters: [CounterGroup], weightCap: UInt64,
    generator: MaskGenerator, minimumCohort: Int, minimumHonest: Int, assumedCorrupt: Int,
    graph: SumGraph = .complete, encoding: CoordinateEncoding = .clipped
  ) throws(AggregationError) {
    func require(_ condition: Bool, _ field: ParameterFault.Field) throws(AggregationError) {
      guard condition else { throw .parameters(.outOfRange(field)) }
    }
    try require((0...Self.maximumTensorCount).contains(tensorCount), .tensorCount)
    try require((8...32).contains(bits), .bits)
    try require(clip.isFinite && clip >= 0x1p-40 && clip <= 0x1p40, .clip)
    try require(counters.count <= Self.maximumCounterGroups, .counterCount)
    var total = 0
    var names = Set<String>()
    for group in counters {
      try require((1...Self.maximumCounterCount).contains(group.count), .counterCount)
      total += group.count
      try require(total <= Self.maximumCounterCount, .counterCount)
      try require((1...128).contains(group.name.utf8.count), .counterName)
      try require(group.name.utf8.allSatisfy { (0x21...0x7e).contains($0) }, .counterName)
      try require(group.bound >= 1 && group.bound < 1 << 63, .counterBound)
      guard names.insert(group.name).inserted else { throw .parameters(.duplicateCounter(group.name)) }
    }
    try require(tensorCount + total >= 1, .dimension)
    try require(weightCap >= 1, .weightCap)
    if case .integers(let scale) = encoding { try require(CoordinateEncoding.isAllowed(scale: scale), .scale) }
    let members = 0...AggregationContext.regularCohortCounts.upperBound
    try require(members.contains(minimumCohort) && minimumCohort >= 2, .minimumCohort)
    try require(members.contains(minimumHonest) && minimumHonest >= 2, .minimumHonest)
    try require(members.contains(assumedCorrupt), .assumedCorrupt)
    self.tensorCount = tensorCount
    self.bits = bits
    self.clip = clip
    self.rounding = rounding
    self.counters = counters
    self.weightCap = weightCap
    self.generator = generator
    self.minimumCohort = minimumCohort
    self.minimumHonest = minimumHonest
    self.assumedCorrupt = assumedCorrupt
    self.graph = graph
    self.encoding = encoding
  }

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(UInt64(tensorCount))
    encoder.append(UInt64(bits))
    encoder.append(clip.bitPattern)
    switch encoding {
    case .clipped: encoder.append(rounding.rawValue)
    case .integers(let scale):
      encoder.append("integers")
      encoder.append(scale.bitPattern)
    }
    encoder.append(list: counters) { (encoder: inout CanonicalEncoder, group: CounterGroup) in
      encoder.append(group.name)
      encoder.append(UInt64(group.count))
      encoder.append(group.bound)
      encoder.append(group.isSigned)
    }
    encoder.append(weightCap)
    encoder.append(generator.rawValue)
    encoder.append(UInt64(minimumCohort))
    encoder.append(UInt64(minimumHonest))
    encoder.append(UInt64(assumedCorrupt))
    switch graph {
    case .complete: encoder.append("complete")
    case .regular(let dropouts):
      encoder.append("regular")
      encoder.append(UInt64(dropouts.perMille))
    case .automatic(let dropouts):
      encoder.append("automatic")
      encoder.append(UInt64(dropouts.perMille))
    }
  }
}
