import AuditLog
import Cryptography
import Federation
import FederationWire
import GRPCCore
import MutualTLS

/// The one RPC: records what came, hands it to the coordinator, and answers with the next instruction.
///
/// Order: nothing is parsed for meaning before it is in the ingress log, and nothing is acted upon that could not be
/// recorded.
struct FederationService: RegistrableRPCService {
  let lobby: Lobby
  let spools: MaskedInputSpools
  let log: AuditLogWriter
  let federation: String
  let witnessing: ServerWitnessing
  let traffic: Traffic
  var rates = MessageRates()
  /// Sees every payload as it came; tests look for what must not be in it.
  let inspect: @Sendable (OrganizationName, [UInt8]) -> Void

  private var hub: SessionHub { lobby.hub }

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: MethodDescriptor(
        service: ServiceDescriptor(fullyQualifiedService: WireLimits.service), method: WireLimits.method),
      deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { request, _ in
      let single = try await ServerRequest(stream: request)
      let peer = try PeerIdentity.required()
      let answer = try await self.exchange(single.message, from: peer)
      return StreamingServerResponse(single: ServerResponse(message: answer))
    }
  }

  /// One exchange with an authenticated organisation.
  func exchange(_ bytes: [UInt8], from peer: PeerIdentity) async throws -> [UInt8] {
    traffic.add(bytes.count)
    inspect(peer.name, bytes)
    let message: ClientMessage
    do throws(WireError) {
      message = try ClientMessage(parsing: bytes)
    } catch {
      try checkRate(from: peer)
      try recordRefused(bytes, error, from: peer)
      return try ServerMessage(
        instruction: 0, receipt: nil,
        body: .refused(.init(code: error.code, message: error.message, remedy: error.remedy))
      ).encoded()
    }
    if await !isExpected(message, from: peer.name) { try checkRate(from: peer) }
    let receipt = try record(message, bytes, from: peer)
    if case .segment(let segment) = message.body {
      let stored = spools.store(segment, from: peer.name)
      return try ServerMessage(instruction: message.answers, receipt: receipt, body: .stored(stored)).encoded()
    }
    if case .pins(let note) = message.body {
      let known = try await lobby.state(note, by: peer.name)
      let stored = StoredBytes(count: UInt64(known), isOpen: true)
      return try ServerMessage(instruction: message.answers, receipt: receipt, body: .stored(stored)).encoded()
    }
    if case .witness(let submission) = message.body {
      let body = try witnessing.answer(submission, message.identifier, from: peer.name)
      return try answer(message.answers, body, receipt: receipt)
    }
    if case .fetch(let part) = message.body,
      let body = await hub.instruction(part.instruction, of: peer.name)
    {
      return try answer(part.instruction, body, receipt: receipt, from: part.offset)
    }
    let (number, body) = await hub.exchange(message, from: peer.name)
    return try answer(number, body, receipt: receipt)
  }

  /// The instruction, or of a long one the part from an offset. The receipt is always that of the message answered.
  private func answer(
    _ number: UInt64, _ body: ServerMessage.Body, receipt: Receipt, from offset: UInt64 = 0
  ) throws -> [UInt8] {
    let whole = try ServerMessage(instruction: number, receipt: receipt, body: body).encoded()
    guard whole.count > WireLimits.partBytes else { return whole }
    // The same bytes whichever message asks for them.
    let bytes = try ServerMessage(instruction: number, receipt: nil, body: body).encoded()
    guard offset < UInt64(bytes.count) else {
      return try ServerMessage(instruction: number, receipt: receipt, body: .wait).encoded()
    }
    let end = min(Int(offset) + WireLimits.partBytes, bytes.count)
    let part = PartOfInstruction(
      total: UInt64(bytes.count), offset: offset, bytes: Array(bytes[Int(offset)..<end]),
      hash: SHA256Digest(hashing: bytes))
    return try ServerMessage(instruction: number, receipt: receipt, body: .part(part)).encoded()
  }

  /// Whether it is what the server has asked for: there is one such message for every instruction, and a masked input has
  /// so many segments and no more. Everything else counts against a rate.
  private func isExpected(_ message: ClientMessage, from organization: OrganizationName) async -> Bool {
    if case .segment(let segment) = message.body { return spools.isNext(segment, of: organization) }
    return await hub.isDue(message, from: organization)
  }

  /// - Throws: `RPCError` of code `aborted`, which a client takes for a reason to try again later.
  private func checkRate(from peer: PeerIdentity) throws {
    let verdict = rates.take(from: peer.name)
    guard verdict != .taken else { return }
    if verdict == .beginsToRefuse {
      var draft = AuditRecord.Draft(.stopped)
      draft.federation = federation
      draft.source = source(peer)
      draft.outcome = .refused
      draft.error = .init(code: "too-many-messages", blame: .peer)
      try log.append(draft)
    }
    throw RPCError(
      code: .aborted,
      message: "more than \(rates.burst) messages at once or \(Int(rates.perSecond)) a second")
  }

  private func record(_ message: ClientMessage, _ bytes: [UInt8], from peer: PeerIdentity) throws -> Receipt {
    var draft = AuditRecord.Draft(.messageReceived)
    draft.federation = federation
    draft.source = source(peer)
    draft.run = message.run?.text
    var stage: String?
    if case .round(let payload) = message.body {
      draft.task = payload.opening.task.rawValue
      draft.round = payload.opening.round
      draft.attempt = payload.opening.attempt
      stage = payload.kind
    }
    if case .segment(let segment) = message.body {
      draft.task = segment.opening.task.rawValue
      draft.round = segment.opening.round
      draft.attempt = segment.opening.attempt
    }
    let label = MessageLabel(id: message.identifier, kind: message.kind, stage: stage)
    let record = try log.recordIngress(draft, message: AuditRecord.Message(label: label, payload: bytes))
    return Receipt(message: message.identifier, index: record.sequence, leaf: record.leaf)
  }

  /// What is refused is on the record all the same, under the identifier it claims if it has one.
  private func recordRefused(_ bytes: [UInt8], _ error: WireError, from peer: PeerIdentity) throws {
    var draft = AuditRecord.Draft(.messageReceived)
    draft.federation = federation
    draft.source = source(peer)
    draft.error = .init(error)
    draft.outcome = .refused
    let label = MessageLabel(id: ClientMessage.claimedIdentifier(of: bytes) ?? .random(), kind: "malformed")
    try log.recordIngress(draft, message: AuditRecord.Message(label: label, payload: bytes))
  }

  private func source(_ peer: PeerIdentity) -> AuditRecord.Peer {
    .init(
      name: peer.name, address: peer.remoteAddress, tlsPeer: peer.fingerprint,
      exporter: try? SHA256Digest(hexadecimal: peer.exporter))
  }
}
