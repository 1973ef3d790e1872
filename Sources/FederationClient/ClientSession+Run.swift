import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Learning
import SecureAggregation

/// Accepting a run, and its end.
extension ClientSession {
  /// Judges an announced run by manifest, policy and data; answers with an acceptance or one of four words.
  func accept(
    _ announcement: RunAnnouncement
  ) throws(ClientError) -> Answer {
    abandonRound()
    let earlier = run
    run = nil
    let plan: RunPlan
    let manifest: SignedManifest
    do throws(FederationError) {
      manifest = try membership.agree(on: announcement.manifest, identity: identity.verifyingKey)
      plan = try RunPlan(parsing: announcement.plan, file: "the announced plan")
    } catch {
      return try refuse(announcement, plan: nil, .protocol, reasons: [error.message], rule: error.code)
    }
    try keep(manifest)
    progress(.announced(run: announcement.run, plan: plan.name))
    let policy: Policy
    do throws(FederationError) { policy = try parts.policy() } catch {
      return try refuse(
        announcement, plan: plan, .unavailable, reasons: [error.message, error.remedy], rule: error.code)
    }
    if let shortage = parts.witnesses?.shortage(policy.log, at: Date()) {
      return try refuse(
        announcement, plan: plan, .unavailable, reasons: [shortage.message, shortage.remedy], rule: shortage.code)
    }
    let data: LocalData
    do throws(ClientError) {
      data = try LocalData(path: parts.dataPath, plan: plan)
    } catch {
      return try refuse(
        announcement, plan: plan, .unavailable, reasons: [error.message, error.remedy], rule: error.code)
    }
    let accepted: AcceptedPlan
    let ledger = try parts.store.ledger()
    do throws(PolicyRefusal) {
      accepted = try policy.decide(
        plan: plan, manifest: manifest, featureCount: data.features.count, ledger: (ledger, dataSet),
        run: announcement.run, at: Date())
    } catch {
      return try refuse(
        announcement, plan: plan, .policy, reasons: error.violations.map(\.description),
        rule: error.violations.map(\.rule).joined(separator: " "))
    }
    try reach(.decided, .acceptance, nil)
    let runner = TaskRunner(data: data, plan: plan, minimumRows: policy.cohort.minimumRows)
    let agreement = RunAgreement(manifest: manifest, plan: plan, run: announcement.run)
    if let earlier, earlier.agreement.run == announcement.run {
      // Announced again within this process: the same run goes on, and nothing else can stand under its name.
      let isSame =
        earlier.agreement.plan.hash == plan.hash && earlier.agreement.signedManifest.hash == manifest.hash
        && earlier.progression.features == data.features
      // Before its first task nothing of the run has begun: it may be announced anew, under a later manifest.
      guard isSame || earlier.cohort.isEmpty else {
        throw .unexpected("another plan or manifest for a run that has begun")
      }
      run = ActiveRun(
        agreement: agreement, accepted: accepted, policy: policy, runner: runner,
        progression: isSame
          ? earlier.progression : RunProgression(plan: plan, run: announcement.run, features: data.features),
        wasAway: earlier.wasAway, cohort: earlier.cohort, lastResult: earlier.lastResult,
        lastSurvivors: earlier.lastSurvivors)
    } else {
      // What this process knew of the run is gone with another announcement: only a process that starts again may take a
      // model over, not one that a server makes forget it.
      guard !begun.contains(announcement.run) else {
        return try refuse(
          announcement, plan: plan, .state, reasons: ["this process has left run \(announcement.run)"], rule: "run-left"
        )
      }
      let wasAway: Bool
      do throws(ClientError) { wasAway = try parts.store.accept(announcement.run) } catch {
        guard case .state(let fault) = error else { throw error }
        return try refuse(
          announcement, plan: plan, .state, reasons: [fault.message, fault.remedy], rule: fault.code)
      }
      run = ActiveRun(
        agreement: agreement, accepted: accepted, policy: policy, runner: runner,
        progression: RunProgression(plan: plan, run: announcement.run, features: data.features), wasAway: wasAway)
    }
    begun.insert(announcement.run)
    let rules = accepted.checks.map(\.rule).joined(separator: " ")
    try record(.policyDecision) { $0.policy = .init(.allowed, rule: rules) }
    progress(
      .accepted(
        run: announcement.run, rows: data.train.rowCount + data.test.rowCount, columns: data.features.count))
    let signature = AcceptanceSigning.sign(
      run: announcement.run, plan: plan.hash, features: data.features, signer: identity)
    return Answer(.acceptance(plan: plan.hash, features: data.features, signature: signature))
  }

  /// The others' approvals are kept: the version is in force from now on, and no earlier one any more.
  private func keep(_ manifest: SignedManifest) throws(ClientError) {
    do throws(FederationError) {
      if try membership.keep(manifest) { progress(.inForce(version: manifest.manifest.version)) }
    } catch { throw .storage(StorageFailure(error)) }
  }

  /// Says no on the wire in one word; the reasons stay here.
  private func refuse(
    _ announcement: RunAnnouncement, plan: RunPlan?, _ reason: RefusalClass, reasons: [String], rule: String
  ) throws(ClientError) -> Answer {
    progress(.refused(run: announcement.run, rule: rule, reasons: reasons))
    let digest = plan.map { SHA256Digest($0.hash) } ?? SHA256Digest(hashing: announcement.plan.utf8)
    try record(.policyDecision) {
      $0.run = announcement.run.text
      $0.policy = .init(.refused, rule: rule)
    }
    let signature = RefusalSigning.sign(run: announcement.run, digest: digest, reason: reason, signer: identity)
    return Answer(.refusal(digest: digest, reason: reason, signature: signature))
  }

  /// Stores the model and closes the run.
  func conclude(_ end: RunEnd) throws(ClientError) -> ClientOutcome {
    abandonRound()
    var path: String?
    if !end.model.isEmpty, let active = run, active.agreement.run == end.run {
      let isOurs = active.progression.artifact != nil
      // With differential privacy there is a model before the first task, also in a process that comes back for the end.
      let hasFollowed = isOurs && !active.cohort.isEmpty
      guard isOurs && end.model == active.progression.model || !hasFollowed && active.wasAway else {
        throw .unexpected("a final model that does not follow from the published sums")
      }
      var checked = active.progression
      do throws(ProgressionError) { try checked.adopt(model: end.model) } catch { throw .progression(error) }
      path = try ModelFiles(directory: parts.runsDirectory).save(end.model, run: end.run)
    }
    try reach(.decided, .ready, nil)
    try parts.store.close(end.run)
    try sealedSecrets.ended(end.run)
    try record(.runEnded) {
      $0.run = end.run.text
      $0.outcome = end.state == .completed ? .succeeded : .failed
      $0.model = path == nil ? nil : ModelHash(hashing: end.model)
    }
    do throws(AuditLogError) { try parts.log.publish() } catch { throw .log(error) }
    progress(.ended(run: end.run, state: end.state.rawValue, reason: end.reason, model: path))
    run = nil
    return ClientOutcome(run: end.run, state: end.state, reason: end.reason, modelPath: path)
  }
}
