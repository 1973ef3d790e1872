import Foundation

/// The pipeline of the organisation unit: one organisation's whole update to noised integers, and the sum back.
///
/// Clip to an L2 norm → pad → random signs and Walsh–Hadamard transform → scale → conditional rounding → noise → modulo
/// 2^bits. The integer test of ``ConditionalRounding`` bounds what one organisation changes in the sum.
public struct OrganizationContribution: Sendable {
  public let encoding: IntegerEncoding
  public let rotation: Rotation

  /// - Throws: ``MechanismError/dimensions(_:_:)`` if the encoding is not for the padded dimension of the rotation.
  public init(encoding: IntegerEncoding, rotation: Rotation) throws(MechanismError) {
    guard encoding.dimension == rotation.paddedDimension else {
      throw .dimensions(encoding.dimension, rotation.paddedDimension)
    }
    self.encoding = encoding
    self.rotation = rotation
  }

  /// One update, ready to be masked.
  ///
  /// An update with a value that is not finite contributes zero, and noise: staying away would tell of it. The
  /// outcome is for the organisation itself, or for the bit of ``AdaptiveClipping``.
  ///
  /// - Parameter randomness: A cryptographically secure source, for rounding and for noise.
  /// - Throws: ``MechanismError/shape(expected:found:)``;
  ///   ``MechanismError/roundingBoundNotMet(attempts:)`` with a chance below 2⁻⁹².
  public func encode(
    _ update: [Double], adding noise: NoiseShare, using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) -> (term: NoisedIntegers, outcome: NormClipping.Outcome) {
    let (integers, outcome) = try integers(of: update, using: &randomness)
    return (NoisedIntegers(integers, adding: noise, using: &randomness), outcome)
  }

  /// Before noise: not to leave this module.
  func integers(
    of update: [Double], using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) -> (values: [Int64], outcome: NormClipping.Outcome) {
    guard update.count == rotation.dimension else {
      throw .shape(expected: rotation.dimension, found: update.count)
    }
    var scaled = [Double](repeating: 0, count: update.count)
    let outcome = update.withUnsafeBufferPointer { update in
      scaled.withUnsafeMutableBufferPointer { encoding.clipping.apply(update, into: $0) }
    }
    let rotated = try rotation.rotate(scaled)
    return (try encoding.rounding.round(rotated, using: &randomness), outcome)
  }
}
