import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation

/// The five rounds of a sum, each step persisted before it is sent.
extension ClientSession {
  typealias Answer = (ClientMessage.Body, AuditRecord.Draft?)

  /// Computes (or finds again) the term, and enters the attempt.
  func begin(_ task: TaskAnnouncement) throws(ClientError) -> Answer {
    abandonRound()
    guard var active = run, task.opening.run == active.agreement.run else { throw .unexpected("a task of no run") }
    try adopt(task, &active)
    let opening = task.opening
    guard active.progression.isNext(opening) else { throw .unexpected("a task that the plan does not foresee now") }
    run = active
    let context: AggregationContext
    do throws(FederationError) {
      context = try active.agreement.context(
        of: opening, cohort: task.cohort, features: active.progression.features,
        model: active.progression.modelHash)
    } catch { throw .federation(error) }
    guard context.cohort.contains(where: { $0.name == parts.name }) else {
      throw .unexpected("a task for a cohort without this organisation")
    }
    var ledger = try parts.store.ledger(of: opening)
    do throws(AggregationError) { try ledger.enter(attempt: UInt64(opening.attempt)) } catch {
      return try refuse(context, .state, error)
    }
    let term: EncodedTerm
    do throws(ClientError) {
      term = try makeTerm(opening, context: context, active)
    } catch {
      return try refuse(context, .unavailable, error)
    }
    // Attempt and term are on disk before anything of the attempt leaves; a later attempt masks the same integers.
    try parts.store.enter(opening, ledger: ledger, term: term)
    return try advertise(
      ActiveRound(
        opening: opening, context: context, machine: try machine(context), ledger: ledger, term: term))
  }

  /// The cohort stays the same for the run; the model is the one that follows, or is taken over where this
  /// organisation was away.
  private func adopt(_ task: TaskAnnouncement, _ active: inout ActiveRun) throws(ClientError) {
    let isFirst = active.cohort.isEmpty
    if isFirst { active.cohort = task.cohort }
    guard active.cohort == task.cohort else { throw .unexpected("another cohort in the same run") }
    if task.model == active.progression.model { return }
    // Only a process that comes back to a run has missed sums; any other has all of them and recomputes.
    guard isFirst, active.wasAway else {
      throw .unexpected("a model that does not follow from the published sums")
    }
    do throws(ProgressionError) { try active.progression.adopt(model: task.model) } catch {
      throw .progression(error)
    }
  }

  private func machine(_ context: AggregationContext) throws(ClientError) -> ClientRound {
    do throws(AggregationError) {
      return try ClientRound(context: context, organization: parts.name)
    } catch { throw .aggregation(error) }
  }

  /// Encoded once for an opening; every attempt masks the same integers.
  private func makeTerm(
    _ opening: OpeningIdentifier, context: AggregationContext, _ active: ActiveRun
  ) throws(ClientError) -> EncodedTerm {
    if let stored = try parts.store.term(of: opening) {
      do throws(AggregationError) { return try EncodedTerm(decoding: stored, context: context) } catch {
        throw .aggregation(error)
      }
    }
    progress(.training(opening))
    let result = try active.runner.run(opening.task, artifact: active.progression.artifact)
    do throws(AggregationError) {
      let (term, clipped) = try EncodedTerm.encode(
        values: result.values, counters: result.counters, context: context)
      progress(.trained(opening, loss: result.loss, clipped: clipped + result.clipped))
      return term
    } catch { throw .aggregation(error) }
  }

  private func advertise(_ entered: consuming ActiveRound) throws(ClientError) -> Answer {
    let message: AdvertiseKeysMessage
    do throws(AggregationError) {
      message = try entered.machine.advertise(signer: identity)
    } catch { throw .aggregation(error) }
    let answer = answer(.advertiseKeys(message), opening: entered.opening)
    round = consume entered
    return answer
  }

  /// Answers a message of the secure sum, or leaves the attempt if it does not pass the checks.
  func proceed(_ payload: RoundPayload) throws(ClientError) -> Answer {
    guard var current = round.take(), payload.opening == current.opening else {
      throw .unexpected("a round message of an attempt in which this organisation is not")
    }
    do {
      let message = try ServerRoundMessage(decoding: payload.payload, context: current.context)
      let reply = try step(&current, message)
      let answer = answer(
        reply, opening: current.opening, context: current.context, shareSurvivors: current.shareSurvivors,
        survivors: current.survivors)
      round = consume current
      return answer
    } catch let error as AggregationError {
      current.machine.abandon()
      return try refuse(current.context, .protocol, error)
    } catch let error as NearSetRefusal {
      current.machine.abandon()
      return try refuse(current.context, .policy, error)
    } catch let error as ClientError {
      current.machine.abandon()
      throw error
    } catch {
      throw .unexpected("a message that could not be handled")
    }
  }

  /// One step of the machine, with what the step leaves behind on disk before it may be sent.
  private func step(
    _ current: inout ActiveRound, _ message: ServerRoundMessage
  ) throws -> ClientRoundMessage {
    let attempt = UInt64(current.opening.attempt)
    switch message {
    case .roster(let roster):
      return .shareKeys(try current.machine.receive(roster, signer: identity))
    case .shares(let delivery):
      let input = try current.machine.receive(delivery, term: current.term, signer: identity)
      current.shareSurvivors = delivery.entries.count + 1
      return .maskedInput(input)
    case .survivors(let announcement):
      let signed = try judge(announcement.survivors, of: current.opening)
      let statement = try current.machine.receive(announcement, signer: identity)
      current.survivors = announcement.survivors.count
      current.signedRoot = statement.statement.maskedInputRoot
      try current.ledger.recordStatement(attempt: attempt, statement: statement.statement.digest)
      try parts.store.save(current.ledger, of: current.opening, signing: signed)
      return .consistencyCheck(statement)
    case .statements(let statements):
      let reply = ClientRoundMessage.unmasking(try current.machine.receive(statements))
      guard let signed = current.ledger.statement else {
        throw ClientError.unexpected("an unmasking without statement")
      }
      try current.ledger.recordRelease(attempt: attempt, statement: signed.digest, reply: reply.encoded())
      try parts.store.save(current.ledger, of: current.opening)
      return reply
    }
  }

  /// Holds a survivor set against those that were signed before over the same data.
  private func judge(_ survivors: [OrganizationName], of opening: OpeningIdentifier) throws -> SignedOpening {
    guard let active = run else { throw ClientError.unexpected("a statement of no run") }
    let near = parts.policy.cohort.nearOpenings
    let rule = NearSetRule(
      assumedCorrupt: parts.manifest.manifest.assumedCorrupt, budget: near.count, days: near.days)
    let dataSet = URL(fileURLWithPath: parts.dataPath).standardizedFileURL.resolvingSymlinksInPath().path
    let proposed = SignedOpening(
      dataSet: dataSet, run: opening.run.text, task: opening.task.rawValue, round: UInt64(opening.round),
      survivors: Set(survivors), model: active.progression.contentHash(of: opening.task),
      time: Int64(Date().timeIntervalSince1970))
    return try rule.judge(proposed, history: parts.store.history(dataSet: dataSet))
  }

  /// Leaves the attempt: one word on the wire, the reason in the log.
  private func refuse(
    _ context: AggregationContext, _ reason: RefusalClass, _ error: some BlamedError
  ) throws(ClientError) -> Answer {
    let run = run?.agreement.run
    try record(.policyDecision) {
      $0.context = context.digest
      $0.policy = .init(.refused, rule: error.code)
      $0.error = .init(error)
    }
    guard let run else { throw .unexpected("a task of no run") }
    progress(.refused(run: run, reasons: [error.message, error.remedy]))
    let digest = SHA256Digest(context.digest)
    let signature = RefusalSigning.sign(run: run, digest: digest, reason: reason, signer: identity)
    return (.refusal(digest: digest, reason: reason, signature: signature), nil)
  }

  /// Checks the published sum and recomputes the model from it.
  func finish(_ result: OpeningResult) throws(ClientError) -> Answer {
    guard var active = run, result.opening.run == active.agreement.run else {
      throw .unexpected("a result of no run")
    }
    guard result.isSigned(by: parts.manifest.manifest.server.keys.identity) else {
      throw .unexpected("a result without the server's signature")
    }
    guard !active.cohort.isEmpty else {
      // Came back in the middle of a sum: the next task brings the model.
      return (.ready, nil)
    }
    let isRepeated =
      active.lastResult?.task == result.opening.task && active.lastResult?.round == result.opening.round
    guard active.progression.isNext(result.opening), !isRepeated else { throw .unexpected("a result that is not due") }
    let sum: AggregateSum
    do {
      let context = try active.agreement.context(
        of: result.opening, cohort: active.cohort, features: active.progression.features,
        model: active.progression.modelHash)
      sum = try AggregateSum(decoding: result.aggregate, context: context)
      try check(sum, of: result.opening, context: context)
      if let metrics = try active.progression.apply(sum, of: result.opening) {
        progress(.metrics(round: result.opening.round, metrics))
      }
    } catch let error as FederationError {
      throw .federation(error)
    } catch let error as AggregationError {
      throw .aggregation(error)
    } catch let error as ProgressionError {
      throw .progression(error)
    } catch let error as ClientError {
      throw error
    } catch { throw .unexpected("a result that could not be handled") }
    guard active.progression.modelHash == result.nextModel else {
      throw .unexpected("a model hash that does not follow from the published sum")
    }
    active.lastResult = result.opening
    run = active
    let shareSurvivors = round?.shareSurvivors
    abandonRound()
    try parts.store.close(result.opening)
    try record(.roundCompleted) {
      $0.task = result.opening.task.rawValue
      $0.round = result.opening.round
      $0.attempt = result.opening.attempt
      $0.context = sum.context
      $0.model = result.nextModel
      $0.cohortSizes = shareSurvivors.map { .init(u2: $0, u3: sum.survivors.count) }
      $0.outcome = .succeeded
    }
    // Under a checkpoint round by round, so that a process that is killed leaves a short tail.
    do throws(AuditLogError) { try parts.log.publish() } catch { throw .log(error) }
    progress(.completed(result.opening, survivors: sum.survivors.count, of: active.cohort.count))
    return (.ready, nil)
  }

  /// A published sum is over enough organisations, and over those masked inputs that this organisation signed for.
  private func check(
    _ sum: AggregateSum, of opening: OpeningIdentifier, context: AggregationContext
  ) throws(ClientError) {
    guard sum.survivors.count >= context.requiredParticipants(in: .maskedInputCollection) else {
      throw .unexpected("a sum over fewer organisations than it needs")
    }
    guard round?.opening == opening, let signed = round?.signedRoot else { return }
    guard signed == sum.maskedInputRoot else { throw .unexpected("a sum over other terms than were signed for") }
  }

  // MARK: - Records

  /// The message with what its record says beside its bytes.
  private func answer(
    _ message: ClientRoundMessage, opening: OpeningIdentifier, context: AggregationContext? = nil,
    shareSurvivors: Int? = nil, survivors: Int? = nil
  ) -> Answer {
    var draft = AuditRecord.Draft(.messageSent)
    draft.task = opening.task.rawValue
    draft.round = opening.round
    draft.attempt = opening.attempt
    draft.context = message.context
    draft.program = run?.agreement.plan.programHash
    draft.model = run?.progression.modelHash
    draft.cohortSizes = shareSurvivors.map { .init(u2: $0, u3: survivors) }
    if case .maskedInput(let input) = message, let context, let shareSurvivors {
      draft.transcript = input.transcript
      draft.maskedInput = .init(
        dimension: context.parameters.tensorCount, counters: context.parameters.counterCount,
        bits: context.parameters.bits, masks: shareSurvivors, clip: .init(context.parameters.clip))
    }
    progress(.sent(message.kind.rawValue, opening))
    let payload = RoundPayload(opening: opening, kind: message.kind.rawValue, payload: message.encoded())
    return (.round(payload), draft)
  }
}
