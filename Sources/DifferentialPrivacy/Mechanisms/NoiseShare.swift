import Foundation
public import NoiseSampling

/// The distribution of the integer noise that every organisation adds.
public enum NoiseMechanism: String, Hashable, Sendable, CaseIterable {
  /// A difference of two Poisson variables. Sums of it are of the same kind.
  case skellam
  /// The discrete Gaussian. Sums of it are close to one, and the difference is charged for.
  case distributedDiscreteGaussian = "distributed-discrete-gaussian"
}

/// The noise one organisation adds to each of its integers, wide enough for those alone that are counted as honest.
///
/// Local variance σ²ᵢ = σ²/(n_min − n_c), rounded up to a rational: of at least n_min organisations whose terms are
/// in the sum, n_c are assumed to subtract their own noise again, and n_c is at least 1, for everybody knows one's own.
/// So h = n_min − n_c shares make up the planned variance σ², and the charge is made for these h, whoever stays. One
/// share alone is too narrow by a factor of h and promises nothing.
public struct NoiseShare: Hashable, Sendable {
  /// Local noise of a standard deviation below this is refused: the grid shows through.
  public static let leastStandardDeviation = 0.5
  /// The most that the samplers take.
  static let largestVariance = 0x1p40
  /// Binary digits of a variance: rounding up costs at most one part in 2¹⁵.
  static let significantBits = 16

  public let mechanism: NoiseMechanism
  /// σ²ᵢ in squared integer units.
  public let localVariance: PositiveRational
  /// h = n_min − n_c.
  public let honestShares: Int
  private let sampler: Sampler

  private enum Sampler: Sendable {
    case skellam(Skellam)
    case discreteGaussian(DiscreteGaussian)
  }

  /// A share of noise whose total over the honest shares has at least the variance `centralVariance`.
  ///
  /// - Parameters:
  ///   - centralVariance: σ² in squared integer units, what the charge needs.
  ///   - cohort: Its h counts.
  /// - Throws: ``MechanismError/parameter(_:)``;
  ///   ``MechanismError/noiseTooNarrow(standardDeviation:)`` below a local standard deviation of ½.
  public init(
    mechanism: NoiseMechanism, centralVariance: Double, cohort: NoiseCohort
  ) throws(MechanismError) {
    let shares = Double(cohort.honestShares)
    let quotient = centralVariance / shares
    // The fused product tells whether the quotient was rounded down.
    let isBelow = (-centralVariance).addingProduct(quotient, shares) < 0
    let local = try Self.roundedUp(isBelow ? quotient.nextUp : quotient)
    try self.init(mechanism: mechanism, localVariance: local, honestShares: cohort.honestShares)
  }

  /// A share as a plan states it.
  ///
  /// - Throws: ``MechanismError/parameter(_:)``;
  ///   ``MechanismError/noiseTooNarrow(standardDeviation:)`` below a local standard deviation of ½.
  public init(
    mechanism: NoiseMechanism, localVariance: PositiveRational, honestShares: Int
  ) throws(MechanismError) {
    guard (1..<NoiseCohort.maximumSize).contains(honestShares) else { throw .parameter(.assumedCorrupt) }
    // In integers: 4·numerator ≥ denominator.
    let (high, low) = localVariance.numerator.multipliedFullWidth(by: 4)
    guard high > 0 || low >= localVariance.denominator else {
      throw .noiseTooNarrow(standardDeviation: localVariance.roundedDown.squareRoot())
    }
    guard localVariance.roundedDown <= Self.largestVariance else { throw .parameter(.variance) }
    guard let sampler = Self.sampler(mechanism, variance: localVariance) else { throw .parameter(.variance) }
    self.sampler = sampler
    self.mechanism = mechanism
    self.localVariance = localVariance
    self.honestShares = honestShares
  }

  /// The variance of the sum of `shares` shares, squared integer units.
  public func variance(shares: Int) -> Double { localVariance.roundedDown * Double(shares) }

  /// σ² of the charge: h shares.
  public var centralVariance: Double { variance(shares: honestShares) }

  /// A bound that the noise of one share exceeds in some of `coordinates` with a chance of at most 2⁻¹²⁸: what a
  /// declared bound of a noised counter needs on top of the counter's own.
  ///
  /// A share is cut off there, and then the sum has less noise than is charged. So the chance is one beside which no δ counts,
  /// not even times e^ε for every share of a run.
  public func localBound(coordinates: Int) -> UInt64 {
    let variance = localVariance.roundedDown
    // Below 2^30 for the largest variance and the most coordinates.
    return UInt64(NoiseTail.bound(mechanism, variance: variance, coordinates: coordinates, bits: 128).rounded(.up))
  }

  /// Adds one draw to every value; wraps modulo 2⁶⁴, as the rings of the secure sum do.
  func add(to values: inout [Int64], using randomness: inout some RandomNumberGenerator) {
    let noise =
      switch sampler {
      case .skellam(let sampler): sampler.samples(count: values.count, using: &randomness)
      case .discreteGaussian(let sampler): sampler.samples(count: values.count, using: &randomness)
      }
    for index in values.indices { values[index] &+= noise[index] }
  }

  private static func sampler(_ mechanism: NoiseMechanism, variance: PositiveRational) -> Sampler? {
    switch mechanism {
    case .skellam: Skellam(variance: variance).map { .skellam($0) }
    case .distributedDiscreteGaussian: DiscreteGaussian(variance: variance).map { .discreteGaussian($0) }
    }
  }

  /// The sampler follows from the rest.
  public static func == (first: NoiseShare, second: NoiseShare) -> Bool {
    first.mechanism == second.mechanism && first.localVariance == second.localVariance
      && first.honestShares == second.honestShares
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(mechanism)
    hasher.combine(localVariance)
    hasher.combine(honestShares)
  }

  /// The least number of 16 binary digits that is not below `value`, a variance from ¼.
  static func roundedUp(_ value: Double) throws(MechanismError) -> PositiveRational {
    guard value > 0, value <= largestVariance else { throw .parameter(.variance) }
    guard value >= leastStandardDeviation * leastStandardDeviation else {
      throw .noiseTooNarrow(standardDeviation: value.squareRoot())
    }
    let exponent = Int(value.exponent) - (significantBits - 1)
    let power = Double(sign: .plus, exponent: exponent, significand: 1)
    // Exact: a division by a power of two.
    let digits = UInt64((value / power).rounded(.up))
    let rational =
      exponent >= 0
      ? PositiveRational(numerator: digits << UInt64(exponent), denominator: 1)
      : PositiveRational(numerator: digits, denominator: 1 << UInt64(-exponent))
    guard let rational else { throw .parameter(.variance) }
    return rational
  }
}

extension PositiveRational {
  /// Not above the number, and at most two units in the last place below it.
  var roundedDown: Double {
    let quotient = Double(numerator) / Double(denominator)
    let isExact = numerator < 1 << 53 && denominator & (denominator - 1) == 0
    return isExact ? quotient : quotient.nextDown.nextDown
  }
}

/// Integers that carry one organisation's share of the noise: the only form in which this module gives out what
/// depends on data.
///
/// They are for the secure sum, which shows them to nobody; a single share is not private.
public struct NoisedIntegers: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
  /// In integer units; large enough noise wraps modulo 2⁶⁴.
  public let values: [Int64]

  init(_ values: consuming [Int64], adding noise: NoiseShare, using randomness: inout some RandomNumberGenerator) {
    var noised = values
    noise.add(to: &noised, using: &randomness)
    self.values = noised
  }

  /// Coordinates of Z_{2^bits}, two's complement in the low bits.
  /// - Throws: ``MechanismError/parameter(_:)`` for `bits` outside 8…32.
  public func words(bits: Int) throws(MechanismError) -> [UInt32] { try ModularWords.words(values, bits: bits) }

  /// Never printed.
  public var description: String { "NoisedIntegers(\(values.count))" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
