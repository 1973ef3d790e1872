public import Cryptography

/// Where a client machine stands.
public enum ClientStage: String, Hashable, Sendable, CaseIterable {
  /// Nothing was drawn yet.
  case ready
  /// AdvertiseKeys was sent; on a k-regular graph the nonce of the beacon comes next.
  case awaitingBeaconRequest
  /// AdvertiseKeys was sent, on a k-regular graph the nonce too.
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

/// One organisation in one attempt of a secure sum, malicious-server variant.
///
/// Implements the client of §Rounds (Bonawitz et al. 2017; on a k-regular graph Bell et al. 2020). Sans I/O: messages in, messages out. **Every throw
/// leaves the machine as it was**: a bad message of the server is refused before anything is done with a secret,
/// and the shell decides whether to wait or to ``abandon()``. No stage can be gone through twice: what could do it
/// again is consumed.
///
/// It does not know of other attempts or other rounds: see ``AttemptLedger`` and the rules about near sets.
public struct ClientRound: ~Copyable, Sendable {
  public let context: AggregationContext
  public let organization: OrganizationName
  private let position: Int
  private var state: ClientState = .ready

  /// - Throws: ``Misuse/notInCohort(_:)``.
  public init(context: AggregationContext, organization: OrganizationName) throws(AggregationError) {
    guard let position = context.position(of: organization) else { throw .misuse(.notInCohort(organization)) }
    self.context = context
    self.organization = organization
    self.position = position
  }

  public var stage: ClientStage { state.stage(isRegular: context.regularGraph != nil) }

  /// R0: draws the keys of this attempt.
  ///
  /// ready → awaitingRoster, or awaitingBeaconRequest on a k-regular graph.
  public mutating func advertise(
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> AdvertiseKeysMessage {
    guard stage == .ready else { throw wrongStage }
    try require(signer)
    do throws(CryptographyError) {
      let client = try AdvertisedClient(context: context, organization: organization, signer: signer)
      let message = client.message
      state = .advertised(client)
      return message
    } catch {
      throw .local(error)
    }
  }

  /// R0b, on a k-regular graph: reveals the nonce for one list of advertisements.
  ///
  /// awaitingBeaconRequest → awaitingRoster.
  public mutating func receive(_ request: BeaconRequest) throws(AggregationError) -> BeaconRevealMessage {
    guard stage == .awaitingBeaconRequest, let client = take().advertised() else { throw wrongStage }
    let message: BeaconRevealMessage
    do throws(AggregationError) {
      message = try client.reveal(request, position: position, context: context)
    } catch {
      state = .advertised(client)
      throw error
    }
    state = .revealed(client.revealed(for: request))
    return message
  }

  /// R1: checks the keys of those it shares with and shares the own secrets.
  ///
  /// awaitingRoster → awaitingShares.
  public mutating func receive(
    _ roster: AdvertisementRoster, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ShareKeysMessage {
    guard stage == .awaitingRoster else { throw wrongStage }
    try require(signer)
    return context.regularGraph == nil
      ? try share(roster, signer: signer) : try shareOnRegularGraph(roster, signer: signer)
  }

  private mutating func share(
    _ roster: AdvertisementRoster, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ShareKeysMessage {
    guard let client = take().advertised() else { throw wrongStage }
    let step: SharingStep
    do throws(AggregationError) {
      step = try client.share(roster, list: nil, position: position, context: context, signer: signer)
    } catch {
      state = .advertised(client)
      throw error
    }
    let message = step.message
    state = .shared(client.shared(step))
    return message
  }

  private mutating func shareOnRegularGraph(
    _ roster: AdvertisementRoster, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ShareKeysMessage {
    guard let client = take().revealed() else { throw wrongStage }
    let step: SharingStep
    do throws(AggregationError) {
      step = try client.advertised.share(
        roster, list: client.list, position: position, context: context, signer: signer)
    } catch {
      state = .revealed(client)
      throw error
    }
    let message = step.message
    state = .shared(client.advertised.shared(step))
    return message
  }

  /// R2: opens the shares, complains about bad ones, and masks the term.
  ///
  /// awaitingShares → awaitingSurvivors; the round keys are erased, so masking another term under them is impossible
  /// afterwards. `spool` is given the bytes of the masked input in order, chunk by chunk: beside the term and the spool
  /// the machine needs memory for a chunk a lane. The shell sends nothing but the bytes it spooled, and none before the
  /// message is there.
  ///
  /// - Parameters:
  ///   - term: of the shape of the parameters. That its integers are within their bounds is checked for an
  ///     ``EncodedTerm`` only.
  ///   - lanes: cores that may be used.
  ///   - sealing: is shown z and b once, for an organisation that keeps them sealed for an auditor.
  /// - Throws: ``AggregationError``, or what `sealing` or `spool` throws. The machine is as it was then, and what was spooled is to be
  ///   thrown away.
  public mutating func receive(
    _ delivery: ShareDelivery, term: some TermSource, lanes: Lanes = .one, signer: borrowing IdentitySigningKey,
    sealing: (borrowing MaskingSecrets, MaskedInputMessage) throws -> Void,
    spool: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> MaskedInputMessage {
    guard stage == .awaitingShares else { throw wrongStage }
    try require(signer)
    try require(term)
    guard let client = take().shared() else { throw wrongStage }
    let step: MaskingStep
    do {
      step = try client.mask(
        delivery, term: term, position: position, lanes: lanes, context: context, signer: signer, sealing: sealing,
        spool: spool)
    } catch {
      state = .shared(client)
      throw error
    }
    let message = step.message
    state = .masked(client.masked(step))
    return message
  }

  /// As above, where nothing is kept of z and b.
  public mutating func receive(
    _ delivery: ShareDelivery, term: some TermSource, lanes: Lanes = .one, signer: borrowing IdentitySigningKey,
    spool: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> MaskedInputMessage {
    try receive(delivery, term: term, lanes: lanes, signer: signer, sealing: { _, _ in }, spool: spool)
  }

  /// As above, with the masked input in memory.
  public mutating func receive(
    _ delivery: ShareDelivery, term: EncodedTerm, lanes: Lanes = .one, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> (message: MaskedInputMessage, body: [UInt8]) {
    var body: [UInt8] = []
    body.reserveCapacity(context.maskedInputByteCount)
    do {
      let message = try receive(delivery, term: term, lanes: lanes, signer: signer) { body += $0 }
      return (message, body)
    } catch let error as AggregationError {
      throw error
    } catch let error as CryptographyError {
      throw .local(error)
    } catch {
      throw .spool(.unreadable)
    }
  }

  /// R3: checks U3 and signs the one statement of this attempt.
  ///
  /// awaitingSurvivors → awaitingStatements. The shell has applied the rules about near sets to
  /// ``SurvivorAnnouncement/survivors(in:)`` before, and records the statement in the ledger before it sends it.
  public mutating func receive(
    _ announcement: SurvivorAnnouncement, signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> ConsistencyCheckMessage {
    guard stage == .awaitingSurvivors else { throw wrongStage }
    try require(signer)
    guard let client = take().masked() else { throw wrongStage }
    let verified: VerifiedSurvivors
    do throws(AggregationError) {
      verified = try client.verify(announcement, position: position, context: context)
    } catch {
      state = .masked(client)
      throw error
    }
    state = .signed(client.signed(verified))
    return ConsistencyCheckMessage(
      context: context.digest, organization: organization, statement: verified.statement,
      signature: verified.statement.payload.signature(by: signer))
  }

  /// R4: against enough signatures on the own statement, gives out the reply.
  ///
  /// awaitingStatements → released; every share is erased, the released ones included. The shell records the exact
  /// bytes in the ledger before it sends them and resends only those.
  public mutating func receive(_ statements: StatementSet) throws(AggregationError) -> UnmaskingMessage {
    guard stage == .awaitingStatements, let client = take().signed() else { throw wrongStage }
    let proof: ThresholdProof
    do throws(AggregationError) {
      proof = try client.verify(statements, context: context)
    } catch {
      state = .signed(client)
      throw error
    }
    state = .released
    return client.release(proof, organization: organization, context: context)
  }

  /// Leaves the attempt and erases its keys and shares. A machine that has released stays released.
  public mutating func abandon() {
    guard stage != .released else { return }
    state = .abandoned
  }

  private var wrongStage: AggregationError { .misuse(.wrongClientStage(stage)) }

  /// Moves the state out; what is left behind is terminal until a new state is set.
  private mutating func take() -> ClientState {
    var taken = ClientState.abandoned
    swap(&taken, &state)
    return taken
  }

  private func require(_ signer: borrowing IdentitySigningKey) throws(AggregationError) {
    guard signer.verifyingKey == context.cohort[position].identity else { throw .misuse(.wrongSigner) }
  }

  private func require(_ term: some TermSource) throws(AggregationError) {
    let parameters = context.parameters
    guard term.tensorCount == parameters.tensorCount, term.counterCount == parameters.counterCount else {
      throw .misuse(.wrongTermShape(tensors: term.tensorCount, counters: term.counterCount))
    }
    guard (term as? EncodedTerm)?.isWithinBounds(context) ?? true else { throw .misuse(.storedTermIsCorrupt) }
  }
}

/// The states of a client, each holding exactly the secrets that its next step needs.
///
/// The extractors end the value: a state that is not the one asked for is destroyed with its secrets, so the
/// machine looks at ``stage`` first.
enum ClientState: ~Copyable, Sendable {
  case ready
  case advertised(AdvertisedClient)
  /// On a k-regular graph only.
  case revealed(RevealedClient)
  case shared(SharedClient)
  case masked(MaskedClient)
  case signed(SignedClient)
  case released
  case abandoned

  func stage(isRegular: Bool) -> ClientStage {
    switch self {
    case .ready: .ready
    case .advertised: isRegular ? .awaitingBeaconRequest : .awaitingRoster
    case .revealed: .awaitingRoster
    case .shared: .awaitingShares
    case .masked: .awaitingSurvivors
    case .signed: .awaitingStatements
    case .released: .released
    case .abandoned: .abandoned
    }
  }

  consuming func advertised() -> AdvertisedClient? {
    switch consume self {
    case .advertised(let client): return client
    case .ready: return nil
    case .revealed: return nil
    case .shared: return nil
    case .masked: return nil
    case .signed: return nil
    case .released: return nil
    case .abandoned: return nil
    }
  }

  consuming func revealed() -> RevealedClient? {
    switch consume self {
    case .revealed(let client): return client
    case .ready: return nil
    case .advertised: return nil
    case .shared: return nil
    case .masked: return nil
    case .signed: return nil
    case .released: return nil
    case .abandoned: return nil
    }
  }

  consuming func shared() -> SharedClient? {
    switch consume self {
    case .shared(let client): return client
    case .ready: return nil
    case .advertised: return nil
    case .revealed: return nil
    case .masked: return nil
    case .signed: return nil
    case .released: return nil
    case .abandoned: return nil
    }
  }

  consuming func masked() -> MaskedClient? {
    switch consume self {
    case .masked(let client): return client
    case .ready: return nil
    case .advertised: return nil
    case .revealed: return nil
    case .shared: return nil
    case .signed: return nil
    case .released: return nil
    case .abandoned: return nil
    }
  }

  consuming func signed() -> SignedClient? {
    switch consume self {
    case .signed(let client): return client
    case .ready: return nil
    case .advertised: return nil
    case .revealed: return nil
    case .shared: return nil
    case .masked: return nil
    case .released: return nil
    case .abandoned: return nil
    }
  }
}
