import AuditLog
import Cryptography
import DifferentialPrivacy
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation

/// The five rounds of a sum, each step persisted before it is sent.
extension ClientSession {
  /// Computes (or finds again) the term, and enters the attempt.
  func begin(_ task: TaskAnnouncement) throws(ClientError) -> Answer {
    abandonRound()
    try sealedSecrets.abandoned()
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
    return try enter(opening, context: context, active)
  }

  /// Enters the attempt, if nothing that is remembered of the opening forbids it.
  private func enter(
    _ opening: OpeningIdentifier, context: AggregationContext, _ active: ActiveRun
  ) throws(ClientError) -> Answer {
    let origin = try origin(of: opening, cohort: context.cohort.map(\.name), active)
    let known = try parts.store.opening(opening)
    if let known {
      // What was made under other terms is neither masked for these, nor made anew: there is one term an opening.
      guard known.origin == origin else { return try refuse(context, .state, StateFault.otherOpening(opening)) }
      guard known.term != nil else { return try refuse(context, .state, StateFault.closed(opening)) }
    }
    var ledger =
      known?.ledger
      ?? AttemptLedger(run: opening.run.text, round: UInt64(opening.round), task: opening.task.rawValue)
    do throws(AggregationError) {
      try ledger.enter(attempt: UInt64(opening.attempt), isSpentBySigning: context.regularGraph != nil)
    } catch {
      return try refuse(context, .state, error)
    }
    let charge: PendingCharge?
    let term: EncodedTerm
    let noise = try noise(active)
    do throws(ClientError) {
      charge = try pendingCharge(for: opening, noise, active)
      term = try makeTerm(opening, stored: known?.term, context: context, noise, active)
    } catch {
      return try refuse(context, error.isOfBudget ? .budget : .unavailable, error)
    }
    try sealedSecrets.left(before: opening)
    try reach(.decided, .advertiseKeys, opening)
    // Attempt and term are on disk before anything of the attempt leaves; a later attempt masks the same integers.
    try parts.store.enter(
      opening,
      .init(
        ledger: ledger, term: term.encoded(), origin: origin, cohort: context.cohort.map(\.name),
        model: active.progression.modelHash),
      charge: ledgerEntry(for: opening, charge, isNoised: noise != nil, active))
    if let charge { try record(charge, context: context) }
    return try advertise(
      ActiveRound(
        opening: opening, context: context, machine: try machine(context), ledger: ledger, term: term,
        noise: noise?.release(of: opening.task), charge: charge))
  }

  /// Everything that a term is made under: the context, but for the attempt.
  private func origin(
    of opening: OpeningIdentifier, cohort: [OrganizationName], _ active: ActiveRun
  ) throws(ClientError) -> ContextDigest {
    let first = OpeningIdentifier(run: opening.run, task: opening.task, round: opening.round, attempt: 0)
    do throws(FederationError) {
      return try active.agreement.context(
        of: first, cohort: cohort, features: active.progression.features, model: active.progression.modelHash
      ).digest
    } catch { throw .federation(error) }
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
    _ opening: OpeningIdentifier, stored: [UInt8]?, context: AggregationContext, _ noise: NoiseAgreement?,
    _ active: ActiveRun
  ) throws(ClientError) -> EncodedTerm {
    if let stored {
      do throws(AggregationError) { return try EncodedTerm(decoding: stored, context: context) } catch {
        throw .aggregation(error)
      }
    }
    progress(.training(opening))
    let (term, figures) = try active.runner.term(
      of: opening, progression: active.progression, noise: noise, context: context)
    if let figures { progress(.trained(opening, loss: figures.loss, clipped: figures.clipped)) }
    return term
  }

  /// The noise of the run's sums; nil without differential privacy.
  private func noise(_ active: ActiveRun) throws(ClientError) -> NoiseAgreement? {
    do throws(FederationError) {
      return try active.progression.noise(active.agreement.manifest)
    } catch { throw .federation(error) }
  }

  private func advertise(_ entered: consuming ActiveRound) throws(ClientError) -> Answer {
    let message: AdvertiseKeysMessage
    do throws(AggregationError) {
      message = try entered.machine.advertise(signer: identity)
    } catch { throw .aggregation(error) }
    let answer = answer(.advertiseKeys(message), entered)
    round = consume entered
    return answer
  }

  /// Answers a message of the secure sum, or leaves the attempt if it does not pass the checks.
  func proceed(_ payload: RoundPayload) throws(ClientError) -> Answer {
    guard round?.opening == payload.opening, var current = round.take() else { return try resume(payload) }
    do {
      let message = try ServerRoundMessage(decoding: payload.payload, context: current.context)
      let answer = try step(&current, message)
      round = consume current
      return answer
    } catch let error as AggregationError {
      current.machine.abandon()
      return try refuse(current.context, .protocol, error)
    } catch let error as NearSetRefusal {
      current.machine.abandon()
      return try refuse(current.context, .policy, error)
    } catch let error as StateFault {
      current.machine.abandon()
      return try refuse(current.context, .state, error)
    } catch let error as AuditLogError {
      throw .log(error)
    } catch let error as ClientError {
      current.machine.abandon()
      throw error
    } catch {
      throw .unexpected("a message that could not be handled")
    }
  }

  /// One step of the machine, with what the step leaves behind on disk before it may be sent.
  private func step(_ current: inout ActiveRound, _ message: ServerRoundMessage) throws -> Answer {
    let opening = current.opening
    let attempt = UInt64(opening.attempt)
    switch message {
    case .beaconRequest(let request):
      try reach(.decided, .beaconReveal, opening)
      let reveal = try current.machine.receive(request)
      current.beaconRequest = request
      return answer(.beaconReveal(reveal), current)
    case .roster(let roster):
      try reach(.decided, .shareKeys, opening)
      let shares = try current.machine.receive(roster, signer: identity)
      current.roster = roster
      return answer(.shareKeys(shares), current)
    case .shares(let delivery):
      try reach(.decided, .maskedInput, opening)
      return try mask(delivery, &current)
    case .survivors(let announcement):
      let signed = try judge(announcement.survivors(in: current.context), of: opening)
      try reach(.decided, .consistencyCheck, opening)
      let statement = try current.machine.receive(announcement, signer: identity)
      current.survivors = announcement.members.count
      current.signedRoot = statement.statement.maskedInputRoot
      current.signedSurvivors = announcement.survivors(in: current.context)
      try current.ledger.recordStatement(attempt: attempt, statement: statement.statement.digest)
      return try commit(
        .consistencyCheck(statement), current, signing: signed, statement: signedStatement(statement, current))
    case .statements(let statements):
      // Asked again within one process: the machine has ended, and the bytes are those of before.
      if current.ledger.hasReleased { return try released(statements, opening, current.ledger, current.context) }
      try reach(.decided, .unmasking, opening)
      let reply = ClientRoundMessage.unmasking(try current.machine.receive(statements))
      guard let signed = current.ledger.statement else {
        throw ClientError.unexpected("an unmasking without statement")
      }
      try current.ledger.recordRelease(attempt: attempt, statement: signed.digest, reply: reply.encoded())
      return try commit(reply, current)
    }
  }

  /// Persists what binds this organisation, and only then lets it be sent.
  func commit(
    _ message: ClientRoundMessage, _ current: borrowing ActiveRound, signing signed: SignedOpening? = nil,
    statement: ClientStore.SignedStatement? = nil, sealed: ClientStore.SealedEntry? = nil, body: [UInt8] = []
  ) throws(ClientError) -> Answer {
    let answer = answer(message, current, body: body)
    try parts.store.commit(
      .init(
        kind: message.kind.rawValue, identifier: answer.identifier, payload: MessageHash(hashing: message.encoded())),
      of: current.opening, ledger: current.ledger, signing: signed, statement: statement, sealed: sealed)
    return answer
  }

  /// Answers for an attempt of an earlier process: only with the reply that was persisted, and only for its statement.
  ///
  /// No keys are drawn, and nothing that was not released before is released.
  private func resume(_ payload: RoundPayload) throws(ClientError) -> Answer {
    guard MessageKind(rawValue: payload.kind) == .statements, let active = run,
      payload.opening.run == active.agreement.run, let known = try parts.store.opening(payload.opening)
    else { throw .unexpected("a round message of an attempt in which this organisation is not") }
    abandonRound()
    let context: AggregationContext
    do throws(FederationError) {
      context = try active.agreement.context(
        of: payload.opening, cohort: known.cohort, features: active.progression.features, model: known.model)
    } catch { throw .federation(error) }
    do {
      guard case .statements(let statements) = try ServerRoundMessage(decoding: payload.payload, context: context)
      else { throw StateFault.notReleased(payload.opening) }
      return try released(statements, payload.opening, known.ledger, context)
    } catch let error as StateFault {
      return try refuse(context, .state, error)
    } catch let error as AggregationError {
      return try refuse(context, .protocol, error)
    } catch let error as AuditLogError {
      throw .log(error)
    } catch let error as ClientError {
      throw error
    } catch { throw .unexpected("a message that could not be handled") }
  }

  /// The bytes that were released for exactly this statement, in a new envelope.
  private func released(
    _ statements: StatementSet, _ opening: OpeningIdentifier, _ ledger: AttemptLedger, _ context: AggregationContext
  ) throws -> Answer {
    guard statements.context == context.digest, let signed = ledger.statement,
      signed.attempt == UInt64(opening.attempt), let bytes = ledger.reply(for: statements.statement)
    else { throw StateFault.notReleased(opening) }
    let reply = try ClientRoundMessage(decoding: bytes, from: parts.name, context: context)
    var answer = answer(reply, opening: opening)
    if let committed = try parts.store.committed(reply.kind.rawValue, of: opening) {
      answer.resendOf = try sequence(of: committed.identifier, run: opening.run)
    }
    return answer
  }

  /// The last record under which a message left, if it has come so far.
  private func sequence(of identifier: MessageIdentifier, run: RunIdentifier) throws(AuditLogError) -> UInt64? {
    var filter = AuditFilter()
    filter.events = [.messageSent]
    filter.run = run.text
    var reader = try AuditLogReader(directory: parts.log.directory, filter: filter)
    var found: UInt64?
    while let entry = try reader.next() {
      if entry.record.message?.id == identifier { found = entry.record.sequence }
    }
    return found
  }

  /// Holds a survivor set against those that were signed before over the same data.
  private func judge(_ survivors: [OrganizationName], of opening: OpeningIdentifier) throws -> SignedOpening {
    guard let active = run else { throw ClientError.unexpected("a statement of no run") }
    let near = active.policy.cohort.nearOpenings
    let rule = NearSetRule(
      assumedCorrupt: active.agreement.manifest.assumedCorrupt, budget: near.count, days: near.days)
    let proposed = SignedOpening(
      dataSet: active.dataSet, run: opening.run.text, task: opening.task.rawValue, round: UInt64(opening.round),
      survivors: Set(survivors), model: active.progression.contentHash(of: opening.task),
      time: Int64(Date().timeIntervalSince1970))
    guard !active.agreement.plan.privacy.coversDifferences else { return proposed }
    return try rule.judge(
      proposed, history: parts.store.history(dataSet: active.dataSet), lostAt: parts.store.lostAt)
  }

  /// Leaves the attempt: one word on the wire, the reason in the log.
  private func refuse(
    _ context: AggregationContext, _ reason: RefusalClass, _ error: some BlamedError
  ) throws(ClientError) -> Answer {
    let run = run?.agreement.run
    try sealedSecrets.abandoned()
    try record(.policyDecision) {
      $0.context = context.digest
      $0.policy = .init(.refused, rule: error.code)
      $0.error = .init(error)
    }
    guard let run else { throw .unexpected("a task of no run") }
    progress(.refused(run: run, rule: error.code, reasons: [error.message, error.remedy]))
    let digest = SHA256Digest(context.digest)
    let signature = RefusalSigning.sign(run: run, digest: digest, reason: reason, signer: identity)
    return Answer(.refusal(digest: digest, reason: reason, signature: signature))
  }

  /// Checks the published sum and recomputes the model from it.
  func finish(_ result: OpeningResult) throws(ClientError) -> Answer {
    guard var active = run, result.opening.run == active.agreement.run else {
      throw .unexpected("a result of no run")
    }
    guard result.isSigned(by: active.agreement.manifest.server.keys.identity) else {
      throw .unexpected("a result without the server's signature")
    }
    guard !active.cohort.isEmpty else {
      // Came back in the middle of a sum: the next task brings the model.
      try sealedSecrets.summed(result.opening)
      return Answer(.ready)
    }
    if result == active.lastResult { return Answer(.ready) }
    let last = active.lastResult?.opening
    let isRepeated = last?.task == result.opening.task && last?.round == result.opening.round
    guard active.progression.isNext(result.opening), !isRepeated else { throw .unexpected("a result that is not due") }
    let sum: AggregateSum
    do {
      let context = try active.agreement.context(
        of: result.opening, cohort: active.cohort, features: active.progression.features,
        model: active.progression.modelHash)
      sum = try AggregateSum(decoding: result.aggregate, context: context)
      try check(sum, of: result.opening, context: context)
      if let metrics = try active.progression.apply(sum, of: result.opening, noise: noise(active)) {
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
    active.lastResult = result
    active.lastSurvivors = sum.survivors
    run = active
    let shareSurvivors = round?.shareSurvivors
    abandonRound()
    try reach(.decided, .ready, nil)
    try parts.store.close(result.opening)
    try sealedSecrets.summed(result.opening)
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
    return Answer(.ready)
  }

  /// A published sum is over enough organisations, and over those masked inputs that this organisation signed for.
  private func check(
    _ sum: AggregateSum, of opening: OpeningIdentifier, context: AggregationContext
  ) throws(ClientError) {
    guard sum.survivors.count >= context.requiredParticipants(in: .maskedInputCollection) else {
      throw .unexpected("a sum over fewer organisations than it needs")
    }
    guard round?.opening == opening, let signed = round?.signedRoot else { return }
    guard signed == sum.maskedInputRoot, round?.signedSurvivors == sum.survivors else {
      throw .unexpected("a sum over other terms than were signed for")
    }
  }

  // MARK: - Records

  private func answer(
    _ message: ClientRoundMessage, _ current: borrowing ActiveRound, body: [UInt8] = []
  ) -> Answer {
    answer(
      message, body: body, opening: current.opening, context: current.context,
      shareSurvivors: current.shareSurvivors, survivors: current.survivors, commitment: current.commitment,
      noise: current.noise, charge: current.charge)
  }

  /// The message with what its record says beside its bytes.
  private func answer(
    _ message: ClientRoundMessage, body: [UInt8] = [], opening: OpeningIdentifier, context: AggregationContext? = nil,
    shareSurvivors: Int? = nil, survivors: Int? = nil, commitment: TermCommitment? = nil, noise: NoisedRelease? = nil,
    charge: PendingCharge? = nil
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
      draft.maskedInput = maskedInput(context, masks: shareSurvivors, noise: noise, charge: charge)
      draft.maskedInput?.commitment = commitment
    }
    progress(.sent(message.kind.rawValue, opening))
    let payload = RoundPayload(opening: opening, kind: message.kind.rawValue, payload: message.encoded(), body: body)
    return Answer(.round(payload), draft: draft)
  }
}
