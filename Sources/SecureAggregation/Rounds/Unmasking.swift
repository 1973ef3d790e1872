public import Cryptography

// R4 Unmasking: against signatures of t members on its own statement, an organisation releases one kind of share
// for every member of U2.

/// Server to client: signatures of members of U3 on one statement, as many as are needed.
public struct StatementSet: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.statements

  public var context: ContextDigest
  /// The statement that the server claims was signed; the client checks signatures on its own.
  public var statement: StatementDigest
  public var signers: MemberSet
  /// One a signer, in cohort order.
  public var signatures: [Signature]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(statement)
    encoder.append(signers)
    encoder.append(list: signatures) { (encoder: inout CanonicalEncoder, signature: Signature) in
      encoder.append(signature)
    }
  }
}

extension StatementSet {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    statement = try decoder.digest()
    signers = try decoder.members(of: context)
    signatures = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in try decoder.signature()
    }
  }
}

/// Client to server: one share for each neighbour in U2 of which the sender holds any, and on the complete graph its own.
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

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// Proof that ⌊(n + n_c)/2⌋ + 1 distinct members of U3 signed the statement that the client signed. Releasing demands
/// one.
struct ThresholdProof: ~Copyable {
  private let seal: Seal

  fileprivate init(
    _ set: StatementSet, client: borrowing SignedClient, context: AggregationContext
  ) throws(AggregationError) {
    guard set.context == context.digest else { throw .misbehaviour(.contextMismatch(.statements), by: .server) }
    let statement = client.survivors.statement
    guard set.statement == statement.digest else { throw .misbehaviour(.statementMismatch, by: .server) }
    let survivors = client.survivors.survivors
    if let stranger = set.signers.subtracting(survivors).positions.first {
      throw .misbehaviour(
        .notInEarlierSet(context.cohort[stranger].name, stage: .maskedInputCollection), by: .server)
    }
    let signers = set.signers.positions
    guard signers.count == set.signatures.count else {
      throw .misbehaviour(.wrongLength(expected: signers.count, actual: set.signatures.count), by: .server)
    }
    try CohortOrder.require(set.signers, of: survivors, stage: .consistencyCheck, context: context)
    let payload = statement.payload
    if let memo = VerificationMemo.current, memo.knows(set.signatures, of: payload, signers: set.signers) {
      seal = Seal()
      return
    }
    for (position, signature) in zip(signers, set.signatures) {
      let member = context.cohort[position]
      guard payload.isSigned(signature, by: member.identity) else {
        throw .misbehaviour(.invalidSignature(of: .organization(member.name), .statements), by: .server)
      }
    }
    VerificationMemo.current?.note(set.signatures, of: payload, signers: set.signers)
    seal = Seal()
  }
}

extension SignedClient {
  /// Checks the signatures. Changes nothing.
  borrowing func verify(
    _ set: StatementSet, context: AggregationContext
  ) throws(AggregationError) -> ThresholdProof {
    try ThresholdProof(set, client: self, context: context)
  }

  /// The one reply: the share of b_j for j in U3, that of z_j for j in U2∖U3. Consumes the vault, so that the
  /// complementary shares end with it.
  consuming func release(
    _ proof: consuming ThresholdProof, organization: OrganizationName, context: AggregationContext
  ) -> UnmaskingMessage {
    let owners = held.owners
    let statement = survivors.statement.digest
    // One kind an owner, by construction.
    let kinds = owners.map { survivors.survivors.contains($0) ? ShareKind.selfMask : .mask }
    let shares = held.vault.release(kinds, under: proof)
    var entries: [UnmaskingMessage.Entry] = []
    for (slot, owner) in owners.enumerated() {
      guard let share = shares[slot] else { continue }
      entries.append(UnmaskingMessage.Entry(owner: context.cohort[owner].name, kind: kinds[slot], share: share))
    }
    return UnmaskingMessage(
      context: context.digest, organization: organization, statement: statement, entries: entries)
  }
}

/// Server in R4: collects shares, recovers secrets and takes the masks off the sum.
struct UnmaskingStage: Sendable {
  /// Masks taken off in one pass over the sum.
  private static let batchCount = 128

  private let relay: ShareRelay
  /// U3.
  let survivors: MemberSet
  /// U4.
  let signers: MemberSet
  let statement: ConsistencyStatement
  let statements: StatementSet
  private let inputs: Answers<MaskedInputMessage>
  private(set) var received: Answers<UnmaskingMessage>
  /// Shares received of each member's secret, by position.
  private var shareCounts: [Int]

  init(closing stage: ConsistencyCheckStage, context: AggregationContext) {
    relay = stage.relay
    survivors = stage.survivors
    signers = stage.received.members
    statement = stage.statement
    inputs = stage.inputs
    // No more than a client needs to see.
    let shown = signers.positions.prefix(context.agreementThreshold)
    statements = StatementSet(
      context: context.digest, statement: statement.digest,
      signers: MemberSet(cohortCount: context.cohort.count, positions: shown),
      signatures: shown.compactMap { stage.received[$0]?.signature })
    received = Answers(cohortCount: context.cohort.count)
    shareCounts = Array(repeating: 0, count: context.cohort.count)
  }

  mutating func receive(
    _ message: UnmaskingMessage, at position: Int, context: AggregationContext
  ) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard signers.contains(position) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .consistencyCheck), by: party)
    }
    guard try received.isNew(message, from: sender, at: position, .unmasking) else { return }
    guard message.statement == statement.digest else { throw .misbehaviour(.statementMismatch, by: party) }
    let owners = owners(heldBy: position, context: context)
    guard message.entries.map(\.owner) == owners.map({ context.cohort[$0].name }),
      zip(message.entries, owners).allSatisfy({ $0.kind == kind(of: $1) })
    else { throw .misbehaviour(.wrongShareSet, by: party) }
    for entry in message.entries where entry.share.count != SecretSharing.scalarByteCount {
      throw .misbehaviour(
        .wrongLength(expected: SecretSharing.scalarByteCount, actual: entry.share.count), by: party)
    }
    // The recipient had checked it against the same commitments, so a wrong share is the sender's.
    if context.verifiesEveryShare {
      for (index, owner) in owners.enumerated() {
        guard fits(message.entries[index], of: owner, index: position + 1) else {
          throw .misbehaviour(.wrongShare(of: context.cohort[owner].name), by: party)
        }
      }
    }
    received[position] = message
    for owner in owners { shareCounts[owner] += 1 }
  }

  /// Whose shares a member must release: those of whom it did not complain.
  private func owners(heldBy position: Int, context: AggregationContext) -> [Int] {
    let peers = relay.peers(of: position)
    let owners = context.regularGraph == nil ? (peers + [position]).sorted() : peers
    let complaints = inputs[position]?.complaints ?? []
    guard !complaints.isEmpty else { return owners }
    let accused = Set(complaints.map(\.accused))
    return owners.filter { !accused.contains(context.cohort[$0].name) }
  }

  private func kind(of owner: Int) -> ShareKind { survivors.contains(owner) ? .selfMask : .mask }

  private func fits(_ entry: UnmaskingMessage.Entry, of owner: Int, index: Int) -> Bool {
    guard let commitments = relay.roster.advertisements[owner]?.commitments(entry.kind) else { return false }
    return commitments.verifies(share: entry.share, at: index)
  }

  /// Whether every member's secret has t shares by now; one about whom others complained needs more replies.
  func isRecoverable(context: AggregationContext) -> Bool {
    relay.members.positions.allSatisfy { shareCounts[$0] >= context.threshold }
  }

  /// Recovers every secret and takes the masks off.
  ///
  /// - Returns: Whose shares or commitments were found wrong on the way (only above the cohort size up to which shares
  ///   are checked on receipt).
  /// - Throws: ``AggregationError/unrecoverable(_:)`` if a secret has fewer than t good shares; the accumulator is
  ///   not usable then.
  func unmask(
    _ accumulator: inout Accumulator, lanes: Lanes, context: AggregationContext
  ) throws(AggregationError) -> Set<OrganizationName> {
    let recovery = SecretRecovery(context: context, received: received)
    let owners = relay.members.positions
    var blamed: Set<OrganizationName> = []
    var fault: RecoveryFault?
    do throws(CryptographyError) {
      // So many owners at a time that their masks, one a survivor and k a dropout, are a few batches at most.
      for start in stride(from: 0, to: owners.count, by: Self.batchCount) {
        let batch = owners[start..<min(start + Self.batchCount, owners.count)]
        let recovered = try lanes.map(batch.count) { index in
          Result { () throws(CryptographyError) -> Recovered in
            try recover(batch[batch.startIndex + index], recovery: recovery, context: context)
          }
        }
        var masks: [Mask] = []
        for item in recovered {
          blamed.formUnion(item.blamed)
          fault = fault ?? item.fault
          masks += item.masks
        }
        for start in stride(from: 0, to: masks.count, by: Self.batchCount) {
          let slice = masks[start..<min(start + Self.batchCount, masks.count)]
          try accumulator.apply(Array(slice), removing: true, lanes: lanes)
        }
      }
    } catch {
      throw .local(error)
    }
    if let fault { throw .unrecoverable(fault) }
    return blamed
  }

  private typealias Recovered = (masks: [Mask], blamed: Set<OrganizationName>, fault: RecoveryFault?)

  private func recover(
    _ owner: Int, recovery: SecretRecovery, context: AggregationContext
  ) throws(CryptographyError) -> Recovered {
    guard let advertisement = relay.roster.advertisements[owner] else { return ([], [], nil) }
    let result = try recovery.secret(kind(of: owner), of: owner, advertisement: advertisement)
    switch consume result {
    case .recovered(let secret, let blamed):
      return (try masks(of: owner, secret: secret, context: context), blamed, nil)
    case .failed(let fault, let blamed):
      return ([], blamed, fault)
    }
  }

  /// The masks that the secret of `owner` put into the sum of U3, with the sign they have there.
  private func masks(
    of owner: Int, secret: borrowing Scalar, context: AggregationContext
  ) throws(CryptographyError) -> [Mask] {
    let generator = context.parameters.generator
    let transcript = relay.roster.transcript
    let name = context.cohort[owner].name
    switch kind(of: owner) {
    case .selfMask:
      return [try Mask.own(secret: secret, owner: name, transcript: transcript, generator: generator)]
    case .mask:
      var masks: [Mask] = []
      for survivor in relay.peers(of: owner) where survivors.contains(survivor) {
        guard let advertisement = relay.roster.advertisements[survivor] else { continue }
        masks.append(
          try Mask.pairwise(
            secret: secret, publicKey: advertisement.maskKey, addedBy: advertisement.organization, with: name,
            transcript: transcript, generator: generator))
      }
      return masks
    }
  }
}

extension AdvertiseKeysMessage {
  func commitments(_ kind: ShareKind) -> FeldmanCommitments? {
    guard let commitments else { return nil }
    switch kind {
    case .mask: return commitments.mask
    case .selfMask: return commitments.selfMask
    }
  }

  /// What a recovered secret times the base point must be.
  func publicKey(_ kind: ShareKind) -> GroupElement {
    switch kind {
    case .mask: maskKey
    case .selfMask: selfMaskKey
    }
  }
}

/// Recovers secrets from shares, checking each against the owner's key and blaming wrong shares.
struct SecretRecovery: Sendable {
  /// A recovered secret with those whose wrong shares were worked around, or why there is none.
  enum Outcome: ~Copyable {
    case recovered(Scalar, blamed: Set<OrganizationName>)
    case failed(RecoveryFault, blamed: Set<OrganizationName>)
  }

  private struct Share: Sendable {
    let sender: OrganizationName
    let index: Int
    let bytes: [UInt8]
  }

  private let context: AggregationContext
  /// Shares of each member's secret by its position, in the order of their senders.
  private let shares: [[Share]]
  /// On the complete graph nearly all secrets are recovered from the same indices.
  private let common: (indices: [Int], coefficients: [PublicScalar])?

  init(context: AggregationContext, received: Answers<UnmaskingMessage>) {
    self.context = context
    var shares = [[Share]](repeating: [], count: context.cohort.count)
    for position in received.members.positions {
      guard let message = received[position] else { continue }
      for entry in message.entries {
        guard let owner = context.position(of: entry.owner) else { continue }
        shares[owner].append(Share(sender: message.organization, index: position + 1, bytes: entry.share))
      }
    }
    self.shares = shares
    let indices = received.members.positions.prefix(context.threshold).map { $0 + 1 }
    let coefficients = context.regularGraph == nil ? try? SecretSharing.lagrangeCoefficients(at: indices) : nil
    common = coefficients.map { (indices, $0) }
  }

  /// - Throws: ``CryptographyError`` for a failing primitive only.
  func secret(
    _ kind: ShareKind, of owner: Int, advertisement: AdvertiseKeysMessage
  ) throws(CryptographyError) -> Outcome {
    let key = advertisement.publicKey(kind)
    let given = shares[owner]
    if let secret = try reconstruct(given, expecting: key) { return .recovered(secret, blamed: []) }
    // Some share is wrong: each is checked, which costs t multiplications. Commitments that do not decode are the
    // owner's fault: nobody else's shares can be judged then.
    let name = advertisement.organization
    guard let commitments = advertisement.commitments(kind), commitments.isWellFormed else {
      let present = given.count >= context.threshold ? 0 : given.count
      return .failed(
        .tooFewShares(of: name, present: present, required: context.threshold, blamed: [name]), blamed: [name])
    }
    let good = given.filter { commitments.verifies(share: $0.bytes, at: $0.index) }
    let honest = Set(good.map(\.index))
    let wrong = given.filter { !honest.contains($0.index) }.map(\.sender)
    if let secret = try reconstruct(good, expecting: key) { return .recovered(secret, blamed: Set(wrong)) }
    return .failed(
      .tooFewShares(of: name, present: good.count, required: context.threshold, blamed: wrong.sorted()),
      blamed: Set(wrong))
  }

  /// The secret of the first t shares, or nil if they are too few, not canonical or do not fit `key`.
  private func reconstruct(_ shares: [Share], expecting key: GroupElement) throws(CryptographyError) -> Scalar? {
    guard shares.count >= context.threshold else { return nil }
    let chosen = shares.prefix(context.threshold)
    let indices = chosen.map(\.index)
    let coefficients =
      if let common, common.indices == indices { common.coefficients } else {
        try SecretSharing.lagrangeCoefficients(at: indices)
      }
    do throws(CryptographyError) {
      let secret = try SecretSharing.reconstruct(shares: chosen.map(\.bytes), coefficients: coefficients)
      guard try secret.timesBasePoint() == key else { return nil }
      return secret
    } catch {
      // Not canonical, or zero: a wrong share, found by the caller.
      return nil
    }
  }
}
