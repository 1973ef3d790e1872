import DifferentialPrivacy
import Federation
import NoiseSampling

/// The noise that an audit draws: a plan's, or as much less as is to be noticed.
enum AuditedNoise {
  /// A share of every organisation, in its own term.
  case shares(NoiseShare)
  /// All of it, in the sum, by a server that the plan's terms trust with it.
  case server(CentralGaussian, trustedBy: CentralNoise)
  /// All of it, in every step of an organisation's own training.
  case training(LocalNoise)

  /// Nil for noise that no audit knows how to draw: of trees.
  ///
  /// - Throws: `MechanismError`
  init?(_ form: NoiseAgreement.Form, _ amount: PrivacyAudit.Noise) throws {
    switch form {
    case .distributed(let plan): self = .shares(try Self.share(plan.model.noise, amount))
    case .central(let plan):
      guard plan.tree == nil else { return nil }
      self = .server(try Self.server(plan.model, amount), trustedBy: plan)
    case .local(let planned): self = .training(try Self.training(planned, amount))
    }
  }

  /// h of so many: organisations whose noise, or rows, the auditor does not know.
  func honest(of organizations: Int) -> Int {
    switch self {
    case .shares(let share): share.honestShares
    case .server: organizations
    case .training: 1
    }
  }

  var mechanism: NoiseMechanism {
    switch self {
    case .shares(let share): share.mechanism
    case .server, .training: .distributedDiscreteGaussian
    }
  }

  /// What an organisation sends of its rows, in words of so many bits.
  func term(
    _ contribution: consuming RecordContribution, bits: Int, using randomness: inout AuditRandomness
  ) throws -> [UInt32] {
    switch self {
    case .shares(let share): try contribution.finish(adding: share, using: &randomness).words(bits: bits)
    case .server(_, let plan): contribution.finish(trusting: plan).map { UInt32(truncatingIfNeeded: $0) }
    case .training: throw MechanismError.parameter(.section)
    }
  }

  /// What the server adds to a sum of terms.
  func finish(_ words: inout [UInt32], using randomness: inout AuditRandomness) {
    guard case .server(let noise, _) = self else { return }
    for (index, sample) in noise.samples(count: words.count, using: &randomness).enumerated() {
      words[index] &+= UInt32(truncatingIfNeeded: sample)
    }
  }

  private static func share(_ planned: NoiseShare, _ amount: PrivacyAudit.Noise) throws -> NoiseShare {
    let variance: PositiveRational?
    switch amount {
    case .planned: return planned
    case .least: variance = PositiveRational(numerator: 1, denominator: 4)
    case .scaled(let factor):
      let local = factor * factor * planned.variance(shares: 1)
      variance = PositiveRational(UInt64(min(max(local, 1), 0x1p40)))
    }
    guard let variance else { throw MechanismError.parameter(.variance) }
    return try NoiseShare(mechanism: planned.mechanism, localVariance: variance, honestShares: planned.honestShares)
  }

  private static func server(_ planned: CentralGaussian, _ amount: PrivacyAudit.Noise) throws -> CentralGaussian {
    // Standard deviation ½, and a little for the rounding of its square.
    let least = 0.501 / Double(planned.squaredL2Sensitivity).squareRoot()
    let multiplier: Double
    switch amount {
    case .planned: return planned
    case .least: multiplier = least
    case .scaled(let factor): multiplier = max(least, factor * planned.noiseMultiplier)
    }
    return try CentralGaussian(noiseMultiplier: multiplier, squaredL2Sensitivity: planned.squaredL2Sensitivity)
  }

  private static func training(_ planned: LocalNoise, _ amount: PrivacyAudit.Noise) throws -> LocalNoise {
    let multiplier: Double
    switch amount {
    case .planned: return planned
    case .least: multiplier = PrivacySettings.multipliers.lowerBound
    case .scaled(let factor): multiplier = max(PrivacySettings.multipliers.lowerBound, factor * planned.noiseMultiplier)
    }
    return try LocalNoise(
      noiseMultiplier: multiplier, clip: planned.clip, samplingProbability: planned.samplingProbability,
      releases: planned.releases, delta: planned.delta)
  }
}
