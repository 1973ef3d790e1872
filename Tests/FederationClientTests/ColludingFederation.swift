import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import Learning
import MutualTLS
import SecureAggregation
import Testing

@testable import FederationClient

/// One attempt at a sum in which everybody but the victim does what the test wants: the worst that a server with
/// colluding organisations can bring about.
final class ColludingAttempt {
  let opening: OpeningIdentifier
  let context: AggregationContext
  /// What the term is made from, as openings are compared by it.
  let content: ModelHash
  let task: TaskAnnouncement
  private let victim: OrganizationName
  /// Peers that send no masked input, and so are not in the sum.
  private let absent: Set<OrganizationName>
  private var server: ServerRound
  private var peers: [Peer] = []
  private let signer: Party

  private final class Peer {
    let name: OrganizationName
    let identity: IdentitySigningKey
    let term: EncodedTerm
    var machine: ClientRound

    init(_ party: Party, term: EncodedTerm, context: AggregationContext) throws {
      name = party.name
      identity = try party.identity()
      self.term = term
      machine = try ClientRound(context: context, organization: party.name)
    }

    func answer(_ message: ServerRoundMessage?) throws -> (message: ClientRoundMessage, body: [UInt8]) {
      switch message {
      case nil: return (.advertiseKeys(try machine.advertise(signer: identity)), [])
      case .beaconRequest(let request): return (.beaconReveal(try machine.receive(request)), [])
      case .roster(let roster): return (.shareKeys(try machine.receive(roster, signer: identity)), [])
      case .shares(let shares):
        let input = try machine.receive(shares, term: term, signer: identity)
        return (.maskedInput(input.message), input.body)
      case .survivors(let survivors):
        return (.consistencyCheck(try machine.receive(survivors, signer: identity)), [])
      case .statements(let statements): return (.unmasking(try machine.receive(statements)), [])
      }
    }
  }

  init(
    _ opening: OpeningIdentifier, of agreement: RunAgreement, in federation: TestFederation,
    progression: RunProgression, absent: Set<OrganizationName> = []
  ) throws {
    self.opening = opening
    victim = federation.parties[0].name
    self.absent = absent
    signer = federation.server
    content = progression.contentHash(of: opening.task)
    context = try agreement.context(
      of: opening, cohort: federation.names, features: TestFederation.columns, model: progression.modelHash)
    task = TaskAnnouncement(opening: opening, cohort: federation.names, model: progression.model)
    server = ServerRound(context: context)
    for party in federation.parties.dropFirst() {
      let data = try LocalData(path: federation.dataPath(party), plan: agreement.plan)
      let result = try TaskRunner(data: data, plan: agreement.plan, minimumRows: 10).run(
        opening.task, artifact: progression.artifact)
      let term = try EncodedTerm.encode(values: result.values, counters: result.counters, context: context).term
      peers.append(try Peer(party, term: term, context: context))
    }
  }

  var sum: AggregateSum? { server.result }

  /// What the victim is asked now, if it still has a part.
  var question: ServerMessage.Body? {
    if server.stage == .advertiseKeys { return .task(task) }
    return server.message(for: victim).map {
      .round(RoundPayload(opening: opening, kind: $0.kind.rawValue, payload: $0.encoded()))
    }
  }

  /// U3, once it is fixed.
  private(set) var survivors: Set<OrganizationName> = []

  var isUnmasking: Bool { server.stage == .unmasking && server.message(for: victim) != nil }

  /// Takes the victim's answer, or goes on without it; the peers answer, and the stage is closed.
  func close(with message: ClientRoundMessage?, body: [UInt8] = []) throws {
    if let message { try server.receive(message, body: body, from: victim) }
    for peer in peers where server.participants.contains(peer.name) {
      if server.stage == .maskedInputCollection, absent.contains(peer.name) { continue }
      let answer = try peer.answer(server.message(for: peer.name))
      try server.receive(answer.message, body: answer.body, from: peer.name)
    }
    try server.advance(signer: signer.identity())
    if server.stage == .consistencyCheck { survivors = Set(server.participants) }
  }
}

/// The server of a run, and all organisations but one. Answers at once, and never waits.
actor ColludingFederation: ServerExchange {
  /// What a hostile server asks for next.
  enum Act: Sendable, Equatable {
    case announce(run: Int, otherPlan: Bool)
    case attempt(TaskKind, attempt: Int, absent: Int?, otherModel: Bool)
    /// The statements of every attempt that has come so far, once more.
    case statements
  }

  /// What the victim let out that binds it.
  struct Sent: Sendable {
    let opening: OpeningIdentifier
    let message: ClientRoundMessage
    let content: ModelHash
    /// U3 where it was known when this was sent.
    let survivors: Set<OrganizationName>
  }

  let federation: TestFederation
  private let plans: [RunPlan]
  private var agreement: RunAgreement
  private var progression: RunProgression
  private var steps: ArraySlice<(task: TaskKind, round: Int)>
  private var attempt: ColludingAttempt?
  private var pending: OpeningResult?
  private var isAccepted = false
  private var acts: ArraySlice<Act>?
  private var past: [ServerMessage.Body] = []
  private var contents: [ContextDigest: ModelHash] = [:]

  private(set) var sent: [Sent] = []
  /// Messages that were not on the record when they arrived.
  private(set) var unrecorded: [String] = []
  private(set) var refusals: [RefusalClass] = []
  private var instruction: UInt64 = 0

  /// How many messages have come.
  var arrivals: UInt64 { instruction }

  init(_ federation: TestFederation) throws {
    self.federation = federation
    plans = [try federation.plan(), try federation.plan(rounds: 2)]
    agreement = RunAgreement(manifest: federation.manifest, plan: plans[0], run: try RunIdentifier("run-1"))
    progression = RunProgression(plan: plans[0], run: agreement.run, features: TestFederation.columns)
    steps = progression.steps[...]
  }

  var destination: AuditRecord.Peer? { nil }
  func connect() async throws(TransportError) {}
  func close() async {}

  /// From now on the server asks for what the test says.
  func turnHostile(_ acts: [Act]) {
    self.acts = acts[...]
  }

  var hasActs: Bool { acts.map { !$0.isEmpty } ?? false }

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    let bytes = recorded.bytes
    let message = try ClientMessage(parsing: bytes)
    if try !isOnRecord(bytes) { unrecorded.append(message.kind) }
    let body: ServerMessage.Body
    do { body = try answer(message) } catch {
      // A test that fails here must not look like a lost connection.
      Issue.record("the colluding federation failed: \(error)")
      throw RPCError(code: .internalError, message: "\(error)")
    }
    instruction += 1
    let receipt = Receipt(message: message.identifier, index: instruction, leaf: LeafHash(hashing: [1]))
    return try ServerMessage(instruction: instruction, receipt: receipt, body: body).encoded()
  }

  /// Whether the journal names the hash of these bytes. Looked for as text: parsing every entry for every message would
  /// take most of the test's time.
  private func isOnRecord(_ bytes: [UInt8]) throws -> Bool {
    let journal = URL(fileURLWithPath: "\(federation.logPath(federation.parties[0]))/journal")
    let hash = "\"sha256\":\"\(MessageHash(hashing: bytes).hexadecimal)\""
    return try Data(contentsOf: journal).range(of: Data(hash.utf8)) != nil
  }

  private func answer(_ message: ClientMessage) throws -> ServerMessage.Body {
    switch message.body {
    case .hello:
      isAccepted = false
      return try next()
    case .acceptance:
      isAccepted = true
      return try next()
    case .refusal(_, let reason, _):
      refusals.append(reason)
      return try next(isRefused: true)
    case .round(let payload): return try take(payload)
    case .ready, .poll, .fetch, .pins, .witness: return try next()
    case .segment(let segment):
      return .stored(StoredBytes(count: segment.offset + UInt64(segment.bytes.count), isOpen: true))
    }
  }

  private func take(_ payload: RoundPayload) throws -> ServerMessage.Body {
    let context = try attempt?.context ?? someContext(of: payload.opening)
    let message = try ClientRoundMessage(
      decoding: payload.payload, from: federation.parties[0].name, context: context)
    guard let attempt, attempt.opening == payload.opening else {
      // A reply to statements of an earlier attempt: over the set whose statement was signed then.
      let statement = sent.last { $0.message.context == message.context && $0.message.kind == .consistencyCheck }
      note(message, payload.opening, survivors: statement?.survivors ?? [])
      return try next()
    }
    contents[attempt.context.digest] = attempt.content
    note(message, payload.opening, survivors: attempt.survivors)
    try attempt.close(with: message, body: payload.body)
    if attempt.isUnmasking, let question = attempt.question { past.append(question) }
    if let question = attempt.question { return question }
    return try next()
  }

  /// For decoding: all contexts here have the same bounds.
  private func someContext(of opening: OpeningIdentifier) throws -> AggregationContext {
    try agreement.context(
      of: opening, cohort: federation.names, features: TestFederation.columns, model: progression.modelHash)
  }

  private func note(
    _ message: ClientRoundMessage, _ opening: OpeningIdentifier, survivors: Set<OrganizationName>
  ) {
    sent.append(
      Sent(
        opening: opening, message: message, content: contents[message.context] ?? ModelHash(hashing: []),
        survivors: survivors))
  }

  private func next(isRefused: Bool = false) throws -> ServerMessage.Body {
    if acts != nil { return try nextAct(isRefused: isRefused) }
    guard isAccepted else { return announcement }
    if let attempt, attempt.sum == nil {
      // Back after a loss: asked again where it can still answer, and a dropout otherwise.
      if attempt.isUnmasking, !isRefused, let question = attempt.question { return question }
      while attempt.sum == nil { try attempt.close(with: nil) }
    }
    if let attempt, let sum = attempt.sum {
      _ = try progression.apply(sum, of: attempt.opening)
      pending = OpeningResult(
        opening: attempt.opening, aggregate: sum.encoded(), nextModel: progression.modelHash,
        signer: try federation.server.identity())
      self.attempt = nil
    }
    if let result = pending {
      pending = nil
      return .result(result)
    }
    guard let step = steps.popFirst() else { return end(.completed) }
    let opening = OpeningIdentifier(run: agreement.run, task: step.task, round: step.round, attempt: 1)
    return try begin(ColludingAttempt(opening, of: agreement, in: federation, progression: progression))
  }

  private func begin(_ attempt: ColludingAttempt) -> ServerMessage.Body {
    self.attempt = attempt
    return .task(attempt.task)
  }

  private var announcement: ServerMessage.Body {
    .announcement(
      RunAnnouncement(
        run: agreement.run, plan: agreement.plan.text, manifest: agreement.signedManifest.serializedText))
  }

  private func end(_ state: RunEnd.State) -> ServerMessage.Body {
    .end(
      RunEnd(
        run: agreement.run, state: state, reason: "the test is over",
        model: state == .completed ? progression.model : []))
  }

  private func nextAct(isRefused: Bool) throws -> ServerMessage.Body {
    guard isAccepted else {
      // Nothing else is answered by a client that has not accepted.
      if case .announce? = acts?.first { return try perform(acts?.popFirst()) }
      return isRefused ? end(.stopped) : announcement
    }
    return try perform(acts?.popFirst())
  }

  private func perform(_ act: Act?) throws -> ServerMessage.Body {
    attempt = nil
    switch act {
    case .announce(let run, let otherPlan):
      let plan = plans[otherPlan ? 1 : 0]
      agreement = RunAgreement(manifest: federation.manifest, plan: plan, run: try RunIdentifier("run-\(run)"))
      progression = RunProgression(plan: plan, run: agreement.run, features: TestFederation.columns)
      isAccepted = false
      return announcement
    case .attempt(let task, let number, let absent, let otherModel):
      let opening = OpeningIdentifier(
        run: agreement.run, task: task, round: task == .statistics ? 0 : 1, attempt: number)
      var model = RunProgression(plan: agreement.plan, run: agreement.run, features: TestFederation.columns)
      if task != .statistics { try model.adopt(model: artifact(round: task == .fit ? 0 : 1, otherModel)) }
      progression = model
      return try begin(
        ColludingAttempt(
          opening, of: agreement, in: federation, progression: model,
          absent: absent.map { [federation.names[1 + $0]] } ?? []))
    case .statements: return past.last ?? .wait
    case nil: return end(.stopped)
    }
  }

  /// A model of the server's own making.
  private func artifact(round: Int, _ other: Bool) throws -> [UInt8] {
    let count = LogisticRegressionModel.parameterCount(features: TestFederation.columns.count)
    return try ModelArtifact(
      model: LogisticRegressionModel(
        featureNames: TestFederation.columns, parameters: [Double](repeating: other ? 0.5 : 0, count: count)),
      preprocessing: FittedPreprocessing(
        agreement.plan.data.preprocessing,
        standardization: Standardization(
          means: [Double](repeating: 1, count: count - 1),
          standardDeviations: [Double](repeating: 2, count: count - 1))),
      classWeights: .uniform, label: agreement.plan.task.label, positive: agreement.plan.task.positive,
      run: agreement.run.text, context: String(repeating: "ab", count: 32), round: round
    ).encoded()
  }
}
