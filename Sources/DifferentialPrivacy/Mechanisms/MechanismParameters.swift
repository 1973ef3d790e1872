import Foundation

/// Who is in a sum, as far as noise is concerned.
public struct NoiseCohort: Hashable, Sendable {
  public static let maximumSize = 1_000_000

  /// n: organisations that may be in a sum.
  public let size: Int
  /// n_min: fewest that may; a sum of fewer is not opened.
  public let minimum: Int
  /// n_c: organisations that are assumed to subtract their own noise. At least 1, for everybody can; organisations
  /// that are opened to an auditor count as well.
  public let assumedCorrupt: Int

  /// - Throws: ``MechanismError/parameter(_:)`` unless 2 ≤ n_min ≤ n ≤ 10⁶ and 1 ≤ n_c < n_min.
  public init(size: Int, minimum: Int, assumedCorrupt: Int) throws(MechanismError) {
    guard (2...Self.maximumSize).contains(minimum) else { throw .parameter(.minimumCohort) }
    guard (minimum...Self.maximumSize).contains(size) else { throw .parameter(.cohort) }
    guard assumedCorrupt >= 1, assumedCorrupt < minimum else { throw .parameter(.assumedCorrupt) }
    self.size = size
    self.minimum = minimum
    self.assumedCorrupt = assumedCorrupt
  }

  /// h = n_min − n_c: the shares of noise that a charge counts on.
  public var honestShares: Int { minimum - assumedCorrupt }
}

/// What a plan fixes about the noise of the model's section, before the amount is known.
public struct MechanismParameters: Hashable, Sendable {
  /// Whose presence the guarantee hides.
  public enum Unit: Hashable, Sendable {
    /// One record of one organisation; adding or removing it.
    case record(SumBound)
    /// Everything of one organisation; its vector replaced by zero, in a cohort that is public.
    case organization
  }

  /// How large a coordinate of one organisation's sum of clipped gradients may get.
  ///
  /// For the choice of the scale only. A sum beyond it may wrap, which costs use and no privacy.
  public enum SumBound: Hashable, Sendable {
    /// At most so many records: each coordinate of each at most the clip.
    case records(Int)
    /// At most so much in real units, rounding included.
    case magnitude(Double)
  }

  /// Largest noise multiplier handled.
  public static let largestMultiplier = 0x1p20

  public let unit: Unit
  public let mechanism: NoiseMechanism
  /// C: largest L2 norm of one unit's vector, real units.
  public let clip: Double
  /// Values of the model's vector.
  public let dimension: Int
  public let cohort: NoiseCohort
  /// Width of a coordinate in the secure sum.
  public let bits: Int
  public let bias: ConditionalRounding.Bias

  /// - Throws: ``MechanismError/parameter(_:)``
  public init(
    unit: Unit, mechanism: NoiseMechanism, clip: Double, dimension: Int, cohort: NoiseCohort, bits: Int,
    bias: ConditionalRounding.Bias = .exponential
  ) throws(MechanismError) {
    guard clip >= 0x1p-40, clip <= 0x1p40 else { throw .parameter(.clip) }
    guard (1...ConditionalRounding.maximumDimension).contains(dimension) else { throw .parameter(.dimension) }
    guard ModularWords.bits.contains(bits) else { throw .parameter(.bits) }
    switch unit {
    case .record(.records(let count)):
      guard count >= 1, count <= RecordContribution.maximumRecords else { throw .parameter(.sumBound) }
    case .record(.magnitude(let magnitude)):
      guard magnitude > 0, magnitude <= 0x1p40 else { throw .parameter(.sumBound) }
    case .organization: break
    }
    self.unit = unit
    self.mechanism = mechanism
    self.clip = clip
    self.dimension = dimension
    self.cohort = cohort
    self.bits = bits
    self.bias = bias
  }

  /// Coordinates in the secure sum: padded to a power of two for the rotation of the organisation unit.
  public var integerDimension: Int {
    switch unit {
    case .record: dimension
    case .organization: Rotation.paddedDimension(dimension)
    }
  }

  /// The encoding at a scale of 2^`scaleExponent`.
  /// - Throws: ``MechanismError/parameter(_:)`` if clip · scale is outside 1…2³⁰.
  public func encoding(scaleExponent: Int) throws(MechanismError) -> IntegerEncoding {
    try IntegerEncoding(dimension: integerDimension, clip: clip, scaleExponent: scaleExponent, bias: bias)
  }
}

/// How far the coordinates of a sum reach, in integer units: a sum does not wrap in B bits if it stays below 2^(B−1).
///
/// Holds for all coordinates at once but for a chance of 2⁻⁴⁰, over the noise and, for the organisation unit, over a
/// rotation that is independent of the vectors. Terms of corrupt organisations are not bounded by anything, and the
/// record unit's bound is the plan's own. Privacy does not depend on it: what wraps was noised before.
public struct WrapBound: Hashable, Sendable {
  /// −log₂ of the chance.
  public static let bits = 40.0

  /// What all organisations' terms may add up to without noise.
  public let signal: Double
  /// What all organisations' noise may add up to.
  public let noise: Double

  public var total: Double { signal + noise }

  /// Whether the sum stays below 2^(bits − 1).
  public func fits(bits: Int) -> Bool { total < Double(sign: .plus, exponent: bits - 1, significand: 1) }

  public init(parameters: MechanismParameters, encoding: IntegerEncoding, noise share: NoiseShare) {
    self.init(parameters: parameters, encoding: encoding, noise: share, draws: 1)
  }

  /// - Parameter draws: of the noise in one sum, where that is more than one for each organisation.
  init(parameters: MechanismParameters, encoding: IntegerEncoding, noise share: NoiseShare, draws: Int) {
    let size = Double(parameters.cohort.size)
    // No coordinate is beyond the clip, rounded away from zero, nor beyond the norm of the whole vector.
    let largest = min(encoding.rounding.integerClip.rounded(.up), encoding.rounding.l2Sensitivity.rounded(.down))
    switch parameters.unit {
    case .record(.records(let count)): signal = size * Double(count) * largest
    case .record(.magnitude(let magnitude)): signal = size * magnitude * encoding.scale
    case .organization: signal = min(size * largest, Self.rotated(encoding, size: size))
    }
    // Half of the chance for the noise, half for the rotation.
    noise = NoiseTail.bound(
      share.mechanism, variance: share.variance(shares: max(parameters.cohort.size, draws)),
      coordinates: encoding.dimension,
      bits: Self.bits + 1)
  }

  /// A coordinate of the rotated sum is a sum of independent signs with weights xᵢ/√d, and so sub-Gaussian with
  /// variance ‖x‖²/d ≤ (n·C)²/d (Hoeffding); rounding moves each of the n terms by less than 1.
  private static func rotated(_ encoding: IntegerEncoding, size: Double) -> Double {
    let dimension = Double(encoding.dimension)
    let logarithm = log(2 * dimension) + (bits + 1) * log(2.0)
    let norm = size * encoding.rounding.integerClip
    return norm * (2 * logarithm / dimension).squareRoot() * (1 + 0x1p-40) + size
  }
}
