public import DifferentialPrivacy
import Synchronization

/// The noise of a run that has differential privacy: what is added where, and what is charged for it.
///
/// Follows from plan, manifest and number of features alone, so every side computes it for itself. Of distributed noise the
/// scale is part of every context; how much noise an organisation adds is its own affair, and what it charges is computed
/// from that.
public struct NoiseAgreement: Sendable, Hashable {
  /// Of the evaluation's release.
  static let evaluationName = "evaluation"

  /// The noise, by who adds it.
  public enum Form: Sendable, Hashable {
    case distributed(NoisePlan)
    case local(LocalNoise)
    case central(CentralNoise)
  }

  /// What one sum, or a whole run, is charged as.
  public typealias Charge = (event: PrivacyEvent, count: Int)

  public var settings: PrivacySettings { key.settings }
  public private(set) var form: Form
  private var key: Key

  /// Nil for a plan without differential privacy.
  ///
  /// - Parameter features: columns that the model works on.
  /// - Throws: ``FederationError/privacy(_:)`` if the plan cannot be carried out in this cohort.
  public init?(plan: RunPlan, manifest: Manifest, features: Int) throws(FederationError) {
    guard let settings = plan.privacy.settings else { return nil }
    key = Key(
      settings: settings, local: plan.trainer.local, steps: plan.trainer.steps,
      tensors: TaskLayout.tensorCount(features: features), bits: plan.secureSum.bits,
      records: plan.secureSum.weightCap, rounds: plan.rounds,
      counters: plan.performs(.evaluate) ? 2 * plan.evaluation.histogramBins : nil,
      organizations: manifest.organizations.count,
      // The smallest sum of any task: its noise is what all are charged for.
      minimum: TaskKind.allCases.filter(plan.performs)
        .map { TaskLayout.minimumCohort(of: $0, plan: plan, manifest: manifest) }.min() ?? 0,
      // Whoever takes part can subtract its own noise from the sum.
      assumedCorrupt: max(1, manifest.assumedCorrupt))
    do throws(MechanismError) { form = try Self.known.form(key) } catch { throw .privacy(error) }
  }

  /// The noise that the same plan would have for another ε, or over another number of rounds.
  ///
  /// - Throws: `MechanismError` where it cannot be had.
  public func form(epsilon: Double, rounds: Int? = nil) throws(MechanismError) -> Form {
    try key.calibrated(.target(epsilon: epsilon), rounds: rounds ?? key.rounds)
  }

  /// What the same plan would come to with noise for another ε. For planning: no side of a run has it.
  ///
  /// - Throws: `MechanismError` where it cannot be had.
  public func with(epsilon: Double) throws(MechanismError) -> NoiseAgreement {
    try with(.target(epsilon: epsilon))
  }

  /// The same with the least noise that can be drawn: as good as none. For planning: no side of a run has it.
  ///
  /// - Throws: `MechanismError` where the grid takes none.
  public func withLeastNoise() throws(MechanismError) -> NoiseAgreement {
    var multiplier = PrivacySettings.multipliers.lowerBound
    while multiplier < 1 {
      // Less than the grid of integers carries.
      if let found = try? with(.noiseMultiplier(multiplier)) { return found }
      multiplier *= 2
    }
    return try with(.noiseMultiplier(multiplier))
  }

  private func with(_ amount: PrivacySettings.Amount) throws(MechanismError) -> NoiseAgreement {
    var other = self
    other.key.settings.amount = amount
    other.form = try key.calibrated(amount, rounds: key.rounds)
    return other
  }

  /// Noise that every organisation adds a share of; nil where it is added otherwise.
  public var distributed: NoisePlan? { form.plan }

  /// How terms of a fit are integers; nil where they are parameters, clipped as without privacy.
  public var encoding: IntegerEncoding? {
    switch form {
    case .distributed(let plan): plan.encoding
    case .local: nil
    case .central(let noise): noise.encoding
    }
  }

  /// Largest noise that the bounds of the evaluation's counters allow for; nil without an evaluation.
  var evaluationBound: UInt64? {
    switch form {
    case .distributed: release(of: .evaluate).map { $0.noise.localBound(coordinates: $0.dimension) }
    case .local: nil
    case .central(let noise): noise.evaluation.map { $0.noise.bound(coordinates: $0.count) }
    }
  }

  /// Standard deviation of the noise in each counter of an evaluation's sum over so many organisations; nil without one.
  func evaluationDeviation(organizations: Int) -> Double? {
    switch form {
    case .distributed: release(of: .evaluate)?.noise.variance(shares: organizations).squareRoot()
    case .local: nil
    case .central(let noise): noise.evaluation?.noise.standardDeviation
    }
  }

  /// The share of the noise that goes into a task's term; nil for a task that the plan does not have, and where no share is
  /// added to terms. Of a fit it is the update's; the bit's, where there is one, is ``clipBit``.
  public func release(of task: TaskKind) -> NoisedRelease? {
    guard let distributed else { return nil }
    return switch task {
    case .statistics: nil
    case .fit: distributed.model
    case .evaluate: distributed.releases.first { $0.name == Self.evaluationName }
    }
  }

  /// What a sum of a task is charged as, at most; nil for a task that the plan does not have.
  ///
  /// With trees that is what the first sum of a pass is charged: see ``charge(of:dataSet:in:)``.
  public func charge(of task: TaskKind) -> Charge? {
    switch form {
    case .distributed(let plan): task == .fit ? (plan.fitEvent, 1) : release(of: task).map { ($0.event, 1) }
    case .local(let noise): task == .fit ? (noise.event, key.steps) : nil
    case .central(let noise): noise.noise(of: task).map { ($0.event, task == .fit ? noise.tree?.height ?? 1 : 1) }
    }
  }

  /// Everything that the run is charged for if it comes to its end, with how often.
  public var charges: [Charge] { form.charges }

  /// What is left to be charged of a run, at most: all of it but what the ledger has for it already.
  ///
  /// - Parameter dataSet: the data that the rest is trained on. With trees other data have paid for none of it.
  func charges(left run: RunIdentifier?, dataSet: String, in ledger: PrivacyLedger) -> [Charge] {
    let charged = ledger.entries.filter { $0.run == run }
    // The fits' charge is the first.
    return zip(charges, [.fit] + Array(repeating: TaskKind.evaluate, count: charges.count)).map { charge, task in
      let ofTask = charged.filter { $0.task == task }
      if task == .fit, let nodes = nodesLeft(after: ofTask, dataSet: dataSet) { return (charge.event, nodes) }
      return (charge.event, max(0, charge.count - ofTask.reduce(0) { $1.event == charge.event ? $0 + $1.count : $0 }))
    }
  }

  private static let known = NoiseForms()
}

/// What the noise follows from.
private struct Key: Hashable, Sendable {
  var settings: PrivacySettings
  let local: LocalDescentSettings?
  let steps: Int
  let tensors: Int
  let bits: Int
  let records: Int
  let rounds: Int
  let counters: Int?
  let organizations: Int
  let minimum: Int
  let assumedCorrupt: Int

  func calibrated(_ amount: PrivacySettings.Amount, rounds: Int) throws(MechanismError) -> NoiseAgreement.Form {
    switch settings.placement {
    case .distributed: .distributed(try distributed(amount, rounds))
    case .local: .local(try localNoise(amount, rounds))
    case .central: .central(try centralNoise(amount, rounds))
    }
  }

  private func centralNoise(_ amount: PrivacySettings.Amount, _ rounds: Int) throws(MechanismError) -> CentralNoise {
    let setting = try CentralNoise.Setting(
      clip: settings.clip, dimension: tensors, organizations: organizations, records: records, bits: bits,
      rounds: rounds, passes: settings.tree?.passes, counters: counters, evaluationShare: settings.evaluationShare)
    return switch amount {
    case .target(let epsilon): try .calibrated(epsilon: epsilon, setting: setting, delta: settings.delta)
    case .noiseMultiplier(let multiplier):
      try CentralNoise(noiseMultiplier: multiplier, setting: setting, delta: settings.delta)
    }
  }

  private func localNoise(_ amount: PrivacySettings.Amount, _ rounds: Int) throws(MechanismError) -> LocalNoise {
    guard let local else { throw .parameter(.samplingProbability) }
    return switch amount {
    case .target(let epsilon):
      try LocalNoise.calibrated(
        epsilon: epsilon, clip: settings.clip, samplingProbability: local.samplingProbability, releases: steps * rounds,
        delta: settings.delta)
    case .noiseMultiplier(let multiplier):
      try LocalNoise(
        noiseMultiplier: multiplier, clip: settings.clip, samplingProbability: local.samplingProbability,
        releases: steps * rounds, delta: settings.delta)
    }
  }

  private func distributed(_ amount: PrivacySettings.Amount, _ rounds: Int) throws(MechanismError) -> NoisePlan {
    let parameters = try MechanismParameters(
      unit: settings.unit == .organization ? .organization : .record(.records(records)), mechanism: settings.mechanism,
      clip: settings.clip, dimension: tensors,
      cohort: try NoiseCohort(size: organizations, minimum: minimum, assumedCorrupt: assumedCorrupt), bits: bits
    )
    var sections: [CounterSection] = []
    if let counters {
      let factor = CounterSection.factor(share: settings.evaluationShare, beside: rounds)
      sections.append(
        try CounterSection(
          name: NoiseAgreement.evaluationName, count: counters, releases: 1, level: .relative(factor)))
    }
    if let share = settings.adaptiveClipping?.bitShare {
      sections.append(
        try CounterSection(
          name: NoiseAgreement.clipName, count: 1, releases: rounds,
          // Beside one update each time.
          level: .relative(CounterSection.factor(share: share, beside: 1))))
    }
    let calibration = try NoiseCalibration(parameters: parameters, rounds: rounds, counters: sections)
    return switch amount {
    case .target(let epsilon): try calibration.plan(epsilon: epsilon, delta: settings.delta)
    case .noiseMultiplier(let multiplier):
      try calibration.plan(noiseMultiplier: multiplier, delta: settings.delta)
    }
  }
}

/// Noise that was computed, the last few: each takes a search, and a run asks for its own again and again.
private final class NoiseForms: Sendable {
  private static let capacity = 16
  private let forms = Mutex<[(key: Key, form: NoiseAgreement.Form)]>([])

  func form(_ key: Key) throws(MechanismError) -> NoiseAgreement.Form {
    if let known = forms.withLock({ $0.first { $0.key == key }?.form }) { return known }
    let form = try key.calibrated(key.settings.amount, rounds: key.rounds)
    forms.withLock { forms in
      forms.removeAll { $0.key == key }
      forms.append((key, form))
      if forms.count > Self.capacity { forms.removeFirst() }
    }
    return form
  }
}

extension NoiseAgreement.Form {
  /// Of distributed noise; nil for other forms.
  public var plan: NoisePlan? {
    if case .distributed(let plan) = self { plan } else { nil }
  }

  /// Everything that a whole run is charged for, with how often.
  public var charges: [NoiseAgreement.Charge] {
    switch self {
    case .distributed(let plan): plan.charges
    case .local(let noise): [(noise.event, noise.releases)]
    case .central(let noise):
      [(noise.model.event, noise.setting.releases)] + (noise.evaluation.map { [($0.noise.event, 1)] } ?? [])
    }
  }

  /// ε of the whole run, at the plan's δ.
  public var epsilon: Double {
    switch self {
    case .distributed(let plan): plan.epsilon
    case .local(let noise): noise.epsilon
    case .central(let noise): noise.epsilon
    }
  }

  /// Standard deviation of the noise of a fit (a step, where it is local) over what one unit may change.
  public var noiseMultiplier: Double {
    switch self {
    case .distributed(let plan): plan.model.noiseMultiplier
    case .local(let noise): noise.noiseMultiplier
    case .central(let noise): noise.model.noiseMultiplier
    }
  }
}
