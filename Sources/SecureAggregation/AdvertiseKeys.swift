public import Cryptography

// R0 AdvertiseKeys: each organisation draws keys for this attempt only and signs them with its pinned identity.

/// The round keys of one organisation, signed.
///
/// The commitments travel here, not with ShareKeys, so that every recipient of a share can check it and T1 covers
/// them.
public struct AdvertiseKeysMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.advertiseKeys

  public var context: ContextDigest
  public var organization: OrganizationName
  /// cPK: encrypts shares between two organisations.
  public var channelKey: ChannelPublicKey
  /// sPK = z · G: pairwise masks.
  public var maskKey: GroupElement
  /// Commitments to the polynomial that shares z; the first is `maskKey`.
  public var maskCommitments: FeldmanCommitments
  /// Commitments to the polynomial that shares b; the first is b · G.
  public var selfMaskCommitments: FeldmanCommitments
  public var signature: Signature

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(organization)
    encoder.append(channelKey.bytes)
    encoder.append(maskKey.bytes)
    encoder.append(maskCommitments)
    encoder.append(selfMaskCommitments)
    encoder.append(signature)
  }

  static func payload(
    context: ContextDigest, organization: OrganizationName, channelKey: ChannelPublicKey, maskKey: GroupElement,
    maskCommitments: FeldmanCommitments, selfMaskCommitments: FeldmanCommitments
  ) -> SignedPayload {
    var commitments = CanonicalEncoder("bauta/v1/commitments")
    commitments.append(maskCommitments)
    commitments.append(selfMaskCommitments)
    let hash = Digest<CommitmentRole>(hashing: commitments.finish())
    return SignedPayload("bauta/v1/advertise-keys") { encoder in
      encoder.append(context)
      encoder.append(organization)
      encoder.append(channelKey.bytes)
      encoder.append(maskKey.bytes)
      encoder.append(hash)
    }
  }

  private var payload: SignedPayload {
    Self.payload(
      context: context, organization: organization, channelKey: channelKey, maskKey: maskKey,
      maskCommitments: maskCommitments, selfMaskCommitments: selfMaskCommitments)
  }

  /// What a single advertisement must satisfy, checked by the server and by every client.
  func check(in context: AggregationContext, relayedBy party: Party) throws(AggregationError) {
    guard self.context == context.digest else { throw .misbehaviour(.contextMismatch(Self.kind), by: party) }
    guard let position = context.position(of: organization) else {
      throw .misbehaviour(.unknownOrganization(organization), by: party)
    }
    guard maskCommitments.count == context.threshold,
      selfMaskCommitments.count == context.threshold, maskCommitments.bytes.starts(with: maskKey.bytes)
    else { throw .misbehaviour(.wrongCommitments(organization), by: party) }
    guard payload.isSigned(signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(organization), Self.kind), by: party)
    }
  }
}

extension AdvertiseKeysMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    organization = try decoder.organization()
    channelKey = try ChannelPublicKey(bytes: try decoder.bytes(maximum: 32))
    maskKey = try GroupElement(bytes: try decoder.bytes(maximum: 32))
    maskCommitments = try decoder.commitments(threshold: context.threshold)
    selfMaskCommitments = try decoder.commitments(threshold: context.threshold)
    signature = try decoder.signature()
  }
}

/// Finds two organisations that advertise the same key.
struct KeyUniqueness {
  private var channel: [ChannelPublicKey: OrganizationName] = [:]
  private var mask: [GroupElement: OrganizationName] = [:]
  private var selfMask: [[UInt8]: OrganizationName] = [:]

  mutating func insert(_ message: AdvertiseKeysMessage, relayedBy party: Party) throws(AggregationError) {
    let name = message.organization
    if let other = channel.updateValue(name, forKey: message.channelKey) {
      throw .misbehaviour(.duplicateKey(.channel, other, name), by: party)
    }
    if let other = mask.updateValue(name, forKey: message.maskKey) {
      throw .misbehaviour(.duplicateKey(.mask, other, name), by: party)
    }
    let commitment = message.selfMaskCommitments.bytes.prefix(GroupElement.byteCount)
    if let other = selfMask.updateValue(name, forKey: Array(commitment)) {
      throw .misbehaviour(.duplicateKey(.selfMask, other, name), by: party)
    }
  }
}

/// Client after R0: holds the secrets of the attempt.
struct AdvertisedClient: ~Copyable {
  let channel: ChannelKeyPair
  let mask: SecretPolynomial
  let selfMask: SecretPolynomial
  let message: AdvertiseKeysMessage

  init(
    context: AggregationContext, organization: OrganizationName, signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) {
    let channel = ChannelKeyPair.generate()
    let mask = try SecretPolynomial(threshold: context.threshold)
    let selfMask = try SecretPolynomial(threshold: context.threshold)
    let maskCommitments = try mask.commitments()
    let selfMaskCommitments = try selfMask.commitments()
    let maskKey = try mask.constant().timesBasePoint()
    let payload = AdvertiseKeysMessage.payload(
      context: context.digest, organization: organization, channelKey: channel.publicKey, maskKey: maskKey,
      maskCommitments: maskCommitments, selfMaskCommitments: selfMaskCommitments)
    self.message = AdvertiseKeysMessage(
      context: context.digest, organization: organization, channelKey: channel.publicKey, maskKey: maskKey,
      maskCommitments: maskCommitments, selfMaskCommitments: selfMaskCommitments,
      signature: payload.signature(by: signer))
    self.channel = channel
    self.mask = mask
    self.selfMask = selfMask
  }
}

/// Server in R0: collects advertisements; those who answered before the stage closes form U1.
struct AdvertiseKeysStage: Sendable {
  private(set) var received: [OrganizationName: AdvertiseKeysMessage] = [:]

  mutating func receive(_ message: AdvertiseKeysMessage, context: AggregationContext) throws(AggregationError) {
    let party = Party.organization(message.organization)
    if let earlier = received[message.organization] {
      // A resend after a lost connection is harmless; another set of keys is not.
      guard earlier == message else { throw .misbehaviour(.duplicateMessage(.advertiseKeys), by: party) }
      return
    }
    try message.check(in: context, relayedBy: party)
    var keys = KeyUniqueness()
    for earlier in received.values { try keys.insert(earlier, relayedBy: party) }
    try keys.insert(message, relayedBy: party)
    received[message.organization] = message
  }

  func roster(context: AggregationContext) -> AdvertisementRoster {
    AdvertisementRoster(
      context: context.digest, advertisements: context.cohort.compactMap { received[$0.name] })
  }
}
