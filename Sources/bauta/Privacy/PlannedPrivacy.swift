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
    } catch { throw CommandError.about(path, error) }
  }

  var noise: NoisePlan { agreement.noise }
  var settings: PrivacySettings { agreement.settings }
  var cohort: NoiseCohort { noise.parameters.cohort }

  /// Standard deviation of the noise in each coordinate of a fit's sum, in the gradient's units, if so many take part.
  func deviation(organizations: Int) -> Double {
    noise.model.noise.variance(shares: organizations).squareRoot() / noise.encoding.scale
  }

  /// ε after each sum of the run, in its order.
  func curve() throws -> [(task: TaskKind, round: Int, epsilon: Double)] {
    var composition = PrivacyComposition()
    return try plan.steps.compactMap { step in
      guard let release = agreement.release(of: step.task) else { return nil }
      try composition.compose(release.event, count: 1)
      return (step.task, step.round, try composition.epsilon(delta: settings.delta))
    }
  }
}
