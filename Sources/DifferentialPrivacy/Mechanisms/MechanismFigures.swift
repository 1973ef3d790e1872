import Foundation

/// A table of what distributed noise comes to, the distributed discrete Gaussian and Skellam side by side, for
/// documentation and for comparison with published figures.
public struct MechanismFigures: Sendable {
  /// One setting, in the terms of the papers: norm and noise in real units, the grid apart.
  public struct Setting: Hashable, Sendable {
    /// n_h: honest shares.
    public var honestShares: Int
    /// d
    public var dimension: Int
    /// c: L2 norm.
    public var clip: Double
    /// log₂ of s = 1/γ.
    public var scaleExponent: Int
    /// σ of one share.
    public var localDeviation: Double
    /// β
    public var bias: ConditionalRounding.Bias
    /// T
    public var releases: Int

    public init(
      honestShares: Int, dimension: Int, clip: Double, scaleExponent: Int, localDeviation: Double,
      bias: ConditionalRounding.Bias, releases: Int
    ) {
      self.honestShares = honestShares
      self.dimension = dimension
      self.clip = clip
      self.scaleExponent = scaleExponent
      self.localDeviation = localDeviation
      self.bias = bias
      self.releases = releases
    }
  }

  /// A setting and what it comes to.
  public struct Row: Hashable, Sendable {
    public let setting: Setting
    /// Δ₂ in real units.
    public let l2Sensitivity: Double
    /// τ: how far sums of discrete Gaussians are from one.
    public let distance: Double
    public let discreteGaussianEpsilon: Double
    public let skellamEpsilon: Double
  }

  public let delta: Double
  public let rows: [Row]

  /// - Throws: ``MechanismError/parameter(_:)``, ``MechanismError/accounting(_:)`` for a setting out of range.
  public init(settings: [Setting], delta: Double) throws(MechanismError) {
    self.delta = delta
    var rows: [Row] = []
    for setting in settings { rows.append(try Self.row(setting, delta: delta)) }
    self.rows = rows
  }

  private static func row(_ setting: Setting, delta: Double) throws(MechanismError) -> Row {
    let encoding = try IntegerEncoding(
      dimension: setting.dimension, clip: setting.clip, scaleExponent: setting.scaleExponent, bias: setting.bias)
    let rounding = encoding.rounding
    let deviation = setting.localDeviation * encoding.scale
    return try MechanismError.accounted { () throws(PrivacyAccountingError) in
      let noise = try DistributedNoise(
        squaredL2Sensitivity: ConditionalRounding.roundedUp(rounding.squaredNormBound),
        l1Sensitivity: rounding.l1Sensitivity, dimension: setting.dimension, honestShares: setting.honestShares,
        localVariance: deviation * deviation)
      func epsilon(_ event: PrivacyEvent) throws(PrivacyAccountingError) -> Double {
        var composition = PrivacyComposition()
        try composition.compose(event, count: setting.releases)
        return try composition.epsilon(delta: delta)
      }
      return Row(
        setting: setting, l2Sensitivity: rounding.l2Sensitivity / encoding.scale,
        distance: RenyiCurve.distanceFromDiscreteGaussian(
          honestShares: setting.honestShares, localVariance: noise.localVariance),
        discreteGaussianEpsilon: try epsilon(.distributedDiscreteGaussian(noise)),
        skellamEpsilon: try epsilon(.skellam(noise)))
    }
  }

  /// The table in Markdown.
  public var text: String {
    let header = """
      | shares | d | c | 1/γ | σ of a share | β | T | Δ₂ | τ | ε, discrete Gaussian | ε, Skellam |
      |---|---|---|---|---|---|---|---|---|---|---|
      """
    let lines = rows.map { row in
      let setting = row.setting
      let cells = [
        "\(setting.honestShares)", "\(setting.dimension)", Self.number(setting.clip), "2^\(setting.scaleExponent)",
        Self.number(setting.localDeviation), setting.bias.rawValue, "\(setting.releases)",
        Self.number(row.l2Sensitivity), Self.number(row.distance), Self.number(row.discreteGaussianEpsilon),
        Self.number(row.skellamEpsilon),
      ]
      return "| \(cells.joined(separator: " | ")) |"
    }
    return ([header] + lines).joined(separator: "\n") + "\n"
  }

  private static func number(_ value: Double) -> String { String(format: "%.6g", value) }
}
