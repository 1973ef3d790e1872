import Foundation

/// Noise of a whole run that the server adds: see ``CentralGaussian``, whose ``CentralGaussian/trust`` is the price.
///
/// Of the same amount as distributed noise for the same ε, but for the shares that are not counted on there. The clients'
/// part (clipping, rounding and the integer test) is the same.
public struct CentralNoise: Hashable, Sendable {
  /// The evaluation's counters.
  public struct Evaluation: Hashable, Sendable {
    public let noise: CentralGaussian
    public let count: Int
  }

  /// What a run fixes before the amount is known.
  public struct Setting: Hashable, Sendable {
    public let parameters: MechanismParameters
    public let rounds: Int
    /// Trees that the rounds are divided into, with every record in one round of each; nil where the noise of every round
    /// is independent.
    public let passes: Int?
    /// Counters of the one evaluation; nil without.
    public let counters: Int?
    /// The evaluation's part of ρ.
    public let evaluationShare: Double

    /// - Parameters:
    ///   - clip: L2 norm of a record's gradient.
    ///   - organizations: in the sum, from 2.
    ///   - records: the most of one organisation, for the choice of the scale.
    ///   - passes: divides the rounds.
    /// - Throws: ``MechanismError/parameter(_:)``
    public init(
      clip: Double, dimension: Int, organizations: Int, records: Int, bits: Int, rounds: Int, passes: Int? = nil,
      counters: Int?, evaluationShare: Double
    ) throws(MechanismError) {
      guard NoiseCalibration.releases.contains(rounds) else { throw .parameter(.releases) }
      if let passes, passes < 1 || !rounds.isMultiple(of: passes) { throw .parameter(.steps) }
      // One share that is all of the noise: the server's.
      parameters = try MechanismParameters(
        unit: .record(.records(records)), mechanism: .distributedDiscreteGaussian, clip: clip, dimension: dimension,
        cohort: try NoiseCohort(size: organizations, minimum: 2, assumedCorrupt: 1), bits: bits)
      self.rounds = rounds
      self.passes = passes
      self.counters = counters
      self.evaluationShare = evaluationShare
    }

    /// The same with noise that is independent in every one of so many rounds.
    public func independent(rounds: Int) throws(MechanismError) -> Setting {
      try Setting(
        clip: parameters.clip, dimension: parameters.dimension, organizations: parameters.cohort.size,
        records: records, bits: parameters.bits, rounds: rounds, counters: counters, evaluationShare: evaluationShare)
    }

    /// Rounds of one tree; nil without trees.
    public var steps: Int? { passes.map { rounds / $0 } }

    /// How often the noise of a fit is charged: once a round; or once for each node that a record can be in, in every tree.
    public var releases: Int {
      guard let passes, let steps else { return rounds }
      return passes * TreeAggregation.height(steps: steps)
    }

    /// Draws of the noise in one round's sum, at most.
    var draws: Int { steps.map(TreeAggregation.height) ?? 1 }

    private var records: Int {
      guard case .record(.records(let count)) = parameters.unit else { return 1 }
      return count
    }

    /// The evaluation's multiplier beside a fit's; not below what the grid of integers takes.
    func evaluationMultiplier(_ multiplier: Double) -> Double {
      let factor = CounterSection.factor(share: evaluationShare, beside: releases)
      return max(multiplier * factor, NoiseShare.leastStandardDeviation)
    }
  }

  private static let bisections = 20

  public let setting: Setting
  public let encoding: IntegerEncoding
  /// Of a fit's sum; with trees, of a node.
  public let model: CentralGaussian
  /// Each of the trees, where there are some.
  public let tree: TreeAggregation?
  public let evaluation: Evaluation?
  /// ε of the whole run at ``delta``.
  public let epsilon: Double
  public let delta: Double

  /// Noise of a given multiplier of the fits.
  ///
  /// - Throws: ``MechanismError``
  public init(noiseMultiplier: Double, setting: Setting, delta: Double) throws(MechanismError) {
    var sections: [CounterSection] = []
    if let counters = setting.counters {
      sections.append(
        try CounterSection(
          name: "evaluation", mechanism: .distributedDiscreteGaussian, count: counters, releases: 1,
          level: .fixed(setting.evaluationMultiplier(noiseMultiplier))))
    }
    let plan = try NoiseCalibration(
      parameters: setting.parameters, rounds: setting.releases, counters: sections, draws: setting.draws
    ).plan(noiseMultiplier: noiseMultiplier, delta: delta)
    func central(_ release: NoisedRelease) throws(MechanismError) -> CentralGaussian {
      try CentralGaussian(
        noiseMultiplier: release.noiseMultiplier, squaredL2Sensitivity: release.squaredL2Sensitivity)
    }
    let model = try central(plan.model)
    var evaluation: Evaluation?
    if let release = plan.releases.dropFirst().first {
      evaluation = Evaluation(noise: try central(release), count: release.dimension)
    }
    let counted = evaluation
    epsilon = try MechanismError.accounted { () throws(PrivacyAccountingError) in
      var composition = PrivacyComposition()
      try composition.compose(model.event, count: setting.releases)
      if let counted { try composition.compose(counted.noise.event) }
      return try composition.epsilon(delta: delta)
    }
    self.setting = setting
    self.encoding = plan.encoding
    self.model = model
    tree = if let steps = setting.steps { try TreeAggregation(steps: steps, noise: model) } else { nil }
    self.evaluation = evaluation
    self.delta = delta
  }

  /// The least noise whose ε over the run is at most `epsilon`.
  ///
  /// - Throws: ``MechanismError``
  public static func calibrated(
    epsilon: Double, setting: Setting, delta: Double
  ) throws(MechanismError) -> CentralNoise {
    guard epsilon > 0 else { throw .parameter(.epsilon) }
    guard delta > 0, delta < 1 else { throw .parameter(.delta) }
    /// By the formula, which takes no grid.
    func attempt(_ multiplier: Double) throws(MechanismError) -> Void? {
      var rho = Double(setting.releases) / (2 * multiplier * multiplier)
      if setting.counters != nil {
        let other = setting.evaluationMultiplier(multiplier)
        rho += 1 / (2 * other * other)
      }
      let isEnough = try MechanismError.accounted { () throws(PrivacyAccountingError) in
        try RenyiCurve.zeroConcentrated(rho: rho).epsilon(delta: delta) <= epsilon
      }
      return isEnough ? () : nil
    }
    let search = MultiplierSearch(
      low: 0x1p-10, start: 1, limit: MechanismParameters.largestMultiplier, bisections: bisections)
    guard var multiplier = try search.least(attempt)?.multiplier else { throw .targetOutOfReach(epsilon: epsilon) }
    // What is drawn is charged, after all rounding: a little more where the last digits ask for it.
    for _ in 0..<8 {
      let noise = try CentralNoise(noiseMultiplier: multiplier, setting: setting, delta: delta)
      if noise.epsilon <= epsilon { return noise }
      multiplier *= 1 + 0x1p-30
    }
    throw .targetOutOfReach(epsilon: epsilon)
  }
}
