import Foundation

/// The clip follows a quantile of the updates' norms, for the organisation unit.
///
/// Implements Andrew, Thakkar, McMahan, Ramaswamy 2021 (arXiv 1905.03871): every organisation sends one bit, whether
/// its norm was at most the clip C; the next clip is C·exp(−η(b̄ − q)). The bit travels as +1 or −1 in a counter, with
/// noise of standard deviation 2σ_b over the cohort; taking an organisation's ±1 out changes the sum by 1, so this is
/// a noise multiplier of 2σ_b at sensitivity ``CounterSensitivity/one``.
///
/// Each round has then two releases, the update and the bit, that are both charged. For continuous Gaussian noise that
/// is the same as one release with z; ``updateMultiplier(total:bitDeviation:)`` says how much is left for the update.
/// For Skellam and the distributed discrete Gaussian the RDP curves are added by whoever composes.
///
/// The integer clip stays the same (``IntegerEncoding/reclipped(to:)``), and with it the noise and the charge.
public struct AdaptiveClipping: Hashable, Sendable {
  /// The clip never leaves these.
  public static let clips = 0x1p-40...0x1p40

  /// q: the share of updates that are to be within the clip.
  public let quantile: Double
  /// η: 0.2 in the paper.
  public let learningRate: Double
  /// σ_b of the paper; a twentieth of the cohort there.
  public let bitDeviation: Double

  /// - Throws: ``MechanismError/parameter(_:)``
  public init(quantile: Double, learningRate: Double, bitDeviation: Double) throws(MechanismError) {
    guard quantile > 0, quantile < 1 else { throw .parameter(.quantile) }
    guard learningRate > 0, learningRate <= 10 else { throw .parameter(.learningRate) }
    guard bitDeviation > 0, bitDeviation <= 0x1p20 else { throw .parameter(.noiseMultiplier) }
    self.quantile = quantile
    self.learningRate = learningRate
    self.bitDeviation = bitDeviation
  }

  /// The bit as a counter. An update that was not finite counts as too long.
  public static func bit(for outcome: NormClipping.Outcome) -> Int64 {
    switch outcome {
    case .within: 1
    case .clipped, .notFinite: -1
    }
  }

  /// Noise multiplier of the bit: 2σ_b.
  public var bitMultiplier: Double { 2 * bitDeviation }

  /// b̄: the share of updates within the clip, from the noised sum of ±1 of so many organisations, kept within 0…1.
  public func fraction(sum: Int64, organizations: Int) -> Double {
    min(max((Double(sum) / Double(max(organizations, 1)) + 1) / 2, 0), 1)
  }

  /// C·exp(−η(b̄ − q)), within ``clips``.
  public func nextClip(after clip: Double, sum: Int64, organizations: Int) -> Double {
    let next = clip * exp(-learningRate * (fraction(sum: sum, organizations: organizations) - quantile))
    return min(max(next, Self.clips.lowerBound), Self.clips.upperBound)
  }

  /// z_Δ = (z⁻² − (2σ_b)⁻²)^(−1/2): the multiplier of the update, if update and bit together are to be as private
  /// as one Gaussian release with z.
  ///
  /// - Throws: ``MechanismError/parameter(_:)`` unless 0 < z < 2σ_b.
  public static func updateMultiplier(total z: Double, bitDeviation: Double) throws(MechanismError) -> Double {
    let bit = 2 * bitDeviation
    guard z > 0, z.isFinite, bit > z else { throw .parameter(.noiseMultiplier) }
    return 1 / (1 / (z * z) - 1 / (bit * bit)).squareRoot()
  }
}
