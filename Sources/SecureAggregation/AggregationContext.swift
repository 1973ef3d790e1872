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
/// Implements §Context and §Parameters (complete graph) of the protocol. The binding digest stands for all that
/// lies above the secure sum: federation, manifest, plan, run, round, attempt, task, model, program.
public struct AggregationContext: Hashable, Sendable {
  /// Sizes of a cohort on the complete graph. Two organisations are refused: each would learn the other's term.
  public static let cohortCounts = 3...256

  public let binding: BindingDigest
  public let parameters: AggregationParameters
  /// Sorted by name. The share index of a member is 1 + its position here.
  public let cohort: [CohortMember]
  public let server: IdentityVerifyingKey
  public let digest: ContextDigest
  /// t = ⌊(n + n_c)/2⌋ + 1: two disjoint survivor sets can never both reach it.
  public let threshold: Int
  /// Largest power of two s with n · ⌈clip · s⌉ < 2^(bits − 1).
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
    guard Self.cohortCounts.contains(count) else { throw .parameters(.cohortSize(count)) }
    let sorted = cohort.sorted { $0.name < $1.name }
    let positions = try Self.positions(of: sorted, server: server)
    let corrupt = parameters.assumedCorrupt
    let threshold = (count + corrupt) / 2 + 1
    guard threshold <= count, threshold - corrupt >= 2 else {
      throw .parameters(.thresholdTooLow(threshold: threshold, assumedCorrupt: corrupt))
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
    self.positions = positions
    self.scale = try Self.scale(clip: parameters.clip, bits: parameters.bits, members: count)
    self.digest = Self.digest(binding: binding, parameters: parameters, cohort: sorted, server: server)
  }

  /// Bytes of a masked input: coordinates packed to `bits`, then 8 bytes a counter.
  public var maskedInputByteCount: Int {
    (parameters.tensorCount * parameters.bits + 7) / 8 + 8 * parameters.counterCount
  }

  /// Fewest members of U1, U2 and U3: max(t, minimum cohort), and for U3 also n_c + the honest minimum.
  public func requiredParticipants(in stage: RoundStage) -> Int {
    let base = max(threshold, parameters.minimumCohort)
    switch stage {
    case .advertiseKeys, .shareKeys: return base
    case .maskedInputCollection: return max(base, parameters.assumedCorrupt + parameters.minimumHonest)
    case .consistencyCheck, .unmasking, .completed, .failed: return threshold
    }
  }

  /// Position of a member in the sorted cohort, or nil.
  func position(of name: OrganizationName) -> Int? { positions[name] }

  /// Value of the largest encoded coordinate: ⌈clip · scale⌉.
  var largestCoordinate: Int64 { Int64((parameters.clip * scale).rounded(.up)) }

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
    binding: BindingDigest, parameters: AggregationParameters, cohort: [CohortMember], server: IdentityVerifyingKey
  ) -> ContextDigest {
    var encoder = CanonicalEncoder("bauta/v1/context")
    encoder.append(binding)
    parameters.append(to: &encoder)
    encoder.append("complete")
    encoder.append(list: cohort) { (encoder: inout CanonicalEncoder, member: CohortMember) in
      encoder.append(member.name.value)
      encoder.append(member.identity.bytes)
    }
    encoder.append(server.bytes)
    return ContextDigest(hashing: encoder.finish())
  }
}
