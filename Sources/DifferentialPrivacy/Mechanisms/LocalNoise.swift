import Foundation
public import NoiseSampling

/// The noise of DP-SGD inside one organisation: every step's integer sum of clipped gradients gets all the noise that its
/// charge needs, so what leaves is private by itself.
///
/// Nobody else's noise is counted on: the guarantee for one record holds whoever drops out, colludes or sees the term, the
/// server included. What is released is a step's sum over a Poisson sample that the organisation keeps secret; everything
/// that follows from the sums is post-processing.
///
/// The noise is the discrete Gaussian, drawn exactly. The scale only says how finely a gradient is cut off; it follows from
/// clip and noise, and neither promise nor charge depend on it but through ``sensitivity`` and ``variance``.
public struct LocalNoise: Hashable, Sendable {
  /// Multipliers are found to a part in 2¹⁴.
  private static let bisections = 14
  private static let smallestMultiplier = 0x1p-10
  /// A grid finer than the clip by so much costs nothing and brings nothing.
  private static let finestGrid = 0x1p18
  /// √ of the largest variance that the sampler takes.
  private static let largestDeviation = 0x1p20

  /// C: largest L2 norm of one record's gradient, real units.
  public let clip: Double
  /// Integer units in a real one, a power of two.
  public let scale: Double
  /// Δ₂ in integer units: ⌊C · scale⌋.
  public let sensitivity: Int64
  /// σ² in squared integer units.
  public let variance: PositiveRational
  /// q: the chance with which a step draws a record.
  public let samplingProbability: Double
  /// Steps of the whole run, each a release.
  public let releases: Int
  /// What one step is charged as.
  public let event: PrivacyEvent
  /// ε of all releases at ``delta``.
  public let epsilon: Double
  public let delta: Double
  private let sampler: DiscreteGaussian

  /// Noise of a given multiplier z = σ/Δ₂.
  ///
  /// - Parameters:
  ///   - clip: 2⁻⁴⁰…2⁴⁰.
  ///   - noiseMultiplier: 2⁻¹⁰…2²⁰.
  ///   - samplingProbability: above 0, at most ½.
  /// - Throws: ``MechanismError/parameter(_:)``; ``MechanismError/accounting(_:)``.
  public init(
    noiseMultiplier: Double, clip: Double, samplingProbability: Double, releases: Int, delta: Double
  ) throws(MechanismError) {
    guard noiseMultiplier >= Self.smallestMultiplier, noiseMultiplier <= MechanismParameters.largestMultiplier else {
      throw .parameter(.noiseMultiplier)
    }
    guard clip >= 0x1p-40, clip <= 0x1p40 else { throw .parameter(.clip) }
    guard samplingProbability > 0, samplingProbability <= 0.5 else { throw .parameter(.samplingProbability) }
    guard NoiseCalibration.releases.contains(releases) else { throw .parameter(.releases) }
    guard delta > 0, delta < 1 else { throw .parameter(.delta) }
    let scale = Self.scale(clip: clip, noiseMultiplier: noiseMultiplier)
    let sensitivity = (clip * scale).rounded(.down)
    let deviation = noiseMultiplier * sensitivity
    let variance = try NoiseShare.roundedUp(deviation * deviation)
    guard let sampler = DiscreteGaussian(variance: variance) else { throw .parameter(.variance) }
    // Rounded down: never more than what is drawn.
    let multiplier = (variance.roundedDown.squareRoot().nextDown / sensitivity).nextDown
    let event = PrivacyEvent.poissonSubsampledDiscreteGaussian(
      noiseMultiplier: multiplier, samplingProbability: samplingProbability)
    epsilon = try MechanismError.accounted { () throws(PrivacyAccountingError) in
      var composition = PrivacyComposition()
      try composition.compose(event, count: releases)
      return try composition.epsilon(delta: delta)
    }
    self.clip = clip
    self.scale = scale
    self.sensitivity = Int64(sensitivity)
    self.variance = variance
    self.samplingProbability = samplingProbability
    self.releases = releases
    self.delta = delta
    self.event = event
    self.sampler = sampler
  }

  /// The least noise with which all releases together cost at most `epsilon`, found by bisection.
  ///
  /// - Throws: ``MechanismError/targetOutOfReach(epsilon:)``, ``MechanismError/parameter(_:)``.
  public static func calibrated(
    epsilon: Double, clip: Double, samplingProbability: Double, releases: Int, delta: Double
  ) throws(MechanismError) -> LocalNoise {
    guard epsilon > 0 else { throw .parameter(.epsilon) }
    func attempt(_ multiplier: Double) throws(MechanismError) -> LocalNoise? {
      let noise = try LocalNoise(
        noiseMultiplier: multiplier, clip: clip, samplingProbability: samplingProbability, releases: releases,
        delta: delta)
      return noise.epsilon <= epsilon ? noise : nil
    }
    if let least = try attempt(smallestMultiplier) { return least }
    let search = MultiplierSearch(
      low: smallestMultiplier, start: 1, limit: MechanismParameters.largestMultiplier, bisections: bisections)
    guard let found = try search.least(attempt) else { throw .targetOutOfReach(epsilon: epsilon) }
    return found.value
  }

  /// z with the variance as it is.
  public var noiseMultiplier: Double { variance.roundedDown.squareRoot() / Double(sensitivity) }

  /// Standard deviation of the noise in each coordinate of a step's sum, in the gradient's units.
  public var deviation: Double { variance.roundedDown.squareRoot() / scale }

  /// Independent draws, in integer units.
  ///
  /// - Parameter randomness: A cryptographically secure source.
  public func samples(count: Int, using randomness: inout some RandomNumberGenerator) -> [Int64] {
    sampler.samples(count: count, using: &randomness)
  }

  /// The finest grid at which clip and noise stay in range.
  private static func scale(clip: Double, noiseMultiplier: Double) -> Double {
    var scale = Double(sign: .plus, exponent: Int(finestGrid.exponent) - Int(clip.exponent), significand: 1)
    while clip * scale >= 2, (clip * scale).rounded(.down) * noiseMultiplier > largestDeviation { scale /= 2 }
    return scale
  }

  /// The sampler follows from the variance.
  public static func == (first: LocalNoise, second: LocalNoise) -> Bool {
    first.clip == second.clip && first.variance == second.variance && first.releases == second.releases
      && first.samplingProbability == second.samplingProbability && first.delta == second.delta
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(clip)
    hasher.combine(variance)
    hasher.combine(releases)
    hasher.combine(samplingProbability)
    hasher.combine(delta)
  }
}
