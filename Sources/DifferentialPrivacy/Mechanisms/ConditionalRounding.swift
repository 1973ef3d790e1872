import Foundation

/// Stochastic rounding to integers, repeated until the integer vector is short enough.
///
/// Implements Theorem 1 and Definition 1 of Kairouz, Liu, Steinke 2021 (arXiv 2102.06387) in integer units: for a
/// vector of norm at most C (here `integerClip`) in d dimensions,
///
///     Δ₂² = min{ (C + √d)², C² + d/4 + √(2 ln(1/β))·(C + √d/2) }
///
/// and an attempt exceeds it with a chance of at most β. That chance concerns the time this takes and, slightly, the
/// bias of the result; the sensitivity does not rest on it, nor on any floating point number: a vector is returned
/// only if the exact sum of its squares is at most the integer ``squaredNormBound``, and that integer is what is
/// charged for.
///
/// With β = e^(−1/2), ``maximumAttempts`` attempts fail one after another with a chance below 2⁻⁹²; with β = 0 an
/// attempt cannot fail for a vector within the clip. How many attempts it took depends on the vector and is not
/// hidden from someone who measures time on the machine.
public struct ConditionalRounding: Hashable, Sendable {
  /// β of the paper.
  public enum Bias: String, Hashable, Sendable, CaseIterable {
    /// β = e^(−1/2): a tighter bound, of which some attempts fall short.
    case exponential = "exp-1/2"
    /// β = 0: the bound (C + √d)², met always; unbiased.
    case none = "0"
  }

  public static let maximumAttempts = 128
  /// Largest ``integerClip``: a coordinate and its square stay far inside 64 bits.
  public static let maximumIntegerClip = 0x1p30
  public static let maximumDimension = 1 << 28

  /// d
  public let dimension: Int
  /// C in integer units.
  public let integerClip: Double
  public let bias: Bias
  /// ⌊Δ₂²⌋: the largest sum of squares of a vector that is returned.
  public let squaredNormBound: UInt64

  /// - Throws: ``MechanismError/parameter(_:)`` for a dimension outside 1…2²⁸ or a clip outside 1…2³⁰.
  public init(dimension: Int, integerClip: Double, bias: Bias) throws(MechanismError) {
    guard (1...Self.maximumDimension).contains(dimension) else { throw .parameter(.dimension) }
    guard integerClip >= 1, integerClip <= Self.maximumIntegerClip else { throw .parameter(.scale) }
    self.dimension = dimension
    self.integerClip = integerClip
    self.bias = bias
    squaredNormBound = Self.bound(dimension: Double(dimension), clip: integerClip, bias: bias)
  }

  /// The bound of the theorem, by operations that IEEE 754 rounds in one way: everybody gets the same integer. The margin
  /// keeps a bound that is an integer from being rounded to the one below.
  private static func bound(dimension: Double, clip: Double, bias: Bias) -> UInt64 {
    let root = dimension.squareRoot()
    let always = (clip + root) * (clip + root)
    let bound: Double
    switch bias {
    case .exponential: bound = min(always, clip * clip + dimension / 4 + (clip + root / 2))
    case .none: bound = always
    }
    // At most (2^30 + 2^14)², far below 2^63.
    return UInt64((bound * (1 + 0x1p-44)).rounded(.down))
  }

  /// Δ₂: the root of ``squaredNormBound``, never rounded down.
  public var l2Sensitivity: Double { Self.rootRoundedUp(squaredNormBound) }

  /// Δ₁ = Δ₂·min(√d, Δ₂): integers are at most their squares.
  public var l1Sensitivity: Double {
    let byDimension = (Self.rootRoundedUp(UInt64(dimension)) * l2Sensitivity).nextUp
    return min(byDimension, Self.roundedUp(squaredNormBound))
  }

  static func roundedUp(_ value: UInt64) -> Double {
    value < 1 << 53 ? Double(value) : Double(value).nextUp
  }

  static func rootRoundedUp(_ value: UInt64) -> Double {
    let root = Double(value).squareRoot()
    guard value < 1 << 53 else { return root.nextUp.nextUp }
    // The fused product tells whether the root is exact or was rounded down.
    return (-Double(value)).addingProduct(root, root) < 0 ? root.nextUp : root
  }

  /// Rounds a scaled vector.
  ///
  /// - Parameters:
  ///   - scaled: Of `dimension` finite values, in integer units.
  ///   - randomness: A cryptographically secure source: one number for each value and attempt.
  /// - Throws: ``MechanismError/shape(expected:found:)``; ``MechanismError/roundingBoundNotMet(attempts:)`` by chance,
  ///   or for a vector that is longer than the clip or not finite.
  public func round(
    _ scaled: [Double], using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) -> [Int64] {
    guard scaled.count == dimension else { throw .shape(expected: dimension, found: scaled.count) }
    var result = [Int64](repeating: 0, count: dimension)
    let isShort = scaled.withUnsafeBufferPointer { scaled in
      result.withUnsafeMutableBufferPointer { round(scaled, into: $0, using: &randomness) }
    }
    guard isShort else { throw .roundingBoundNotMet(attempts: Self.maximumAttempts) }
    return result
  }

  /// Whether the bound was met; if not, the result is to be discarded.
  func round(
    _ scaled: UnsafeBufferPointer<Double>, into result: UnsafeMutableBufferPointer<Int64>,
    using randomness: inout some RandomNumberGenerator
  ) -> Bool {
    // Longer values cannot meet the bound; they are kept from the conversion to integers.
    guard scaled.allSatisfy({ $0.magnitude <= 2 * Self.maximumIntegerClip }) else { return false }
    for _ in 0..<Self.maximumAttempts {
      Self.roundOnce(scaled, into: result, using: &randomness)
      if isShort(UnsafeBufferPointer(result)) { return true }
    }
    return false
  }

  /// Up with the probability of the fraction, to 53 bits; an integer stays as it is.
  static func roundOnce(
    _ scaled: UnsafeBufferPointer<Double>, into result: UnsafeMutableBufferPointer<Int64>,
    using randomness: inout some RandomNumberGenerator
  ) {
    for index in scaled.indices {
      let floor = scaled[index].rounded(.down)
      let uniform = Double(randomness.next() >> 11) * 0x1p-53
      result[index] = Int64(floor) + (uniform < scaled[index] - floor ? 1 : 0)
    }
  }

  /// The test that the sensitivity rests on: Σ vᵢ² ≤ ``squaredNormBound``, exactly.
  func isShort(_ vector: UnsafeBufferPointer<Int64>) -> Bool {
    var sum: UInt64 = 0
    for value in vector {
      let (square, overflow) = value.magnitude.multipliedReportingOverflow(by: value.magnitude)
      guard !overflow, square <= squaredNormBound else { return false }
      // Neither exceeds the bound, which is below 2^63.
      sum += square
      guard sum <= squaredNormBound else { return false }
    }
    return true
  }
}
