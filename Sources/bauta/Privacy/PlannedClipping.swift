import DifferentialPrivacy
import Federation
import Foundation

/// What a plan says of a clip that follows the updates' norms, in a cohort.
struct PlannedClipping: Sendable {
  /// σ in the share within above which a fixed clip does better.
  static let useful = 0.1

  let settings: ClippingSettings
  let firstClip: Double
  let organizations: Int
  let bit: NoisedRelease
  let update: NoisedRelease

  /// Nil where the clip stays.
  init?(_ planned: PlannedPrivacy) {
    guard let settings = planned.settings.adaptiveClipping, let noise = planned.agreement.distributed,
      let bit = noise.clipBit
    else { return nil }
    self.settings = settings
    self.bit = bit
    firstClip = planned.settings.clip
    organizations = noise.parameters.cohort.size
    update = noise.model
  }

  /// Standard deviation of the noise in the sum of ±1, if all take part.
  var deviation: Double { bit.noise.variance(shares: organizations).squareRoot() }

  /// The same in the share of updates within the clip, which the clip follows.
  var shareDeviation: Double { deviation / Double(2 * organizations) }

  /// The bits' part of ρ, as it came out: no share of noise is narrower than half an integer.
  var bitShare: Double {
    let ofBit = 1 / (bit.noiseMultiplier * bit.noiseMultiplier)
    return ofBit / (ofBit + 1 / (update.noiseMultiplier * update.noiseMultiplier))
  }

  /// What the clip is multiplied by in a round at the least, where all updates are within, and at the most, where none is.
  var factors: (least: Double, largest: Double) {
    let step = settings.step
    func factor(_ sum: Int) -> Double {
      step.nextClip(after: 1, sum: Int64(sum), organizations: organizations)
    }
    return (factor(organizations), factor(-organizations))
  }

  func show() {
    let output = Output.standard
    let (least, largest) = factors
    output.line(
      "  the clip        begins at \(Figures.measured(firstClip, 3)) and moves by \(Figures.decimals(least, 3)) to "
        + "\(Figures.decimals(largest, 3)) times a round, until \(Self.percent(settings.step.quantile)) of the updates are within it"
    )
    output.line(
      "  its bits        σ = \(Figures.decimals(deviation, 2)) in the sum of \(organizations) times ±1, "
        + "\(Self.percent(shareDeviation)) in the share within; they spend \(Self.percent(bitShare)) of the budget")
    if shareDeviation > Self.useful {
      output.line(
        "                  the clip would follow noise more than updates: with so few organisations, let it be fixed")
    }
  }

  var json: JSONValue {
    let (least, largest) = factors
    return .object([
      "firstClip": .number(firstClip), "quantile": .number(settings.step.quantile),
      "learningRate": .number(settings.step.learningRate), "bitShare": .number(bitShare),
      "bitNoiseMultiplier": .number(bit.noiseMultiplier), "shareDeviation": .number(shareDeviation),
      "leastFactor": .number(least), "largestFactor": .number(largest),
    ])
  }

  private static func percent(_ share: Double) -> String { "\(Figures.decimals(100 * share, 1)) %" }
}
