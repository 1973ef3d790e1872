public import Cryptography

/// z and b of one attempt: what took the masks off one masked input, and one mask off each neighbour's.
///
/// A client machine shows them once, in R2, to be sealed for an auditor; they end with the attempt otherwise.
public struct MaskingSecrets: ~Copyable, Sendable {
  public static let byteCount = 2 * Scalar.byteCount

  /// z
  let mask: Scalar
  /// b
  let selfMask: Scalar

  init(mask: consuming Scalar, selfMask: consuming Scalar) {
    self.mask = mask
    self.selfMask = selfMask
  }

  /// - Throws: ``OpeningFault/malformedSecrets`` unless they are two canonical scalars.
  public init(encoded: borrowing SecretBytes) throws(OpeningFault) {
    guard encoded.count == Self.byteCount else { throw .malformedSecrets }
    self.init(mask: try Self.scalar(in: encoded, at: 0), selfMask: try Self.scalar(in: encoded, at: 1))
  }

  private static func scalar(in encoded: borrowing SecretBytes, at slot: Int) throws(OpeningFault) -> Scalar {
    do throws(CryptographyError) { return try encoded.scalar(at: slot) } catch { throw .malformedSecrets }
  }

  /// z ‖ b.
  public borrowing func encoded() -> SecretBytes {
    var bytes = SecretBytes(count: Self.byteCount)
    bytes.copyScalar(mask, to: 0)
    bytes.copyScalar(selfMask, to: 1)
    return bytes
  }
}

/// What is known to the members of an attempt, and is needed to check one masked input of it.
public struct MaskedInputEvidence: Hashable, Sendable {
  /// Longest encoding: advertisements and nonces of the largest cohort.
  public static let maximumByteCount = 64 << 20
  private static let label = "bauta/v1/masked-input-evidence"

  /// The signed advertisements that gave T1.
  public var roster: AdvertisementRoster
  /// The list for which the nonce was revealed; nil on the complete graph.
  public var list: BeaconRequest?
  /// U2.
  public var shareSurvivors: MemberSet
  /// What was signed of y.
  public var message: MaskedInputMessage

  public init(
    roster: AdvertisementRoster, list: BeaconRequest?, shareSurvivors: MemberSet, message: MaskedInputMessage
  ) {
    self.roster = roster
    self.list = list
    self.shareSurvivors = shareSurvivors
    self.message = message
  }

  public func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder(Self.label)
    encoder.append(MessageCoding.encode(roster))
    encoder.append(list != nil)
    if let list { encoder.append(MessageCoding.encode(list)) }
    encoder.append(shareSurvivors)
    encoder.append(MessageCoding.encode(message))
    return encoder.finish()
  }

  /// - Throws: ``OpeningFault/evidence(_:)``. Nothing is checked but the form.
  public init(decoding bytes: [UInt8], context: AggregationContext) throws(OpeningFault) {
    do {
      var decoder = try CanonicalDecoder(bytes, label: Self.label)
      roster = try MessageCoding.decode(
        try decoder.bytes(maximum: bytes.count), from: .server, context: context)
      list =
        try decoder.flag()
        ? try MessageCoding.decode(try decoder.bytes(maximum: bytes.count), from: .server, context: context) : nil
      shareSurvivors = try decoder.members(of: context)
      message = try MessageCoding.decode(try decoder.bytes(maximum: bytes.count), from: .server, context: context)
      try decoder.finish()
    } catch let error as AggregationError {
      throw .evidence(error)
    } catch let error as CryptographyError {
      throw .evidence(.local(error))
    } catch { throw .malformedSecrets }
  }
}

/// What an opening checks, in order.
public enum OpeningStep: String, Hashable, Sendable, CaseIterable {
  /// Every advertisement is signed by its organisation in this context, and together they give T1.
  case advertisements
  /// The hash of y is signed by the organisation over this T1 and U2.
  case signature
  /// z·G is the mask key that was advertised.
  case maskKey
  /// b·G is the self mask key that was advertised.
  case selfMaskKey
  /// x + the masks recomputed from z, b and the keys of U2, coordinate by coordinate, has the hash that was signed.
  case maskedInput
  /// The commitment on the record is to this term.
  case commitment
}

/// Checks one masked input of a sum from its secrets: that what left was this term under these masks.
///
/// It does not prove that the term was computed from data, nor that its rounding carried no bits; and whoever is given the
/// secrets knows the term.
public enum MaskedInputOpening {
  /// Recomputes everything. Reads the term once, in order: memory for one chunk beside what the source takes.
  ///
  /// - Parameters:
  ///   - organization: whose masked input it is.
  ///   - commitment: from the egress record.
  ///   - passed: is told of each step that holds.
  ///   - spool: is given the bytes of y.
  /// - Throws: ``OpeningFault`` naming the first step that does not hold, or what `spool` throws.
  public static func verify(
    _ evidence: MaskedInputEvidence, of organization: OrganizationName, secrets: borrowing MaskingSecrets,
    term: some TermSource, salt: borrowing SecretBytes, commitment: TermCommitment, context: AggregationContext,
    passed: (OpeningStep) -> Void = { _ in }, spool: (UnsafeRawBufferPointer) throws -> Void = { _ in }
  ) throws {
    let message = evidence.message
    guard message.context == context.digest, evidence.roster.context == context.digest else {
      throw OpeningFault.otherContext
    }
    guard message.organization == organization, let position = context.position(of: organization) else {
      throw OpeningFault.otherOrganization(expected: organization, found: message.organization)
    }
    let roster = try checkedRoster(evidence, position: position, context: context)
    passed(.advertisements)
    try checkSignature(evidence, roster: roster, position: position, context: context)
    passed(.signature)
    guard let own = roster.advertisements[position] else {
      throw OpeningFault.evidence(.misuse(.notInCohort(organization)))
    }
    guard (try? secrets.mask.timesBasePoint()) == own.maskKey else { throw OpeningFault.maskKey }
    passed(.maskKey)
    guard (try? secrets.selfMask.timesBasePoint()) == own.selfMaskKey else { throw OpeningFault.selfMaskKey }
    passed(.selfMaskKey)
    guard term.tensorCount == context.parameters.tensorCount, term.counterCount == context.parameters.counterCount
    else { throw OpeningFault.otherShape(tensors: term.tensorCount, counters: term.counterCount) }
    let source = CommittingSource(term, salt: salt)
    let hash = try MaskedInputWriter.write(
      source, masks: try masks(evidence, roster: roster, secrets: secrets, position: position, context: context),
      parameters: context.parameters, lanes: .one, to: spool)
    guard hash == message.maskedInputHash else {
      throw OpeningFault.maskedInput(signed: message.maskedInputHash, recomputed: hash)
    }
    passed(.maskedInput)
    guard let found = source.finish(), found == commitment else { throw OpeningFault.commitment }
    passed(.commitment)
  }

  private static func checkedRoster(
    _ evidence: MaskedInputEvidence, position: Int, context: AggregationContext
  ) throws(OpeningFault) -> VerifiedRoster {
    let organization = context.cohort[position].name
    guard let own = evidence.roster.advertisements.first(where: { $0.organization == organization }),
      (evidence.list != nil) == (context.regularGraph != nil)
    else { throw .evidence(.misbehaviour(.ownEntry(.roster), by: .server)) }
    do throws(AggregationError) {
      return try VerifiedRoster.checking(evidence, position: position, own: own, context: context)
    } catch { throw .evidence(error) }
  }

  private static func checkSignature(
    _ evidence: MaskedInputEvidence, roster: VerifiedRoster, position: Int, context: AggregationContext
  ) throws(OpeningFault) {
    let message = evidence.message
    guard message.transcript == roster.transcript else { throw .otherTranscript }
    guard evidence.shareSurvivors.contains(position), evidence.shareSurvivors.isSubset(of: roster.members),
      message.shareSurvivors == Transcript.survivors(evidence.shareSurvivors)
    else { throw .otherSurvivors }
    let payload = MaskedInputMessage.payload(
      transcript: message.transcript, organization: message.organization, shareSurvivors: message.shareSurvivors,
      hash: message.maskedInputHash)
    guard payload.isSigned(message.signature, by: context.cohort[position].identity) else { throw .signature }
  }

  /// Computed here from the definition, and not by the code that masked.
  private static func masks(
    _ evidence: MaskedInputEvidence, roster: VerifiedRoster, secrets: borrowing MaskingSecrets, position: Int,
    context: AggregationContext
  ) throws(OpeningFault) -> [Mask] {
    let organization = context.cohort[position].name
    let generator = context.parameters.generator
    do throws(CryptographyError) {
      var masks = [
        try Mask.own(
          secret: secrets.selfMask, owner: organization, transcript: roster.transcript, generator: generator)
      ]
      for peer in roster.peers where evidence.shareSurvivors.contains(peer) {
        guard let advertisement = roster.advertisements[peer] else { throw .malformedField }
        masks.append(
          try Mask.pairwise(
            secret: secrets.mask, publicKey: advertisement.maskKey, addedBy: organization,
            with: advertisement.organization, transcript: roster.transcript, generator: generator))
      }
      return masks
    } catch { throw .local(error) }
  }
}

/// Why an opened masked input is not what was signed and recorded.
public enum OpeningFault: BlamedError, Hashable {
  /// z and b are not two scalars.
  case malformedSecrets
  /// Another round, run, plan, model or cohort.
  case otherContext
  case otherOrganization(expected: OrganizationName, found: OrganizationName)
  /// The advertisements are malformed, or one is not as its organisation signed it.
  case evidence(AggregationError)
  case otherTranscript
  case otherSurvivors
  case signature
  case maskKey
  case selfMaskKey
  case otherShape(tensors: Int, counters: Int)
  case maskedInput(signed: MaskedInputHash, recomputed: MaskedInputHash)
  case commitment
  case local(CryptographyError)

  public var code: String {
    switch self {
    case .malformedSecrets: "opening-secrets-malformed"
    case .otherContext: "opening-other-context"
    case .otherOrganization: "opening-other-organization"
    case .evidence: "opening-advertisements"
    case .otherTranscript: "opening-other-transcript"
    case .otherSurvivors: "opening-other-survivors"
    case .signature: "opening-signature"
    case .maskKey: "opening-mask-key"
    case .selfMaskKey: "opening-self-mask-key"
    case .otherShape: "opening-other-shape"
    case .maskedInput: "opening-masked-input"
    case .commitment: "opening-commitment"
    case .local(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .local: .local
    case .malformedSecrets, .otherContext, .otherOrganization, .evidence, .otherTranscript, .otherSurvivors, .signature,
      .maskKey, .selfMaskKey, .otherShape, .maskedInput, .commitment:
      .peer
    }
  }

  public var message: String {
    switch self {
    case .malformedSecrets: "the sealed secrets are not z and b of an attempt"
    case .otherContext: "the sealed secrets are of another round, run, plan, model or cohort"
    case .otherOrganization(let expected, let found):
      "the masked input is of \(found), not of \(expected)"
    case .evidence(let error): "the advertisements are not those that were signed: \(error.message)"
    case .otherTranscript: "the masked input was signed over other advertisements"
    case .otherSurvivors: "the masked input was signed over another set of organisations"
    case .signature: "the hash of the masked input is not signed by the organisation's identity key"
    case .maskKey: "z is not the secret of the mask key that was advertised"
    case .selfMaskKey: "b is not the secret of the self mask key that was advertised"
    case .otherShape(let tensors, let counters):
      "a term of \(tensors) coordinates and \(counters) counters does not have the shape of the plan"
    case .maskedInput(let signed, let recomputed):
      "the term under its masks has the hash \(recomputed), and what was signed has \(signed)"
    case .commitment: "the commitment on the record is not to this term with this salt"
    case .local(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .local(let error): error.remedy
    case .malformedSecrets, .otherContext, .otherOrganization, .evidence, .otherTranscript, .otherSurvivors, .signature,
      .maskKey, .selfMaskKey, .otherShape, .maskedInput, .commitment:
      "What is sealed is not what left. Keep the file and the log, and ask the organisation for an explanation."
    }
  }
}
