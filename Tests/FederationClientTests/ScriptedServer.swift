import AuditLog
import Cryptography
import Federation
import FederationWire
import GRPCCore
import MutualTLS
import SecureAggregation
import Testing

@testable import FederationClient

/// A server that answers as a test says, and looks at the client's log whenever something arrives.
actor ScriptedServer: ServerExchange {
  enum Reply: Sendable {
    case body(ServerMessage.Body)
    case message(ServerMessage)
    case bytes([UInt8])
    /// The connection is lost before the server has answered.
    case lost
    case failure(RPCError.Code)
  }

  struct Arrival: Sendable {
    let message: ClientMessage
    let bytes: [UInt8]
    /// Records of exactly these bytes that were in the log when they arrived.
    let records: Int
  }

  private var script: [Reply]
  private let logPath: String
  private let action: @Sendable (Int) -> Void
  private(set) var arrivals: [Arrival] = []
  /// A certificate that waits until the server is told of its key.
  private var awaited: CertificateKeyHash?

  /// - Parameters:
  ///   - awaited: of a certificate that cannot be used before.
  ///   - action: is told how many messages have arrived, before each answer.
  init(
    logPath: String, _ script: [Reply], awaited: CertificateKeyHash? = nil,
    action: @escaping @Sendable (Int) -> Void = { _ in }
  ) {
    self.logPath = logPath
    self.script = script
    self.awaited = awaited
    self.action = action
  }

  func announced(_ pins: Manifest.Pins) { if let key = awaited, pins.accepted.contains(key) { awaited = nil } }

  var kinds: [String] { arrivals.map(\.message.kind) }
  var destination: AuditRecord.Peer? { nil }
  func connect() async throws(TransportError) {}
  func close() async {}

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    let bytes = recorded.bytes
    let message = try ClientMessage(parsing: bytes)
    arrivals.append(Arrival(message: message, bytes: bytes, records: try recordCount(bytes)))
    action(arrivals.count)
    guard !script.isEmpty else { throw RPCError(code: .internalError, message: "the script is over") }
    switch script.removeFirst() {
    case .body(let body):
      let receipt = Receipt(
        message: message.identifier, index: UInt64(arrivals.count), leaf: LeafHash(hashing: [1]))
      return try ServerMessage(instruction: UInt64(arrivals.count), receipt: receipt, body: body).encoded()
    case .message(let message): return try message.encoded()
    case .bytes(let bytes): return bytes
    case .lost: throw RPCError(code: .unavailable, message: "lost")
    case .failure(let code): throw RPCError(code: code, message: "no")
    }
  }

  private func recordCount(_ bytes: [UInt8]) throws -> Int {
    var filter = AuditFilter()
    filter.events = [.messageSent]
    var reader = try AuditLogReader(directory: logPath, filter: filter)
    let hash = MessageHash(hashing: bytes)
    var count = 0
    while let entry = try reader.next() { count += entry.record.message?.sha256 == hash ? 1 : 0 }
    return count
  }
}

/// What a server that is hostile, or only wrong, can say in a run.
struct HostileRun: Sendable {
  let federation: TestFederation
  let agreement: RunAgreement

  init(_ federation: TestFederation, plan: RunPlan? = nil) throws {
    self.federation = federation
    agreement = RunAgreement(
      manifest: federation.manifest, plan: try plan ?? federation.plan(), run: try RunIdentifier("run-1"))
  }

  var victim: Party { federation.parties[0] }

  func announcement(plan: String? = nil, manifest: SignedManifest? = nil) -> ScriptedServer.Reply {
    .body(
      .announcement(
        RunAnnouncement(
          run: agreement.run, plan: plan ?? agreement.plan.text,
          manifest: (manifest ?? agreement.signedManifest).serializedText)))
  }

  func opening(_ task: TaskKind, round: Int = 0, attempt: Int = 1) -> OpeningIdentifier {
    OpeningIdentifier(run: agreement.run, task: task, round: round, attempt: attempt)
  }

  var start: RunProgression {
    RunProgression(plan: agreement.plan, run: agreement.run, features: TestFederation.columns)
  }

  func task(
    _ opening: OpeningIdentifier, cohort: [OrganizationName]? = nil, model: [UInt8]? = nil
  ) -> ScriptedServer.Reply {
    .body(
      .task(
        TaskAnnouncement(opening: opening, cohort: cohort ?? federation.names, model: model ?? start.model)))
  }

  /// What the organisations' statistics really sum to.
  func statistics(
    attempt: Int = 1, survivors: [OrganizationName]? = nil
  ) throws -> (sum: AggregateSum, after: RunProgression) {
    var counters: [UInt64] = []
    for party in federation.parties {
      let data = try LocalData(path: federation.dataPath(party), plan: agreement.plan)
      let term = try TaskRunner(data: data, plan: agreement.plan, minimumRows: 10).run(.statistics, artifact: nil)
      let bits = term.counters.map { UInt64(bitPattern: $0) }
      counters = counters.isEmpty ? bits : zip(counters, bits).map { $0 &+ $1 }
    }
    let context = try agreement.context(
      of: opening(.statistics, attempt: attempt), cohort: federation.names, features: TestFederation.columns,
      model: start.modelHash)
    let sum = try AggregateSum(
      words: [], counters: counters, survivors: survivors ?? federation.names, maskedInputRoot: .init(hashing: [1]),
      context: context)
    var after = start
    _ = try after.apply(sum, of: opening(.statistics, attempt: attempt))
    return (sum, after)
  }

  func result(
    aggregate: [UInt8]? = nil, nextModel: ModelHash? = nil, signer: Party? = nil, opening: OpeningIdentifier? = nil
  ) throws -> ScriptedServer.Reply {
    let honest = try statistics()
    return .body(
      .result(
        OpeningResult(
          opening: opening ?? self.opening(.statistics), aggregate: aggregate ?? honest.sum.encoded(),
          nextModel: nextModel ?? honest.after.modelHash, signer: try (signer ?? federation.server).identity())))
  }

  func end(model: [UInt8] = [], state: RunEnd.State = .stopped) -> ScriptedServer.Reply {
    .body(.end(RunEnd(run: agreement.run, state: state, reason: "the test is over", model: model)))
  }

  struct Witnessed {
    let result: Result<ClientOutcome, ClientError>
    let arrivals: [ScriptedServer.Arrival]
    let records: [AuditRecord]
    let isVerified: Bool

    var kinds: [String] { arrivals.map(\.message.kind) }
    /// Rules under which the client refused.
    var refusals: [String] {
      records.compactMap { $0.event == .policyDecision && $0.policy?.decision == .refused ? $0.policy?.rule : nil }
    }
    var refusalClasses: [RefusalClass] {
      arrivals.compactMap { if case .refusal(_, let reason, _) = $0.message.body { reason } else { nil } }
    }
  }

  /// Runs the victim's client against the script, and checks what must hold however the server behaves: what arrived
  /// was on the record before, nothing derived from data was sent, and the log verifies.
  func play(
    _ script: [ScriptedServer.Reply], policy: String = Policy.template, data: String? = nil
  ) async throws -> Witnessed {
    let server = ScriptedServer(logPath: federation.logPath(victim), script)
    let result = try await federation.takePart(victim, link: server, policy: policy, data: data)
    let witnessed = Witnessed(
      result: result, arrivals: await server.arrivals, records: try federation.records(victim),
      isVerified: federation.verify(victim))
    #expect(witnessed.arrivals.allSatisfy { $0.records == 1 })
    #expect(Set(witnessed.kinds).isSubset(of: ["hello", "acceptance", "refusal", "ready", "poll", "advertise-keys"]))
    #expect(witnessed.isVerified)
    return witnessed
  }
}
