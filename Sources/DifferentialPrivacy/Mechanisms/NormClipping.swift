import Foundation

/// Scales vectors down to an L2 norm of at most `clip`, and all of them by `scale`.
///
/// Floating point, and so no guarantee of its own: the norm after ``ConditionalRounding`` is tested in integers. The
/// bound is kept conservatively, so that what comes out has a norm of at most clip · scale in exact arithmetic too,
/// up to the rounding of the last products.
public struct NormClipping: Hashable, Sendable {
  /// Largest L2 norm in real units.
  public let clip: Double
  /// Integer units in a real one. A power of two makes scaling exact.
  public let scale: Double

  /// What became of a vector.
  public enum Outcome: Sendable, Equatable {
    /// The norm was at most the clip.
    case within
    /// Scaled down.
    case clipped
    /// Some value was not a number or infinite: the vector is taken as zero.
    case notFinite
  }

  /// Above the relative error of a sum of 2^28 squares in double precision.
  static let normMargin = 0x1p-24

  /// Writes the clipped and scaled vector; both buffers have the same length.
  func apply(_ values: UnsafeBufferPointer<Double>, into result: UnsafeMutableBufferPointer<Double>) -> Outcome {
    var largest = 0.0
    var isFinite = true
    for value in values {
      // No early exit: the time does not tell which value it was.
      isFinite = isFinite && value.isFinite
      largest = max(largest, value.magnitude)
    }
    guard isFinite, largest > 0 else {
      result.update(repeating: 0)
      return isFinite ? .within : .notFinite
    }
    // Relative to the largest magnitude, so that no square overflows or vanishes.
    var sum = 0.0
    for value in values {
      let ratio = value / largest
      sum += ratio * ratio
    }
    let root = sum.squareRoot() * (1 + Self.normMargin)
    if largest * root <= clip {
      for index in values.indices { result[index] = values[index] * scale }
      return .within
    }
    let factor = clip / root * scale
    for index in values.indices { result[index] = values[index] / largest * factor }
    return .clipped
  }
}
