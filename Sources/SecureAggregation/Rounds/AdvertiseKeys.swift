public import Cryptography

// R0 AdvertiseKeys: each organisation draws keys for this attempt only and signs them with its pinned identity.

/// Commitments to the two polynomials that share z and b of one organisation.
public struct ShareCommitments: Hashable, Sendable {
  /// To the polynomial that shares z; the first is the mask key.
  public var mask: FeldmanCommitments
  /// To the polynomial that shares b; the first is b · G.
  public var selfMask: FeldmanCommitments

  /// What an advertisement signs of them.
  var hash: CommitmentHash {
    var encoder = CanonicalEncoder("bauta/v1/commitments")
    encoder.append(mask)
    encoder.append(selfMask)
    return CommitmentHash(hashing: encoder.finish())
  }
}

/// The round keys of one organisation, signed.
///
/// The commitments to its polynomials are signed by their hash. They travel to the server with the advertisement, and
/// on to the others in small cohorts only, where every recipient checks every share; in large ones they are looked at
/// when a reconstruction fails.
public struct AdvertiseKeysMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.advertiseKeys

  public var context: ContextDigest
  public var organization: OrganizationName
  /// cPK: encrypts shares between two organisations.
  public var channelKey: ChannelPublicKey
  /// sPK = z · G: pairwise masks.
  public var maskKey: GroupElement
  /// b · G: what a recovered self mask must fit.
  public var selfMaskKey: GroupElement
  public var commitmentHash: CommitmentHash
  /// H(r): on a k-regular graph, what is revealed for the beacon later; nil on the complete graph.
  public var beaconCommitment: BeaconCommitment?
  public var signature: Signature
  /// Not signed itself: bound by ``commitmentHash``.
  public var commitments: ShareCommitments?

  /// The fields that the signature covers.
  func appendSigned(to encoder: inout CanonicalEncoder) {
    Self.append(
      to: &encoder, context: context, organization: organization, channelKey: channelKey, maskKey: maskKey,
      selfMaskKey: selfMaskKey, commitmentHash: commitmentHash, beaconCommitment: beaconCommitment)
  }

  func append(to encoder: inout CanonicalEncoder) {
    appendSigned(to: &encoder)
    encoder.append(signature)
    encoder.append(commitments != nil)
    if let commitments {
      encoder.append(commitments.mask)
      encoder.append(commitments.selfMask)
    }
  }

  var payload: SignedPayload { SignedPayload(Self.signatureLabel) { appendSigned(to: &$0) } }

  private static let signatureLabel = "bauta/v1/advertise-keys"

  private static func append(
    to encoder: inout CanonicalEncoder, context: ContextDigest, organization: OrganizationName,
    channelKey: ChannelPublicKey, maskKey: GroupElement, selfMaskKey: GroupElement, commitmentHash: CommitmentHash,
    beaconCommitment: BeaconCommitment?
  ) {
    encoder.append(context)
    encoder.append(organization)
    encoder.append(channelKey.bytes)
    encoder.append(maskKey.bytes)
    encoder.append(selfMaskKey.bytes)
    encoder.append(commitmentHash)
    encoder.append(beaconCommitment != nil)
    if let beaconCommitment { encoder.append(beaconCommitment) }
  }

  /// Signs keys that were just drawn.
  fileprivate init(
    context: ContextDigest, organization: OrganizationName, channelKey: ChannelPublicKey, maskKey: GroupElement,
    selfMaskKey: GroupElement, beaconCommitment: BeaconCommitment?, commitments: ShareCommitments,
    signer: borrowing IdentitySigningKey
  ) {
    self.context = context
    self.organization = organization
    self.channelKey = channelKey
    self.maskKey = maskKey
    self.selfMaskKey = selfMaskKey
    self.commitmentHash = commitments.hash
    self.beaconCommitment = beaconCommitment
    self.commitments = commitments
    let hash = commitmentHash
    signature = SignedPayload(Self.signatureLabel) { encoder in
      Self.append(
        to: &encoder, context: context, organization: organization, channelKey: channelKey, maskKey: maskKey,
        selfMaskKey: selfMaskKey, commitmentHash: hash, beaconCommitment: beaconCommitment)
    }.signature(by: signer)
  }

  /// As it is relayed in a large cohort.
  var withoutCommitments: AdvertiseKeysMessage {
    var copy = self
    copy.commitments = nil
    return copy
  }

  /// What a single advertisement must satisfy, checked by the server and by every client.
  ///
  /// - Parameter hasCommitments: whether they are due, see ``ShareCommitments``.
  func check(
    in context: AggregationContext, relayedBy party: Party, hasCommitments: Bool
  ) throws(AggregationError) {
    guard self.context == context.digest else { throw .misbehaviour(.contextMismatch(Self.kind), by: party) }
    guard let position = context.position(of: organization) else {
      throw .misbehaviour(.unknownOrganization(organization), by: party)
    }
    guard (beaconCommitment != nil) == (context.regularGraph != nil) else {
      throw .misbehaviour(.wrongBeaconNonce(organization), by: party)
    }
    guard hasCommitments == (commitments != nil), commitments.map({ fits($0, context: context) }) ?? true else {
      throw .misbehaviour(.wrongCommitments(organization), by: party)
    }
    guard payload.isSigned(signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(organization), Self.kind), by: party)
    }
  }

  private func fits(_ commitments: ShareCommitments, context: AggregationContext) -> Bool {
    commitments.mask.count == context.threshold && commitments.selfMask.count == context.threshold
      && commitments.mask.bytes.starts(with: maskKey.bytes)
      && commitments.selfMask.bytes.starts(with: selfMaskKey.bytes) && commitments.hash == commitmentHash
      && (!context.verifiesEveryShare || (commitments.mask.isWellFormed && commitments.selfMask.isWellFormed))
  }
}

extension AdvertiseKeysMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    organization = try decoder.organization()
    channelKey = try ChannelPublicKey(bytes: try decoder.bytes(maximum: 32))
    maskKey = try GroupElement(bytes: try decoder.bytes(maximum: 32))
    selfMaskKey = try GroupElement(bytes: try decoder.bytes(maximum: 32))
    commitmentHash = try decoder.digest()
    beaconCommitment = try decoder.flag() ? try decoder.digest() : nil
    signature = try decoder.signature()
    commitments =
      try decoder.flag()
      ? ShareCommitments(
        mask: try decoder.commitments(threshold: context.threshold),
        selfMask: try decoder.commitments(threshold: context.threshold)) : nil
  }
}

/// Finds two organisations that advertise the same key.
struct KeyUniqueness: Sendable {
  private var channel: [ChannelPublicKey: OrganizationName] = [:]
  private var mask: [GroupElement: OrganizationName] = [:]
  private var selfMask: [GroupElement: OrganizationName] = [:]

  /// Takes the keys of a message, or throws and takes none.
  mutating func insert(_ message: AdvertiseKeysMessage, relayedBy party: Party) throws(AggregationError) {
    let name = message.organization
    if let other = channel[message.channelKey] {
      throw .misbehaviour(.duplicateKey(.channel, other, name), by: party)
    }
    if let other = mask[message.maskKey] { throw .misbehaviour(.duplicateKey(.mask, other, name), by: party) }
    if let other = selfMask[message.selfMaskKey] {
      throw .misbehaviour(.duplicateKey(.selfMask, other, name), by: party)
    }
    channel[message.channelKey] = name
    mask[message.maskKey] = name
    selfMask[message.selfMaskKey] = name
  }
}

/// Client after R0: holds the secrets of the attempt.
struct AdvertisedClient: ~Copyable {
  let channel: ChannelKeyPair
  let mask: SecretPolynomial
  let selfMask: SecretPolynomial
  /// r, until it is revealed for one list of advertisements. Drawn on the complete graph too, and never used there.
  let nonce: SecretBytes
  let message: AdvertiseKeysMessage

  init(
    context: AggregationContext, organization: OrganizationName, signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) {
    let channel = ChannelKeyPair.generate()
    let mask = try SecretPolynomial(threshold: context.threshold)
    let selfMask = try SecretPolynomial(threshold: context.threshold)
    let nonce = SecretBytes(randomCount: GraphBeacon.nonceByteCount)
    message = AdvertiseKeysMessage(
      context: context.digest, organization: organization, channelKey: channel.publicKey,
      maskKey: try mask.constant().timesBasePoint(), selfMaskKey: try selfMask.constant().timesBasePoint(),
      beaconCommitment: context.regularGraph == nil
        ? nil : nonce.withUnsafeBytes { GraphBeacon.commitment(to: $0) },
      commitments: ShareCommitments(mask: try mask.commitments(), selfMask: try selfMask.commitments()),
      signer: signer)
    self.channel = channel
    self.mask = mask
    self.selfMask = selfMask
    self.nonce = nonce
  }
}

/// Server in R0: collects advertisements; those who answered before the stage closes form U1.
struct AdvertiseKeysStage: Sendable {
  private(set) var received: Answers<AdvertiseKeysMessage>
  private var keys = KeyUniqueness()

  init(context: AggregationContext) { received = Answers(cohortCount: context.cohort.count) }

  mutating func receive(
    _ message: AdvertiseKeysMessage, at position: Int, context: AggregationContext
  ) throws(AggregationError) {
    // A resend after a lost connection is harmless; another set of keys is not.
    guard try received.isNew(message, from: message.organization, at: position, .advertiseKeys) else { return }
    let party = Party.organization(message.organization)
    try message.check(in: context, relayedBy: party, hasCommitments: true)
    try keys.insert(message, relayedBy: party)
    received[position] = message
  }
}
