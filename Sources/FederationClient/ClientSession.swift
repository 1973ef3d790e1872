import AuditLog
import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Learning
import SecureAggregation
import TransparencyLog

/// How a run went for this organisation.
public struct ClientOutcome: Sendable, Equatable {
  public let run: RunIdentifier
  public let state: RunEnd.State
  public let reason: String
  /// Where the model was stored; `nil` where the run made none.
  public let modelPath: String?
}

/// One organisation's side of runs: answers the server's instructions, one at a time, by its own policy.
///
/// Whatever the server sends is an input to a check. What fails one is refused and recorded, and nothing more leaves.
actor ClientSession {
  struct Parts: Sendable {
    let name: OrganizationName
    /// The policy as it is when a run is announced.
    let policy: @Sendable () throws(FederationError) -> Policy
    let dataPath: String
    let log: AuditLogWriter
    let store: ClientStore
    let gate: EgressGate
    let runsDirectory: String
    /// Where a long masked input lies while it is uploaded.
    let spoolDirectory: String
    /// Where secrets for an auditor's opening lie, if the policy keeps any.
    let sealedDirectory: String
    /// Who vouches for the log from outside the federation.
    var witnesses: ExternalWitnesses?
    /// Told of every step of the order of writing.
    var observe: WritingObserver = { _ in }
    /// This organisation as a witness; without one nothing is witnessed.
    var witness: Witness?
    /// How long the others' cosignatures are waited for at the end of a run.
    var settling: Duration = .seconds(2)
    /// Passes between answers that bring a run no further.
    var idlePause: Duration = .seconds(1)
  }

  /// What is sent, with what its record says beside its bytes.
  struct Answer {
    let body: ClientMessage.Body
    var draft: AuditRecord.Draft?
    var identifier = MessageIdentifier.random()
    /// The record under which the same message of the secure sum left before.
    var resendOf: UInt64?
    /// A masked input that is uploaded before the message that signs its hash.
    var upload: MaskedInputSpool?

    init(_ body: ClientMessage.Body, draft: AuditRecord.Draft? = nil) {
      self.body = body
      self.draft = draft
    }
  }

  /// Training and masking keep a thread busy for as long as they take: one of their own, so that connections are kept
  /// alive and the owner is answered meanwhile.
  private let executor = ThreadExecutor()
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  let parts: Parts
  let identity: IdentitySigningKey
  let sealedSecrets: SealedSecretsKeeper
  let progress: @Sendable (ClientEvent) -> Void
  var run: ActiveRun?
  var round: ActiveRound?
  /// Number of the instruction that is being answered.
  var answered: UInt64 = 0
  /// Runs that this process has accepted.
  var begun: Set<RunIdentifier> = []
  private var lastIdle: ContinuousClock.Instant?
  var membership: Membership
  /// What the server was told last.
  var greeted: Introduction?
  /// The beginning of a long instruction.
  var partial: InstructionAssembly?
  /// What the owner was told of already.
  var proposed: ManifestHash?
  var refusedNews: FederationError?
  var unreadable: FederationError?
  var witnessing = WitnessingState()

  /// A run this organisation has accepted.
  struct ActiveRun {
    let agreement: RunAgreement
    let accepted: AcceptedPlan
    /// As it was when the run was announced.
    let policy: Policy
    let runner: TaskRunner
    /// How ledger and history name the rows that were read for the run: by where they were, without links.
    let dataSet: String
    var progression: RunProgression
    /// Whether an earlier process of this organisation has taken part in the run, so that sums may have been missed.
    let wasAway: Bool
    var cohort: [OrganizationName] = []
    /// The sum that was published last; no other one is published for its opening. A server that was started again may
    /// hand out the same once more.
    var lastResult: OpeningResult?
    /// Of that sum: who was there last.
    var lastSurvivors: [OrganizationName]?
  }

  /// The attempt in which this organisation is.
  struct ActiveRound: ~Copyable {
    let opening: OpeningIdentifier
    let context: AggregationContext
    var machine: ClientRound
    var ledger: AttemptLedger
    let term: EncodedTerm
    /// What was added to the term, and what the sum costs with this attempt.
    var noise: NoisedRelease?
    var charge: PendingCharge?
    /// What gave T1, to be sealed beside the secrets of the masked input.
    var beaconRequest: BeaconRequest?
    var roster: AdvertisementRoster?
    /// To the term, in the record of the masked input.
    var commitment: TermCommitment?
    /// |U2|, once known: as many masks are on the masked input, its own included.
    var shareSurvivors: Int?
    /// |U3|, once known.
    var survivors: Int?
    /// What the statement that this organisation signed says of the sum.
    var signedRoot: MaskedInputRoot?
    /// U3 as that statement says it.
    var signedSurvivors: [OrganizationName]?
  }

  init(
    parts: Parts, membership: Membership, identity: consuming IdentitySigningKey,
    progress: @escaping @Sendable (ClientEvent) -> Void
  ) {
    self.parts = parts
    sealedSecrets = SealedSecretsKeeper(
      directory: parts.sealedDirectory, store: parts.store, log: parts.log)
    self.membership = membership
    self.identity = identity
    self.progress = progress
  }

  /// Takes part until a run has ended for this organisation.
  ///
  /// - Throws: ``ClientError``; nothing leaves after it.
  func takePart() async throws(ClientError) -> ClientOutcome {
    // Of an attempt that an earlier process or run was in, nothing comes any more.
    try sealedSecrets.tidy()
    var instruction = try await greet()
    while true {
      let answer: Answer
      answered = instruction.instruction
      switch instruction.body {
      case .wait:
        try await pace()
        guard !hasNews() else {
          instruction = try await greet()
          continue
        }
        try await witnessReceipts(answering: instruction.instruction)
        answer = Answer(.poll)
      case .announcement(let announcement):
        try await pace()
        try await parts.witnesses?.refresh()
        answer = try accept(announcement)
      case .task(let task): answer = try begin(task)
      case .round(let payload): answer = try proceed(payload)
      case .result(let result):
        let known = run?.lastResult
        answer = try finish(result)
        if run?.lastResult == known {
          try await pace()
        } else {
          try await witnessResult(answering: instruction.instruction)
        }
      case .end(let end):
        let ended = run?.agreement.run == end.run ? run : nil
        let outcome = try conclude(end)
        try await settleWitnessing(
          ended, isCompleted: end.state == .completed, answering: instruction.instruction)
        try await bidFarewell(answering: instruction.instruction)
        await parts.gate.close()
        try await parts.witnesses?.submit(afterRun: true)
        return outcome
      case .stored: throw .unexpected("an answer to a segment that was not sent")
      case .witnessed: throw .unexpected("a witness's answer that was not asked for")
      case .part: throw .unexpected("a part that was not asked for")
      case .notice(let notice):
        try await pace()
        answer = try take(notice)
      case .refused(let refusal) where refusal.code == FederationWire.Refusal.pausedCode:
        instruction = try await waitForReturn(refusal)
        continue
      case .refused(let refusal):
        guard refusal.code == FederationWire.Refusal.helloRequiredCode else { throw .refused(refusal) }
        try await pace()
        // What is known of the run stays known: a server cannot make this process forget how the model came about.
        abandonRound()
        instruction = try await greet()
        continue
      }
      if case .refusal = answer.body { try await pace() }
      try await stateOwnPins(answering: instruction.instruction)
      instruction = try await upload(answer, answering: instruction.instruction)
    }
  }

  /// The server stops, and goes on with the run when it is back: what is known of the run stays known here.
  private func waitForReturn(_ refusal: FederationWire.Refusal) async throws(ClientError) -> ServerMessage {
    abandonRound()
    await parts.gate.close()
    progress(.trouble(code: refusal.code, reason: refusal.message, remedy: refusal.remedy))
    do { try await Task.sleep(for: parts.idlePause * Double.random(in: 1...3)) } catch { throw .cancelled }
    return try await greet()
  }

  /// Lets some time pass between answers that bring a run no further, so that a server that asks for them without end
  /// can neither keep this machine busy nor fill its log.
  func pace() async throws(ClientError) {
    let now = ContinuousClock.now
    if let last = lastIdle, now < last + parts.idlePause {
      do { try await Task.sleep(until: last + parts.idlePause, clock: .continuous) } catch { throw .cancelled }
    }
    lastIdle = .now
  }

  // MARK: - Sending

  /// Tells the server that the end has arrived. The run is over whether it hears that or not.
  private func bidFarewell(answering number: UInt64) async throws(ClientError) {
    do throws(ClientError) {
      _ = try await send(Answer(.ready), answering: number, isLast: true)
    } catch {
      if case .log = error { throw error }
    }
  }

  func abandonRound() {
    round?.machine.abandon()
    round = nil
  }
}

extension ClientMessage.Body {
  /// The kind of message, as policy decisions name it; nil for a round message that no client sends.
  var outboundKind: OutboundKind? {
    switch self {
    case .hello: .hello
    case .acceptance: .acceptance
    case .refusal: .refusal
    case .ready: .ready
    case .poll: .poll
    case .fetch: .fetch
    case .pins: .pins
    case .witness: .witness
    case .round(let payload): payload.outboundKind
    case .segment: .maskedInputSegment
    }
  }
}

extension ClientMessage.Body {
  /// The sum that a message of the secure sum belongs to.
  var opening: OpeningIdentifier? {
    switch self {
    case .round(let payload): payload.opening
    case .segment(let segment): segment.opening
    case .hello, .acceptance, .refusal, .ready, .poll, .fetch, .pins, .witness: nil
    }
  }
}

extension RoundPayload {
  /// Whether there may be one of its kind in an attempt, and its hash is in the state before it leaves.
  var isCommitted: Bool {
    switch outboundKind {
    case .maskedInput, .consistencyCheck, .unmasking: true
    case .hello, .acceptance, .refusal, .ready, .poll, .fetch, .pins, .witness, .advertiseKeys, .beaconReveal,
      .shareKeys,
      .maskedInputSegment, .complaint, nil:
      false
    }
  }

  /// The payload's kind, as policy decisions name it.
  var outboundKind: OutboundKind? {
    switch MessageKind(rawValue: kind) {
    case .advertiseKeys: .advertiseKeys
    case .beaconReveal: .beaconReveal
    case .shareKeys: .shareKeys
    case .maskedInput: .maskedInput
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    case .beaconRequest, .roster, .shares, .survivors, .statements, nil: nil
    }
  }
}

extension ClientMessage.Body {
  /// Whether it says only that somebody is there: such messages alone are no reason to have a log witnessed anew.
  var isControl: Bool {
    switch self {
    case .hello, .ready, .poll, .fetch, .pins, .witness: true
    case .acceptance, .refusal, .round, .segment: false
    }
  }
}
