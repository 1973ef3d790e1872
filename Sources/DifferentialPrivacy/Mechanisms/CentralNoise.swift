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
    /// Counters of the one evaluation; nil without.
    public let counters: Int?
    /// The evaluation's part of ρ.
    public let evaluationShare: Double

    /// - Parameters:
    ///   - clip: L2 norm of a record's gradient.
    ///   - organizations: in the sum, from 2.
    ///   - records: the most of one organisation, for the choice of the scale.
    /// - Throws: ``MechanismError/parameter(_:)``
    public init(
      clip: Double, dimension: Int, organizations: Int, records: Int, bits: Int, rounds: Int, counters: Int?,
      evaluationShare: Double
    ) throws(MechanismError) {
      guard NoiseCalibration.releases.contains(rounds) else { throw .parameter(.releases) }
      // One share that is all of the noise: the server's.
      parameters = try MechanismParameters(
        unit: .record(.records(records)), mechanism: .distributedDiscreteGaussian, clip: clip, dimension: dimension,
        cohort: try NoiseCohort(size: organizations, minimum: 2, assumedCorrupt: 1), bits: bits)
      self.rounds = rounds
      self.counters = counters
      self.evaluationShare = evaluationShare
    }

    /// The same for another number of rounds.
    public func with(rounds: Int) throws(MechanismError) -> Setting {
      try Setting(
        clip: parameters.clip, dimension: parameters.dimension, organizations: parameters.cohort.size,
        records: records, bits: parameters.bits, rounds: rounds, counters: counters, evaluationShare: evaluationShare)
    }

    private var records: Int {
      guard case .record(.records(let count)) = parameters.unit else { return 1 }
      return count
    }

    /// The evaluation's multiplier beside a fit's; not below what the grid of integers takes.
    func evaluationMultiplier(_ multiplier: Double) -> Double {
      let factor = ((1 - evaluationShare) / (evaluationShare * Double(rounds))).squareRoot()
      return max(multiplier * factor, NoiseShare.leastStandardDeviation)
    }
  }

  private static let bisections = 20

  public let setting: Setting
  public let encoding: IntegerEncoding
  /// Of a fit's sum.
  public let model: CentralGaussian
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
    let plan = try NoiseCalibration(parameters: setting.parameters, rounds: setting.rounds, counters: sections)
      .plan(noiseMultiplier: noiseMultiplier, delta: delta)
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
      try composition.compose(model.event, count: setting.rounds)
      if let counted { try composition.compose(counted.noise.event) }
      return try composition.epsilon(delta: delta)
    }
    self.setting = setting
    self.encoding = plan.encoding
    self.model = model
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
    func isEnough(_ multiplier: Double) throws(MechanismError) -> Bool {
      var rho = Double(setting.rounds) / (2 * multiplier * multiplier)
      if setting.counters != nil {
        let other = setting.evaluationMultiplier(multiplier)
        rho += 1 / (2 * other * other)
      }
      return try MechanismError.accounted { () throws(PrivacyAccountingError) in
        try RenyiCurve.zeroConcentrated(rho: rho).epsilon(delta: delta) <= epsilon
      }
    }
    var (low, high) = (0x1p-10, 1.0)
    while try !isEnough(high) {
      guard high < MechanismParameters.largestMultiplier else { throw .targetOutOfReach(epsilon: epsilon) }
      (low, high) = (high, 2 * high)
    }
    while high / 2 > low, try isEnough(high / 2) { high /= 2 }
    low = max(low, high / 2)
    for _ in 0..<bisections {
      let middle = (low + high) / 2
      if try isEnough(middle) { high = middle } else { low = middle }
    }
    // What is drawn is charged, after all rounding: a little more where the last digits ask for it.
    for _ in 0..<8 {
      let noise = try CentralNoise(noiseMultiplier: high, setting: setting, delta: delta)
      if noise.epsilon <= epsilon { return noise }
      high *= 1 + 0x1p-30
    }
    throw .targetOutOfReach(epsilon: epsilon)
  }
}
