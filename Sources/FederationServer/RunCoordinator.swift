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
  let hub: SessionHub
  let log: AuditLogWriter
  let store: RunStore
  let spools: MaskedInputSpools
  let traffic: Traffic
  let settings: Settings
  let progress: @Sendable (RunEvent) -> Void
  let identity: IdentitySigningKey
  let clock = ContinuousClock()

  var attendance: Attendance
  var events: AsyncStream<SessionHub.Event>.Iterator
  var lastTimer: UInt64 = 0
  /// Fixed once enough have accepted.
  var cohort: [OrganizationName] = []
  /// The attempt that is going on.
  var taskDigest: SHA256Digest?
  /// Who can still take part in the sum that is going on.
  var sumMembers = SumMembers(cohort: [])
  /// What the participants of the present stage are asked.
  var questions: [OrganizationName: ServerMessage.Body] = [:]
  /// |U2| of the attempt.
  var lastShareSurvivors = 0
  var report: RunReport
  /// Gathers the organisations' approvals as they greet.
  var manifest: SignedManifest
  private var greeted: Set<OrganizationName> = []
  private var announced: Set<OrganizationName> = []

  init(
    agreement: RunAgreement, hub: SessionHub, log: AuditLogWriter, store: RunStore, spools: MaskedInputSpools,
    traffic: Traffic,
    identity: consuming IdentitySigningKey, settings: Settings, progress: @escaping @Sendable (RunEvent) -> Void
  ) {
    self.agreement = agreement
    self.manifest = agreement.signedManifest
    self.hub = hub
    self.log = log
    self.store = store
    self.spools = spools
    self.traffic = traffic
    self.identity = identity
    self.settings = settings
    self.progress = progress
    self.attendance = Attendance(
      organizations: agreement.manifest.organizations.map(\.name), reconnectGrace: agreement.plan.deadlines.reconnect)
    self.events = hub.events.makeAsyncIterator()
    self.report = RunReport(run: agreement.run)
  }

  var plan: RunPlan { agreement.plan }

  /// The whole run. Ends in a report, whatever happens; nothing is left hanging.
  func run() async -> RunReport {
    var model: [UInt8] = []
    do {
      try record(.runStarted)
      try store.save(report)
      let features = try await gatherCohort()
      try record(.roundStarted)
      var progression = RunProgression(plan: plan, run: agreement.run, features: features)
      for step in progression.steps {
        try await sum(step.task, round: step.round, &progression)
        if progression.artifact != nil { model = progression.model }
      }
      report.state = .completed
    } catch let stop as RunStop {
      report.state = stop.isShortage ? .stopped : .failed
      report.reason = stop.reason
    } catch let error as any BlamedError {
      report.state = .failed
      report.reason = "\(error.message); \(error.remedy)"
    } catch {
      report.state = .failed
      report.reason = "unexpected failure: \(type(of: error))"
    }
    await end(model: model)
    return report
  }

  // MARK: - Events

  /// The next event, after the bookkeeping that every stage needs.
  func nextEvent() async throws -> SessionHub.Event {
    // The iterator is this actor's alone: `run()` is the only caller, one event at a time.
    var iterator = events
    let next = await iterator.next(isolation: self)
    events = iterator
    guard let event = next else { throw RunStop.shutDown }
    switch event {
    case .connected(let organization):
      attendance.connected(organization)
      progress(.connected(organization))
    case .disconnected(let organization):
      progress(.disconnected(organization))
      if let deadline = attendance.disconnected(organization, at: clock.now) { setTimer(at: deadline) }
    case .message(let organization, let message):
      try await greet(organization, message)
    case .timer: break
    }
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

  /// Announces the run to whoever greets, and notes acceptances and refusals.
  private func greet(_ organization: OrganizationName, _ message: ClientMessage) async throws {
    switch message.body {
    case .hello(let greeting):
      attendance.forget(organization)
      // A new process has none of the keys of the attempt that is going on.
      sumMembers.restarted.insert(organization)
      guard greeting.manifest == manifest.hash else {
        progress(.refused(organization, reason: "it acts under another version of the manifest"))
        try record(.policyDecision) {
          $0.source = .init(name: organization)
          $0.policy = .init(.refused, rule: FederationWire.Refusal.otherManifest.code)
        }
        await hub.post(.refused(.otherManifest), to: organization)
        return
      }
      try approve(organization, greeting.approval)
      greeted.insert(organization)
      await announce(to: [organization])
    case .acceptance(let hash, let features, let signature):
      guard let key = agreement.manifest.organization(named: organization)?.keys.identity, hash == plan.hash,
        message.run == agreement.run,
        AcceptanceSigning.verify(signature, run: agreement.run, plan: hash, features: features, key: key)
      else {
        progress(.refusedMessage(organization, code: "acceptance-invalid", message: "its acceptance is not valid"))
        await hub.post(.refused(.invalidAcceptance), to: organization)
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
        sumMembers.refuse(organization, reason)
      }
    case .round, .ready, .poll, .segment, .fetch: break
    }
  }

  /// Takes an approval over; the first complete set lets the run be announced to all that wait for it.
  private func approve(_ organization: OrganizationName, _ approval: Signature) throws {
    guard !manifest.isApproved(by: organization) else { return }
    do throws(FederationError) {
      try manifest.add(approval, by: organization)
    } catch {
      progress(.refusedMessage(organization, code: error.code, message: error.message))
      return
    }
    try record(.approval) { $0.approver = organization.value }
    try store.save(manifest: manifest)
  }

  /// Announces the run, once the manifest is approved by everybody.
  private func announce(to organization: [OrganizationName]) async {
    guard manifest.isApprovedByAll else {
      progress(.waiting(for: manifest.approvals.missing))
      return
    }
    let announcement = ServerMessage.Body.announcement(
      RunAnnouncement(run: agreement.run, plan: plan.text, manifest: manifest.serializedText))
    // Everybody who greeted before the last approval came.
    let waiting = greeted.subtracting(announced).union(organization)
    announced.formUnion(waiting)
    for name in waiting.sorted() { await hub.post(announcement, to: name) }
  }

  /// Waits for enough organisations, then a little for the rest, and fixes the cohort.
  ///
  /// - Returns: the columns that all of them have.
  private func gatherCohort() async throws -> [String] {
    let needed = max(plan.strategy.minimumAvailableClients, agreement.manifest.minimumCohort)
    let giveUp = clock.now + settings.patience
    setTimer(at: giveUp)
    progress(.waiting(for: attendance.unanswered))
    var grace: ContinuousClock.Instant?
    while !attendance.unanswered.isEmpty {
      _ = try await nextEvent()
      let accepted = attendance.accepted.count
      if accepted >= needed, grace == nil {
        let deadline = clock.now + plan.deadlines.accept
        grace = deadline
        setTimer(at: deadline)
      }
      if let grace, clock.now >= grace { break }
      if accepted + attendance.unanswered.count < needed || clock.now >= giveUp { break }
    }
    let accepted = attendance.accepted
    guard accepted.count >= needed else {
      throw RunStop.shortage(
        what: "\(accepted.count) of \(needed) organisations needed for '\(plan.name)' accepted it",
        missing: attendance.organizations.filter { !attendance.hasAccepted($0) }, details: attendance.explanations)
    }
    cohort = accepted
    progress(.runStarted(run: agreement.run, cohort: cohort))
    return try commonFeatures(of: accepted)
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
