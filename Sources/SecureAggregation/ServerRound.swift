public import Cryptography

/// The server in one attempt of a secure sum, malicious-server variant, complete graph.
///
/// Implements the server of §Rounds. Sans I/O: the shell decides when a stage closes. A bad message throws and
/// changes nothing; `advance` either moves to the next stage or ends in ``RoundStage/failed``, a terminal stage.
/// Masked inputs are added as they come: memory is O(dimension) plus O(n²) for the ciphertexts.
public struct ServerRound: Sendable {
  private enum State {
    case advertiseKeys(AdvertiseKeysStage)
    case shareKeys(ShareKeysStage)
    case maskedInputCollection(MaskedInputStage)
    case consistencyCheck(ConsistencyCheckStage)
    case unmasking(UnmaskingStage)
    case completed(AggregateSum)
    case failed
  }

  public let context: AggregationContext
  private var state = State.advertiseKeys(AdvertiseKeysStage())
  /// The running sum. Beside the state, so that a message never makes a copy of it.
  private var accumulator: Accumulator
  /// Complaints of R2, by the one who complains.
  public private(set) var complaints: [OrganizationName: [Complaint]] = [:]
  /// Senders of wrong shares found while unmasking.
  public private(set) var blamed: Set<OrganizationName> = []

  public init(context: AggregationContext) {
    self.context = context
    accumulator = Accumulator(parameters: context.parameters)
  }

  public var stage: RoundStage {
    switch state {
    case .advertiseKeys: .advertiseKeys
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
    case .advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking, .failed: nil
    }
  }

  /// Those who may answer in the current stage, in cohort order; empty in a terminal stage.
  public var participants: [OrganizationName] {
    switch state {
    case .advertiseKeys: context.cohort.map(\.name)
    case .shareKeys(let stage): stage.roster.members
    case .maskedInputCollection(let stage): stage.members
    case .consistencyCheck(let stage): stage.survivors
    case .unmasking(let stage): stage.signers
    case .completed, .failed: []
    }
  }

  /// Those who have answered in the current stage.
  public var answered: Set<OrganizationName> {
    switch state {
    case .advertiseKeys(let stage): Set(stage.received.keys)
    case .shareKeys(let stage): Set(stage.received.keys)
    case .maskedInputCollection(let stage): Set(stage.received.keys)
    case .consistencyCheck(let stage): Set(stage.received.keys)
    case .unmasking(let stage): Set(stage.received.keys)
    case .completed, .failed: []
    }
  }

  /// Those for whom the current stage still waits.
  public var awaiting: Set<OrganizationName> { Set(participants).subtracting(answered) }

  /// Whether everybody who may answer has.
  public var isComplete: Bool { !participants.isEmpty && awaiting.isEmpty }

  /// Whether enough have answered for `advance` not to fail for lack of participants or of shares.
  public var canAdvance: Bool {
    guard !participants.isEmpty, answered.count >= context.requiredParticipants(in: stage) else { return false }
    return switch state {
    case .unmasking(let stage): stage.isRecoverable(context: context)
    case .advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .completed, .failed: true
    }
  }

  /// Takes a message from an authenticated organisation.
  ///
  /// An exact resend within its stage is accepted and changes nothing.
  /// - Throws: ``AggregationError/misbehaviour(_:by:)`` blaming `sender`; the machine is unchanged.
  public mutating func receive(
    _ message: ClientRoundMessage, from sender: OrganizationName
  ) throws(AggregationError) {
    let party = Party.organization(sender)
    guard context.position(of: sender) != nil else { throw .misbehaviour(.unknownOrganization(sender), by: party) }
    guard message.organization == sender else {
      throw .misbehaviour(.senderMismatch(claimed: message.organization), by: party)
    }
    guard message.context == context.digest else {
      throw .misbehaviour(.contextMismatch(message.kind), by: party)
    }
    switch (state, message) {
    case (.advertiseKeys(var stage), .advertiseKeys(let message)):
      try stage.receive(message, context: context)
      state = .advertiseKeys(stage)
    case (.shareKeys(var stage), .shareKeys(let message)):
      try stage.receive(message, context: context)
      state = .shareKeys(stage)
    case (.maskedInputCollection(var stage), .maskedInput(let message)):
      if try stage.receive(message, context: context) {
        accumulator.add(packed: message.maskedInput)
        complaints[sender] = message.complaints.isEmpty ? nil : message.complaints
      }
      state = .maskedInputCollection(stage)
    case (.consistencyCheck(var stage), .consistencyCheck(let message)):
      try stage.receive(message, context: context)
      state = .consistencyCheck(stage)
    case (.unmasking(var stage), .unmasking(let message)):
      try stage.receive(message, context: context)
      state = .unmasking(stage)
    case (.advertiseKeys, _), (.shareKeys, _), (.maskedInputCollection, _), (.consistencyCheck, _),
      (.unmasking, _), (.completed, _), (.failed, _):
      throw .misbehaviour(.outOfOrder(message.kind, stage: stage), by: party)
    }
  }

  /// Closes the stage with those who have answered.
  ///
  /// - Returns: What to send to each participant of the next stage; nothing once completed.
  /// - Throws: ``AggregationError/tooFewParticipants(_:)``, ``AggregationError/unrecoverable(_:)`` or
  ///   ``AggregationError/local(_:)``, and ends in ``RoundStage/failed``; ``AggregationError/misuse(_:)`` in a
  ///   terminal stage or with another key than the server's, and changes nothing. Unmasking may be resumed: ask
  ///   ``canAdvance`` before giving up on it.
  public mutating func advance(
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> [OrganizationName: ServerRoundMessage] {
    guard signer.verifyingKey == context.server else { throw .misuse(.wrongSigner) }
    guard !participants.isEmpty else { throw .misuse(.wrongServerStage(stage)) }
    do throws(AggregationError) {
      try CohortOrder.require(
        participants.filter { answered.contains($0) }, of: participants, stage: stage, context: context)
      let messages = try close(signer: signer)
      if stage == .completed { accumulator.empty() }
      return messages
    } catch {
      state = .failed
      accumulator.empty()
      throw error
    }
  }

  private mutating func close(
    signer: borrowing IdentitySigningKey
  ) throws(AggregationError) -> [OrganizationName: ServerRoundMessage] {
    switch state {
    case .advertiseKeys(let stage):
      let roster = try VerifiedRoster(closing: stage, context: context)
      state = .shareKeys(ShareKeysStage(roster: roster))
      return Self.broadcast(.roster(stage.roster(context: context)), to: roster.members)
    case .shareKeys(let stage):
      state = .maskedInputCollection(MaskedInputStage(closing: stage))
      return stage.deliveries(context: context).mapValues { .shares($0) }
    case .maskedInputCollection(let stage):
      let next = ConsistencyCheckStage(closing: stage)
      let announcement = ConsistencyCheckStage.announcement(closing: stage, context: context, signer: signer)
      state = .consistencyCheck(next)
      return Self.broadcast(.survivors(announcement), to: next.survivors)
    case .consistencyCheck(let stage):
      state = .unmasking(UnmaskingStage(closing: stage))
      return Self.broadcast(.statements(stage.statements(context: context)), to: stage.signers)
    case .unmasking(let stage):
      blamed = try stage.unmask(&accumulator, context: context)
      let sum = try AggregateSum(
        words: accumulator.tensors, counters: accumulator.counters, survivors: stage.survivors,
        maskedInputRoot: stage.statement.maskedInputRoot, context: context)
      state = .completed(sum)
      return [:]
    case .completed, .failed:
      throw .misuse(.wrongServerStage(stage))
    }
  }

  private static func broadcast(
    _ message: ServerRoundMessage, to names: [OrganizationName]
  ) -> [OrganizationName: ServerRoundMessage] {
    Dictionary(uniqueKeysWithValues: names.map { ($0, message) })
  }
}
