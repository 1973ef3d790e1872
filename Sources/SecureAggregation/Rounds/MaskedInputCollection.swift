public import Cryptography

// R2 MaskedInputCollection: each organisation opens the shares sent to it and masks its term.

/// Server to client: U2, and the ciphertexts that the receiver's neighbours in it sent to it, with paths to signed roots.
public struct ShareDelivery: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    public var sender: OrganizationName
    public var ciphertext: [UInt8]
    /// Inclusion path of (recipient, hash of the ciphertext) under `root`, in a tree of `count` leaves.
    public var path: [SHA256Digest]
    public var index: Int
    public var count: Int
    public var root: ShareRoot
    /// The sender's signature on `root`.
    public var signature: Signature
  }

  static let kind = MessageKind.shares

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  /// U2.
  public var members: MemberSet
  /// In cohort order.
  public var entries: [Entry]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(members)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.sender)
      encoder.append(entry.ciphertext)
      encoder.append(list: entry.path) { (encoder: inout CanonicalEncoder, digest: SHA256Digest) in
        encoder.append(digest)
      }
      encoder.append(UInt64(entry.index))
      encoder.append(UInt64(entry.count))
      encoder.append(entry.root)
      encoder.append(entry.signature)
    }
  }
}

extension ShareDelivery {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    transcript = try decoder.digest()
    members = try decoder.members(of: context)
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        sender: try decoder.organization(),
        ciphertext: try decoder.bytes(maximum: ShareKeysMessage.ciphertextByteCount),
        path: try decoder.siblings(of: context),
        index: try decoder.count(maximum: context.cohort.count),
        count: try decoder.count(maximum: context.cohort.count),
        root: try decoder.digest(), signature: try decoder.signature())
    }
  }
}

/// A signed statement that a ciphertext, properly relayed, holds no valid shares.
///
/// It travels with the masked input. The one who complains keeps the accused in U2 and merely has no share of it.
public struct Complaint: Hashable, Sendable {
  public enum Reason: String, Hashable, Sendable, CaseIterable {
    /// The ciphertext does not open under the channel key of the accused.
    case ciphertext
    /// A share is not a canonical scalar or does not fit the commitments.
    case share
  }

  public var accused: OrganizationName
  public var reason: Reason
  public var ciphertextHash: SHA256Digest
  /// By the organisation that complains.
  public var signature: Signature

  static func payload(
    transcript: TranscriptDigest, complainant: OrganizationName, accused: OrganizationName, reason: Reason,
    ciphertextHash: SHA256Digest
  ) -> SignedPayload {
    SignedPayload("bauta/v1/complaint") { encoder in
      encoder.append(transcript)
      encoder.append(complainant)
      encoder.append(accused)
      encoder.append(reason.rawValue)
      encoder.append(ciphertextHash)
    }
  }
}

/// Client to server: the signed hash of the masked term. Its bytes travel beside, see ``MaskedInputBody``.
public struct MaskedInputMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.maskedInput

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  public var organization: OrganizationName
  /// Digest of U2 as the sender knows it.
  public var shareSurvivors: SurvivorsHash
  public var complaints: [Complaint]
  /// Of y: coordinates packed to the bits of the plan, then 8 bytes a counter.
  public var maskedInputHash: MaskedInputHash
  /// Over T1, the sender, U2 and `maskedInputHash`.
  public var signature: Signature

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(organization)
    encoder.append(shareSurvivors)
    encoder.append(list: complaints) { (encoder: inout CanonicalEncoder, complaint: Complaint) in
      encoder.append(complaint.accused)
      encoder.append(complaint.reason == .share)
      encoder.append(complaint.ciphertextHash)
      encoder.append(complaint.signature)
    }
    encoder.append(maskedInputHash)
    encoder.append(signature)
  }

  static func payload(
    transcript: TranscriptDigest, organization: OrganizationName, shareSurvivors: SurvivorsHash,
    hash: MaskedInputHash
  ) -> SignedPayload {
    SignedPayload("bauta/v1/masked-input") { encoder in
      encoder.append(transcript)
      encoder.append(organization)
      encoder.append(shareSurvivors)
      encoder.append(hash)
    }
  }
}

extension MaskedInputMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    transcript = try decoder.digest()
    organization = try decoder.organization()
    shareSurvivors = try decoder.digest()
    complaints = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      let accused = try decoder.organization()
      let reason: Complaint.Reason = try decoder.flag() ? .share : .ciphertext
      return Complaint(
        accused: accused, reason: reason, ciphertextHash: try decoder.digest(), signature: try decoder.signature())
    }
    maskedInputHash = try decoder.digest()
    signature = try decoder.signature()
  }
}

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// A delivery whose signatures, paths and set were checked.
struct VerifiedDelivery: Sendable {
  let entries: [ShareDelivery.Entry]
  /// Who sent the entries, in cohort order: the client's neighbours in U2.
  let peers: [Int]
  /// U2.
  let members: MemberSet
  let digest: SurvivorsHash
  private let seal: Seal

  fileprivate init(
    _ delivery: ShareDelivery, roster: VerifiedRoster, position: Int, context: AggregationContext
  ) throws(AggregationError) {
    guard delivery.context == context.digest else { throw .misbehaviour(.contextMismatch(.shares), by: .server) }
    guard delivery.transcript == roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.shares), by: .server)
    }
    let senders = try CohortOrder.positions(of: delivery.entries.map(\.sender), in: context, kind: .shares)
    guard delivery.members.contains(position), !senders.contains(position) else {
      throw .misbehaviour(.ownEntry(.shares), by: .server)
    }
    if let stranger = delivery.members.subtracting(roster.members).positions.first {
      throw .misbehaviour(
        .notInEarlierSet(context.cohort[stranger].name, stage: .advertiseKeys), by: .server)
    }
    peers = roster.peers.filter { delivery.members.contains($0) }
    guard senders == peers else { throw .misbehaviour(.wrongNeighbors(.shares), by: .server) }
    for (entry, sender) in zip(delivery.entries, senders) {
      try Self.check(
        entry, identity: context.cohort[sender].identity, recipient: context.cohort[position].name,
        transcript: roster.transcript)
    }
    try CohortOrder.require(delivery.members, of: roster.members, stage: .shareKeys, context: context)
    members = delivery.members
    digest = Transcript.survivors(members)
    entries = delivery.entries
    seal = Seal()
  }

  private static func check(
    _ entry: ShareDelivery.Entry, identity: IdentityVerifyingKey, recipient: OrganizationName,
    transcript: TranscriptDigest
  ) throws(AggregationError) {
    let payload = ShareKeysMessage.payload(transcript: transcript, organization: entry.sender, root: entry.root)
    guard payload.isSigned(entry.signature, by: identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(entry.sender), .shares), by: .server)
    }
    // The leaf names its recipient, so where it stands in the tree does not matter.
    let leaf = Transcript.shareLeaf(recipient: recipient, ciphertext: entry.ciphertext)
    guard
      let root = MerkleTree.root(leaves: [(entry.index, leaf)], count: entry.count, siblings: entry.path),
      ShareRoot(root) == entry.root
    else { throw .misbehaviour(.invalidInclusion(entry.sender), by: .server) }
  }
}

/// The shares that a client holds after R2.
struct HeldShares: ~Copyable {
  /// Whose shares these may be, in cohort order: the neighbours in U2, and on the complete graph the client itself.
  let owners: [Int]
  var vault: ShareVault

  init(owners: [Int]) {
    self.owners = owners
    vault = ShareVault(ownerCount: owners.count)
  }
}

/// What opening a delivery gives.
struct OpenedShares: ~Copyable {
  var held: HeldShares
  var complaints: [Complaint] = []
}

/// What R2 adds to a client, before anything is given up.
struct MaskingStep: ~Copyable {
  let delivery: VerifiedDelivery
  let opened: OpenedShares
  let message: MaskedInputMessage
}

extension SharedClient {
  /// Checks the delivery and prepares everything of R2. Changes nothing.
  ///
  /// - Parameter spool: is given the bytes of the masked input in order; what it throws is thrown on.
  borrowing func mask(
    _ delivery: ShareDelivery, term: some TermSource, position: Int, lanes: Lanes, context: AggregationContext,
    signer: borrowing IdentitySigningKey, sealing: (borrowing MaskingSecrets, MaskedInputMessage) throws -> Void,
    spool: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> MaskingStep {
    let verified = try VerifiedDelivery(delivery, roster: roster, position: position, context: context)
    let organization = context.cohort[position].name
    let opened = try open(verified, position: position, context: context, signer: signer)
    let masks = try masks(with: verified.peers, organization: organization, lanes: lanes, context: context)
    let hash = try MaskedInputWriter.write(
      term, masks: masks, parameters: context.parameters, lanes: lanes, to: spool)
    let payload = MaskedInputMessage.payload(
      transcript: roster.transcript, organization: organization, shareSurvivors: verified.digest, hash: hash)
    let message = MaskedInputMessage(
      context: context.digest, transcript: roster.transcript, organization: organization,
      shareSurvivors: verified.digest, complaints: opened.complaints, maskedInputHash: hash,
      signature: payload.signature(by: signer))
    try sealing(MaskingSecrets(mask: try secrets.mask(), selfMask: try secrets.selfMask()), message)
    return MaskingStep(delivery: verified, opened: opened, message: message)
  }

  /// Opens every ciphertext; a bad one becomes a complaint, and its sender stays in U2.
  private borrowing func open(
    _ delivery: VerifiedDelivery, position own: Int, context: AggregationContext,
    signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) -> OpenedShares {
    let isComplete = context.regularGraph == nil
    let owners = isComplete ? (delivery.peers + [own]).sorted() : delivery.peers
    var opened = OpenedShares(held: HeldShares(owners: owners))
    let organization = context.cohort[own].name
    var entries = delivery.entries.makeIterator()
    for (slot, owner) in owners.enumerated() {
      if owner == own {
        opened.held.vault.store(
          maskShare: try secrets.maskShare(), selfMaskShare: try secrets.selfMaskShare(), for: slot)
        continue
      }
      guard let entry = entries.next(),
        let reason = store(
          entry, sender: owner, own: own, slot: slot, context: context, in: &opened.held.vault)
      else { continue }
      let hash = SHA256Digest(hashing: entry.ciphertext)
      let payload = Complaint.payload(
        transcript: roster.transcript, complainant: organization, accused: entry.sender, reason: reason,
        ciphertextHash: hash)
      opened.complaints.append(
        Complaint(
          accused: entry.sender, reason: reason, ciphertextHash: hash, signature: payload.signature(by: signer)))
    }
    return opened
  }

  /// Stores the shares of one entry, or gives the reason of a complaint.
  private borrowing func store(
    _ entry: ShareDelivery.Entry, sender: Int, own: Int, slot: Int, context: AggregationContext,
    in vault: inout ShareVault
  ) -> Complaint.Reason? {
    guard let advertisement = roster.advertisements[sender] else { return .ciphertext }
    let data = ShareKeysMessage.associatedData(
      transcript: roster.transcript, sender: entry.sender, recipient: context.cohort[own].name)
    let plaintext: SecretBytes
    do throws(CryptographyError) {
      let keys = try channel.sessionKeys(with: advertisement.channelKey, asLowerIndex: own < sender)
      plaintext = try keys.open(entry.ciphertext, associatedData: data)
    } catch {
      return .ciphertext
    }
    guard plaintext.count == 2 * SecretSharing.scalarByteCount else { return .share }
    do throws(CryptographyError) {
      if let commitments = advertisement.commitments {
        guard try plaintext.scalar(at: 0).timesBasePoint() == commitments.mask.commitment(at: own + 1),
          try plaintext.scalar(at: 1).timesBasePoint() == commitments.selfMask.commitment(at: own + 1)
        else { return .share }
      }
      try vault.store(plaintext, for: slot)
      return nil
    } catch {
      return .share
    }
  }

  /// The masks of y = x + PRG(b) + Σ_{j>i} PRG(s_ij) − Σ_{j<i} PRG(s_ij) over the neighbours in U2.
  private borrowing func masks(
    with peers: [Int], organization: OrganizationName, lanes: Lanes, context: AggregationContext
  ) throws(CryptographyError) -> [Mask] {
    let generator = context.parameters.generator
    let transcript = roster.transcript
    let own = try Mask.own(
      secret: try secrets.selfMask(), owner: organization, transcript: transcript, generator: generator)
    let secret = try secrets.mask()
    let keys = peers.compactMap { roster.advertisements[$0] }
    return [own]
      + (try lanes.map(keys.count) { index in
        Result { () throws(CryptographyError) -> Mask in
          try Mask.pairwise(
            secret: secret, publicKey: keys[index].maskKey, addedBy: organization, with: keys[index].organization,
            transcript: transcript, generator: generator)
        }
      })
  }
}

/// Client after R2: the keys are gone, the shares remain.
struct MaskedClient: ~Copyable {
  let transcript: TranscriptDigest
  let held: HeldShares
  /// Neighbours in U2, in cohort order.
  let peers: [Int]
  /// U2.
  let members: MemberSet
  let shareSurvivors: SurvivorsHash
  let maskedInputHash: MaskedInputHash
}

extension SharedClient {
  /// Ends the life of z, b and the channel key.
  consuming func masked(_ step: consuming MaskingStep) -> MaskedClient {
    MaskedClient(
      transcript: roster.transcript, held: step.opened.held, peers: step.delivery.peers,
      members: step.delivery.members, shareSurvivors: step.delivery.digest,
      maskedInputHash: step.message.maskedInputHash)
  }
}
