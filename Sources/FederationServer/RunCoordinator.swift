import AuditLog
import Cryptography
import Federation
import FederationWire
import Learning
import SecureAggregation

/// Runs one plan from announcement to end: announces, sums one vector after another, and ends in a named state.
///
/// All decisions about a run are made here, one event at a time. What arrives has been recorded in the ingress log
/// before it gets here.
actor RunCoordinator {
  struct Settings: Sendable {
    /// How long to wait for enough organisations before the run is given up.
    var patience: Duration = .seconds(600)
    /// How long organisations may take to fetch the end of the run.
    var farewell: Duration = .seconds(5)
    /// Attempts at one sum before the run stops.
    var maximumAttempts = 3
  }

  let agreement: RunAgreement
  let lobby: Lobby
  let log: AuditLogWriter
  let store: RunStore
  let spools: MaskedInputSpools
  let traffic: Traffic
  let settings: Settings
  let progress: @Sendable (RunEvent) -> Void
  let identity: IdentitySigningKey
  let control: RunControl
  let clock = ContinuousClock()

  var attendance: Attendance
  var lastTimer: UInt64 = 0
  /// Fixed once enough have accepted.
  var cohort: [OrganizationName] = []
  /// The attempt that is going on.
  var taskDigest: SHA256Digest?
  var opening: OpeningIdentifier?
  /// Who can still take part in the sum that is going on.
  var sumMembers = SumMembers(cohort: [])
  /// What the participants of the present stage are asked.
  var questions: [OrganizationName: ServerMessage.Body] = [:]
  /// |U2| of the attempt.
  var lastShareSurvivors = 0
  var report: RunReport
  /// Where the run stands; nil before its cohort is fixed.
  var resumption: RunResumption?
  /// Whether the present attempt has gone so far that members would be bound by it.
  var isCommitted = false
  private var announced: Set<OrganizationName> = []
  /// The run's manifest as it is in the run's files.
  private var storedManifest: [UInt8]
  var isEnding = false

  /// - Parameters:
  ///   - store: holds the plan and the manifest of the agreement.
  ///   - resuming: where an earlier server has left the run.
  init(
    agreement: RunAgreement, lobby: Lobby, log: AuditLogWriter, store: RunStore, spools: MaskedInputSpools,
    traffic: Traffic, identity: consuming IdentitySigningKey, settings: Settings, control: RunControl = RunControl(),
    resuming: RunResumption? = nil, report: RunReport? = nil, progress: @escaping @Sendable (RunEvent) -> Void
  ) {
    self.agreement = agreement
    self.storedManifest = agreement.signedManifest.serialized
    self.lobby = lobby
    self.control = control
    self.resumption = resuming
    self.log = log
    self.store = store
    self.spools = spools
    self.traffic = traffic
    self.identity = identity
    self.settings = settings
    self.progress = progress
    self.attendance = Attendance(
      organizations: agreement.manifest.organizations.map(\.name), reconnectGrace: agreement.plan.deadlines.reconnect)
    self.report = report ?? RunReport(run: agreement.run)
    self.report.state = .running
    self.report.reason = nil
  }

  nonisolated var hub: SessionHub { lobby.hub }

  /// The run's manifest, with the approvals so far.
  var manifest: SignedManifest {
    lobby.membership.current.manifest(agreement.signedManifest.hash) ?? agreement.signedManifest
  }

  var plan: RunPlan { agreement.plan }

  /// The whole run. Ends in a report, whatever happens; nothing is left hanging.
  func run() async -> RunReport {
    var model: [UInt8] = []
    do {
      try record(.runStarted)
      try store.save(report)
      try await takeOverSessions()
      let resumption = try await gatherCohort()
      try record(.roundStarted)
      var progression = try await begin(resumption)
      if progression.artifact != nil { model = progression.model }
      for step in progression.steps.dropFirst(self.resumption?.done ?? 0) {
        try heedOperator()
        try await sum(step.task, round: step.round, &progression)
        if progression.artifact != nil { model = progression.model }
      }
      report.state = .completed
    } catch {
      settle(error)
    }
    if report.state == .interrupted { return await handBack() }
    await end(model: model)
    return report
  }

  /// What a run that did not come to its end is called.
  private func settle(_ error: any Error) {
    switch error {
    case let stop as RunStop:
      report.reason = stop.reason
      switch stop {
      case .cancelled: report.state = .cancelled
      case .paused: report.state = .interrupted
      case .shortage: report.state = .stopped
      case .budgetSpent: report.state = .budgetSpent
      case .unmaskable, .differentColumns, .noColumns, .shutDown, .attemptsExhausted: report.state = .failed
      }
    case let error as any BlamedError:
      report.state = .failed
      report.reason = "\(error.message); \(error.remedy)"
    default:
      report.state = .failed
      report.reason = "unexpected failure: \(type(of: error))"
    }
  }

  /// The model and the place in the plan from which the run goes on.
  private func begin(_ resumption: RunResumption) async throws -> RunProgression {
    cohort = try resumption.members
    let isResumed = self.resumption != nil
    self.resumption = resumption
    var progression = RunProgression(plan: plan, run: agreement.run, features: resumption.features)
    let done = progression.steps.prefix(resumption.done)
    if let last = done.last(where: { $0.task != .evaluate }), plan.task.kind != .statistics {
      try progression.adopt(model: try store.model(round: last.round))
    }
    try prepareNoise(for: progression.steps.dropFirst(resumption.done), isResumed: isResumed)
    let stored = try store.lastResult(of: agreement.run)
    if let stored, resumption.done < progression.steps.count,
      progression.steps[resumption.done] == (stored.opening.task, stored.opening.round)
    {
      // An earlier server ended between storing this sum and saying so.
      try takeUp(stored, &progression)
    } else {
      try store.save(resumption)
    }
    // Whoever has greeted may have missed the sum that was published last.
    if let stored { await tell(stored) }
    return progression
  }

  /// Sees to the seed of the noise, before anything is published: drawn by the server that begins the run, and by no other.
  private func prepareNoise(
    for steps: ArraySlice<(task: TaskKind, round: Int)>, isResumed: Bool
  ) throws(ServerError) {
    guard plan.trees != nil, steps.contains(where: { $0.task == .fit }) else { return }
    if isResumed { _ = try store.treeSeed(of: agreement.run) } else { try store.makeTreeSeed(for: agreement.run) }
  }

  /// Leaves the run for a later server: nobody is told an end.
  private func handBack() async -> RunReport {
    isEnding = true
    spools.close()
    do {
      try store.save(report)
      try record(.stopped) { $0.reason = "handed back" }
      try log.publish()
    } catch {
      report.reason = "the run could not be handed back: \(error)"
      report.state = .failed
    }
    progress(.ended(report))
    return report
  }

  /// - Throws: `RunStop` if the operator wants the run cancelled, or handed back and nothing would be lost by it.
  private func heedOperator() throws {
    switch control.request {
    case nil: break
    case .cancel(let reason)?: throw RunStop.cancelled(reason: reason)
    case .pause(let deadline)?: if !isCommitted || clock.now >= deadline { throw RunStop.paused }
    }
  }

  // MARK: - Events

  /// The next event, after the bookkeeping that every stage needs.
  func nextEvent() async throws -> Lobby.Event {
    let event = try await lobby.next()
    switch event {
    case .connected(let organization): attendance.connected(organization)
    case .disconnected(let organization):
      if let deadline = attendance.disconnected(organization, at: clock.now) { setTimer(at: deadline) }
    case .greeted(let organization):
      attendance.forget(organization)
      // A new process has none of the keys of the attempt that is going on.
      sumMembers.restarted.insert(organization)
      if !isEnding { try await announce(to: [organization]) }
    case .revoked(let organization):
      attendance.remove(organization)
      sumMembers.exclude([organization])
    case .message(let organization, let message):
      if !isEnding { try await judge(organization, message) }
    case .timer, .wake: break
    }
    if !isEnding { try heedOperator() }
    return event
  }

  /// A timer that wakes the coordinator; its number tells it from earlier ones.
  @discardableResult
  func setTimer(at deadline: ContinuousClock.Instant) -> UInt64 {
    lastTimer += 1
    let number = lastTimer
    let hub = hub
    Task {
      try? await Task.sleep(until: deadline, clock: .continuous)
      hub.notify(.timer(number))
    }
    return number
  }

  func record(_ event: AuditRecord.Event, _ fill: (inout AuditRecord.Draft) -> Void = { _ in }) throws {
    var draft = AuditRecord.Draft(event)
    draft.federation = agreement.manifest.federation.value
    draft.manifest = agreement.signedManifest.hash
    draft.plan = plan.hash
    draft.run = agreement.run.text
    fill(&draft)
    try log.append(draft)
  }

  // MARK: - Who takes part

  /// Organisations that are there already, from before the run.
  private func takeOverSessions() async throws {
    for (organization, count) in await lobby.connected {
      for _ in 0..<count { attendance.connected(organization) }
    }
    let view = lobby.membership.current
    for member in agreement.manifest.organizations where view.isRevoked(member) { attendance.remove(member.name) }
    try await announce(to: lobby.waiting)
  }

  /// Notes acceptances and refusals.
  private func judge(_ organization: OrganizationName, _ message: ClientMessage) async throws {
    switch message.body {
    case .acceptance(let hash, let features, let signature):
      guard let key = agreement.manifest.organization(named: organization)?.keys.identity, hash == plan.hash,
        message.run == agreement.run,
        AcceptanceSigning.verify(signature, run: agreement.run, plan: hash, features: features, key: key)
      else {
        progress(.refusedMessage(organization, code: "acceptance-invalid", message: "its acceptance is not valid"))
        await hub.post(.refused(.invalidAcceptance), to: organization)
        return
      }
      if let known = resumption?.features, known != features {
        // The run has its columns: whoever has others now takes no part in what is left of it.
        attendance.answer(organization, .refused(reason: "other columns"))
        progress(.refused(organization, reason: "it has other columns than the run began with"))
        return
      }
      attendance.answer(organization, .accepted(features: features))
      progress(.accepted(organization))
    case .refusal(let digest, let reason, let signature):
      guard let key = agreement.manifest.organization(named: organization)?.keys.identity,
        RefusalSigning.verify(signature, run: agreement.run, digest: digest, reason: reason, key: key)
      else { return }
      progress(.refused(organization, reason: reason.rawValue))
      // One of a task holds for the attempt that is going on; one of an attempt that is over, for nothing.
      if digest == SHA256Digest(plan.hash) {
        attendance.answer(organization, .refused(reason: reason.rawValue))
      } else if digest == taskDigest {
        // Nothing of this sum is of use: who is short now is short for all that follow.
        if reason == .budget, let opening {
          throw RunStop.budgetSpent(organization, opening.task, round: opening.round)
        }
        sumMembers.refuse(organization, reason)
      }
    case .hello, .round, .ready, .poll, .segment, .fetch, .pins, .witness: break
    }
  }

  /// Announces the run, once its manifest is approved by everybody and the run's files have it so.
  ///
  /// - Throws: ``ServerError`` if it cannot be stored: a server that goes on with the run would not know what was announced.
  private func announce(to organizations: [OrganizationName]) async throws {
    let manifest = manifest
    guard manifest.isApprovedByAll else {
      progress(.waiting(for: manifest.approvals.missing))
      return
    }
    let serialized = manifest.serialized
    if serialized != storedManifest {
      try store.save(manifest: manifest)
      storedManifest = serialized
    }
    let announcement = ServerMessage.Body.announcement(
      RunAnnouncement(run: agreement.run, plan: plan.text, manifest: manifest.serializedText))
    // Everybody who greeted before the last approval came.
    let members = Set(attendance.organizations)
    let waiting = Set(await lobby.waiting).subtracting(announced).union(organizations).intersection(members)
    announced.formUnion(waiting)
    for name in waiting.sorted() { await hub.post(announcement, to: name) }
  }

  /// Waits for enough organisations, then a little for the rest, and fixes the cohort; of a run that goes on, only those
  /// of its cohort.
  ///
  /// - Returns: the members of the run, and the columns that all of them have.
  private func gatherCohort() async throws -> RunResumption {
    let earlier = resumption
    let candidates = try earlier?.members ?? attendance.organizations
    let needed = max(plan.strategy.minimumAvailableClients, agreement.manifest.minimumCohort)
    let giveUp = clock.now + settings.patience
    setTimer(at: giveUp)
    func unanswered() -> [OrganizationName] { candidates.filter { attendance.answers[$0] == nil } }
    func accepted() -> [OrganizationName] { candidates.filter(attendance.hasAccepted) }
    progress(.waiting(for: unanswered()))
    var grace: ContinuousClock.Instant?
    while !unanswered().isEmpty {
      _ = try await nextEvent()
      let count = accepted().count
      if count >= needed, grace == nil {
        let deadline = clock.now + plan.deadlines.accept
        grace = deadline
        setTimer(at: deadline)
      }
      if let grace, clock.now >= grace { break }
      if count + unanswered().count < needed || clock.now >= giveUp { break }
    }
    guard accepted().count >= needed else {
      throw RunStop.shortage(
        what: "\(accepted().count) of \(needed) organisations needed for '\(plan.name)' accepted it",
        missing: candidates.filter { !attendance.hasAccepted($0) }, details: attendance.explanations)
    }
    let features = try earlier?.features ?? commonFeatures(of: accepted())
    progress(.runStarted(run: agreement.run, cohort: earlier == nil ? accepted() : candidates))
    return earlier ?? RunResumption(cohort: accepted(), features: features)
  }

  /// Every organisation must bring the same columns in the same order.
  private func commonFeatures(of accepted: [OrganizationName]) throws -> [String] {
    var reference: (owner: OrganizationName, features: [String])?
    for organization in accepted {
      guard case .accepted(let features)? = attendance.answers[organization] else { continue }
      guard let known = reference else {
        reference = (organization, features)
        continue
      }
      guard features == known.features else {
        throw RunStop.differentColumns(
          known.owner, organization, columns: Set(features).symmetricDifference(known.features).sorted())
      }
    }
    guard let features = reference?.features, !features.isEmpty else { throw RunStop.noColumns }
    return features
  }
}
