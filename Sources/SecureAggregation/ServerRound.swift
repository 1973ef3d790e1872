public import Cryptography

/// The server in one attempt of a secure sum, malicious-server variant.
///
/// Implements the server of §Rounds. Sans I/O: the shell decides when a stage closes. A bad message throws and
/// changes nothing; `advance` either moves to the next stage or ends in ``RoundStage/failed``, a terminal stage.
/// Masked inputs are added as they come: memory is O(dimension) plus O(n²) for the ciphertexts.
public struct ServerRound: Sendable {
  private enum State {
    case advertiseKeys(AdvertiseKeysStage)
    case graphBeacon(GraphBeaconStage)
    case shareKeys(ShareKeysStage)
    case maskedInputCollection(MaskedInputStage)
    case consistencyCheck(ConsistencyCheckStage)
    case unmasking(UnmaskingStage)
    case completed(AggregateSum)
    case failed
  }

  public let context: AggregationContext
  private var state: State
  /// The running sum. Beside the state, so that a message never makes a copy of it.
  private var accumulator: Accumulator
  private let lanes: Lanes
  /// Complaints of R2, by the one who complains.
  public private(set) var complaints: [OrganizationName: [Complaint]] = [:]
  /// Who has certainly dealt wrong shares or signed wrong commitments, if no more are corrupt than the parameters say.
  public private(set) var blamed: Set<OrganizationName> = []
  /// Dealers and holders of wrong shares that nobody checked on receipt: one of each two is at fault, and it cannot be
  /// told which.
  public private(set) var suspected: Set<OrganizationName> = []

  /// - Parameter lanes: cores that may be used for unmasking.
  public init(context: AggregationContext, lanes: Lanes = .one) {
    self.context = context
    self.lanes = lanes
    state = .advertiseKeys(AdvertiseKeysStage(context: context))
    accumulator = Accumulator(parameters: context.parameters)
  }

  public var stage: RoundStage {
    switch state {
    case .advertiseKeys: .advertiseKeys
    case .graphBeacon: .graphBeacon
    case .shareKeys: .shareKeys
    case .maskedInputCollection: .maskedInputCollection
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    case .completed: .completed
    case .failed: .failed
    }
  }

  /// The sum, once the machine has completed.
  public var result: AggregateSum? {
    switch state {
    case .completed(let sum): sum
    case .advertiseKeys, .graphBeacon, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking, .failed:
      nil
    }
  }

  /// Those who may answer in the current stage, in cohort order; empty in a terminal stage.
  public var participants: [OrganizationName] { context.names(candidates) }

  /// Those who have answered in the current stage.
  public var answered: Set<OrganizationName> { Set(context.names(answers)) }

  /// Those for whom the current stage still waits.
  public var awaiting: Set<OrganizationName> { Set(context.names(candidates.subtracting(answers))) }

  /// Whether everybody who may answer has.
  public var isComplete: Bool { !candidates.isEmpty && candidates.count == answers.count }

  /// Whether enough have answered for `advance` not to fail for lack of participants or of shares.
  public var canAdvance: Bool {
    guard !candidates.isEmpty, answers.count >= required else { return false }
    return switch state {
    case .unmasking(let stage): stage.isRecoverable(context: context)
    case .advertiseKeys, .graphBeacon, .shareKeys, .maskedInputCollection, .consistencyCheck, .completed, .failed:
      true
    }
  }

  private var candidates: MemberSet {
    switch state {
    case .advertiseKeys: context.everyone
    case .graphBeacon(let stage): stage.request.members
    case .shareKeys(let stage): stage.roster.members
    case .maskedInputCollection(let stage): stage.members
    case .consistencyCheck(let stage): stage.survivors
    case .unmasking(let stage): stage.signers
    case .completed, .failed: MemberSet(cohortCount: context.cohort.count)
    }
  }

  private var answers: MemberSet {
    switch state {
    case .advertiseKeys(let stage): stage.received.members
    case .graphBeacon(let stage): stage.received.members
    case .shareKeys(let stage): stage.received.members
    case .maskedInputCollection(let stage): stage.received.members
    case .consistencyCheck(let stage): stage.received.members
    case .unmasking(let stage): stage.received.members
    case .completed, .failed: MemberSet(cohortCount: context.cohort.count)
    }
  }

  /// A nonce that is missing would let the server choose among beacons, so all of U1 must reveal theirs.
  private var required: Int {
    switch state {
    case .graphBeacon(let stage): stage.request.members.count
    case .advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking, .completed, .failed:
      context.requiredParticipants(in: stage)
    }
  }

  /// What a participant of the current stage is sent to begin it: the same however often it is asked for, so it may be
  /// sent again after a lost connection. Nil for others, and in AdvertiseKeys, which the task begins.
  public func message(for organization: OrganizationName) -> ServerRoundMessage? {
    guard let position = context.position(of: organization), candidates.contains(position) else { return nil }
    switch state {
    case .graphBeacon(let stage): return .beaconRequest(stage.request)
    case .shareKeys(let stage): return .roster(stage.roster.roster(for: position, context: context))
    case .maskedInputCollection(let stage): return .shares(stage.relay.delivery(for: position, context: context))
    case .consistencyCheck(let stage): return .survivors(stage.announcement(for: position, context: context))
    case .unmasking(let stage): return .statements(stage.statements)
    case .advertiseKeys, .completed, .failed: return nil
    }
  }

  /// Takes a message from an authenticated organisation.
  ///
  /// An exact resend within its stage is accepted and changes nothing.
  /// - Parameter body: the bytes of a masked input; of no meaning for other messages.
  /// - Throws: ``AggregationError/misbehaviour(_:by:)`` blaming `sender`, or ``AggregationError/spool(_:)`` if the body
  ///   cannot be read; the machine is unchanged. If the body was checked and cannot be read again as it was, the machine
  ///   ends in ``RoundStage/failed``, because the sum is spoilt.
  public mutating func receive(
    _ message: ClientRoundMessage, body: some MaskedInputBody = [UInt8](), from sender: OrganizationName
  ) throws(AggregationError) {
    let party = Party.organization(sender)
    guard let position = context.position(of: sender) else {
      throw .misbehaviour(.unknownOrganization(sender), by: party)
    }
    guard message.organization == sender else {
      throw .misbehaviour(.senderMismatch(claimed: message.organization), by: party)
    }
    guard message.context == context.digest else {
      throw .misbehaviour(.contextMismatch(message.kind), by: party)
    }
    // Taken out for the time of the call, so that a stage is changed in place and not copied.
    let current = state
    state = .failed
    switch consume current {
    case .advertiseKeys(var stage):
      defer { state = .advertiseKeys(stage) }
      guard case .advertiseKeys(let message) = message else { throw outOfOrder(message, .advertiseKeys) }
      try stage.receive(message, at: position, context: context)
    case .graphBeacon(var stage):
      defer { state = .graphBeacon(stage) }
      guard case .beaconReveal(let message) = message else { throw outOfOrder(message, .graphBeacon) }
      try stage.receive(message, at: position, context: context)
    case .shareKeys(var stage):
      defer { state = .shareKeys(stage) }
      guard case .shareKeys(let message) = message else { throw outOfOrder(message, .shareKeys) }
      try stage.receive(message, at: position, context: context)
    case .maskedInputCollection(let stage):
      try receive(message, body: body, at: position, in: stage)
    case .consistencyCheck(var stage):
      defer { state = .consistencyCheck(stage) }
      guard case .consistencyCheck(let message) = message else { throw outOfOrder(message, .consistencyCheck) }
      try stage.receive(message, at: position, context: context)
    case .unmasking(var stage):
      defer { state = .unmasking(stage) }
      guard case .unmasking(let message) = message else { throw outOfOrder(message, .unmasking) }
      try stage.receive(message, at: position, context: context)
    case .completed(let sum):
      state = .completed(sum)
      throw outOfOrder(message, .completed)
    case .failed:
      throw outOfOrder(message, .failed)
    }
  }

  /// Checks a masked input and adds it. The state was taken out; it stays ``RoundStage/failed`` if the sum is spoilt.
  private mutating func receive(
    _ message: ClientRoundMessage, body: some MaskedInputBody, at position: Int, in stage: consuming MaskedInputStage
  ) throws(AggregationError) {

    let isNew: Bool
    let input: MaskedInputMessage
    do throws(AggregationError) {
      guard case .maskedInput(let message) = message else { throw outOfOrder(message, .maskedInputCollection) }
      input = message
      isNew = try stage.check(input, body: body, at: position, context: context)
    } catch {
      state = .maskedInputCollection(stage)
      throw error
    }
    if isNew {
      do throws(AggregationError) {
        try accumulator.add(body, of: input, context: context)
      } catch {
        accumulator.empty()
        throw error
      }
      stage.note(input, at: position)
      complaints[input.organization] = input.complaints.isEmpty ? nil : input.complaints
    }
    state = .maskedInputCollection(stage)
  }

  private func outOfOrder(_ message: ClientRoundMessage, _ stage: RoundStage) -> AggregationError {
    .misbehaviour(.outOfOrder(message.kind, stage: stage), by: .organization(message.organization))
  }

  /// Closes the stage with those who have answered.
  ///
  /// - Returns: The participants of the next stage, in cohort order, each of whom is to be sent its
  ///   ``message(for:)``; nobody once completed.
  /// - Throws: ``AggregationError/tooFewParticipants(_:)``, ``AggregationError/unrecoverable(_:)`` or
  ///   ``AggregationError/local(_:)``, and ends in ``RoundStage/failed``; ``AggregationError/misuse(_:)`` in a
  ///   terminal stage or with another key than the server's, and changes nothing. Unmasking may be resumed: ask
  ///   ``canAdvance`` before giving up on it.
  @discardableResult
  public mutating func advance(
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> [OrganizationName] {
    guard signer.verifyingKey == context.server else { throw .misuse(.wrongSigner) }
    guard !candidates.isEmpty else { throw .misuse(.wrongServerStage(stage)) }
    do throws(AggregationError) {
      try CohortOrder.require(answers, of: candidates, stage: stage, context: context, required: required)
      try close(signer: signer)
    } catch {
      state = .failed
      accumulator.empty()
      throw error
    }
    if stage == .completed { accumulator.empty() }
    return participants
  }

  private mutating func close(signer: borrowing IdentitySigningKey) throws(AggregationError) {
    switch state {
    case .advertiseKeys(let stage):
      if context.regularGraph == nil {
        let roster = try CollectedRoster(closing: stage, context: context)
        state = .shareKeys(ShareKeysStage(roster: roster, context: context))
      } else {
        state = .graphBeacon(GraphBeaconStage(closing: stage, context: context, signer: signer))
      }
    case .graphBeacon(let stage):
      let roster = try CollectedRoster(closing: stage, context: context)
      state = .shareKeys(ShareKeysStage(roster: roster, context: context))
    case .shareKeys(let stage):
      state = .maskedInputCollection(MaskedInputStage(closing: stage, context: context))
    case .maskedInputCollection(let stage):
      blamed.formUnion(stage.wrongDealers(context: context))
      try stage.requireRecoverable(context: context)
      state = .consistencyCheck(ConsistencyCheckStage(closing: stage, context: context, signer: signer))
    case .consistencyCheck(let stage):
      state = .unmasking(UnmaskingStage(closing: stage, context: context))
    case .unmasking(let stage):
      let found = try stage.unmask(&accumulator, lanes: lanes, context: context)
      blamed.formUnion(found.blamed)
      suspected = found.suspected.subtracting(blamed)
      state = .completed(
        try AggregateSum(
          words: accumulator.tensors, counters: accumulator.counters, survivors: context.names(stage.survivors),
          maskedInputRoot: stage.statement.maskedInputRoot, context: context))
    case .completed, .failed:
      throw .misuse(.wrongServerStage(stage))
    }
  }
}
