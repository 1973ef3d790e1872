public import Cryptography

// R2 MaskedInputCollection: each organisation opens the shares sent to it and masks its term.

/// Server to client: the ciphertexts that the other members of U2 sent to this one, with paths to signed roots.
public struct ShareDelivery: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    public var sender: OrganizationName
    public var ciphertext: [UInt8]
    /// Inclusion path of (recipient, hash of the ciphertext) under `root`.
    public var path: [SHA256Digest]
    public var root: ShareRoot
    /// The sender's signature on `root`.
    public var signature: Signature
  }

  static let kind = MessageKind.shares

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  /// In cohort order; U2 is the senders and the recipient.
  public var entries: [Entry]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.sender)
      encoder.append(entry.ciphertext)
      encoder.append(list: entry.path) { (encoder: inout CanonicalEncoder, digest: SHA256Digest) in
        encoder.append(digest)
      }
      encoder.append(entry.root)
      encoder.append(entry.signature)
    }
  }
}

extension ShareDelivery {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    transcript = try decoder.digest()
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        sender: try decoder.organization(),
        ciphertext: try decoder.bytes(maximum: ShareKeysMessage.ciphertextByteCount),
        path: try decoder.list(maximum: MerkleTree.maximumPathLength) {
          (decoder: inout CanonicalDecoder) throws(CryptographyError) -> SHA256Digest in try decoder.digest()
        },
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

/// Client to server: the masked term.
public struct MaskedInputMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.maskedInput

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  public var organization: OrganizationName
  /// Digest of U2 as the sender knows it.
  public var shareSurvivors: SurvivorsHash
  public var complaints: [Complaint]
  /// Over T1, the sender, U2 and the hash of `maskedInput`.
  public var signature: Signature
  /// y: coordinates packed to the bits of the plan, then 8 bytes a counter.
  public var maskedInput: [UInt8]

  /// Hash of y as signed.
  public var maskedInputHash: MaskedInputHash { Transcript.maskedInput(maskedInput) }

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
    encoder.append(signature)
    encoder.append(maskedInput)
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
    signature = try decoder.signature()
    maskedInput = try decoder.bytes(maximum: context.maskedInputByteCount)
  }
}

/// A delivery whose signatures, paths and set were checked.
struct VerifiedDelivery: Sendable {
  let entries: [ShareDelivery.Entry]
  /// U2 in cohort order, the checking client included.
  let members: [OrganizationName]
  let digest: SurvivorsHash

  fileprivate init(
    _ delivery: ShareDelivery, roster: VerifiedRoster, organization: OrganizationName, context: AggregationContext
  ) throws(AggregationError) {
    guard delivery.context == context.digest else { throw .misbehaviour(.contextMismatch(.shares), by: .server) }
    guard delivery.transcript == roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.shares), by: .server)
    }
    let senders = delivery.entries.map(\.sender)
    try CohortOrder.check(senders, in: context, kind: .shares)
    guard !senders.contains(organization) else { throw .misbehaviour(.ownEntry(.shares), by: .server) }
    for entry in delivery.entries {
      try Self.check(entry, roster: roster, recipient: organization, context: context)
    }
    let present = Set(senders).union([organization])
    members = roster.members.filter { present.contains($0) }
    try CohortOrder.require(members, of: roster.members, stage: .shareKeys, context: context)
    digest = Transcript.survivors(members)
    entries = delivery.entries
  }

  private static func check(
    _ entry: ShareDelivery.Entry, roster: VerifiedRoster, recipient: OrganizationName, context: AggregationContext
  ) throws(AggregationError) {
    guard roster.advertisements[entry.sender] != nil, let position = context.position(of: entry.sender) else {
      throw .misbehaviour(.notInEarlierSet(entry.sender, stage: .advertiseKeys), by: .server)
    }
    let payload = ShareKeysMessage.payload(
      transcript: roster.transcript, organization: entry.sender, root: entry.root)
    guard payload.isSigned(entry.signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(entry.sender), .shares), by: .server)
    }
    let recipients = roster.members.filter { $0 != entry.sender }
    let leaf = Transcript.shareLeaf(recipient: recipient, ciphertext: entry.ciphertext)
    guard let index = recipients.firstIndex(of: recipient),
      let root = MerkleTree.root(leaf: leaf, index: index, count: recipients.count, path: entry.path),
      ShareRoot(root) == entry.root
    else { throw .misbehaviour(.invalidInclusion(entry.sender), by: .server) }
  }
}

/// What opening a delivery gives.
struct OpenedShares: ~Copyable {
  var vault: ShareVault
  var complaints: [Complaint] = []
}

/// What R2 adds to a client, before anything is given up.
struct MaskingStep: ~Copyable {
  let delivery: VerifiedDelivery
  let hash: MaskedInputHash
  let opened: OpenedShares
  let message: MaskedInputMessage
}

extension SharedClient {
  /// Up to this cohort size every received share is checked against its commitments (t multiplications each);
  /// above it the server checks when a reconstruction fails.
  static let verifyingCohortCount = 20

  /// Checks the delivery and prepares everything of R2. Changes nothing.
  borrowing func mask(
    _ delivery: ShareDelivery, term: EncodedTerm, organization: OrganizationName, context: AggregationContext,
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> MaskingStep {
    let verified = try VerifiedDelivery(delivery, roster: roster, organization: organization, context: context)
    do throws(CryptographyError) {
      let opened = try open(verified, organization: organization, context: context, signer: signer)
      let input = try maskedInput(term, members: verified.members, organization: organization, context: context)
      let hash = Transcript.maskedInput(input)
      let payload = MaskedInputMessage.payload(
        transcript: roster.transcript, organization: organization, shareSurvivors: verified.digest, hash: hash)
      let message = MaskedInputMessage(
        context: context.digest, transcript: roster.transcript, organization: organization,
        shareSurvivors: verified.digest, complaints: opened.complaints, signature: payload.signature(by: signer),
        maskedInput: input)
      return MaskingStep(delivery: verified, hash: hash, opened: opened, message: message)
    } catch {
      throw .local(error)
    }
  }

  /// Opens every ciphertext; a bad one becomes a complaint, and its sender stays in U2.
  private borrowing func open(
    _ delivery: VerifiedDelivery, organization: OrganizationName, context: AggregationContext,
    signer: borrowing IdentitySigningKey
  ) throws(CryptographyError) -> OpenedShares {
    var opened = OpenedShares(vault: ShareVault(ownerCount: context.cohort.count))
    guard let own = context.position(of: organization) else { return opened }
    opened.vault.store(
      maskShare: try secrets.maskShare(), selfMaskShare: try secrets.selfMaskShare(), for: own)
    for entry in delivery.entries {
      guard let position = context.position(of: entry.sender) else { continue }
      guard
        let reason = store(
          entry, position: position, own: own, organization: organization, context: context, in: &opened.vault)
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
    _ entry: ShareDelivery.Entry, position: Int, own: Int, organization: OrganizationName,
    context: AggregationContext, in vault: inout ShareVault
  ) -> Complaint.Reason? {
    guard let sender = roster.advertisements[entry.sender] else { return .ciphertext }
    let data = ShareKeysMessage.associatedData(
      transcript: roster.transcript, sender: entry.sender, recipient: organization)
    let plaintext: SecretBytes
    do throws(CryptographyError) {
      let keys = try channel.sessionKeys(with: sender.channelKey, asLowerIndex: own < position)
      plaintext = try keys.open(entry.ciphertext, associatedData: data)
    } catch {
      return .ciphertext
    }
    guard plaintext.count == 2 * SecretSharing.scalarByteCount else { return .share }
    do throws(CryptographyError) {
      let maskShare = try plaintext.scalar(at: 0)
      let selfMaskShare = try plaintext.scalar(at: 1)
      if context.cohort.count <= Self.verifyingCohortCount {
        guard try maskShare.timesBasePoint() == sender.maskCommitments.commitment(at: own + 1),
          try selfMaskShare.timesBasePoint() == sender.selfMaskCommitments.commitment(at: own + 1)
        else { return .share }
      }
      vault.store(maskShare: maskShare, selfMaskShare: selfMaskShare, for: position)
      return nil
    } catch {
      return .share
    }
  }

  /// y = x + PRG(b) + Σ_{j>i} PRG(s_ij) − Σ_{j<i} PRG(s_ij) over U2, as bytes of the wire.
  private borrowing func maskedInput(
    _ term: EncodedTerm, members: [OrganizationName], organization: OrganizationName, context: AggregationContext
  ) throws(CryptographyError) -> [UInt8] {
    let generator = context.parameters.generator
    var masks = [
      try Mask.own(
        secret: try secrets.selfMask(), owner: organization, transcript: roster.transcript, generator: generator)
    ]
    let secret = try secrets.mask()
    for peer in members where peer != organization {
      guard let advertisement = roster.advertisements[peer] else { continue }
      masks.append(
        try Mask.pairwise(
          secret: secret, publicKey: advertisement.maskKey, addedBy: organization, with: peer,
          transcript: roster.transcript, generator: generator))
    }
    var accumulator = Accumulator(term, bits: context.parameters.bits)
    try accumulator.apply(masks)
    return accumulator.packed()
  }
}

/// Client after R2: the keys are gone, the shares remain.
struct MaskedClient: ~Copyable {
  let roster: VerifiedRoster
  let vault: ShareVault
  /// U2 in cohort order.
  let members: [OrganizationName]
  let shareSurvivors: SurvivorsHash
  let maskedInputHash: MaskedInputHash
}

extension SharedClient {
  /// Ends the life of z, b and the channel key.
  consuming func masked(_ step: consuming MaskingStep) -> MaskedClient {
    MaskedClient(
      roster: roster, vault: step.opened.vault, members: step.delivery.members,
      shareSurvivors: step.delivery.digest, maskedInputHash: step.hash)
  }
}

/// Server in R2: adds each masked input as it comes; those who answered before the stage closes form U3.
struct MaskedInputStage: Sendable {
  /// What is kept of a masked input once it is added.
  struct Receipt: Hashable, Sendable {
    let hash: MaskedInputHash
    let signature: Signature
    let complaints: [Complaint]
  }

  let roster: VerifiedRoster
  /// U2 in cohort order.
  let members: [OrganizationName]
  let shareSurvivors: SurvivorsHash
  /// What the members of U2 sent in R1: complaints are checked against it.
  private let shares: [OrganizationName: ShareKeysMessage]
  private(set) var received: [OrganizationName: Receipt] = [:]

  init(closing stage: ShareKeysStage) {
    roster = stage.roster
    members = stage.members
    shareSurvivors = Transcript.survivors(stage.members)
    shares = stage.received
  }

  /// Checks a masked input and records its receipt.
  /// - Returns: Whether it is new and has to be added; a resend of the same bytes is not.
  mutating func receive(_ message: MaskedInputMessage, context: AggregationContext) throws(AggregationError) -> Bool {
    let sender = message.organization
    let party = Party.organization(sender)
    guard message.context == context.digest else { throw .misbehaviour(.contextMismatch(.maskedInput), by: party) }
    guard members.contains(sender), let position = context.position(of: sender) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .shareKeys), by: party)
    }
    guard message.transcript == roster.transcript else {
      throw .misbehaviour(.transcriptMismatch(.maskedInput), by: party)
    }
    guard message.shareSurvivors == shareSurvivors else {
      throw .misbehaviour(.survivorsMismatch(.maskedInput), by: party)
    }
    let expected = context.maskedInputByteCount
    guard message.maskedInput.count == expected else {
      throw .misbehaviour(.wrongLength(expected: expected, actual: message.maskedInput.count), by: party)
    }
    let parameters = context.parameters
    let packed = BitPacking.byteCount(words: parameters.tensorCount, bits: parameters.bits)
    guard
      BitPacking.unusedBitsAreZero(
        message.maskedInput[..<packed], words: parameters.tensorCount, bits: parameters.bits)
    else { throw .misbehaviour(.unusedBitsSet, by: party) }
    let receipt = Receipt(
      hash: message.maskedInputHash, signature: message.signature, complaints: message.complaints)
    if let earlier = received[sender] {
      guard earlier == receipt else { throw .misbehaviour(.duplicateMessage(.maskedInput), by: party) }
      return false
    }
    let payload = MaskedInputMessage.payload(
      transcript: roster.transcript, organization: sender, shareSurvivors: shareSurvivors, hash: receipt.hash)
    let identity = context.cohort[position].identity
    guard payload.isSigned(message.signature, by: identity) else {
      throw .misbehaviour(.invalidSignature(of: party, .maskedInput), by: party)
    }
    try check(message.complaints, by: sender, identity: identity)
    received[sender] = receipt
    return true
  }

  private func check(
    _ complaints: [Complaint], by sender: OrganizationName, identity: IdentityVerifyingKey
  ) throws(AggregationError) {
    var accused = Set<OrganizationName>()
    for complaint in complaints {
      let payload = Complaint.payload(
        transcript: roster.transcript, complainant: sender, accused: complaint.accused, reason: complaint.reason,
        ciphertextHash: complaint.ciphertextHash)
      let entry = shares[complaint.accused]?.entries.first { $0.recipient == sender }
      guard let entry, complaint.ciphertextHash == SHA256Digest(hashing: entry.ciphertext),
        accused.insert(complaint.accused).inserted, payload.isSigned(complaint.signature, by: identity)
      else { throw .misbehaviour(.invalidComplaint(about: complaint.accused), by: .organization(sender)) }
    }
  }

  /// U3 in cohort order.
  var survivors: [OrganizationName] { members.filter { received[$0] != nil } }
}
