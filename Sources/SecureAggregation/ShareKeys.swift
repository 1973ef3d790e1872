public import Cryptography

// R1 ShareKeys: each organisation checks everybody's advertisement and shares z and b among all of U1.

/// Server to client: the signed advertisements of U1 in cohort order.
public struct AdvertisementRoster: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.roster

  public var context: ContextDigest
  public var advertisements: [AdvertiseKeysMessage]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(list: advertisements) { (encoder: inout CanonicalEncoder, message: AdvertiseKeysMessage) in
      message.append(to: &encoder)
    }
  }
}

extension AdvertisementRoster {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    advertisements = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      try AdvertiseKeysMessage(from: &decoder, context: context)
    }
  }
}

/// Client to server: a ciphertext of both shares for every other member of U1, under one signed root.
public struct ShareKeysMessage: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    public var recipient: OrganizationName
    public var ciphertext: [UInt8]
  }

  static let kind = MessageKind.shareKeys
  /// nonce ‖ two scalars ‖ tag.
  static let ciphertextByteCount = 24 + 2 * SecretSharing.scalarByteCount + 16

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  public var organization: OrganizationName
  /// In cohort order.
  public var entries: [Entry]
  public var signature: Signature

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(organization)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.recipient)
      encoder.append(entry.ciphertext)
    }
    encoder.append(signature)
  }

  static func payload(
    transcript: TranscriptDigest, organization: OrganizationName, root: ShareRoot
  ) -> SignedPayload {
    SignedPayload("bauta/v1/share-keys") { encoder in
      encoder.append(transcript)
      encoder.append(organization)
      encoder.append(root)
    }
  }

  /// What the sealed shares from `sender` to `recipient` are bound to.
  static func associatedData(
    transcript: TranscriptDigest, sender: OrganizationName, recipient: OrganizationName
  ) -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/share")
    encoder.append(transcript)
    encoder.append(sender)
    encoder.append(recipient)
    return encoder.finish()
  }

  var leaves: [LeafHash] {
    entries.map { Transcript.shareLeaf(recipient: $0.recipient, ciphertext: $0.ciphertext) }
  }
}

extension ShareKeysMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    transcript = try decoder.digest()
    organization = try decoder.organization()
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        recipient: try decoder.organization(),
        ciphertext: try decoder.bytes(maximum: Self.ciphertextByteCount))
    }
    signature = try decoder.signature()
  }
}

/// U1 with T1. Made only by checking: whoever holds one has verified every advertisement in it.
struct VerifiedRoster: Sendable {
  let transcript: TranscriptDigest
  /// In cohort order.
  let members: [OrganizationName]
  let advertisements: [OrganizationName: AdvertiseKeysMessage]

  /// - Parameter own: What the checking client sent itself, or nil on the server.
  fileprivate init(
    _ roster: AdvertisementRoster, context: AggregationContext, own: AdvertiseKeysMessage?
  ) throws(AggregationError) {
    guard roster.context == context.digest else { throw .misbehaviour(.contextMismatch(.roster), by: .server) }
    try CohortOrder.check(roster.advertisements.map(\.organization), in: context, kind: .roster)
    if let own {
      guard let relayed = roster.advertisements.first(where: { $0.organization == own.organization }) else {
        throw .misbehaviour(.ownEntry(.roster), by: .server)
      }
      guard relayed == own else { throw .misbehaviour(.ownEntryAltered(.roster), by: .server) }
    }
    var keys = KeyUniqueness()
    for message in roster.advertisements {
      try keys.insert(message, relayedBy: .server)
      try message.check(in: context, relayedBy: .server)
    }
    try CohortOrder.require(
      roster.advertisements.map(\.organization), of: context.cohort.map(\.name), stage: .advertiseKeys,
      context: context)
    self.transcript = Transcript.digest(context: context.digest, advertisements: roster.advertisements)
    self.members = roster.advertisements.map(\.organization)
    self.advertisements = Dictionary(
      uniqueKeysWithValues: roster.advertisements.map { ($0.organization, $0) })
  }

  /// The server's own roster, whose advertisements were checked on receipt.
  init(closing stage: AdvertiseKeysStage, context: AggregationContext) throws(AggregationError) {
    try self.init(stage.roster(context: context), context: context, own: nil)
  }
}

/// Rules about lists of organisations.
enum CohortOrder {
  /// Known, strictly ascending, no repetition.
  static func check(
    _ names: [OrganizationName], in context: AggregationContext, kind: MessageKind, by party: Party = .server
  ) throws(AggregationError) {
    var previous: Int?
    for name in names {
      guard let position = context.position(of: name) else {
        throw .misbehaviour(.unknownOrganization(name), by: party)
      }
      if let previous {
        guard position != previous else { throw .misbehaviour(.duplicateOrganization(name), by: party) }
        guard position > previous else { throw .misbehaviour(.unsortedOrganizations(kind), by: party) }
      }
      previous = position
    }
  }

  /// Enough of those who could have answered `stage` did.
  static func require(
    _ present: [OrganizationName], of candidates: [OrganizationName], stage: RoundStage, context: AggregationContext
  ) throws(AggregationError) {
    let required = context.requiredParticipants(in: stage)
    guard present.count < required else { return }
    let answered = Set(present)
    throw .tooFewParticipants(
      Shortage(
        stage: stage, present: present.count, required: required,
        missing: candidates.filter { !answered.contains($0) }))
  }
}

extension AdvertisedClient {
  /// Seals both shares for every other member of U1 and signs the root.
  private borrowing func shareKeys(
    _ roster: VerifiedRoster, context: AggregationContext, signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) -> ShareKeysMessage {
    let own = message.organization
    var entries: [ShareKeysMessage.Entry] = []
    for recipient in roster.members where recipient != own {
      guard let position = context.position(of: recipient), let peer = roster.advertisements[recipient] else {
        continue
      }
      var plaintext = SecretBytes(count: 2 * SecretSharing.scalarByteCount)
      mask.writeShare(at: position + 1, into: &plaintext, slot: 0)
      selfMask.writeShare(at: position + 1, into: &plaintext, slot: 1)
      let keys = try channel.sessionKeys(with: peer.channelKey, asLowerIndex: own < recipient)
      let data = ShareKeysMessage.associatedData(transcript: roster.transcript, sender: own, recipient: recipient)
      entries.append(
        ShareKeysMessage.Entry(recipient: recipient, ciphertext: keys.seal(plaintext, associatedData: data)))
    }
    let leaves = entries.map { Transcript.shareLeaf(recipient: $0.recipient, ciphertext: $0.ciphertext) }
    let payload = ShareKeysMessage.payload(
      transcript: roster.transcript, organization: own, root: ShareRoot(MerkleHashing.root(of: leaves)))
    return ShareKeysMessage(
      context: context.digest, transcript: roster.transcript, organization: own, entries: entries,
      signature: payload.signature(by: signer))
  }
}

/// The secrets of the attempt, with the own shares of them: the polynomials are not kept beyond R1.
struct OwnSecrets: ~Copyable {
  private let slab: SecretBytes

  init(of client: borrowing AdvertisedClient, position: Int) throws(CryptographyError) {
    var slab = SecretBytes(count: 4 * SecretSharing.scalarByteCount)
    slab.copyScalar(try client.mask.constant(), to: 0)
    slab.copyScalar(try client.selfMask.constant(), to: 1)
    client.mask.writeShare(at: position + 1, into: &slab, slot: 2)
    client.selfMask.writeShare(at: position + 1, into: &slab, slot: 3)
    self.slab = slab
  }

  /// z
  borrowing func mask() throws(CryptographyError) -> Scalar { try slab.scalar(at: 0) }
  /// b
  borrowing func selfMask() throws(CryptographyError) -> Scalar { try slab.scalar(at: 1) }
  borrowing func maskShare() throws(CryptographyError) -> Scalar { try slab.scalar(at: 2) }
  borrowing func selfMaskShare() throws(CryptographyError) -> Scalar { try slab.scalar(at: 3) }
}

/// What R1 adds to a client, before anything is given up.
struct SharingStep: ~Copyable {
  let roster: VerifiedRoster
  let secrets: OwnSecrets
  let message: ShareKeysMessage
}

/// Client after R1: still holds z and b.
struct SharedClient: ~Copyable {
  let channel: ChannelKeyPair
  let secrets: OwnSecrets
  let roster: VerifiedRoster
}

extension AdvertisedClient {
  /// Checks the roster and prepares everything of R1. Changes nothing.
  borrowing func share(
    _ roster: AdvertisementRoster, position: Int, context: AggregationContext, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> SharingStep {
    let verified = try VerifiedRoster(roster, context: context, own: message)
    do throws(CryptographyError) {
      let message = try shareKeys(verified, context: context, signer: signer)
      return SharingStep(
        roster: verified, secrets: try OwnSecrets(of: self, position: position), message: message)
    } catch {
      throw .local(error)
    }
  }

  consuming func shared(_ step: consuming SharingStep) -> SharedClient {
    SharedClient(channel: channel, secrets: step.secrets, roster: step.roster)
  }
}

/// Server in R1: collects ciphertexts; those who answered before the stage closes form U2.
struct ShareKeysStage: Sendable {
  let roster: VerifiedRoster
  private(set) var received: [OrganizationName: ShareKeysMessage] = [:]

  init(roster: VerifiedRoster) { self.roster = roster }

  mutating func receive(_ message: ShareKeysMessage, context: AggregationContext) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    if let earlier = received[sender] {
      guard earlier == message else { throw .misbehaviour(.duplicateMessage(.shareKeys), by: party) }
      return
    }
    guard message.context == context.digest else { throw .misbehaviour(.contextMismatch(.shareKeys), by: party) }
    guard let position = context.position(of: sender), roster.advertisements[sender] != nil else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .advertiseKeys), by: party)
    }
    guard message.transcript == roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.shareKeys), by: party)
    }
    guard message.entries.map(\.recipient) == roster.members.filter({ $0 != sender }) else {
      throw .misbehaviour(.wrongRecipients, by: party)
    }
    for entry in message.entries where entry.ciphertext.count != ShareKeysMessage.ciphertextByteCount {
      throw .misbehaviour(
        .wrongLength(expected: ShareKeysMessage.ciphertextByteCount, actual: entry.ciphertext.count), by: party)
    }
    let payload = ShareKeysMessage.payload(
      transcript: roster.transcript, organization: sender, root: ShareRoot(MerkleHashing.root(of: message.leaves)))
    guard payload.isSigned(message.signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: party, .shareKeys), by: party)
    }
    received[sender] = message
  }

  /// U2 in cohort order.
  var members: [OrganizationName] { roster.members.filter { received[$0] != nil } }

  /// What each member of U2 is sent: the ciphertexts of the others for it.
  func deliveries(context: AggregationContext) -> [OrganizationName: ShareDelivery] {
    var items: [OrganizationName: [ShareDelivery.Entry]] = [:]
    let members = members
    for sender in members {
      guard let message = received[sender] else { continue }
      let leaves = message.leaves
      let tree = MerkleTree(leaves: leaves)
      let root = ShareRoot(MerkleHashing.root(of: leaves))
      for (index, entry) in message.entries.enumerated() where received[entry.recipient] != nil {
        items[entry.recipient, default: []].append(
          ShareDelivery.Entry(
            sender: sender, ciphertext: entry.ciphertext, path: tree.path(of: index), root: root,
            signature: message.signature))
      }
    }
    return items.mapValues { ShareDelivery(context: context.digest, transcript: roster.transcript, entries: $0) }
  }
}
