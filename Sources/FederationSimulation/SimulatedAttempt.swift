import Cryptography
import SecureAggregation
import Synchronization

/// What a round remembers over its attempts.
struct RoundState: Sendable {
  /// Whether each organisation still answers.
  var isPresent: [Bool]
  var injections: [Int: Injection]
  var meters: [RoundStage: StageMeter] = [:]
  /// Of the largest masked input, with its message.
  var maskedInputBytes = 0

  /// After a stop: what would have been noticed in a stage that was not closed counts as not sent.
  mutating func forgetWhatCouldNotBeNoticed(checksShares: Bool) {
    for (position, injection) in injections
    where injection.slippedThrough && injection.misbehavior.isNoticedLater(checksShares: checksShares) {
      injections[position]?.wasSent = false
    }
  }
}

/// One attempt: the real server machine and a real client machine for every organisation that is still there.
///
/// Clients of a stage are worked on in parallel, the server takes their answers one after another. What the server
/// sends in a stage is fixed when the stage begins, so it is read from a copy of the machine as it was then.
final class SimulatedAttempt: Sendable {
  /// Up to this size every message goes through its encoding and is decoded by its receiver, as between processes. In
  /// larger cohorts messages are passed on as values, because decoding n lists of n members would be most of the work;
  /// the bytes are counted from the encoding all the same.
  static let wiredCohortCount = 64

  private struct State {
    var server: ServerRound
    var round: RoundState
    /// Whose masked inputs the server took.
    var inputs: Set<Int> = []
    var done = 0
  }

  let context: AggregationContext
  private let settings: SimulationSettings
  private let script: RoundScript
  private let server: SimulatedIdentity
  private let clients: [SimulatedClient]
  private let terms: @Sendable (Int) -> SimulatedTerm
  private let strayContext: AggregationContext?
  private let memo = VerificationMemo()
  private let state: Mutex<State>

  /// - Parameter strayContext: of another round, for messages that do not belong here; nil if nobody sends any.
  init(
    context: AggregationContext, settings: SimulationSettings, script: RoundScript, server: SimulatedIdentity,
    organizations: [SimulatedIdentity], round: RoundState, strayContext: AggregationContext?,
    terms: @escaping @Sendable (Int) -> SimulatedTerm
  ) throws(AggregationError) {
    self.context = context
    self.settings = settings
    self.script = script
    self.server = server
    self.strayContext = strayContext
    self.terms = terms
    var clients: [SimulatedClient] = []
    clients.reserveCapacity(organizations.count)
    for identity in organizations { clients.append(try SimulatedClient(identity, context: context)) }
    self.clients = clients
    state = Mutex(
      State(server: ServerRound(context: context, lanes: Lanes(count: settings.cores)), round: round))
  }

  var round: RoundState { state.withLock { $0.round } }
  var result: AggregateSum? { state.withLock { $0.server.result } }
  /// Positions of those in the sum, as the server took their masked inputs.
  var inputs: [Int] { state.withLock { $0.inputs.sorted() } }
  /// Who was complained of or gave a wrong share.
  var blamed: [OrganizationName] {
    state.withLock { state in
      state.server.blamed.union(state.server.complaints.values.flatMap { $0.map(\.accused) }).sorted()
    }
  }

  /// Goes through the stages.
  ///
  /// - Parameter isLast: whether there may be no other attempt.
  /// - Returns: False if nonces of the beacon are missing and another attempt may go on without those who owe them.
  /// - Throws: What a machine throws; the attempt has failed then.
  func run(isLast: Bool, progress: @Sendable (RoundStage, Int, Int) -> Void) throws -> Bool {
    for stage in RoundScript.stages(isRegular: context.regularGraph != nil) {
      let answering = takeLeave(stage)
      try collect(stage, from: answering, progress: progress)
      let isComplete = state.withLock { $0.server.isComplete }
      if stage == .graphBeacon, !isComplete, !isLast { return false }
      try close(stage)
    }
    return true
  }

  /// Those who leave at `stage` are gone; the others who may answer are returned.
  private func takeLeave(_ stage: RoundStage) -> [Int] {
    state.withLock { state in
      for (position, leaving) in script.leavesAt.enumerated() where leaving == stage {
        state.round.isPresent[position] = false
      }
      state.done = 0
      // Names of the cohort are in the order of the organisations.
      let candidates = Set(state.server.participants)
      return clients.indices.filter { state.round.isPresent[$0] && candidates.contains(clients[$0].identity.name) }
    }
  }

  private func collect(
    _ stage: RoundStage, from answering: [Int], progress: @Sendable (RoundStage, Int, Int) -> Void
  ) throws {
    progress(stage, 0, answering.count)
    let view = state.withLock { $0.server }
    let sharedByteCount = sharedByteCount(stage, view: view, answering: answering)
    try Workers(count: settings.cores).forEach(answering, memo: memo) { position in
      let done = try work(position, stage: stage, view: view, sharedByteCount: sharedByteCount)
      progress(stage, done, answering.count)
    }
  }

  /// Bytes of what everybody is sent alike; nil where everybody is sent something else.
  private func sharedByteCount(_ stage: RoundStage, view: ServerRound, answering: [Int]) -> Int? {
    switch stage {
    case .graphBeacon, .unmasking:
      answering.first.flatMap { view.message(for: clients[$0].identity.name) }.map { $0.encoded().count }
    case .advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .completed, .failed: nil
    }
  }

  /// Lets one organisation answer, and the server take it.
  /// - Returns: How many organisations have answered by then.
  private func work(_ position: Int, stage: RoundStage, view: ServerRound, sharedByteCount: Int?) throws -> Int {
    let client = clients[position]
    let clock = ContinuousClock()
    let beginning = clock.now
    let request = view.message(for: client.identity.name)
    let prepared = clock.now
    var received = sharedByteCount ?? 0
    var delivered = request
    if let request, sharedByteCount == nil || isWired {
      let bytes = request.encoded()
      received = bytes.count
      if isWired { delivered = try ServerRoundMessage(decoding: bytes, context: context) }
    }
    let asked = clock.now
    let answer = try client.answer(delivered, term: terms(position), byteCount: context.maskedInputByteCount)
    let answered = clock.now
    let misdeed = try misdeed(answer, of: position, at: stage)
    return try hand(
      misdeed, from: position, at: stage,
      sample: (client: (answered - asked).inSeconds, server: (prepared - beginning).inSeconds, received: received))
  }

  private var isWired: Bool { clients.count <= Self.wiredCohortCount }

  /// The answer, or what a misbehaving organisation makes of it.
  private func misdeed(_ answer: Answer, of position: Int, at stage: RoundStage) throws -> Misdeed {
    guard let injection = script.injections[position], injection.stage == stage,
      state.withLock({ $0.round.injections[position]?.wasSent }) == false
    else { return Misdeed(honest: answer) }
    let identity = clients[position].identity
    return try injection.misbehavior.misdeed(
      answer, signer: identity.key,
      isVictim: { name in script.steadfast.contains { clients[$0].identity.name == name } },
      stray: try stray(identity), checksShares: context.verifiesEveryShare)
  }

  private func stray(_ identity: SimulatedIdentity) throws -> ClientRoundMessage? {
    guard let strayContext else { return nil }
    var machine = try ClientRound(context: strayContext, organization: identity.name)
    return .advertiseKeys(try machine.advertise(signer: identity.key))
  }

  /// The server takes what was sent.
  private func hand(
    _ misdeed: Misdeed, from position: Int, at stage: RoundStage,
    sample: (client: Double, server: Double, received: Int)
  ) throws -> Int {
    let name = clients[position].identity.name
    let sent = misdeed.sent.map { (answer: $0, encoded: $0.message.encoded()) }
    let byteCount = sent.reduce(0) { $0 + $1.encoded.count + $1.answer.body.count }
    let clock = ContinuousClock()
    return try state.withLock { state in
      let beginning = clock.now
      if misdeed.isMisbehavior { state.round.injections[position]?.wasSent = true }
      for (index, item) in sent.enumerated() {
        let refusal = take(item.answer, encoded: item.encoded, from: name, by: &state.server)
        if refusal == nil, case .maskedInput = item.answer.message {
          state.inputs.insert(position)
          state.round.maskedInputBytes = max(
            state.round.maskedInputBytes, item.encoded.count + item.answer.body.count)
        }
        guard misdeed.mustBeRefused.contains(index) else {
          if let refusal { throw refusal }
          continue
        }
        state.round.injections[position]?.noticed = refusal?.code
        if misdeed.isLost, refusal != nil { state.round.isPresent[position] = false }
      }
      var meter = state.round.meters.removeValue(forKey: stage) ?? StageMeter()
      meter.serverSeconds += sample.server + (clock.now - beginning).inSeconds
      meter.add(seconds: sample.client, sent: byteCount, received: sample.received)
      state.round.meters[stage] = meter
      state.done += 1
      return state.done
    }
  }

  /// Gives the server one message; what it says against it, or nil.
  private func take(
    _ answer: Answer, encoded: [UInt8], from name: OrganizationName, by server: inout ServerRound
  ) -> AggregationError? {
    do throws(AggregationError) {
      let message =
        isWired ? try ClientRoundMessage(decoding: encoded, from: name, context: context) : answer.message
      try server.receive(message, body: answer.body, from: name)
      return nil
    } catch { return error }
  }

  private func close(_ stage: RoundStage) throws {
    try VerificationMemo.$current.withValue(memo) {
      if let error = state.withLock({ advance(&$0, from: stage) }) { throw error }
    }
  }

  /// Closes the stage, and notes who was caught; what the server stopped for, or nil.
  private func advance(_ state: inout State, from stage: RoundStage) -> AggregationError? {
    let clock = ContinuousClock()
    let beginning = clock.now
    defer {
      state.round.meters[stage, default: StageMeter()].serverSeconds += (clock.now - beginning).inSeconds
    }
    do throws(AggregationError) {
      try state.server.advance(signer: server.key)
    } catch {
      if case .unrecoverable(.tooFewShares(_, _, _, let blamed)) = error { note(blamed: Set(blamed), in: &state) }
      return error
    }
    note(blamed: state.server.blamed, in: &state)
    noteComplaints(in: &state)
    return nil
  }

  private func note(blamed: Set<OrganizationName>, in state: inout State) {
    for (position, injection) in state.round.injections
    where injection.misbehavior == .wrongShare && blamed.contains(injection.organization) {
      state.round.injections[position]?.noticed = "blamed"
    }
  }

  private func noteComplaints(in state: inout State) {
    let accused = Set(state.server.complaints.values.flatMap { $0.map(\.accused) })
    for (position, injection) in state.round.injections
    where injection.misbehavior == .badCiphertext && accused.contains(injection.organization) {
      state.round.injections[position]?.noticed = "complaint"
    }
  }
}
