import AuditLog
import Cryptography
import Federation
import FederationWire
import Learning
import SecureAggregation

/// One sum: attempts at it, and the five rounds of an attempt.
extension RunCoordinator {
  /// Sums one vector over the cohort and moves the model on by it.
  func sum(_ task: TaskKind, round: Int, _ progression: inout RunProgression) async throws {
    let started = (time: clock.now, bytes: traffic.bytes)
    for attempt in 1...settings.maximumAttempts {
      let opening = OpeningIdentifier(run: agreement.run, task: task, round: round, attempt: attempt)
      let context = try agreement.context(
        of: opening, cohort: cohort, features: progression.features, model: progression.modelHash)
      try await waitForParticipants(opening, needed: context.requiredParticipants(in: .maskedInputCollection))
      var secureSum = ServerRound(context: context)
      do {
        try await perform(&secureSum, opening: opening, model: progression.model)
      } catch let error as AggregationError where error.isShortage {
        if error.isOfUnmasking { throw RunStop.unmaskable(missing: error.missing) }
        progress(.attemptFailed(opening, reason: error.message))
        try record(.stopped) {
          $0.fill(opening, context: context.digest)
          $0.error = .init(error)
        }
        for organization in cohort { await hub.withdrawRoundInstructions(for: organization) }
        if attempt == settings.maximumAttempts {
          throw RunStop.shortage(what: error.message, missing: absentMembers, details: [])
        }
        continue
      }
      guard let sum = secureSum.result else { throw RunStop.unmaskable(missing: absentMembers) }
      return try await publish(sum, opening: opening, started: started, &progression)
    }
  }

  /// Members that are there and have accepted in their present session.
  private var activeMembers: [OrganizationName] {
    cohort.filter { attendance.isConnected($0) && attendance.hasAccepted($0) }
  }

  /// The other members.
  private var absentMembers: [OrganizationName] {
    let active = Set(activeMembers)
    return cohort.filter { !active.contains($0) }
  }

  /// Before an attempt: gives lost connections the time of `deadlines.accept` to come back if too few are there.
  private func waitForParticipants(_ opening: OpeningIdentifier, needed: Int) async throws {
    guard activeMembers.count < needed else { return }
    let deadline = clock.now + plan.deadlines.accept
    setTimer(at: deadline)
    progress(.waiting(for: absentMembers))
    while activeMembers.count < needed {
      guard clock.now < deadline else {
        throw RunStop.shortage(
          what: "\(opening.task.rawValue) of round \(opening.round) needs \(needed) of \(cohort.count) organisations "
            + "and \(activeMembers.count) are left", missing: absentMembers, details: [])
      }
      _ = try await nextEvent()
    }
  }

  /// The five rounds of one attempt.
  private func perform(_ secureSum: inout ServerRound, opening: OpeningIdentifier, model: [UInt8]) async throws {
    progress(.openingStarted(opening))
    taskDigest = SHA256Digest(secureSum.context.digest)
    declined = []
    let task = ServerMessage.Body.task(TaskAnnouncement(opening: opening, cohort: cohort, model: model))
    for organization in activeMembers { await hub.post(task, to: organization) }
    while !secureSum.participants.isEmpty {
      let isFirst = secureSum.stage == .advertiseKeys
      try await collect(
        &secureSum, opening: opening, task: isFirst ? task : nil,
        until: clock.now + (isFirst ? plan.deadlines.fit : plan.deadlines.step))
      let stage = secureSum.stage
      let answered = secureSum.answered.sorted()
      let missing = secureSum.awaiting.sorted()
      let next = try secureSum.advance(signer: identity)
      if stage == .shareKeys { lastShareSurvivors = answered.count }
      progress(.stageClosed(stage, opening: opening, answered: answered, missing: missing))
      for (organization, message) in next where !declined.contains(organization) {
        let payload = RoundPayload(opening: opening, kind: message.kind.rawValue, payload: message.encoded())
        await hub.post(.round(payload), to: organization)
      }
    }
    for organization in secureSum.blamed {
      progress(.blamed(organization, opening: opening, code: "wrong-shares"))
      try record(.stopped) {
        $0.fill(opening, context: secureSum.context.digest)
        $0.source = .init(name: organization)
        $0.error = .init(code: "wrong-shares", blame: .peer)
      }
    }
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
      case .acceptance:
        // Back after a restart: it joins where a round begins, and waits otherwise.
        guard cohort.contains(organization) else {
          await hub.post(.refused(.notInCohort), to: organization)
          continue
        }
        // What its earlier process advertised cannot be taken back: it waits for the next sum.
        if let task, !secureSum.answered.contains(organization) {
          declined.remove(organization)
          await hub.post(task, to: organization)
        }
      case .hello, .refusal, .ready, .poll: break
      }
    }
  }

  /// Whether an answer can still be hoped for from anyone.
  private func isWaiting(_ secureSum: ServerRound) -> Bool {
    let now = clock.now
    // A member that was restarted and has not accepted yet, or has refused, takes no part in this attempt.
    return secureSum.awaiting.contains {
      attendance.hasAccepted($0) && !declined.contains($0) && !attendance.isGone($0, at: now)
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
      try secureSum.receive(message, from: organization)
      progress(.answered(organization, stage: stage, opening: opening))
    } catch {
      progress(.refusedMessage(organization, code: error.code, message: error.message))
      // Nothing better will come from it in this attempt: the others need not wait.
      declined.insert(organization)
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
    let metrics = try progression.apply(sum, of: opening)
    let result = OpeningResult(
      opening: opening, aggregate: sum.encoded(), nextModel: progression.modelHash, signer: identity)
    if opening.task != .evaluate, progression.artifact != nil {
      try store.save(model: progression.model, round: opening.round)
    }
    try record(.roundCompleted) {
      $0.fill(opening, context: sum.context)
      $0.model = progression.modelHash
      $0.cohortSizes = .init(u2: lastShareSurvivors, u3: sum.survivors.count)
      $0.outcome = .succeeded
    }
    try log.publish()
    progress(.openingCompleted(opening, survivors: sum.survivors))
    report.note(
      opening, sum: sum, metrics: metrics, cohort: cohort, seconds: (clock.now - started.time) / .seconds(1),
      bytes: traffic.bytes - started.bytes)
    try store.save(report)
    if let metrics { progress(.evaluated(round: opening.round, metrics: metrics)) }
    for organization in cohort where attendance.hasAccepted(organization) {
      await hub.post(.result(result), to: organization)
    }
  }

  /// Hands the end to everybody, closes the log, and waits a little for organisations to fetch it.
  func end(model: [UInt8]) async {
    if !model.isEmpty { report.model = .init(path: store.modelPath, sha256: ModelHash(hashing: model)) }
    do {
      if !model.isEmpty { try store.saveFinal(model: model) }
      try store.save(report)
      try record(.runEnded) {
        $0.outcome = report.state == .completed ? .succeeded : .failed
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
      case .failed, .running: .failed
      }
    let end = RunEnd(run: agreement.run, state: state, reason: report.reason ?? "", model: model)
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

  /// Once shares have been released, another attempt could let two sums of one opening be compared.
  fileprivate var isOfUnmasking: Bool {
    if case .tooFewParticipants(let shortage) = self { return shortage.stage == .unmasking }
    return false
  }
}

extension RunReport {
  /// Adds one sum: a round's fit begins its row, its evaluation completes it.
  fileprivate mutating func note(
    _ opening: OpeningIdentifier, sum: AggregateSum, metrics: BinaryMetrics?, cohort: [OrganizationName],
    seconds: Double, bytes: UInt64
  ) {
    switch opening.task {
    case .statistics: break
    case .fit:
      rounds.append(
        Round(
          round: opening.round, attempt: opening.attempt, cohort: cohort, survivors: sum.survivors,
          examples: sum.counters.first ?? 0, metrics: [:], seconds: seconds, bytes: bytes))
    case .evaluate:
      guard let last = rounds.popLast() else { return }
      rounds.append(
        Round(
          round: last.round, attempt: last.attempt, cohort: cohort, survivors: sum.survivors,
          examples: last.examples, metrics: metrics?.named ?? [:], seconds: last.seconds + seconds,
          bytes: last.bytes + bytes))
    }
  }
}
