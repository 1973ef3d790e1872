import AuditLog
import Cryptography
import Federation
import FederationWire
import Learning
import SecureAggregation

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
    let manifest: SignedManifest
    let policy: Policy
    let dataPath: String
    let log: AuditLogWriter
    let store: ClientStore
    let gate: EgressGate
    let runsDirectory: String
    /// Where a long masked input lies while it is uploaded.
    let spoolDirectory: String
    /// Told of every step of the order of writing.
    var observe: WritingObserver = { _ in }
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

  let parts: Parts
  let identity: IdentitySigningKey
  let progress: @Sendable (ClientEvent) -> Void
  var run: ActiveRun?
  var round: ActiveRound?
  /// Runs that this process has accepted.
  var begun: Set<RunIdentifier> = []
  private var lastIdle: ContinuousClock.Instant?

  /// A run this organisation has accepted.
  struct ActiveRun {
    let agreement: RunAgreement
    let accepted: AcceptedPlan
    let runner: TaskRunner
    var progression: RunProgression
    /// Whether an earlier process of this organisation has taken part in the run, so that sums may have been missed.
    let wasAway: Bool
    var cohort: [OrganizationName] = []
    /// The sum that was published last; it is not published again.
    var lastResult: OpeningIdentifier?
  }

  /// The attempt in which this organisation is.
  struct ActiveRound: ~Copyable {
    let opening: OpeningIdentifier
    let context: AggregationContext
    var machine: ClientRound
    var ledger: AttemptLedger
    let term: EncodedTerm
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
    parts: Parts, identity: consuming IdentitySigningKey, progress: @escaping @Sendable (ClientEvent) -> Void
  ) {
    self.parts = parts
    self.identity = identity
    self.progress = progress
  }

  /// Takes part until a run has ended for this organisation.
  ///
  /// - Throws: ``ClientError``; nothing leaves after it.
  func takePart() async throws(ClientError) -> ClientOutcome {
    var instruction = try await greet()
    while true {
      let answer: Answer
      switch instruction.body {
      case .wait:
        try await pace()
        answer = Answer(.poll)
      case .announcement(let announcement):
        try await pace()
        answer = try accept(announcement)
      case .task(let task): answer = try begin(task)
      case .round(let payload): answer = try proceed(payload)
      case .result(let result): answer = try finish(result)
      case .end(let end):
        let outcome = try conclude(end)
        try await bidFarewell(answering: instruction.instruction)
        await parts.gate.close()
        return outcome
      case .stored: throw .unexpected("an answer to a segment that was not sent")
      case .part: throw .unexpected("a part that was not asked for")
      case .notice: answer = Answer(.ready)
      case .refused(let refusal):
        guard refusal.code == FederationWire.Refusal.helloRequiredCode else { throw .refused(refusal) }
        try await pace()
        // What is known of the run stays known: a server cannot make this process forget how the model came about.
        abandonRound()
        instruction = try await greet()
        continue
      }
      instruction = try await upload(answer, answering: instruction.instruction)
    }
  }

  /// Sends an answer, after the masked input that belongs to it if that is too long to go along.
  ///
  /// The server says how much it has, so an upload goes on where it stopped. If the attempt is over for the server, the
  /// rest of the masked input stays here.
  private func upload(_ answer: Answer, answering number: UInt64) async throws(ClientError) -> ServerMessage {
    guard let spool = answer.upload, let opening = answer.body.opening else {
      return try await send(answer, answering: number)
    }
    defer { spool.remove() }
    var stored: UInt64 = 0
    while stored < UInt64(spool.byteCount) {
      let bytes = try spool.read(from: Int(stored), count: WireLimits.segmentBytes)
      var draft = answer.draft
      draft?.maskedInput = nil
      let segment = MaskedInputSegment(opening: opening, offset: stored, bytes: bytes)
      let reply = try await send(Answer(.segment(segment), draft: draft), answering: number)
      guard case .stored(let state) = reply.body else { return reply }
      guard state.isOpen else { return try await send(Answer(.poll), answering: number) }
      // Less would let a server have the same bytes sent, and recorded, without end.
      guard state.count >= stored + UInt64(bytes.count), state.count <= UInt64(spool.byteCount) else {
        throw .unexpected("a count of stored bytes that does not follow from what was sent")
      }
      stored = state.count
    }
    return try await send(answer, answering: number)
  }

  /// Lets some time pass between answers that bring a run no further, so that a server that asks for them without end
  /// can neither keep this machine busy nor fill its log.
  private func pace() async throws(ClientError) {
    let now = ContinuousClock.now
    if let last = lastIdle, now < last + parts.idlePause {
      do { try await Task.sleep(until: last + parts.idlePause, clock: .continuous) } catch { throw .cancelled }
    }
    lastIdle = .now
  }

  // MARK: - Sending

  private func greet() async throws(ClientError) -> ServerMessage {
    guard let approval = parts.manifest.approval(by: parts.name) else {
      throw .federation(.manifest(.missingApprovals([parts.name])))
    }
    return try await send(Answer(.hello(Greeting(manifest: parts.manifest.hash, approval: approval))), answering: 0)
  }

  /// Tells the server that the end has arrived. The run is over whether it hears that or not.
  private func bidFarewell(answering number: UInt64) async throws(ClientError) {
    do throws(ClientError) {
      _ = try await send(Answer(.ready), answering: number, isLast: true)
    } catch {
      if case .log = error { throw error }
    }
  }

  /// Sends one message under a decision of the policy, and parses the answer.
  private func send(
    _ answer: Answer, answering number: UInt64, isLast: Bool = false
  ) async throws(ClientError) -> ServerMessage {
    let message = ClientMessage(
      identifier: answer.identifier, run: run?.agreement.run, answers: number, body: answer.body)
    let decision = try decision(for: answer.body)
    let kind = decision.kind
    try requireCommitted(answer.body)
    var draft = answer.draft ?? AuditRecord.Draft(.messageSent)
    draft.federation = parts.manifest.manifest.federation.value
    draft.manifest = parts.manifest.hash
    draft.plan = run?.agreement.plan.hash
    draft.run = run?.agreement.run.text
    draft.stateVersion = try parts.store.version
    try reach(.persisted, kind, answer.body.opening)
    let bytes = try await parts.gate.send(
      OutboundMessage(message, draft: draft, resendOf: answer.resendOf), decision: decision, charge: .notPrivate(),
      isLast: isLast)
    let reply: ServerMessage
    do throws(WireError) {
      reply = try ServerMessage(parsing: bytes, run: run?.agreement.run)
    } catch { throw .wire(error) }
    if let receipt = reply.receipt {
      guard receipt.message == message.identifier else { throw .unexpected("a receipt for another message") }
      try await parts.gate.confirm(receipt, run: draft.run)
    }
    try reach(.completed, kind, answer.body.opening)
    return reply
  }

  /// Of what binds an organisation in an attempt, only the bytes that its state knows may leave.
  private func requireCommitted(_ body: ClientMessage.Body) throws(ClientError) {
    guard case .round(let payload) = body, payload.isCommitted else { return }
    guard try parts.store.committed(payload.kind, of: payload.opening)?.payload == MessageHash(hashing: payload.payload)
    else { throw .state(.otherMessage(payload.opening, kind: payload.kind)) }
  }

  func reach(_ step: WritingStep, _ kind: OutboundKind, _ opening: OpeningIdentifier?) throws(ClientError) {
    try parts.observe(WritingPoint(step: step, kind: kind, opening: opening))
  }

  /// What allows a message to leave: for anything computed from data, the accepted plan and nothing else.
  private func decision(for body: ClientMessage.Body) throws(ClientError) -> PolicyDecision {
    let kind: OutboundKind
    switch body {
    case .hello: return .protocolControl(.hello)
    case .ready: return .protocolControl(.ready)
    case .poll: return .protocolControl(.poll)
    case .fetch: return .protocolControl(.fetch)
    case .refusal(_, let reason, _): return .refusing(reason, plan: run?.agreement.plan.hash)
    case .acceptance: kind = .acceptance
    case .round(let payload):
      guard let round = payload.outboundKind else { throw .unexpected("a task that asks for an unknown message") }
      kind = round
    case .segment: kind = .maskedInputSegment
    }
    guard let accepted = run?.accepted else { throw .unexpected("a task of no accepted plan") }
    return accepted.decision(for: kind)
  }

  func record(_ event: AuditRecord.Event, _ fill: (inout AuditRecord.Draft) -> Void) throws(ClientError) {
    var draft = AuditRecord.Draft(event)
    draft.federation = parts.manifest.manifest.federation.value
    draft.manifest = parts.manifest.hash
    draft.plan = run?.agreement.plan.hash
    draft.run = run?.agreement.run.text
    fill(&draft)
    do throws(AuditLogError) { try parts.log.append(draft) } catch { throw .log(error) }
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
    case .hello, .acceptance, .refusal, .ready, .poll, .fetch: nil
    }
  }
}

extension RoundPayload {
  /// Whether there may be one of its kind in an attempt, and its hash is in the state before it leaves.
  fileprivate var isCommitted: Bool {
    switch outboundKind {
    case .maskedInput, .consistencyCheck, .unmasking: true
    case .hello, .acceptance, .refusal, .ready, .poll, .fetch, .advertiseKeys, .beaconReveal, .shareKeys,
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
