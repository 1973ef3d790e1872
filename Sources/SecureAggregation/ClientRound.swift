public import Cryptography

/// Where a client machine stands.
public enum ClientStage: String, Hashable, Sendable, CaseIterable {
  /// Nothing was drawn yet.
  case ready
  /// AdvertiseKeys was sent.
  case awaitingRoster
  /// ShareKeys was sent.
  case awaitingShares
  /// The masked input was sent.
  case awaitingSurvivors
  /// A statement was signed.
  case awaitingStatements
  /// Terminal: the reply was given out once; nothing secret is left.
  case released
  /// Terminal: left by ``ClientRound/abandon()``; nothing secret is left.
  case abandoned
}

/// One organisation in one attempt of a secure sum, malicious-server variant, complete graph.
///
/// Implements the client of §Rounds (Bonawitz et al. 2017). Sans I/O: messages in, messages out. **Every throw
/// leaves the machine as it was**: a bad message of the server is refused before anything is done with a secret,
/// and the shell decides whether to wait or to ``abandon()``. No stage can be gone through twice: what could do it
/// again is consumed.
///
/// It does not know of other attempts or other rounds: see ``AttemptLedger`` and the rules about near sets.
public struct ClientRound: ~Copyable, Sendable {
  private enum State: ~Copyable {
    case ready
    case advertised(AdvertisedClient)
    case shared(SharedClient)
    case masked(MaskedClient)
    case signed(SignedClient)
    case released
    case abandoned
  }

  public let context: AggregationContext
  public let organization: OrganizationName
  private let position: Int
  private var state: State = .ready

  /// - Throws: ``Misuse/notInCohort(_:)``.
  public init(context: AggregationContext, organization: OrganizationName) throws(AggregationError) {
    guard let position = context.position(of: organization) else { throw .misuse(.notInCohort(organization)) }
    self.context = context
    self.organization = organization
    self.position = position
  }

  public var stage: ClientStage {
    switch state {
    case .ready: .ready
    case .advertised: .awaitingRoster
    case .shared: .awaitingShares
    case .masked: .awaitingSurvivors
    case .signed: .awaitingStatements
    case .released: .released
    case .abandoned: .abandoned
    }
  }

  /// R0: draws the keys of this attempt.
  ///
  /// ready → awaitingRoster.
  public mutating func advertise(
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> AdvertiseKeysMessage {
    try require(signer)
    guard stage == .ready else { throw wrongStage }
    do throws(CryptographyError) {
      let client = try AdvertisedClient(context: context, organization: organization, signer: signer)
      let message = client.message
      state = .advertised(client)
      return message
    } catch {
      throw .local(error)
    }
  }

  /// R1: checks everybody's keys and shares the own secrets.
  ///
  /// awaitingRoster → awaitingShares.
  public mutating func receive(
    _ roster: AdvertisementRoster, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ShareKeysMessage {
    try require(signer)
    let verified: VerifiedRoster
    let message: ShareKeysMessage
    let secrets: OwnSecrets
    switch state {
    case .advertised(let client):
      verified = try client.verify(roster, context: context)
      do throws(CryptographyError) {
        message = try client.shareKeys(verified, context: context, signer: signer)
        secrets = try OwnSecrets(of: client, position: position)
      } catch {
        throw .local(error)
      }
    case .ready, .shared, .masked, .signed, .released, .abandoned: throw wrongStage
    }
    switch consume state {
    case .advertised(let client): state = .shared(client.shared(secrets, roster: verified))
    case .ready, .shared, .masked, .signed, .released, .abandoned: state = .abandoned
    }
    return message
  }

  /// R2: opens the shares, complains about bad ones, and masks the term.
  ///
  /// awaitingShares → awaitingSurvivors; the round keys are erased. The shell spools the bytes of the message and
  /// sends only those: masking another term under the same keys is impossible afterwards.
  public mutating func receive(
    _ delivery: ShareDelivery, term: EncodedTerm, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> MaskedInputMessage {
    try require(signer)
    let message: MaskedInputMessage
    let verified: VerifiedDelivery
    let opened: OpenedShares
    switch state {
    case .shared(let client):
      try require(term)
      verified = try client.verify(delivery, organization: organization, context: context)
      do throws(CryptographyError) {
        opened = try client.open(verified, organization: organization, context: context, signer: signer)
        let input = try client.maskedInput(
          term, members: verified.members, organization: organization, context: context)
        let transcript = client.roster.transcript
        let payload = MaskedInputMessage.payload(
          transcript: transcript, organization: organization, shareSurvivors: verified.digest,
          hash: Transcript.maskedInput(input))
        message = MaskedInputMessage(
          context: context.digest, transcript: transcript, organization: organization,
          shareSurvivors: verified.digest, complaints: opened.complaints, signature: payload.signature(by: signer),
          maskedInput: input)
      } catch {
        throw .local(error)
      }
    case .ready, .advertised, .masked, .signed, .released, .abandoned: throw wrongStage
    }
    switch consume state {
    case .shared(let client):
      state = .masked(client.masked(opened.vault, delivery: verified, hash: message.maskedInputHash))
    case .ready, .advertised, .masked, .signed, .released, .abandoned: state = .abandoned
    }
    return message
  }

  /// R3: checks U3 and signs the one statement of this attempt.
  ///
  /// awaitingSurvivors → awaitingStatements. The shell has applied the rules about near sets to
  /// ``SurvivorAnnouncement/survivors`` before, and records the statement in the ledger before it sends it.
  public mutating func receive(
    _ announcement: SurvivorAnnouncement, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ConsistencyCheckMessage {
    try require(signer)
    let verified: VerifiedSurvivors
    switch state {
    case .masked(let client):
      verified = try client.verify(announcement, organization: organization, context: context)
    case .ready, .advertised, .shared, .signed, .released, .abandoned: throw wrongStage
    }
    switch consume state {
    case .masked(let client): state = .signed(client.signed(verified))
    case .ready, .advertised, .shared, .signed, .released, .abandoned: state = .abandoned
    }
    return ConsistencyCheckMessage(
      context: context.digest, organization: organization, statement: verified.statement,
      signature: verified.statement.payload.signature(by: signer))
  }

  /// R4: against t signatures on the own statement, gives out the reply.
  ///
  /// awaitingStatements → released; every share is erased, the released ones included. The shell records the exact
  /// bytes in the ledger before it sends them and resends only those.
  public mutating func receive(_ statements: StatementSet) throws(AggregationError) -> UnmaskingMessage {
    let proof: ThresholdProof
    switch state {
    case .signed(let client): proof = try client.verify(statements, context: context)
    case .ready, .advertised, .shared, .masked, .released, .abandoned: throw wrongStage
    }
    let message: UnmaskingMessage
    switch consume state {
    case .signed(let client):
      message = client.release(proof, organization: organization, context: context)
      state = .released
    case .ready, .advertised, .shared, .masked, .released, .abandoned:
      state = .abandoned
      throw .misuse(.wrongClientStage(.abandoned))
    }
    return message
  }

  /// Leaves the attempt and erases its keys and shares. A machine that has released stays released.
  public mutating func abandon() {
    switch consume state {
    case .released: state = .released
    case .ready, .advertised, .shared, .masked, .signed, .abandoned: state = .abandoned
    }
  }

  private var wrongStage: AggregationError { .misuse(.wrongClientStage(stage)) }

  private func require(_ signer: borrowing IdentitySigningKey) throws(AggregationError) {
    guard signer.verifyingKey == context.cohort[position].identity else { throw .misuse(.wrongSigner) }
  }

  private func require(_ term: EncodedTerm) throws(AggregationError) {
    let parameters = context.parameters
    guard term.tensors.count == parameters.tensorCount, term.counters.count == parameters.counterCount else {
      throw .misuse(.wrongTermShape(tensors: term.tensors.count, counters: term.counters.count))
    }
    guard term.isWithinBounds(context) else { throw .misuse(.storedTermIsCorrupt) }
  }
}
