import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation

/// One sum: attempts at it, and the five rounds of an attempt.
extension RunCoordinator {
  /// Sums one vector over the cohort and moves the model on by it.
  ///
  /// Before shares are released a failed attempt may be followed by another. Afterwards the attempt is resumed; it is
  /// given up for another only while at most n − t have released, and then without those: t others can still open a sum,
  /// and no two sums of one opening can both be opened. Otherwise the round is over.
  func sum(_ task: TaskKind, round: Int, _ progression: inout RunProgression) async throws {
    let started = (time: clock.now, bytes: traffic.bytes)
    sumMembers = SumMembers(cohort: cohort)
    let first = (resumption?.attempts ?? 0) + 1
    for attempt in first..<(first + settings.maximumAttempts) {
      guard attempt <= Int(AttemptLedger.maximumAttempt) else { throw RunStop.attemptsExhausted(task, round: round) }
      isCommitted = false
      let opening = OpeningIdentifier(run: agreement.run, task: task, round: round, attempt: attempt)
      let context = try agreement.context(
        of: opening, cohort: cohort, features: progression.features, model: progression.modelHash)
      try await waitForParticipants(opening, needed: context.requiredParticipants(in: .maskedInputCollection))
      try note(attempt: attempt)
      var secureSum = ServerRound(
        context: context, lanes: Lanes(count: ProcessInfo.processInfo.activeProcessorCount))
      do {
        try await perform(&secureSum, opening: opening, model: progression.model)
      } catch let error as AggregationError where error.isShortage || error.isOfSpool {
        try report(secureSum, opening: opening)
        sumMembers.exclude(secureSum.blamed)
        // On a k-regular graph whoever signed a statement enters no other attempt.
        let isSpent =
          context.regularGraph == nil
          ? error.isOfUnmasking && sumMembers.released.count > cohort.count - context.threshold
          : error.isOfUnmasking || error.isOfConsistencyCheck
        if isSpent {
          throw RunStop.unmaskable(missing: error.missing, details: sumMembers.explanations)
        }
        progress(.attemptFailed(opening, reason: error.message))
        try record(.stopped) {
          $0.fill(opening, context: context.digest)
          $0.error = .init(error)
        }
        for organization in cohort { await hub.withdrawRoundInstructions(for: organization) }
        sumMembers.closeAttempt(present: presentMembers)
        if attempt == first + settings.maximumAttempts - 1 {
          throw RunStop.shortage(what: error.message, missing: absentMembers, details: sumMembers.explanations)
        }
        continue
      }
      isCommitted = true
      guard let sum = secureSum.result else { throw RunStop.unmaskable(missing: absentMembers, details: []) }
      let published = try noised(sum, of: opening, context: context, progression)
      return try await publish(published, opening: opening, started: started, &progression)
    }
  }

  /// The sum with this server's noise, where it is trusted to add it. The sum from before is not stored, logged or told;
  /// a server that ends before it has stored the noised one makes the sum anew, and the first noise was seen by nobody.
  private func noised(
    _ sum: AggregateSum, of opening: OpeningIdentifier, context: AggregationContext, _ progression: RunProgression
  ) throws -> AggregateSum {
    guard let noise = try progression.noise(agreement.manifest) else { return sum }
    // The noise of a tree is made from its seed: a sum that is made anew has the same.
    guard opening.task == .fit, noise.trees != nil else {
      return try noise.published(sum, of: opening.task, context: context)
    }
    return try noise.published(sum, of: opening, context: context, seed: store.treeSeed(of: opening.run))
  }

  /// An attempt's number is on disk before anybody hears of it: no server uses one twice.
  private func note(attempt: Int) throws {
    resumption?.attempts = attempt
    if let resumption { try store.save(resumption) }
  }

  /// Members that are there and have accepted in their present session.
  private var presentMembers: [OrganizationName] {
    cohort.filter { attendance.isConnected($0) && attendance.hasAccepted($0) }
  }

  /// Those among them that can take part in another attempt at this sum.
  private var activeMembers: [OrganizationName] { presentMembers.filter(sumMembers.canTakePart) }

  /// Members that are not there.
  private var absentMembers: [OrganizationName] {
    let present = Set(presentMembers)
    return cohort.filter { !present.contains($0) }
  }

  /// Before an attempt: gives lost connections the time of `deadlines.accept`, from when the last was lost, to come back
  /// if too few are there. Does not wait where all that could come back would be too few.
  private func waitForParticipants(_ opening: OpeningIdentifier, needed: Int) async throws {
    guard activeMembers.count < needed else { return }
    let deadline = (attendance.lastLoss(among: absentMembers) ?? clock.now) + plan.deadlines.accept
    setTimer(at: deadline)
    progress(.waiting(for: absentMembers))
    while activeMembers.count < needed {
      guard clock.now < deadline, cohort.count(where: sumMembers.canTakePart) >= needed else {
        throw RunStop.shortage(
          what: "\(opening.task.rawValue) of round \(opening.round) needs \(needed) of \(cohort.count) organisations "
            + "and \(activeMembers.count) are left", missing: absentMembers, details: sumMembers.explanations)
      }
      _ = try await nextEvent()
    }
  }

  /// The five rounds of one attempt.
  private func perform(_ secureSum: inout ServerRound, opening: OpeningIdentifier, model: [UInt8]) async throws {
    progress(.openingStarted(opening))
    taskDigest = SHA256Digest(secureSum.context.digest)
    self.opening = opening
    sumMembers.beginAttempt()
    questions = [:]
    defer { spools.close() }
    let task = ServerMessage.Body.task(TaskAnnouncement(opening: opening, cohort: cohort, model: model))
    for organization in activeMembers { await hub.post(task, to: organization) }
    while !secureSum.participants.isEmpty {
      let stage = secureSum.stage
      try await collect(
        &secureSum, opening: opening, task: stage == .advertiseKeys ? task : nil, until: clock.now + time(for: stage))
      let answered = secureSum.answered.sorted()
      let missing = secureSum.awaiting.sorted()
      if stage == .unmasking { sumMembers.released.formUnion(answered) }
      let next = try secureSum.advance(signer: identity)
      if stage == .shareKeys { lastShareSurvivors = answered.count }
      // Before anybody is asked for a masked input, or an upload could come too early.
      spools.close()
      let byteCount = secureSum.context.maskedInputByteCount
      if secureSum.stage == .maskedInputCollection, byteCount > WireLimits.segmentBytes {
        try spools.open(opening, members: next, byteCount: byteCount)
      }
      // From here on members may be bound by what they sign: the sum is finished rather than begun again.
      if secureSum.stage == .maskedInputCollection { isCommitted = true }
      if secureSum.stage == .consistencyCheck { sumMembers.survivors = Set(secureSum.participants) }
      progress(.stageClosed(stage, opening: opening, answered: answered, missing: missing))
      questions = [:]
      for organization in next {
        guard let message = secureSum.message(for: organization) else { continue }
        questions[organization] = .round(
          RoundPayload(opening: opening, kind: message.kind.rawValue, payload: message.encoded()))
      }
      for (organization, question) in questions where isAsked(organization, in: secureSum.stage) {
        await hub.post(question, to: organization)
      }
    }
    try report(secureSum, opening: opening)
  }

  /// Who was found to have dealt wrong shares, and who may have dealt or released them.
  private func report(_ secureSum: ServerRound, opening: OpeningIdentifier) throws {
    for (organizations, code, blame) in [
      (secureSum.blamed, "wrong-shares", Blame.peer), (secureSum.suspected, "disputed-shares", .participants),
    ] {
      for organization in organizations.sorted() {
        progress(.blamed(organization, opening: opening, code: code))
        try record(.stopped) {
          $0.fill(opening, context: secureSum.context.digest)
          $0.source = .init(name: organization)
          $0.error = .init(code: code, blame: blame)
        }
      }
    }
  }

  /// How long a stage may take. Replies of Unmasking are persisted, so whoever is lost there has time to come back.
  private func time(for stage: RoundStage) -> Duration {
    switch stage {
    case .advertiseKeys: plan.deadlines.fit
    case .unmasking: plan.deadlines.step + plan.deadlines.accept
    case .graphBeacon, .shareKeys, .maskedInputCollection, .consistencyCheck, .completed, .failed: plan.deadlines.step
    }
  }

  /// Whether a member is asked in a stage as it begins. A new process has no keys of the attempt; it may have a reply.
  private func isAsked(_ organization: OrganizationName, in stage: RoundStage) -> Bool {
    if sumMembers.declined.contains(organization) { return false }
    guard sumMembers.restarted.contains(organization) else { return true }
    return stage == .unmasking && attendance.hasAccepted(organization)
  }

  /// Takes answers until everybody who can still answer has, or the deadline passes.
  private func collect(
    _ secureSum: inout ServerRound, opening: OpeningIdentifier, task: ServerMessage.Body?,
    until deadline: ContinuousClock.Instant
  ) async throws {
    setTimer(at: deadline)
    while clock.now < deadline, isWaiting(secureSum) {
      guard case .message(let organization, let message) = try await nextEvent() else { continue }
      switch message.body {
      case .round(let payload): try receive(payload, from: organization, opening: opening, &secureSum)
      case .acceptance: try await welcome(organization, secureSum, task: task)
      case .hello, .refusal, .ready, .poll, .segment, .fetch, .pins, .witness: break
      }
    }
  }

  /// A member that is back after a restart joins where a round begins, or is asked again for the reply it may have
  /// persisted; otherwise it waits for the next sum.
  private func welcome(
    _ organization: OrganizationName, _ secureSum: ServerRound, task: ServerMessage.Body?
  ) async throws {
    guard cohort.contains(organization) else {
      await hub.post(.refused(.notInCohort), to: organization)
      return
    }
    guard !secureSum.answered.contains(organization), !sumMembers.declined.contains(organization) else { return }
    // What its earlier process advertised cannot be taken back.
    if let task, sumMembers.canTakePart(organization) {
      sumMembers.restarted.remove(organization)
      await hub.post(task, to: organization)
    } else if secureSum.stage == .unmasking, let question = questions[organization] {
      sumMembers.restarted.remove(organization)
      await hub.post(question, to: organization)
    }
  }

  /// Whether an answer can still be hoped for from anyone.
  private func isWaiting(_ secureSum: ServerRound) -> Bool {
    let now = clock.now
    // Once shares are being released the attempt is resumed, not repeated: as long as too few have come, everybody
    // who may have persisted a reply is waited for.
    let isNeeded = secureSum.stage == .unmasking && !secureSum.canAdvance
    return secureSum.awaiting.contains { organization in
      guard !sumMembers.declined.contains(organization) else { return false }
      if isNeeded { return true }
      // A member that was restarted and has not accepted yet takes no part in this attempt.
      return attendance.hasAccepted(organization) && !sumMembers.restarted.contains(organization)
        && !attendance.isGone(organization, at: now)
    }
  }

  private func receive(
    _ payload: RoundPayload, from organization: OrganizationName, opening: OpeningIdentifier,
    _ secureSum: inout ServerRound
  ) throws {
    // A straggler of an attempt that is over; it was recorded, and counts for nothing.
    guard payload.opening == opening else { return }
    let stage = secureSum.stage
    do {
      let message = try ClientRoundMessage(
        decoding: payload.payload, from: organization, context: secureSum.context)
      if payload.body.isEmpty, let body = spools.body(of: organization, in: opening) {
        try secureSum.receive(message, body: body, from: organization)
        spools.remove(organization)
      } else {
        try secureSum.receive(message, body: payload.body, from: organization)
      }
      progress(.answered(organization, stage: stage, opening: opening))
    } catch {
      // The sum is spoilt by this machine's disk, not by the member: the attempt is over, and another is free.
      if error.isOfSpool, secureSum.stage == .failed { throw error }
      progress(.refusedMessage(organization, code: error.code, message: error.message))
      // Nothing better will come from it in this attempt: the others need not wait.
      sumMembers.declined.insert(organization)
      try record(.stopped) {
        $0.fill(opening, context: secureSum.context.digest)
        $0.source = .init(name: organization)
        $0.error = .init(error)
      }
    }
  }

  /// Signs, stores, logs and hands out the sum, and moves the model on.
  private func publish(
    _ sum: AggregateSum, opening: OpeningIdentifier,
    started: (time: ContinuousClock.Instant, bytes: UInt64), _ progression: inout RunProgression
  ) async throws {
    let metrics = try progression.apply(sum, of: opening, noise: progression.noise(agreement.manifest))
    let result = OpeningResult(
      opening: opening, aggregate: sum.encoded(), nextModel: progression.modelHash, signer: identity)
    // Before it is on record or known to anybody, in a model too: a server that is started again publishes this sum and no
    // other.
    try store.save(result)
    try saveModel(of: opening, progression)
    try recordCompletion(of: result, sum, shareSurvivors: lastShareSurvivors)
    isCommitted = false
    progress(.openingCompleted(opening, survivors: sum.survivors))
    report.note(
      opening, sum: sum, metrics: metrics, cohort: cohort, examples: examples(sum),
      seconds: (clock.now - started.time) / .seconds(1),
      bytes: traffic.bytes - started.bytes)
    try closeStep()
    if let metrics { progress(.evaluated(round: opening.round, metrics: metrics)) }
    await tell(result)
  }

  /// The model after a round, among the run's files.
  private func saveModel(of opening: OpeningIdentifier, _ progression: RunProgression) throws {
    guard opening.task != .evaluate, progression.artifact != nil else { return }
    try store.save(model: progression.model, round: opening.round)
  }

  /// Takes the sum that an earlier server stored, and of which it may have said nothing, as that of its opening: puts it
  /// on record and into the report, and moves the model on.
  ///
  /// What the earlier server measured is lost with it: the sum's time and bytes count as none, and |U2| is not on record.
  /// - Throws: ``ServerError/unreadable(path:what:)`` if it is not what this server would have stored there.
  func takeUp(_ stored: OpeningResult, _ progression: inout RunProgression) throws {
    let opening = stored.opening
    let unreadable = ServerError.unreadable(path: store.lastResultPath, what: "the sum that was stored last")
    let context = try agreement.context(
      of: opening, cohort: cohort, features: progression.features, model: progression.modelHash)
    guard stored.isSigned(by: agreement.manifest.server.keys.identity),
      let sum = try? AggregateSum(decoding: stored.aggregate, context: context)
    else { throw unreadable }
    let metrics = try progression.apply(sum, of: opening, noise: progression.noise(agreement.manifest))
    guard progression.modelHash == stored.nextModel else { throw unreadable }
    try saveModel(of: opening, progression)
    // The report is written after the record: what it tells is on record.
    if !report.tells(of: opening) {
      try recordCompletion(of: stored, sum, shareSurvivors: nil)
      report.note(opening, sum: sum, metrics: metrics, cohort: cohort, examples: examples(sum), seconds: 0, bytes: 0)
    }
    progress(.openingCompleted(opening, survivors: sum.survivors))
    try closeStep()
    if let metrics { progress(.evaluated(round: opening.round, metrics: metrics)) }
  }

  /// Rows that a fit was trained on, where they are counted: with differential privacy they are not.
  private func examples(_ sum: AggregateSum) -> Int64 {
    agreement.plan.privacy.settings == nil ? sum.counters.first ?? 0 : 0
  }

  /// - Parameter shareSurvivors: |U2|; nil for a sum of an earlier server.
  private func recordCompletion(of result: OpeningResult, _ sum: AggregateSum, shareSurvivors: Int?) throws {
    try record(.roundCompleted) {
      $0.fill(result.opening, context: sum.context)
      $0.model = result.nextModel
      $0.cohortSizes = shareSurvivors.map { .init(u2: $0, u3: sum.survivors.count) }
      if shareSurvivors == nil { $0.reason = "stored by a server that ended before it could say so" }
      $0.outcome = .succeeded
    }
    try log.publish()
  }

  /// The sum is in the report, and the next one is due.
  private func closeStep() throws {
    try store.save(report)
    guard var next = resumption else { return }
    next.done += 1
    next.attempts = 0
    resumption = next
    try store.save(next)
  }

  func tell(_ result: OpeningResult) async {
    for organization in cohort where attendance.hasAccepted(organization) {
      await hub.post(.result(result), to: organization)
    }
  }

  /// Hands the end to everybody, closes the log, and waits a little for organisations to fetch it.
  func end(model: [UInt8]) async {
    isEnding = true
    if !model.isEmpty { report.model = .init(path: store.modelPath, sha256: ModelHash(hashing: model)) }
    do {
      if !model.isEmpty { try store.saveFinal(model: model) }
      try store.save(report)
      try record(.runEnded) {
        $0.outcome = report.state == .completed || report.state == .budgetSpent ? .succeeded : .failed
        if report.state == .budgetSpent { $0.reason = report.reason }
        $0.model = model.isEmpty ? nil : ModelHash(hashing: model)
      }
      try log.publish()
    } catch {
      report.state = .failed
      report.reason = "the end of the run could not be recorded: \(error)"
    }
    let state: RunEnd.State =
      switch report.state {
      case .completed: .completed
      case .stopped: .stopped
      case .budgetSpent: .budgetSpent
      case .failed, .running, .cancelled, .queued, .interrupted: .failed
      }
    let end = RunEnd(run: agreement.run, state: state, reason: report.reason ?? "", model: model)
    // From here on a greeting is one for the next run.
    await lobby.beginAnew(attendance.organizations)
    // To those whose connection is lost as well: they may be back before the server has gone.
    for organization in attendance.organizations { await hub.post(.end(end), to: organization) }
    await waitForFarewells()
    progress(.ended(report))
  }

  private func waitForFarewells() async {
    let deadline = clock.now + settings.farewell
    setTimer(at: deadline)
    while clock.now < deadline {
      var isDone = true
      for organization in attendance.organizations where attendance.isConnected(organization) {
        if await !hub.hasAnsweredAll(organization) { isDone = false }
      }
      guard !isDone, (try? await nextEvent()) != nil else { return }
    }
  }
}

extension AuditRecord.Draft {
  /// Which sum a record is about.
  mutating func fill(_ opening: OpeningIdentifier, context: ContextDigest) {
    task = opening.task.rawValue
    round = opening.round
    attempt = opening.attempt
    self.context = context
  }
}

extension AggregationError {
  fileprivate var isShortage: Bool {
    if case .tooFewParticipants = self { return true }
    return false
  }

  fileprivate var missing: [OrganizationName] {
    if case .tooFewParticipants(let shortage) = self { return shortage.missing }
    return []
  }

  /// Bytes that were spooled here could not be read again.
  fileprivate var isOfSpool: Bool {
    if case .spool = self { return true }
    return false
  }

  fileprivate var isOfConsistencyCheck: Bool {
    if case .tooFewParticipants(let shortage) = self { return shortage.stage == .consistencyCheck }
    return false
  }

  /// Once shares have been released, another attempt could let two sums of one opening be compared.
  fileprivate var isOfUnmasking: Bool {
    if case .tooFewParticipants(let shortage) = self { return shortage.stage == .unmasking }
    return false
  }
}

extension RunReport {
  /// Whether the sum has its row. Statistics have none.
  fileprivate func tells(of opening: OpeningIdentifier) -> Bool {
    let row = rounds.first { $0.round == opening.round }
    return switch opening.task {
    case .statistics: false
    case .fit: row != nil
    case .evaluate: row?.metrics.isEmpty == false
    }
  }

  /// Adds one sum: a round's fit begins its row, its evaluation completes it.
  fileprivate mutating func note(
    _ opening: OpeningIdentifier, sum: AggregateSum, metrics: BinaryMetrics?, cohort: [OrganizationName],
    examples: Int64, seconds: Double, bytes: UInt64
  ) {
    switch opening.task {
    case .statistics: break
    case .fit:
      rounds.removeAll { $0.round == opening.round }
      rounds.append(
        Round(
          round: opening.round, attempt: opening.attempt, cohort: cohort, survivors: sum.survivors,
          examples: examples, metrics: [:], seconds: seconds, bytes: bytes))
    case .evaluate:
      guard rounds.last?.round == opening.round, let last = rounds.popLast() else { return }
      rounds.append(
        Round(
          round: last.round, attempt: last.attempt, cohort: cohort, survivors: sum.survivors,
          examples: last.examples, metrics: metrics?.named ?? [:], seconds: last.seconds + seconds,
          bytes: last.bytes + bytes))
    }
  }
}
