public import Cryptography

// R3 ConsistencyCheck: the members of U3 agree on who they are before anybody releases a share.

/// Server to client: U3 with the signature that each member gave with its masked input.
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
  /// U3 in cohort order.
  public var entries: [Entry]
  /// By the server.
  public var signature: Signature

  /// U3: whoever is named here is in the sum. The shell applies the rules about near sets to it.
  public var survivors: [OrganizationName] { entries.map(\.organization) }

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(transcript)
    encoder.append(shareSurvivors)
    encoder.append(list: entries) { (encoder: inout CanonicalEncoder, entry: Entry) in
      encoder.append(entry.organization)
      encoder.append(entry.maskedInputHash)
      encoder.append(entry.signature)
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
    entries = try decoder.list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) in
      Entry(
        organization: try decoder.organization(), maskedInputHash: try decoder.digest(),
        signature: try decoder.signature())
    }
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

/// An announcement that passed every check of R3. Only such a one can be signed.
struct VerifiedSurvivors: Sendable {
  /// U3 in cohort order.
  let survivors: [OrganizationName]
  let statement: ConsistencyStatement

  fileprivate init(
    _ announcement: SurvivorAnnouncement, client: borrowing MaskedClient, organization: OrganizationName,
    context: AggregationContext
  ) throws(AggregationError) {
    guard announcement.context == context.digest else {
      throw .misbehaviour(.contextMismatch(.survivors), by: .server)
    }
    let transcript = client.roster.transcript
    guard announcement.transcript == transcript else {
      throw .misbehaviour(.transcriptMismatch(.survivors), by: .server)
    }
    guard announcement.shareSurvivors == client.shareSurvivors else {
      throw .misbehaviour(.survivorsMismatch(.survivors), by: .server)
    }
    let survivors = announcement.survivors
    try CohortOrder.check(survivors, in: context, kind: .survivors)
    guard let own = announcement.entries.first(where: { $0.organization == organization }) else {
      throw .misbehaviour(.ownEntry(.survivors), by: .server)
    }
    guard own.maskedInputHash == client.maskedInputHash else {
      throw .misbehaviour(.ownEntryAltered(.survivors), by: .server)
    }
    let members = client.members
    for entry in announcement.entries {
      try Self.check(
        entry, members: members, transcript: transcript, shareSurvivors: client.shareSurvivors, context: context)
    }
    try CohortOrder.require(survivors, of: members, stage: .maskedInputCollection, context: context)
    statement = ConsistencyStatement(
      transcript: transcript, shareSurvivors: client.shareSurvivors,
      inputSurvivors: Transcript.survivors(survivors),
      maskedInputRoot: Transcript.maskedInputRoot(
        announcement.entries.map { ($0.organization, $0.maskedInputHash) }))
    let payload = SurvivorAnnouncement.payload(
      transcript: transcript, shareSurvivors: statement.shareSurvivors, inputSurvivors: statement.inputSurvivors)
    guard payload.isSigned(announcement.signature, by: context.server) else {
      throw .misbehaviour(.invalidSignature(of: .server, .survivors), by: .server)
    }
    self.survivors = survivors
  }

  private static func check(
    _ entry: SurvivorAnnouncement.Entry, members: [OrganizationName], transcript: TranscriptDigest,
    shareSurvivors: SurvivorsHash, context: AggregationContext
  ) throws(AggregationError) {
    guard members.contains(entry.organization), let position = context.position(of: entry.organization) else {
      throw .misbehaviour(.notInEarlierSet(entry.organization, stage: .shareKeys), by: .server)
    }
    let payload = MaskedInputMessage.payload(
      transcript: transcript, organization: entry.organization, shareSurvivors: shareSurvivors,
      hash: entry.maskedInputHash)
    guard payload.isSigned(entry.signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: .organization(entry.organization), .survivors), by: .server)
    }
  }
}

extension MaskedClient {
  /// Checks what the server announced. Changes nothing.
  borrowing func verify(
    _ announcement: SurvivorAnnouncement, organization: OrganizationName, context: AggregationContext
  ) throws(AggregationError) -> VerifiedSurvivors {
    try VerifiedSurvivors(announcement, client: self, organization: organization, context: context)
  }

  consuming func signed(_ survivors: VerifiedSurvivors) -> SignedClient {
    SignedClient(vault: vault, members: members, survivors: survivors)
  }
}

/// Client after R3: bound to one statement.
struct SignedClient: ~Copyable {
  let vault: ShareVault
  /// U2 in cohort order.
  let members: [OrganizationName]
  let survivors: VerifiedSurvivors
}

/// Server in R3: collects signatures on the one statement.
struct ConsistencyCheckStage: Sendable {
  let roster: VerifiedRoster
  /// U2 in cohort order.
  let members: [OrganizationName]
  /// U3 in cohort order.
  let survivors: [OrganizationName]
  let statement: ConsistencyStatement
  /// Who complained about whom in R2.
  let complaints: [OrganizationName: [Complaint]]
  private(set) var received: [OrganizationName: ConsistencyCheckMessage] = [:]

  init(closing stage: MaskedInputStage) {
    roster = stage.roster
    members = stage.members
    survivors = stage.survivors
    complaints = stage.received.mapValues(\.complaints)
    statement = ConsistencyStatement(
      transcript: stage.roster.transcript, shareSurvivors: stage.shareSurvivors,
      inputSurvivors: Transcript.survivors(survivors),
      maskedInputRoot: Transcript.maskedInputRoot(
        survivors.compactMap { name in stage.received[name].map { (name, $0.hash) } }))
  }

  static func announcement(
    closing stage: MaskedInputStage, context: AggregationContext, signer: borrowing IdentitySigningKey
  ) -> SurvivorAnnouncement {
    let entries = stage.survivors.compactMap { name in
      stage.received[name].map {
        SurvivorAnnouncement.Entry(organization: name, maskedInputHash: $0.hash, signature: $0.signature)
      }
    }
    let payload = SurvivorAnnouncement.payload(
      transcript: stage.roster.transcript, shareSurvivors: stage.shareSurvivors,
      inputSurvivors: Transcript.survivors(stage.survivors))
    return SurvivorAnnouncement(
      context: context.digest, transcript: stage.roster.transcript, shareSurvivors: stage.shareSurvivors,
      entries: entries, signature: payload.signature(by: signer))
  }

  mutating func receive(_ message: ConsistencyCheckMessage, context: AggregationContext) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard message.context == context.digest else {
      throw .misbehaviour(.contextMismatch(.consistencyCheck), by: party)
    }
    guard survivors.contains(sender), let position = context.position(of: sender) else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .maskedInputCollection), by: party)
    }
    if let earlier = received[sender] {
      guard earlier == message else { throw .misbehaviour(.duplicateMessage(.consistencyCheck), by: party) }
      return
    }
    guard message.statement == statement else { throw .misbehaviour(.statementMismatch, by: party) }
    guard statement.payload.isSigned(message.signature, by: context.cohort[position].identity) else {
      throw .misbehaviour(.invalidSignature(of: party, .consistencyCheck), by: party)
    }
    received[sender] = message
  }

  /// U4 in cohort order.
  var signers: [OrganizationName] { survivors.filter { received[$0] != nil } }

  func statements(context: AggregationContext) -> StatementSet {
    StatementSet(
      context: context.digest, statement: statement.digest,
      entries: signers.compactMap { name in
        received[name].map { StatementSet.Entry(organization: name, signature: $0.signature) }
      })
  }
}
