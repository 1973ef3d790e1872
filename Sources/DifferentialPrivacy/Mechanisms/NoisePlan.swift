import Foundation

/// One kind of release of a run: what one unit may change, the noise on it, and how often it is made.
public struct NoisedRelease: Hashable, Sendable {
  /// `model`, or the name of the counter section.
  public let name: String
  public let noise: NoiseShare
  /// Δ₂² in integer units.
  public let squaredL2Sensitivity: UInt64
  /// Δ₁ in integer units.
  public let l1Sensitivity: Double
  /// Integers in a release.
  public let dimension: Int
  /// Releases in the whole run.
  public let releases: Int

  /// z: standard deviation of h shares of noise over Δ₂.
  public var noiseMultiplier: Double {
    (noise.centralVariance / ConditionalRounding.roundedUp(squaredL2Sensitivity)).squareRoot()
  }

  /// What one release is charged as: h honest shares, the worst case.
  public let event: PrivacyEvent

  /// - Throws: ``MechanismError/accounting(_:)`` for parameters that are not accounted for.
  init(
    name: String, noise: NoiseShare, squaredL2Sensitivity: UInt64, l1Sensitivity: Double, dimension: Int,
    releases: Int
  ) throws(MechanismError) {
    self.name = name
    self.noise = noise
    self.squaredL2Sensitivity = squaredL2Sensitivity
    self.l1Sensitivity = l1Sensitivity
    self.dimension = dimension
    self.releases = releases
    event = try noise.event(
      squaredL2Sensitivity: squaredL2Sensitivity, l1Sensitivity: l1Sensitivity, dimension: dimension)
  }
}

extension NoiseShare {
  /// What a release with this noise is charged as: h honest shares, the worst case.
  ///
  /// - Throws: ``MechanismError/accounting(_:)`` for parameters that are not accounted for.
  public func event(
    squaredL2Sensitivity: UInt64, l1Sensitivity: Double, dimension: Int
  ) throws(MechanismError) -> PrivacyEvent {
    let distributed = try MechanismError.accounted { () throws(PrivacyAccountingError) in
      try DistributedNoise(
        squaredL2Sensitivity: ConditionalRounding.roundedUp(squaredL2Sensitivity), l1Sensitivity: l1Sensitivity,
        dimension: dimension, honestShares: honestShares, localVariance: localVariance.roundedDown)
    }
    switch mechanism {
    case .skellam: return .skellam(distributed)
    case .distributedDiscreteGaussian: return .distributedDiscreteGaussian(distributed)
    }
  }
}

/// A section of counters that is released with noise of its own.
public struct CounterSection: Hashable, Sendable {
  /// How much noise it gets.
  public enum Level: Hashable, Sendable {
    /// So many times the noise multiplier of the model, or a local standard deviation of ½ where that is more.
    case relative(Double)
    /// A noise multiplier of its own: standard deviation of h shares over Δ₂.
    case fixed(Double)
  }

  /// How many times the model's noise multiplier the noise of one release of counters has, if that release is to have this
  /// share of all of ρ beside so many releases of the model.
  ///
  /// ρ of a release is 1/(2z²): the share is z_c⁻²/(T·z⁻² + z_c⁻²).
  public static func factor(share: Double, beside releases: Int) -> Double {
    ((1 - share) / (share * Double(releases))).squareRoot()
  }

  public let name: String
  /// Skellam unless said otherwise: with a sensitivity of few units a share is narrow, and sums of narrow discrete
  /// Gaussians are far from one.
  public let mechanism: NoiseMechanism
  /// Counters in a release.
  public let count: Int
  public let sensitivity: CounterSensitivity
  /// Releases in the whole run.
  public let releases: Int
  public let level: Level

  /// - Throws: ``MechanismError/parameter(_:)``
  public init(
    name: String, mechanism: NoiseMechanism = .skellam, count: Int, sensitivity: CounterSensitivity = .one,
    releases: Int, level: Level
  ) throws(MechanismError) {
    guard !name.isEmpty, name != NoisePlan.modelName else { throw .parameter(.section) }
    guard (1...(1 << 24)).contains(count) else { throw .parameter(.dimension) }
    guard NoiseCalibration.releases.contains(releases) else { throw .parameter(.releases) }
    switch level {
    case .relative(let factor), .fixed(let factor):
      guard factor > 0, factor <= MechanismParameters.largestMultiplier else { throw .parameter(.noiseMultiplier) }
    }
    self.name = name
    self.mechanism = mechanism
    self.count = count
    self.sensitivity = sensitivity
    self.releases = releases
    self.level = level
  }
}

/// The noise of a whole run, with what it achieves.
///
/// Everything in it follows from the parameters, the scale and the local variances; whoever is shown a plan makes it
/// again from these (``NoiseCalibration/plan(scaleExponent:localVariances:delta:)``) instead of believing it.
public struct NoisePlan: Hashable, Sendable {
  /// Name of the first release.
  public static let modelName = "model"

  public let parameters: MechanismParameters
  public let encoding: IntegerEncoding
  /// log₂ of the scale.
  public let scaleExponent: Int
  /// The model's release first, then the counter sections in their order.
  public let releases: [NoisedRelease]
  public let wrap: WrapBound
  /// ε of the run, for everything in ``releases`` and the further events of the calibration.
  public let epsilon: Double
  public let delta: Double

  /// The release of the model's section.
  public var model: NoisedRelease { releases[0] }
}
