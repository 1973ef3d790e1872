import Foundation

/// The clip follows a quantile of the updates' norms, for the organisation unit.
///
/// Implements Andrew, Thakkar, McMahan, Ramaswamy 2021 (arXiv 1905.03871): every organisation sends one bit, whether
/// its norm was at most the clip C; the next clip is C·exp(−η(b̄ − q)). The bit travels as +1 or −1 in a counter, with
/// noise of standard deviation 2σ_b over the cohort; taking an organisation's ±1 out changes the sum by 1, so this is
/// a noise multiplier of 2σ_b at sensitivity ``CounterSensitivity/one``.
///
/// Each round has then two releases, the update and the bit, that are both charged (``PrivacyEvent/joint(_:)``). For
/// continuous Gaussian noise that is the same as one release with z; ``updateMultiplier(total:bitDeviation:)`` says how
/// much is left for the update. For Skellam and the distributed discrete Gaussian the RDP curves are added.
///
/// The integer clip stays the same (``IntegerEncoding/reclipped(to:)``), and with it the noise and the charge.
///
/// Every party takes the step for itself, and a model that contains the clip is compared by its hash. So the step is
/// made of additions, multiplications and divisions alone, which IEEE 754 rounds in one way everywhere; a library's
/// `exp` may differ in the last bit from one machine to the next.
public struct AdaptiveClipping: Hashable, Sendable {
  /// The clip never leaves these.
  public static let clips = 0x1p-40...0x1p40

  /// q: the share of updates that are to be within the clip.
  public let quantile: Double
  /// η: 0.2 in the paper.
  public let learningRate: Double

  /// - Throws: ``MechanismError/parameter(_:)``
  public init(quantile: Double, learningRate: Double) throws(MechanismError) {
    guard quantile > 0, quantile < 1 else { throw .parameter(.quantile) }
    guard learningRate > 0, learningRate <= 10 else { throw .parameter(.learningRate) }
    self.quantile = quantile
    self.learningRate = learningRate
  }

  /// The bit as a counter. An update that was not finite counts as too long.
  public static func bit(for outcome: NormClipping.Outcome) -> Int64 {
    switch outcome {
    case .within: 1
    case .clipped, .notFinite: -1
    }
  }

  /// b̄: the share of updates within the clip, from the noised sum of ±1 of so many organisations, kept within 0…1.
  public func fraction(sum: Int64, organizations: Int) -> Double {
    min(max((Double(sum) / Double(max(organizations, 1)) + 1) / 2, 0), 1)
  }

  /// C·exp(−η(b̄ − q)), within ``clips``: the same bits on every machine.
  public func nextClip(after clip: Double, sum: Int64, organizations: Int) -> Double {
    let exponent = learningRate * (fraction(sum: sum, organizations: organizations) - quantile)
    let next = exponent < 0 ? clip * Self.exponential(-exponent) : clip / Self.exponential(exponent)
    return min(max(next, Self.clips.lowerBound), Self.clips.upperBound)
  }

  /// Whether so many steps can lead from one clip to another: b̄ is from 0 to 1 in each.
  public func isReachable(_ clip: Double, from first: Double, rounds: Int) -> Bool {
    guard Self.clips.contains(clip), Self.clips.contains(first), rounds >= 0 else { return false }
    let moved = log(clip / first)
    // What rounding may add up to; nothing before the first step.
    let slack = 1e-9 * Double(rounds)
    let (down, up) = (learningRate * (1 - quantile) * Double(rounds), learningRate * quantile * Double(rounds))
    return moved >= -down - slack && moved <= up + slack
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

  /// eˣ for 0 ≤ x ≤ 10, to 15 digits.
  ///
  /// The series of e^(x/256) − 1, whose terms beyond the twelfth are below 2⁻⁶⁴, doubled eight times: (1 + p)² − 1 = p(2 + p).
  static func exponential(_ x: Double) -> Double {
    let part = x / 256
    var power = 0.0
    for term in stride(from: 12.0, through: 1, by: -1) { power = part / term * (1 + power) }
    for _ in 0..<8 { power *= 2 + power }
    return 1 + power
  }
}
