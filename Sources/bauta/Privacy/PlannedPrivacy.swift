import DifferentialPrivacy
import Federation
import Foundation

/// What a plan's noise is and costs in a cohort.
struct PlannedPrivacy: Sendable {
  let plan: RunPlan
  let manifest: Manifest
  let agreement: NoiseAgreement
  let features: Int

  /// - Throws: `CommandError` for a plan without differential privacy or of unknown columns; `FederationError` where the
  ///   noise cannot be had in the cohort.
  init(path: String, cohort: PlannedCohortOptions) throws {
    plan = try RunPlan(contentsOf: path)
    guard plan.privacy.settings != nil else {
      throw CommandError.unsuitable(
        path: path, problem: "the plan has no differential privacy (privacy: none)",
        remedy: "Without noise there is no budget. For a plan with noise: bauta plan template --privacy record")
    }
    // Never nil for a plan with noise.
    features = try cohort.featureCount(of: plan) ?? 0
    manifest = try cohort.federation(for: plan)
    let size = manifest.organizations.count
    guard size >= plan.smallestFederation else {
      throw CommandError.unsuitable(
        path: path,
        problem: "the plan needs at least \(plan.smallestFederation) organisations, and here are \(size)",
        remedy: "Lower the minimums in the plan's strategy, or plan for more organisations.")
    }
    do throws(FederationError) {
      guard let agreement = try NoiseAgreement(plan: plan, manifest: manifest, features: features) else {
        throw .privacy(.parameter(.epsilon))
      }
      self.agreement = agreement
      // What a run would refuse is refused here, too.
      _ = try PlannedSums(plan, manifest: manifest, features: features)
    } catch { throw PlannedSums.refusal(of: path, error) }
  }

  var settings: PrivacySettings { agreement.settings }

  /// What draws the noise, in words.
  var mechanism: String {
    switch agreement.form {
    case .distributed:
      switch settings.mechanism {
      case .skellam: "Skellam noise of all organisations together"
      case .distributedDiscreteGaussian: "discrete Gaussian noise of all organisations together"
      }
    case .local: "discrete Gaussian noise of each organisation's own training"
    case .central:
      agreement.trees == nil
        ? "discrete Gaussian noise of the server" : "discrete Gaussian noise of the server, in trees over the rounds"
    }
  }

  /// Whom the guarantee counts on, in words.
  var countedOn: String {
    switch agreement.form {
    case .distributed(let noise):
      let cohort = noise.parameters.cohort
      return "\(cohort.honestShares) honest of at least \(cohort.minimum) organisations; \(cohort.assumedCorrupt) may "
        + "subtract \(cohort.assumedCorrupt == 1 ? "its" : "their") own noise"
    case .local: return "nobody: it holds against everybody, whoever drops out or colludes, the server included"
    case .central: return "the server alone: \(CentralGaussian.trust)"
    }
  }

  /// Whether a policy with this ceiling trusts whom the noise counts on.
  func isTrusted(_ ceiling: PrivacyCeiling) -> Bool { settings.placement != .central || ceiling.trustsServer }

  /// ε after each sum of the run, in its order, as a ledger of an organisation in all of them has it.
  func curve() throws -> [(task: TaskKind, round: Int, epsilon: Double)] {
    let run = try RunIdentifier("planned")
    var ledger = try PrivacyLedger()
    var epsilon = 0.0
    return try plan.steps.compactMap { step in
      let opening = OpeningIdentifier(run: run, task: step.task, round: step.round, attempt: 1)
      guard let charge = agreement.charge(of: opening, dataSet: "", in: ledger) else { return nil }
      try ledger.append(
        LedgerEntry(
          dataSet: "", run: run, task: step.task, round: step.round, unit: settings.unit, event: charge.event,
          count: charge.count, noise: settings.placement, time: 0))
      // Rounds that a tree was charged for before are many, and each figure takes its time.
      if charge.count > 0 {
        epsilon = try ledger.epsilon(of: nil, unit: settings.unit, delta: settings.delta, trustsServer: true)
      }
      return (step.task, step.round, epsilon)
    }
  }
}
