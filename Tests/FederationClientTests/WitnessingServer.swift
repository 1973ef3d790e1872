import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS
import Synchronization
import Testing
import TransparencyLog

@testable import FederationClient
@testable import FederationServer

/// A server that witnesses for real, ends every session after its greeting, and says of what it witnesses what a test wants.
actor WitnessingServer: ServerExchange {
  typealias Tampering = @Sendable (inout WitnessAnswer, WitnessSubmission) throws -> Void

  let log: AuditLogWriter
  let witnessing: ServerWitnessing
  private var sender: Party
  private var tampering: Tampering = { _, _ in }
  private var receipt: @Sendable (Receipt) -> Receipt = { $0 }
  private var waits = 0
  private var run: RunAgreement?
  private(set) var submissions: [WitnessSubmission] = []
  private(set) var answers: [WitnessAnswer] = []
  private(set) var kinds: [String] = []

  /// - Parameter name: of the directories of its log and its witness; another name is another history.
  init(_ federation: TestFederation, name: String = "hub") throws {
    sender = federation.parties[0]
    let path = "\(federation.root.path)/\(name)"
    log = try AuditLogWriter(
      directory: "\(path)/log", organization: federation.server.name, logKey: federation.server.logKey())
    let box = EventBox()
    self.box = box
    witnessing = try ServerWitnessing(
      log: log, witness: federation.server.witness(directory: "\(path)/witness"),
      membership: ServerMembership(federation.manifest), progress: { box.add($0) })
  }

  private let box: EventBox

  private final class EventBox: Sendable {
    let events = Mutex<[RunEvent]>([])
    func add(_ event: RunEvent) { events.withLock { $0.append(event) } }
  }

  var conflicts: [LogConflict] {
    box.events.withLock { $0.compactMap { if case .logConflict(let conflict) = $0 { conflict } else { nil } } }
  }

  /// - Parameters:
  ///   - waits: so many questions are answered with `wait` before the session ends.
  ///   - run: is announced first, and is then the one that ends, completed.
  func from(
    _ party: Party, waits: Int = 0, run: RunAgreement? = nil, _ tampering: @escaping Tampering = { _, _ in },
    receipt: @escaping @Sendable (Receipt) -> Receipt = { $0 }
  ) {
    sender = party
    self.waits = waits
    self.run = run
    self.tampering = tampering
    self.receipt = receipt
    kinds = []
  }

  var destination: AuditRecord.Peer? { nil }
  func connect() async throws(TransportError) {}
  func close() async {}

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    let bytes = recorded.bytes
    let message = try ClientMessage(parsing: bytes)
    kinds.append(message.kind)
    var draft = AuditRecord.Draft(.messageReceived)
    draft.source = .init(name: sender.name)
    let label = MessageLabel(id: message.identifier, kind: message.kind)
    let record = try log.recordIngress(draft, message: AuditRecord.Message(label: label, payload: bytes))
    let given = receipt(Receipt(message: message.identifier, index: record.sequence, leaf: record.leaf))
    func reply(_ body: ServerMessage.Body) throws -> [UInt8] {
      try ServerMessage(instruction: 1, receipt: given, body: body).encoded()
    }
    switch message.body {
    case .hello, .poll:
      if case .hello = message.body, let run {
        return try reply(
          .announcement(
            RunAnnouncement(run: run.run, plan: run.plan.text, manifest: run.signedManifest.serializedText)))
      }
      waits -= 1
      guard waits < 0 else { return try reply(.wait) }
      return try reply(
        .end(
          RunEnd(
            run: try run?.run ?? RunIdentifier("run-1"), state: run == nil ? .stopped : .completed,
            reason: "the test is over", model: [])))
    case .witness(let submission):
      submissions.append(submission)
      let body = try witnessing.answer(submission, message.identifier, from: sender.name)
      guard case .witnessed(var answer) = body else { return try reply(body) }
      try tampering(&answer, submission)
      answers.append(answer)
      return try reply(.witnessed(answer))
    case .acceptance, .refusal, .round, .ready, .segment, .fetch, .pins: return try reply(.wait)
    }
  }

  /// What other organisations' messages leave in the log.
  func grow(by count: Int) throws {
    for _ in 0..<count { try log.append(AuditRecord.Draft(.serviceStarted)) }
  }
}

/// A member's log without a client.
struct MemberLog {
  let party: Party
  let log: AuditLogWriter

  init(_ federation: TestFederation, _ party: Party, name: String) throws {
    self.party = party
    log = try AuditLogWriter(
      directory: "\(federation.root.path)/\(name)", organization: party.name, logKey: party.logKey())
  }

  func grow(by count: Int) throws -> SignedCheckpoint {
    for _ in 0..<count { try log.append(AuditRecord.Draft(.serviceStarted)) }
    return try log.publish()
  }

  func proof(from size: UInt64, to checkpoint: SignedCheckpoint) throws -> [TreeHash] {
    let reader = TileReader(directory: TileDirectory(path: log.directory), size: checkpoint.checkpoint.size)
    return try reader.consistencyProof(from: size)?.hashes ?? []
  }

  /// One message to the server, and its answer.
  func submit(
    _ checkpoint: SignedCheckpoint, from size: UInt64, to witnessing: ServerWitnessing,
    identifier: MessageIdentifier = .random(), _ more: (inout WitnessSubmission) throws -> Void = { _ in }
  ) throws -> WitnessAnswer {
    var submission = WitnessSubmission(
      checkpoint: checkpoint, oldSize: size, proof: try proof(from: size, to: checkpoint))
    try more(&submission)
    let body = try witnessing.answer(submission, identifier, from: party.name)
    guard case .witnessed(let answer) = body else { throw RPCError(code: .internalError, message: "\(body)") }
    return answer
  }
}
