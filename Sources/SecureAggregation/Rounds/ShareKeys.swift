public import Cryptography

// R1 ShareKeys: each organisation checks the advertisements of those it will share with, and shares z and b among them.

/// Server to client: U1, and the signed advertisements of the receiver and its neighbours in cohort order.
///
/// On the complete graph the neighbours are all others. On a k-regular one `siblings` complete the tree over all
/// advertisements, and `nonces` are those of all of U1, from which everybody computes the graph itself.
public struct AdvertisementRoster: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.roster

  public var context: ContextDigest
  /// U1.
  public var members: MemberSet
  public var advertisements: [AdvertiseKeysMessage]
  public var siblings: [SHA256Digest]
  /// 32 bytes for each member of U1 in cohort order; empty on the complete graph.
  public var nonces: [UInt8]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(members)
    encoder.append(list: advertisements) { (encoder: inout CanonicalEncoder, message: AdvertiseKeysMessage) in
      message.append(to: &encoder)
    }
    encoder.append(list: siblings) { (encoder: inout CanonicalEncoder, digest: SHA256Digest) in
      encoder.append(digest)
    }
    encoder.append(nonces)
  }
}

extension AdvertisementRoster {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    members = try decoder.members(of: context)
    advertisements = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      try AdvertiseKeysMessage(from: &decoder, context: context)
    }
    siblings = try decoder.siblings(of: context)
    nonces = try decoder.bytes(maximum: GraphBeacon.nonceByteCount * context.cohort.count)
  }
}

/// Client to server: a ciphertext of both shares for every neighbour in U1, under one signed root.
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

  /// Signs the entries as they are now, for a simulated organisation that altered them.
  package mutating func signAgain(by signer: borrowing IdentitySigningKey) {
    signature = Self.payload(
      transcript: transcript, organization: organization, root: ShareRoot(MerkleHashing.root(of: leaves))
    ).signature(by: signer)
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

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// U1 with T1, as one client sees it. Made only by checking: whoever holds one has verified every advertisement in it.
struct VerifiedRoster: Sendable {
  let transcript: TranscriptDigest
  /// U1.
  let members: MemberSet
  /// Neighbours of the checking client in U1, in cohort order.
  let peers: [Int]
  /// Of the client and its peers, by position.
  let advertisements: [Int: AdvertiseKeysMessage]
  private let seal: Seal

  /// For an opening: the same checks, made again on what an organisation has kept of its attempt.
  static func checking(
    _ evidence: MaskedInputEvidence, position: Int, own: AdvertiseKeysMessage, context: AggregationContext
  ) throws(AggregationError) -> VerifiedRoster {
    try VerifiedRoster(evidence.roster, position: position, own: own, list: evidence.list, context: context)
  }

  /// - Parameters:
  ///   - own: What the checking client sent itself.
  ///   - list: The list for which it revealed its nonce; nil on the complete graph.
  fileprivate init(
    _ roster: AdvertisementRoster, position: Int, own: AdvertiseKeysMessage, list: BeaconRequest?,
    context: AggregationContext
  ) throws(AggregationError) {
    guard roster.context == context.digest else { throw .misbehaviour(.contextMismatch(.roster), by: .server) }
    let positions = try CohortOrder.positions(
      of: roster.advertisements.map(\.organization), in: context, kind: .roster)
    try Self.check(own, isIn: roster)
    guard list != nil || roster.nonces.isEmpty else { throw .misbehaviour(.wrongBeacon, by: .server) }
    let beacon = try list.map { (list) throws(AggregationError) in
      try Self.beacon(roster, position: position, own: own, list: list, context: context)
    }
    let neighbors = try SharingGraph(beacon: beacon, context: context).neighbors(of: position)
    peers = neighbors.filter { roster.members.contains($0) }
    guard positions.filter({ $0 != position }) == peers, roster.members.contains(position) else {
      throw .misbehaviour(.wrongNeighbors(.roster), by: .server)
    }
    var keys = KeyUniqueness()
    for (message, sender) in zip(roster.advertisements, positions) {
      try keys.insert(message, relayedBy: .server)
      try message.check(in: context, relayedBy: .server, hasCommitments: context.verifiesEveryShare)
      if list != nil {
        let nonce = GraphBeacon.nonce(roster.nonces, rank: roster.members.rank(of: sender))
        guard message.beaconCommitment == GraphBeacon.commitment(to: nonce) else {
          throw .misbehaviour(.wrongBeaconNonce(message.organization), by: .server)
        }
      }
    }
    try CohortOrder.require(roster.members, of: context.everyone, stage: .advertiseKeys, context: context)
    let root = MerkleTree.root(
      leaves: zip(positions, roster.advertisements).map {
        (roster.members.rank(of: $0), Transcript.advertisementLeaf($1))
      }, count: roster.members.count, siblings: roster.siblings)
    guard let root, list == nil || root == list?.advertisementRoot else {
      throw .misbehaviour(.invalidTree(.roster), by: .server)
    }
    members = roster.members
    transcript = Transcript.digest(context: context.digest, members: members, root: root, beacon: beacon)
    advertisements = Dictionary(uniqueKeysWithValues: zip(positions, roster.advertisements))
    seal = Seal()
  }

  private static func check(
    _ own: AdvertiseKeysMessage, isIn roster: AdvertisementRoster
  ) throws(AggregationError) {
    guard let relayed = roster.advertisements.first(where: { $0.organization == own.organization }) else {
      throw .misbehaviour(.ownEntry(.roster), by: .server)
    }
    guard relayed.withoutCommitments == own.withoutCommitments else {
      throw .misbehaviour(.ownEntryAltered(.roster), by: .server)
    }
  }

  /// The beacon of the nonces, if they are those of the list and the own one is in its place.
  private static func beacon(
    _ roster: AdvertisementRoster, position: Int, own: AdvertiseKeysMessage, list: BeaconRequest,
    context: AggregationContext
  ) throws(AggregationError) -> BeaconDigest {
    guard roster.members == list.members, roster.nonces.count == GraphBeacon.nonceByteCount * list.members.count,
      GraphBeacon.fits(roster.nonces, commitments: list.commitments)
    else { throw .misbehaviour(.wrongBeacon, by: .server) }
    let nonce = GraphBeacon.nonce(roster.nonces, rank: roster.members.rank(of: position))
    guard GraphBeacon.commitment(to: nonce) == own.beaconCommitment else {
      throw .misbehaviour(.wrongBeaconNonce(own.organization), by: .server)
    }
    return GraphBeacon.digest(context: context.digest, list: list.digest, nonces: roster.nonces)
  }
}

extension AdvertisedClient {
  /// Seals both shares for every peer and signs the root.
  private borrowing func shareKeys(
    _ roster: VerifiedRoster, context: AggregationContext, signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) -> ShareKeysMessage {
    let own = message.organization
    var entries: [ShareKeysMessage.Entry] = []
    entries.reserveCapacity(roster.peers.count)
    for position in roster.peers {
      guard let peer = roster.advertisements[position] else { continue }
      var plaintext = SecretBytes(count: 2 * SecretSharing.scalarByteCount)
      mask.writeShare(at: position + 1, into: &plaintext, slot: 0)
      selfMask.writeShare(at: position + 1, into: &plaintext, slot: 1)
      let recipient = peer.organization
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
  ///
  /// - Parameter list: the list for which the nonce was revealed; nil on the complete graph.
  borrowing func share(
    _ roster: AdvertisementRoster, list: BeaconRequest?, position: Int, context: AggregationContext,
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> SharingStep {
    let verified = try VerifiedRoster(roster, position: position, own: message, list: list, context: context)
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
  let roster: CollectedRoster
  private(set) var received: Answers<ShareKeysMessage>

  init(roster: CollectedRoster, context: AggregationContext) {
    self.roster = roster
    received = Answers(cohortCount: context.cohort.count)
  }

  mutating func receive(
    _ message: ShareKeysMessage, at position: Int, context: AggregationContext
  ) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard try received.isNew(message, from: sender, at: position, .shareKeys) else { return }
    guard roster.members.contains(position) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .advertiseKeys), by: party)
    }
    guard message.transcript == roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.shareKeys), by: party)
    }
    guard message.entries.map(\.recipient) == roster.peers(of: position).map({ context.cohort[$0].name }) else {
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
    received[position] = message
  }
}
