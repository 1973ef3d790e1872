public import Cryptography

/// One organisation of a cohort under the identity pinned for it.
public struct CohortMember: Hashable, Sendable {
  public let name: OrganizationName
  public let identity: IdentityVerifyingKey

  public init(name: OrganizationName, identity: IdentityVerifyingKey) {
    self.name = name
    self.identity = identity
  }
}

/// Everything that the participants of one attempt must agree on, reduced to a digest.
///
/// Implements §Context and §Parameters of the protocol. The binding digest stands for all that
/// lies above the secure sum: federation, manifest, plan, run, round, attempt, task, model, program.
public struct AggregationContext: Hashable, Sendable {
  /// Sizes of a cohort on the complete graph. Two organisations are refused: each would learn the other's term.
  public static let cohortCounts = 3...256
  /// Sizes of a cohort on a k-regular graph: with fewer organisations it saves nothing and its bounds mean little.
  public static let regularCohortCounts = 101...10_000
  /// Up to this size every received share is checked against its commitments (t multiplications each), and the
  /// commitments travel to everybody; above it the server checks when a reconstruction fails.
  public static let verifyingCohortCount = 20
  /// Bits by which the bounds of a k-regular graph are tightened: a server can draw a graph in each of eight attempts.
  static let graphTighteningBits = 3

  public let binding: BindingDigest
  public let parameters: AggregationParameters
  /// Sorted by name. The share index of a member is 1 + its position here.
  public let cohort: [CohortMember]
  public let server: IdentityVerifyingKey
  public let digest: ContextDigest
  /// Shares that recover a secret: ⌊(n + n_c)/2⌋ + 1 on the complete graph, t of the k neighbours on a k-regular one.
  public let threshold: Int
  /// ⌊(n + n_c)/2⌋ + 1 members of U3 must sign a statement before a share is released: two different statements can
  /// never both reach it.
  public let agreementThreshold: Int
  /// k and t of a k-regular graph; nil on the complete graph.
  public let regularGraph: RegularGraphParameters?
  /// Of clipped values the largest power of two s with n · ⌈clip · s⌉ < 2^(bits − 1); of integers that of their mechanism.
  ///
  /// A power of two makes scaling and its inverse exact in IEEE double, so ⌈clip · s⌉ is the same integer on
  /// every machine; it costs at most one bit of resolution against the largest real scale.
  public let scale: Double

  private let positions: [OrganizationName: Int]

  /// - Throws: ``AggregationError/parameters(_:)`` if names or keys repeat, the cohort is too small, or a sum of
  ///   terms within their bounds could wrap.
  public init(
    binding: BindingDigest, parameters: AggregationParameters, cohort: [CohortMember], server: IdentityVerifyingKey
  ) throws(AggregationError) {
    let count = cohort.count
    let sorted = cohort.sorted { $0.name < $1.name }
    let positions = try Self.positions(of: sorted, server: server)
    let corrupt = parameters.assumedCorrupt
    let regular = try Self.regularGraph(members: count, parameters: parameters)
    let agreement = (count + corrupt) / 2 + 1
    let threshold = regular?.threshold ?? agreement
    guard agreement <= count, agreement - corrupt >= 2 else {
      throw .parameters(.thresholdTooLow(threshold: agreement, assumedCorrupt: corrupt))
    }
    guard parameters.minimumCohort <= count else {
      throw .parameters(
        .minimumExceedsCohort(.minimumCohort, required: parameters.minimumCohort, cohort: count))
    }
    guard parameters.minimumHonest + corrupt <= count else {
      throw .parameters(
        .minimumExceedsCohort(.minimumHonest, required: parameters.minimumHonest + corrupt, cohort: count))
    }
    for group in parameters.counters {
      let (product, overflow) = UInt64(count).multipliedReportingOverflow(by: group.bound)
      guard !overflow, product < 1 << 63 else { throw .parameters(.counterWraps(group.name)) }
    }
    self.binding = binding
    self.parameters = parameters
    self.cohort = sorted
    self.server = server
    self.threshold = threshold
    self.agreementThreshold = agreement
    self.regularGraph = regular
    self.positions = positions
    self.scale =
      switch parameters.encoding {
      case .clipped: try Self.scale(clip: parameters.clip, bits: parameters.bits, members: count)
      case .integers(let scale): scale
      }
    self.digest = Self.digest(
      binding: binding, parameters: parameters, cohort: sorted, server: server, regular: regular)
  }

  /// Whether every received share is checked against its commitments on receipt.
  public var verifiesEveryShare: Bool { cohort.count <= Self.verifyingCohortCount }

  /// Bytes of a masked input: coordinates packed to `bits`, then 8 bytes a counter.
  public var maskedInputByteCount: Int {
    (parameters.tensorCount * parameters.bits + 7) / 8 + 8 * parameters.counterCount
  }

  /// Members that may be lost in an attempt on a k-regular graph; nil on the complete graph, where t decides.
  public var maximumDropouts: Int? {
    parameters.graph.dropouts(members: cohort.count).map { $0.count(of: cohort.count) }
  }

  /// Fewest members that must answer a stage.
  ///
  /// U1, U2 and U3: max(⌊(n + n_c)/2⌋ + 1, minimum cohort), for U3 also n_c + the honest minimum, and on a k-regular
  /// graph all but its largest number of dropouts, for which its bounds were computed. Nonces of the beacon: of all of
  /// U1, see ``ServerRound``. Statements: ⌊(n + n_c)/2⌋ + 1. Replies: t, and t for each secret.
  public func requiredParticipants(in stage: RoundStage) -> Int {
    var base = max(agreementThreshold, parameters.minimumCohort)
    if let maximumDropouts { base = max(base, cohort.count - maximumDropouts) }
    switch stage {
    case .advertiseKeys, .graphBeacon, .shareKeys: return base
    case .maskedInputCollection: return max(base, parameters.assumedCorrupt + parameters.minimumHonest)
    case .consistencyCheck: return agreementThreshold
    case .unmasking, .completed, .failed: return threshold
    }
  }

  /// Position of a member in the sorted cohort, or nil.
  func position(of name: OrganizationName) -> Int? { positions[name] }

  /// Value of the largest encoded coordinate, ⌈clip · scale⌉; nil for integers, whose noise has no bound.
  var largestCoordinate: Int64? {
    switch parameters.encoding {
    case .clipped: Int64((parameters.clip * scale).rounded(.up))
    case .integers: nil
    }
  }

  private static func regularGraph(
    members: Int, parameters: AggregationParameters
  ) throws(AggregationError) -> RegularGraphParameters? {
    guard let dropouts = parameters.graph.dropouts(members: members) else {
      guard cohortCounts.contains(members) else { throw .parameters(.cohortSize(members, allowed: cohortCounts)) }
      return nil
    }
    guard regularCohortCounts.contains(members) else {
      throw .parameters(.cohortSize(members, allowed: regularCohortCounts))
    }
    do throws(GraphFault) {
      return try RegularGraphParameters(
        organizations: members, corrupt: parameters.assumedCorrupt, dropouts: dropouts.count(of: members),
        adversary: .semiMalicious, tighteningBits: graphTighteningBits)
    } catch { throw .parameters(.graph(error)) }
  }

  private static func positions(
    of sorted: [CohortMember], server: IdentityVerifyingKey
  ) throws(AggregationError) -> [OrganizationName: Int] {
    var positions: [OrganizationName: Int] = [:]
    var owners: [IdentityVerifyingKey: OrganizationName] = [:]
    for (index, member) in sorted.enumerated() {
      guard positions.updateValue(index, forKey: member.name) == nil else {
        throw .parameters(.duplicateName(member.name))
      }
      if let other = owners.updateValue(member.name, forKey: member.identity) {
        throw .parameters(.duplicateIdentity(other, member.name))
      }
      guard member.identity != server else { throw .parameters(.serverIdentityInCohort(member.name)) }
    }
    return positions
  }

  private static func scale(clip: Double, bits: Int, members: Int) throws(AggregationError) -> Double {
    let largest = ((1 << (bits - 1)) - 1) / members
    guard largest >= 1 else { throw .parameters(.tensorsWrap(members: members, bits: bits)) }
    // clip · s is exact for a power of two, so the comparison is too.
    var scale = Double(sign: .plus, exponent: Double(largest).exponent - clip.exponent, significand: 1)
    while clip * scale > Double(largest) { scale /= 2 }
    return scale
  }

  private static func digest(
    binding: BindingDigest, parameters: AggregationParameters, cohort: [CohortMember], server: IdentityVerifyingKey,
    regular: RegularGraphParameters?
  ) -> ContextDigest {
    var encoder = CanonicalEncoder("bauta/v1/context")
    encoder.append(binding)
    parameters.append(to: &encoder)
    encoder.append(UInt64(regular?.neighborCount ?? cohort.count - 1))
    encoder.append(UInt64(regular?.threshold ?? 0))
    encoder.append(list: cohort) { (encoder: inout CanonicalEncoder, member: CohortMember) in
      encoder.append(member.name.value)
      encoder.append(member.identity.bytes)
    }
    encoder.append(server.bytes)
    return ContextDigest(hashing: encoder.finish())
  }
}
