public import DifferentialPrivacy
import Synchronization

/// The noise of a run that has differential privacy: what each organisation adds to each task's term, and what is charged
/// for it.
///
/// Follows from plan, manifest and number of features alone, so every side computes it for itself. The scale is part of
/// every context; how much noise an organisation adds is its own affair, and what it charges is computed from that.
public struct NoiseAgreement: Sendable, Hashable {
  /// Of the evaluation's release.
  static let evaluationName = "evaluation"

  public var settings: PrivacySettings { key.settings }
  public let noise: NoisePlan
  private let key: Key

  /// Nil for a plan without differential privacy.
  ///
  /// - Parameter features: columns that the model works on.
  /// - Throws: ``FederationError/privacy(_:)`` if the plan cannot be carried out in this cohort.
  public init?(plan: RunPlan, manifest: Manifest, features: Int) throws(FederationError) {
    guard let settings = plan.privacy.settings else { return nil }
    key = Key(
      settings: settings, tensors: TaskLayout.tensorCount(features: features), bits: plan.secureSum.bits,
      records: plan.secureSum.weightCap, rounds: plan.rounds,
      counters: plan.performs(.evaluate) ? 2 * plan.evaluation.histogramBins : nil,
      organizations: manifest.organizations.count,
      // The smallest sum of any task: its noise is what all are charged for.
      minimum: TaskKind.allCases.filter(plan.performs)
        .map { TaskLayout.minimumCohort(of: $0, plan: plan, manifest: manifest) }.min() ?? 0,
      // Whoever takes part can subtract its own noise from the sum.
      assumedCorrupt: max(1, manifest.assumedCorrupt))
    do throws(MechanismError) { noise = try Self.known.plan(key) } catch { throw .privacy(error) }
  }

  /// The noise that the same plan would have for another ε, or over another number of rounds.
  ///
  /// - Throws: `MechanismError` where it cannot be had.
  public func noise(epsilon: Double, rounds: Int? = nil) throws(MechanismError) -> NoisePlan {
    try key.calibrated(.target(epsilon: epsilon), rounds: rounds ?? key.rounds)
  }

  /// What is released for a task; nil for one that the plan does not have.
  public func release(of task: TaskKind) -> NoisedRelease? {
    switch task {
    case .statistics: nil
    case .fit: noise.model
    case .evaluate: noise.releases.first { $0.name == Self.evaluationName }
    }
  }

  /// Everything that the run is charged for if it comes to its end, with how often.
  public var charges: [(event: PrivacyEvent, count: Int)] { noise.releases.map { ($0.event, $0.releases) } }

  /// What is left to be charged of a run: all of it but what the ledger has for it already.
  func charges(left run: RunIdentifier?, in ledger: PrivacyLedger) -> [(event: PrivacyEvent, count: Int)] {
    let charged = ledger.entries.filter { $0.run == run }
    return charges.map { event, count in (event, max(0, count - charged.count { $0.event == event })) }
  }

  private static let known = NoisePlans()
}

/// What the noise follows from.
private struct Key: Hashable, Sendable {
  let settings: PrivacySettings
  let tensors: Int
  let bits: Int
  let records: Int
  let rounds: Int
  let counters: Int?
  let organizations: Int
  let minimum: Int
  let assumedCorrupt: Int

  func calibrated(_ amount: PrivacySettings.Amount, rounds: Int) throws(MechanismError) -> NoisePlan {
    let parameters = try MechanismParameters(
      unit: settings.unit == .organization ? .organization : .record(.records(records)), mechanism: settings.mechanism,
      clip: settings.clip, dimension: tensors,
      cohort: try NoiseCohort(size: organizations, minimum: minimum, assumedCorrupt: assumedCorrupt), bits: bits
    )
    var sections: [CounterSection] = []
    if let counters {
      // ρ of T fits is T/(2z²) and of the evaluation 1/(2z_e²): its part of the whole is the share.
      let share = settings.evaluationShare
      let factor = ((1 - share) / (share * Double(rounds))).squareRoot()
      sections.append(
        try CounterSection(
          name: NoiseAgreement.evaluationName, count: counters, releases: 1, level: .relative(factor)))
    }
    let calibration = try NoiseCalibration(parameters: parameters, rounds: rounds, counters: sections)
    return switch amount {
    case .target(let epsilon): try calibration.plan(epsilon: epsilon, delta: settings.delta)
    case .noiseMultiplier(let multiplier):
      try calibration.plan(noiseMultiplier: multiplier, delta: settings.delta)
    }
  }
}

/// Noise plans that were computed, the last few: each takes a search, and a run asks for its own again and again.
private final class NoisePlans: Sendable {
  private static let capacity = 16
  private let plans = Mutex<[(key: Key, plan: NoisePlan)]>([])

  func plan(_ key: Key) throws(MechanismError) -> NoisePlan {
    if let known = plans.withLock({ $0.first { $0.key == key }?.plan }) { return known }
    let plan = try key.calibrated(key.settings.amount, rounds: key.rounds)
    plans.withLock { plans in
      plans.removeAll { $0.key == key }
      plans.append((key, plan))
      if plans.count > Self.capacity { plans.removeFirst() }
    }
    return plan
  }
}
