public import DifferentialPrivacy

/// How the clip of the organisation unit follows the norms of the updates, as the plan's `privacy.adaptiveClipping` has
/// it; `privacy.clip` is then the first.
///
/// What the bit costs is said as a share of the budget and not as a noise multiplier: whatever ε, cohort and rounds are,
/// it says how much noise the update has in exchange, a tenth of ρ for 5 % more of it.
public struct ClippingSettings: Sendable, Hashable {
  static let keys = ["quantile", "learningRate", "bitShare"]

  /// Quantile and learning rate: what the clip moves to, and how fast.
  public let step: AdaptiveClipping
  /// The bits' part of the budget (of zCDP's ρ) of all fits, in (0, 1).
  public let bitShare: Double

  init(_ group: YAMLMapping) throws(FederationError) {
    let share = YAMLField<Double>.number("a number above 0 and below 1") { $0 > 0 && $0 < 1 }
    let quantile = try group.optional("quantile", share, default: 0.5)
    let rate = try group.optional(
      "learningRate", .number("a number above 0 and at most 10") { $0 > 0 && $0 <= 10 }, default: 0.2)
    // The bit's noise is a multiple of the update's; beyond these it would be out of any range that is drawn.
    bitShare = try group.optional(
      "bitShare", .number("a number from 0.0001 to 0.9999") { (0.0001...0.9999).contains($0) }, default: 0.1)
    do throws(MechanismError) { step = try AdaptiveClipping(quantile: quantile, learningRate: rate) } catch {
      throw .privacy(error)
    }
  }
}

extension PrivacySettings {
  /// The clip of the first round, where later ones have others; nil where the plan's is that of all.
  var firstClip: Double? { adaptiveClipping == nil ? nil : clip }
}

extension NoiseAgreement {
  /// Of the bits' release.
  static let clipName = "clip"

  /// The noise of the bit that every organisation sends with its update; nil where the clip does not move.
  public var clipBit: NoisedRelease? { distributed?.clipBit }

  /// Largest value of the bit's counter with one organisation's share of the noise; nil where the clip does not move.
  var clipBitBound: UInt64? { clipBit.map { $0.noise.localBound(coordinates: 1) + 1 } }
}

extension NoisePlan {
  /// The release of the bits; nil where the clip does not move.
  public var clipBit: NoisedRelease? { releases.first { $0.name == NoiseAgreement.clipName } }

  /// What the sum of a fit is charged as: the update, and the bit where there is one.
  public var fitEvent: PrivacyEvent { clipBit.map { .joint([model.event, $0.event]) } ?? model.event }

  /// Everything that a whole run is charged for: the bits together with the updates that they travel with.
  var charges: [NoiseAgreement.Charge] {
    [(fitEvent, model.releases)]
      + releases.dropFirst().filter { $0.name != NoiseAgreement.clipName }.map { ($0.event, $0.releases) }
  }
}
