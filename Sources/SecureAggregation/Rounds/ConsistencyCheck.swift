public import Cryptography

// R3 ConsistencyCheck: the members of U3 agree on who they are before anybody releases a share.

/// Server to client: U3, with the signatures that the receiver and its neighbours in it gave with their masked inputs.
///
/// On a k-regular graph `siblings` complete the tree over the hashes of all masked inputs.
///
/// The server signs (T1, U2, U3), so that two different announcements prove that it equivocated.
public struct SurvivorAnnouncement: Hashable, Sendable, RoundMessage {
  public struct Entry: Hashable, Sendable {
    public var organization: OrganizationName
    public var maskedInputHash: MaskedInputHash
    public var signature: Signature
  }

  static let kind = MessageKind.survivors

  public var context: ContextDigest
  public var transcript: TranscriptDigest
  public var shareSurvivors: SurvivorsHash
  /// U3: whoever is in it is in the sum. The shell applies the rules about near sets to it, by
  /// ``survivors(in:)``.
  public var members: MemberSet
  /// In cohort order.
  public var entries: [Entry]
  public var siblings: [SHA256Digest]
  /// By the server.
  public var signature: Signature

  /// The names of U3 in cohort order.
  public func survivors(in context: AggregationContext) -> [OrganizationName] { context.names(members) }

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(shareSurvivors)
    encoder.append(members)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.organization)
      encoder.append(entry.maskedInputHash)
      encoder.append(entry.signature)
    }
    encoder.append(list: siblings) { (encoder: inout CanonicalEncoder, digest: SHA256Digest) in
      encoder.append(digest)
    }
    encoder.append(signature)
  }

  static func payload(
    transcript: TranscriptDigest, shareSurvivors: SurvivorsHash, inputSurvivors: SurvivorsHash
  ) -> SignedPayload {
    SignedPayload("bauta/v1/survivors") { encoder in
      encoder.append(transcript)
      encoder.append(shareSurvivors)
      encoder.append(inputSurvivors)
    }
  }
}

extension SurvivorAnnouncement {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    transcript = try decoder.digest()
    shareSurvivors = try decoder.digest()
    members = try decoder.members(of: context)
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        organization: try decoder.organization(), maskedInputHash: try decoder.digest(),
        signature: try decoder.signature())
    }
    siblings = try decoder.siblings(of: context)
    signature = try decoder.signature()
  }
}

/// What the members of U3 sign: at most one statement an attempt.
public struct ConsistencyStatement: Hashable, Sendable {
  public var transcript: TranscriptDigest
  /// Digest of U2.
  public var shareSurvivors: SurvivorsHash
  /// Digest of U3.
  public var inputSurvivors: SurvivorsHash
  public var maskedInputRoot: MaskedInputRoot

  var payload: SignedPayload {
    SignedPayload("bauta/v1/consistency-check") { encoder in
      encoder.append(transcript)
      encoder.append(shareSurvivors)
      encoder.append(inputSurvivors)
      encoder.append(maskedInputRoot)
    }
  }

  /// Names the statement in the ledger.
  public var digest: StatementDigest { StatementDigest(hashing: payload.canonical) }
}

/// Client to server: the signed statement.
public struct ConsistencyCheckMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.consistencyCheck

  public var context: ContextDigest
  public var organization: OrganizationName
  public var statement: ConsistencyStatement
  public var signature: Signature

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(organization)
    encoder.append(statement.transcript)
    encoder.append(statement.shareSurvivors)
    encoder.append(statement.inputSurvivors)
    encoder.append(statement.maskedInputRoot)
    encoder.append(signature)
  }
}

extension ConsistencyCheckMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    organization = try decoder.organization()
    statement = ConsistencyStatement(
      transcript: try decoder.digest(), shareSurvivors: try decoder.digest(), inputSurvivors: try decoder.digest(),
      maskedInputRoot: try decoder.digest())
    signature = try decoder.signature()
  }
}

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// An announcement that passed every check of R3. Only such a one can be signed.
struct VerifiedSurvivors: Sendable {
  /// U3.
  let survivors: MemberSet
  let statement: ConsistencyStatement
  private let seal: Seal

  fileprivate init(
    _ announcement: SurvivorAnnouncement, client: borrowing MaskedClient, position: Int,
    context: AggregationContext
  ) throws(AggregationError) {
    guard announcement.context == context.digest else {
      throw .misbehaviour(.contextMismatch(.survivors), by: .server)
    }
    guard announcement.transcript == client.transcript else {
      throw .misbehaviour(.transcriptMismatch(.survivors), by: .server)
    }
    guard announcement.shareSurvivors == client.shareSurvivors else {
      throw .misbehaviour(.survivorsMismatch(.survivors), by: .server)
    }
    survivors = announcement.members
    if let stranger = survivors.subtracting(client.members).positions.first {
      throw .misbehaviour(.notInEarlierSet(context.cohort[stranger].name, stage: .shareKeys), by: .server)
    }
    let shown = try CohortOrder.positions(
      of: announcement.entries.map(\.organization), in: context, kind: .survivors)
    guard let own = shown.firstIndex(of: position), survivors.contains(position) else {
      throw .misbehaviour(.ownEntry(.survivors), by: .server)
    }
    guard announcement.entries[own].maskedInputHash == client.maskedInputHash else {
      throw .misbehaviour(.ownEntryAltered(.survivors), by: .server)
    }
    let peers = client.peers.filter { announcement.members.contains($0) }
    guard shown.filter({ $0 != position }) == peers else {
      throw .misbehaviour(.wrongNeighbors(.survivors), by: .server)
    }
    for (entry, member) in zip(announcement.entries, shown) {
      try Self.check(entry, identity: context.cohort[member].identity, client: client)
    }
    try CohortOrder.require(survivors, of: client.members, stage: .maskedInputCollection, context: context)
    // Without t neighbours left nobody could take the own self mask off.
    guard context.regularGraph == nil || peers.count >= context.threshold else {
      throw .tooFewParticipants(
        Shortage(
          stage: .maskedInputCollection, present: peers.count, required: context.threshold,
          missing: client.peers.filter { !peers.contains($0) }.map { context.cohort[$0].name }))
    }
    statement = try Self.statement(announcement, shown: shown, client: client)
    let payload = SurvivorAnnouncement.payload(
      transcript: client.transcript, shareSurvivors: statement.shareSurvivors,
      inputSurvivors: statement.inputSurvivors)
    guard payload.isSigned(announcement.signature, by: context.server) else {
      throw .misbehaviour(.invalidSignature(of: .server, .survivors), by: .server)
    }
    seal = Seal()
  }

  private static func statement(
    _ announcement: SurvivorAnnouncement, shown: [Int], client: borrowing MaskedClient
  ) throws(AggregationError) -> ConsistencyStatement {
    let survivors = announcement.members
    let root = MerkleTree.root(
      leaves: zip(shown, announcement.entries).map {
        (survivors.rank(of: $0), Transcript.maskedInputLeaf($1.organization, $1.maskedInputHash))
      }, count: survivors.count, siblings: announcement.siblings)
    guard let root else { throw .misbehaviour(.invalidTree(.survivors), by: .server) }
    return ConsistencyStatement(
      transcript: client.transcript, shareSurvivors: client.shareSurvivors,
      inputSurvivors: Transcript.survivors(survivors), maskedInputRoot: MaskedInputRoot(root))
  }

  private static func check(
    _ entry: SurvivorAnnouncement.Entry, identity: IdentityVerifyingKey, client: borrowing MaskedClient
  ) throws(AggregationError) {
    let payload = MaskedInputMessage.payload(
      transcript: client.transcript, organization: entry.organization, shareSurvivors: client.shareSurvivors,
      hash: entry.maskedInputHash)
    guard payload.isSigned(entry.signature, by: identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(entry.organization), .survivors), by: .server)
    }
  }
}

extension MaskedClient {
  /// Checks what the server announced. Changes nothing.
  borrowing func verify(
    _ announcement: SurvivorAnnouncement, position: Int, context: AggregationContext
  ) throws(AggregationError) -> VerifiedSurvivors {
    try VerifiedSurvivors(announcement, client: self, position: position, context: context)
  }

  consuming func signed(_ survivors: VerifiedSurvivors) -> SignedClient {
    SignedClient(held: held, survivors: survivors)
  }
}

/// Client after R3: bound to one statement.
struct SignedClient: ~Copyable {
  let held: HeldShares
  let survivors: VerifiedSurvivors
}

/// Server in R3: collects signatures on the one statement.
struct ConsistencyCheckStage: Sendable {
  let relay: ShareRelay
  /// U3.
  let survivors: MemberSet
  let statement: ConsistencyStatement
  /// The masked inputs of U3, whose complaints count in R4.
  let inputs: Answers<MaskedInputMessage>
  private let tree: MerkleTree
  private let signature: Signature
  private(set) var received: Answers<ConsistencyCheckMessage>

  init(closing stage: MaskedInputStage, context: AggregationContext, signer: borrowing IdentitySigningKey) {
    relay = stage.relay
    inputs = stage.received
    survivors = stage.received.members
    tree = MerkleTree(
      leaves: survivors.positions.compactMap { position in
        stage.received[position].map { Transcript.maskedInputLeaf($0.organization, $0.maskedInputHash) }
      })
    statement = ConsistencyStatement(
      transcript: relay.roster.transcript, shareSurvivors: stage.shareSurvivors,
      inputSurvivors: Transcript.survivors(survivors), maskedInputRoot: MaskedInputRoot(tree.root))
    signature = SurvivorAnnouncement.payload(
      transcript: statement.transcript, shareSurvivors: statement.shareSurvivors,
      inputSurvivors: statement.inputSurvivors
    ).signature(by: signer)
    received = Answers(cohortCount: context.cohort.count)
  }

  /// What a member of U3 is sent.
  func announcement(for position: Int, context: AggregationContext) -> SurvivorAnnouncement {
    let shown = (relay.peers(of: position).filter { survivors.contains($0) } + [position]).sorted()
    return SurvivorAnnouncement(
      context: context.digest, transcript: statement.transcript, shareSurvivors: statement.shareSurvivors,
      members: survivors,
      entries: shown.compactMap { position in
        inputs[position].map {
          SurvivorAnnouncement.Entry(
            organization: $0.organization, maskedInputHash: $0.maskedInputHash, signature: $0.signature)
        }
      }, siblings: tree.siblings(of: shown.map { survivors.rank(of: $0) }), signature: signature)
  }

  mutating func receive(
    _ message: ConsistencyCheckMessage, at position: Int, context: AggregationContext
  ) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard survivors.contains(position) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .maskedInputCollection), by: party)
    }
    guard try received.isNew(message, from: sender, at: position, .consistencyCheck) else { return }
    guard message.statement == statement else { throw .misbehaviour(.statementMismatch, by: party) }
    guard statement.payload.isSigned(message.signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: party, .consistencyCheck), by: party)
    }
    received[position] = message
  }
}
