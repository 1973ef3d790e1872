import AuditLog
import Cryptography
import Federation
import FederationWire
import SecureAggregation

/// Messages on their way out, and what the server answers.
extension ClientSession {
  /// Sends an answer, after the masked input that belongs to it if that is too long to go along.
  ///
  /// The server says how much it has, so an upload goes on where it stopped. If the attempt is over for the server, the
  /// rest of the masked input stays here.
  func upload(_ answer: Answer, answering number: UInt64) async throws(ClientError) -> ServerMessage {
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

  /// Sends one message under a decision of the policy, and returns the answer; one that comes in parts, as a whole.
  func send(
    _ answer: Answer, answering number: UInt64, isLast: Bool = false
  ) async throws(ClientError) -> ServerMessage {
    let reply = try await exchange(answer, answering: number, isLast: isLast)
    guard case .part(let part) = reply.body, !isLast else { return reply }
    return try await assemble(part, of: reply.instruction, answering: number)
  }

  /// Fetches the rest of an instruction.
  ///
  /// What has arrived is kept whatever happens: when the same bytes are announced again, they go on where they stopped.
  private func assemble(
    _ first: PartOfInstruction, of instruction: UInt64, answering number: UInt64
  ) async throws(ClientError) -> ServerMessage {
    var assembly = try continued(partial, with: first, of: instruction)
    while !assembly.isComplete {
      partial = assembly
      let reply = try await exchange(Answer(.fetch(assembly.next)), answering: number)
      // The server has moved on, or wants a greeting.
      guard case .part(let part) = reply.body else { return reply }
      if reply.instruction == assembly.instruction {
        try assembly.append(part)
      } else {
        try await pace()
        assembly = try continued(assembly, with: part, of: reply.instruction)
      }
    }
    partial = nil
    let whole = try parse(try assembly.whole())
    guard whole.instruction == assembly.instruction else {
      throw .unexpected("an instruction under another number than its parts")
    }
    if case .part = whole.body { throw .unexpected("a part within a part") }
    // Its receipt is for a message that has had one.
    return ServerMessage(instruction: whole.instruction, receipt: nil, body: whole.body)
  }

  private func continued(
    _ earlier: InstructionAssembly?, with first: PartOfInstruction, of instruction: UInt64
  ) throws(ClientError) -> InstructionAssembly {
    if let goingOn = earlier?.goingOn(with: first, of: instruction) { return goingOn }
    return try InstructionAssembly(first, of: instruction)
  }

  /// Sends one message under a decision of the policy, and parses the answer.
  private func exchange(
    _ answer: Answer, answering number: UInt64, isLast: Bool = false
  ) async throws(ClientError) -> ServerMessage {
    let message = ClientMessage(
      identifier: answer.identifier, run: run?.agreement.run, answers: number, body: answer.body)
    let decision = try decision(for: answer.body)
    let kind = decision.kind
    try requireCommitted(answer.body)
    var draft = answer.draft ?? AuditRecord.Draft(.messageSent)
    fill(&draft)
    if case .hello(let greeting) = answer.body { draft.manifest = greeting.manifest }
    draft.stateVersion = try parts.store.version
    try reach(.persisted, kind, answer.body.opening)
    let bytes = try await parts.gate.send(
      OutboundMessage(message, draft: draft, resendOf: answer.resendOf), decision: decision,
      charge: try charge(for: answer.body), isLast: isLast)
    if !answer.body.isControl { witnessing.hasGrown = true }
    let reply = try parse(bytes)
    if let receipt = reply.receipt {
      guard receipt.message == message.identifier else { throw .unexpected("a receipt for another message") }
      try await parts.gate.confirm(receipt, run: draft.run)
      try keep(receipt)
    }
    try reach(.completed, kind, answer.body.opening)
    return reply
  }

  private func parse(_ bytes: [UInt8]) throws(ClientError) -> ServerMessage {
    do throws(WireError) {
      let reply = try ServerMessage(parsing: bytes, run: run?.agreement.run)
      // What the server says of versions is said from its side; this says which side is older.
      if case .refused(let refusal) = reply.body, refusal.code == WireError.version(theirs: []).code,
        let theirs = ServerMessage.claimedVersion(of: bytes), !WireLimits.protocolVersions.contains(theirs)
      {
        throw .version(theirs: [theirs])
      }
      return reply
    } catch { throw .wire(error) }
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
    case .pins: return .protocolControl(.pins)
    case .witness: return .protocolControl(.witness)
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
    self.fill(&draft)
    fill(&draft)
    do throws(AuditLogError) { try parts.log.append(draft) } catch { throw .log(error) }
  }

  /// Under what the session stands: the run's own agreement, or what this organisation has approved last.
  func fill(_ draft: inout AuditRecord.Draft) {
    let manifest = run?.agreement.signedManifest ?? membership.approved
    draft.federation = manifest.manifest.federation.value
    draft.manifest = manifest.hash
    draft.plan = run?.agreement.plan.hash
    draft.run = run?.agreement.run.text
  }
}
