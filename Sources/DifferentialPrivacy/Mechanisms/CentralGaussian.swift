public import NoiseSampling

/// **Central noise: the clients trust the server.** It sees the sum without noise and adds the noise itself.
///
/// For comparison with the mechanisms in which nobody sees a sum without noise. The secure sum hides terms and nothing
/// else here: no client can check that noise was added, how much, or that the sum from before is gone. Plans, output
/// and ledgers that name it are to say so (``trust``).
///
/// The clients' part, clipping, conditional rounding and the integer test, is the same, so the sensitivity holds
/// whatever the server does. The noise is a discrete Gaussian on the integer sum: exact, and within the zCDP bound
/// Δ₂²/(2σ²) of the continuous one (Canonne, Kamath, Steinke 2020), which is what is charged.
public struct CentralGaussian: Hashable, Sendable {
  /// For every place that names the mechanism.
  public static let trust = "the server sees the sum without noise and is trusted to add it"

  /// σ² in squared integer units.
  public let variance: PositiveRational
  /// Δ₂² in integer units.
  public let squaredL2Sensitivity: UInt64
  private let sampler: DiscreteGaussian

  /// - Parameters:
  ///   - noiseMultiplier: z: standard deviation over the sensitivity, above 0 and at most 2²⁰.
  ///   - squaredL2Sensitivity: Δ₂² in integer units.
  /// - Throws: ``MechanismError/parameter(_:)``; ``MechanismError/noiseTooNarrow(standardDeviation:)`` below ½.
  public init(noiseMultiplier: Double, squaredL2Sensitivity: UInt64) throws(MechanismError) {
    guard noiseMultiplier > 0, noiseMultiplier <= MechanismParameters.largestMultiplier else {
      throw .parameter(.noiseMultiplier)
    }
    guard squaredL2Sensitivity > 0 else { throw .parameter(.sensitivity) }
    let least = noiseMultiplier * noiseMultiplier * ConditionalRounding.roundedUp(squaredL2Sensitivity)
    variance = try NoiseShare.roundedUp(least.nextUp)
    guard let sampler = DiscreteGaussian(variance: variance) else { throw .parameter(.variance) }
    self.sampler = sampler
    self.squaredL2Sensitivity = squaredL2Sensitivity
  }

  /// z with the variance as it is.
  public var noiseMultiplier: Double {
    (variance.roundedDown / ConditionalRounding.roundedUp(squaredL2Sensitivity)).squareRoot().nextDown
  }

  /// σ, not more than what is drawn.
  public var standardDeviation: Double { variance.roundedDown.squareRoot() }

  /// What one release is charged as.
  public var event: PrivacyEvent {
    let squared = noiseMultiplier * noiseMultiplier
    return .zeroConcentrated(rho: (1 / (2 * squared)).nextUp)
  }

  /// Adds the noise to a decoded integer sum, on the server.
  ///
  /// - Parameter randomness: A cryptographically secure source.
  public func add(to sum: inout [Int64], using randomness: inout some RandomNumberGenerator) {
    let noise = sampler.samples(count: sum.count, using: &randomness)
    for index in sum.indices { sum[index] &+= noise[index] }
  }

  /// The noise by itself.
  ///
  /// - Parameter randomness: A cryptographically secure source; what is drawn follows from it.
  public func samples(count: Int, using randomness: inout some RandomNumberGenerator) -> [Int64] {
    sampler.samples(count: count, using: &randomness)
  }

  /// Largest magnitude of the noise in any of so many coordinates, but for a chance of 2⁻⁴⁰.
  public func bound(coordinates: Int) -> UInt64 {
    // Below 2^30 for the largest variance and the most coordinates.
    UInt64(
      NoiseTail.bound(
        .distributedDiscreteGaussian, variance: variance.roundedDown, coordinates: coordinates, bits: 40
      ).rounded(.up))
  }

  /// The sampler follows from the variance.
  public static func == (first: CentralGaussian, second: CentralGaussian) -> Bool {
    first.variance == second.variance && first.squaredL2Sensitivity == second.squaredL2Sensitivity
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(variance)
    hasher.combine(squaredL2Sensitivity)
  }
}
