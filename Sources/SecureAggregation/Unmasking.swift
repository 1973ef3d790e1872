public import Cryptography

// R4 Unmasking: against signatures of t members on its own statement, an organisation releases one kind of share
// for every member of U2.

/// Server to client: signatures of members of U3 on one statement.
public struct StatementSet: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    public var organization: OrganizationName
    public var signature: Signature
  }

  static let kind = MessageKind.statements

  public var context: ContextDigest
  /// The statement that the server claims was signed; the client checks signatures on its own.
  public var statement: StatementDigest
  /// In cohort order.
  public var entries: [Entry]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(statement)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.organization)
      encoder.append(entry.signature)
    }
  }
}

extension StatementSet {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    statement = try decoder.digest()
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(organization: try decoder.organization(), signature: try decoder.signature())
    }
  }
}

/// Client to server: one share for each member of U2 of which the sender holds any.
public struct UnmaskingMessage: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    /// Whose secret is shared.
    public var owner: OrganizationName
    public var kind: ShareKind
    /// A canonical scalar, 32 bytes.
    public var share: [UInt8]
  }

  static let kind = MessageKind.unmasking

  public var context: ContextDigest
  public var organization: OrganizationName
  /// The statement under which the shares are released.
  public var statement: StatementDigest
  /// In cohort order.
  public var entries: [Entry]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(organization)
    encoder.append(statement)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.owner)
      encoder.append(entry.kind == .selfMask)
      encoder.append(entry.share)
    }
  }
}

extension UnmaskingMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    organization = try decoder.organization()
    statement = try decoder.digest()
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        owner: try decoder.organization(), kind: try decoder.flag() ? .selfMask : .mask,
        share: try decoder.bytes(maximum: SecretSharing.scalarByteCount))
    }
  }
}

/// Proof that t distinct members of U3 signed the statement that the client signed. Releasing demands one.
struct ThresholdProof: ~Copyable {
  fileprivate init(
    _ set: StatementSet, client: borrowing SignedClient, context: AggregationContext
  ) throws(AggregationError) {
    guard set.context == context.digest else { throw .misbehaviour(.contextMismatch(.statements), by: .server) }
    let statement = client.survivors.statement
    guard set.statement == statement.digest else { throw .misbehaviour(.statementMismatch, by: .server) }
    try CohortOrder.check(set.entries.map(\.organization), in: context, kind: .statements)
    let payload = statement.payload
    let survivors = client.survivors.survivors
    for entry in set.entries {
      guard survivors.contains(entry.organization), let position = context.position(of: entry.organization) else {
        throw .misbehaviour(.notInEarlierSet(entry.organization, stage: .maskedInputCollection), by: .server)
      }
      guard payload.isSigned(entry.signature, by: context.cohort[position].identity) else {
        throw .misbehaviour(.invalidSignature(of: .organization(entry.organization), .statements), by: .server)
      }
    }
    try CohortOrder.require(
      set.entries.map(\.organization), of: survivors, stage: .consistencyCheck, context: context)
  }
}

extension SignedClient {
  /// Checks the signatures. Changes nothing.
  borrowing func verify(
    _ set: StatementSet, context: AggregationContext
  ) throws(AggregationError) -> ThresholdProof {
    try ThresholdProof(set, client: self, context: context)
  }

  /// The one reply: the share of b_j for j in U3, that of z_j for j in U2∖U3, own included. Consumes the vault, so
  /// that the complementary shares end with it.
  consuming func release(
    _ proof: consuming ThresholdProof, organization: OrganizationName, context: AggregationContext
  ) -> UnmaskingMessage {
    let surviving = Set(survivors.survivors)
    var entries: [UnmaskingMessage.Entry] = []
    for owner in members {
      guard let position = context.position(of: owner), vault.holds(position) else { continue }
      // One kind a member, by construction.
      let kind: ShareKind = surviving.contains(owner) ? .selfMask : .mask
      entries.append(
        UnmaskingMessage.Entry(owner: owner, kind: kind, share: vault.release(kind, for: position)))
    }
    return UnmaskingMessage(
      context: context.digest, organization: organization, statement: survivors.statement.digest, entries: entries)
  }
}

/// Server in R4: collects shares, recovers secrets and takes the masks off the sum.
struct UnmaskingStage: Sendable {
  /// Masks taken off in one pass over the sum.
  private static let batchCount = 64

  let roster: VerifiedRoster
  let members: [OrganizationName]
  let survivors: [OrganizationName]
  let signers: [OrganizationName]
  let statement: ConsistencyStatement
  private let complaints: [OrganizationName: [Complaint]]
  private(set) var received: [OrganizationName: UnmaskingMessage] = [:]

  init(closing stage: ConsistencyCheckStage) {
    roster = stage.roster
    members = stage.members
    survivors = stage.survivors
    signers = stage.signers
    statement = stage.statement
    complaints = stage.complaints
  }

  mutating func receive(_ message: UnmaskingMessage, context: AggregationContext) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard message.context == context.digest else { throw .misbehaviour(.contextMismatch(.unmasking), by: party) }
    guard signers.contains(sender), let position = context.position(of: sender) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .consistencyCheck), by: party)
    }
    if let earlier = received[sender] {
      guard earlier == message else { throw .misbehaviour(.duplicateMessage(.unmasking), by: party) }
      return
    }
    guard message.statement == statement.digest else { throw .misbehaviour(.statementMismatch, by: party) }
    let accused = Set((complaints[sender] ?? []).map(\.accused))
    let surviving = Set(survivors)
    let owners = members.filter { !accused.contains($0) }
    guard message.entries.map(\.owner) == owners,
      message.entries.allSatisfy({ $0.kind == (surviving.contains($0.owner) ? .selfMask : .mask) })
    else { throw .misbehaviour(.wrongShareSet, by: party) }
    for entry in message.entries {
      guard entry.share.count == SecretSharing.scalarByteCount else {
        throw .misbehaviour(
          .wrongLength(expected: SecretSharing.scalarByteCount, actual: entry.share.count), by: party)
      }
      // The recipient had checked it against the same commitments, so a wrong share is the sender's.
      if context.cohort.count <= SharedClient.verifyingCohortCount {
        guard fits(entry, index: position + 1) else { throw .misbehaviour(.wrongShare(of: entry.owner), by: party) }
      }
    }
    received[sender] = message
  }

  /// Whether every member's secret has t shares by now; one about whom others complained needs more replies.
  func isRecoverable(context: AggregationContext) -> Bool {
    var shares: [OrganizationName: Int] = [:]
    for message in received.values {
      for entry in message.entries { shares[entry.owner, default: 0] += 1 }
    }
    return members.allSatisfy { shares[$0, default: 0] >= context.threshold }
  }

  /// Recovers every secret and takes the masks off.
  ///
  /// - Returns: Senders of wrong shares found on the way (only above the cohort size up to which shares are checked
  ///   on receipt).
  /// - Throws: ``AggregationError/unrecoverable(_:)`` if a secret has fewer than t good shares; the accumulator is
  ///   not usable then.
  func unmask(
    _ accumulator: inout Accumulator, context: AggregationContext
  ) throws(AggregationError) -> Set<OrganizationName> {
    var recovery = SecretRecovery(context: context, received: received)
    let surviving = Set(survivors)
    var pending: [Mask] = []
    do throws(CryptographyError) {
      for owner in members {
        guard let advertisement = roster.advertisements[owner] else { continue }
        let kind: ShareKind = surviving.contains(owner) ? .selfMask : .mask
        let secret = try recovery.secret(kind, of: owner, advertisement: advertisement)
        guard let secret else { continue }
        pending += try masks(kind, of: owner, secret: secret, context: context)
        if pending.count >= Self.batchCount {
          try accumulator.apply(pending, removing: true)
          pending = []
        }
      }
      try accumulator.apply(pending, removing: true)
    } catch {
      throw .local(error)
    }
    if let fault = recovery.fault { throw .unrecoverable(fault) }
    return recovery.blamed
  }

  /// The masks that the secret of `owner` put into the sum of U3, with the sign they have there.
  private func masks(
    _ kind: ShareKind, of owner: OrganizationName, secret: borrowing Scalar, context: AggregationContext
  ) throws(CryptographyError) -> [Mask] {
    let generator = context.parameters.generator
    switch kind {
    case .selfMask:
      return [
        try Mask.own(secret: secret, owner: owner, transcript: roster.transcript, generator: generator)
      ]
    case .mask:
      var masks: [Mask] = []
      for survivor in survivors {
        guard let advertisement = roster.advertisements[survivor] else { continue }
        masks.append(
          try Mask.pairwise(
            secret: secret, publicKey: advertisement.maskKey, addedBy: survivor, with: owner,
            transcript: roster.transcript, generator: generator))
      }
      return masks
    }
  }

  private func fits(_ entry: UnmaskingMessage.Entry, index: Int) -> Bool {
    guard let advertisement = roster.advertisements[entry.owner] else { return false }
    return advertisement.commitments(entry.kind).verifies(share: entry.share, at: index)
  }
}

extension AdvertiseKeysMessage {
  func commitments(_ kind: ShareKind) -> FeldmanCommitments {
    switch kind {
    case .mask: maskCommitments
    case .selfMask: selfMaskCommitments
    }
  }
}

/// Recovers secrets from shares, checking each against the owner's commitment and blaming wrong shares.
struct SecretRecovery {
  private let context: AggregationContext
  private let received: [OrganizationName: UnmaskingMessage]
  private var coefficients: [[Int]: [PublicScalar]] = [:]
  private(set) var blamed: Set<OrganizationName> = []
  private(set) var fault: RecoveryFault?

  init(context: AggregationContext, received: [OrganizationName: UnmaskingMessage]) {
    self.context = context
    self.received = received
  }

  /// The secret, or nil after recording a fault.
  mutating func secret(
    _ kind: ShareKind, of owner: OrganizationName, advertisement: AdvertiseKeysMessage
  ) throws(CryptographyError) -> Scalar? {
    let commitments = advertisement.commitments(kind)
    var shares = self.shares(of: owner)
    if let secret = try reconstruct(shares, expecting: try commitments.point(at: 0)) { return secret }
    // Some share is wrong: each is checked, which costs t multiplications.
    var wrong: [OrganizationName] = []
    shares.removeAll { share in
      guard !commitments.verifies(share: share.bytes, at: share.index) else { return false }
      wrong.append(share.sender)
      return true
    }
    blamed.formUnion(wrong)
    if let secret = try reconstruct(shares, expecting: try commitments.point(at: 0)) { return secret }
    fault =
      fault
      ?? .tooFewShares(of: owner, present: shares.count, required: context.threshold, blamed: wrong.sorted())
    return nil
  }

  private struct Share {
    let sender: OrganizationName
    let index: Int
    let bytes: [UInt8]
  }

  private func shares(of owner: OrganizationName) -> [Share] {
    context.cohort.enumerated().compactMap { position, member in
      guard let entry = received[member.name]?.entries.first(where: { $0.owner == owner }) else { return nil }
      return Share(sender: member.name, index: position + 1, bytes: entry.share)
    }
  }

  /// The secret of the first t shares, or nil if they are too few, not canonical or do not fit `point`.
  private mutating func reconstruct(
    _ shares: [Share], expecting point: GroupElement?
  ) throws(CryptographyError) -> Scalar? {
    guard shares.count >= context.threshold else { return nil }
    let chosen = shares.prefix(context.threshold)
    let indices = chosen.map(\.index)
    let lagrange: [PublicScalar]
    if let known = coefficients[indices] {
      lagrange = known
    } else {
      lagrange = try SecretSharing.lagrangeCoefficients(at: indices)
      coefficients[indices] = lagrange
    }
    do throws(CryptographyError) {
      let secret = try SecretSharing.reconstruct(shares: chosen.map(\.bytes), coefficients: lagrange)
      guard try secret.timesBasePoint() == point else { return nil }
      return secret
    } catch {
      // Not canonical, or zero: a wrong share, found by the caller.
      return nil
    }
  }
}
