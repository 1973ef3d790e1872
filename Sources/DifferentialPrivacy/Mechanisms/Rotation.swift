import Foundation

/// A public random rotation: zeros up to a power of two, random signs, Walsh–Hadamard transform divided by √d.
///
/// It spreads a vector over all coordinates, so that the sum needs fewer bits. It keeps the norm, costs no privacy
/// and hides nothing: the seed is public. That a sum then rarely wraps holds for seeds that are new in each round and
/// independent of the vectors; with other seeds the use of the sum suffers, its privacy does not.
public struct Rotation: Hashable, Sendable {
  /// Values before padding.
  public let dimension: Int
  /// One bit a coordinate, bit j of word i for coordinate 64i + j: set means minus.
  private let signs: [UInt64]

  /// The smallest power of two that is at least `dimension`.
  public static func paddedDimension(_ dimension: Int) -> Int {
    dimension <= 1 ? 1 : 1 << (Int.bitWidth - (dimension - 1).leadingZeroBitCount)
  }

  /// Values after padding.
  public var paddedDimension: Int { Self.paddedDimension(dimension) }

  /// - Parameter signs: The expansion of the round's public seed, the same for everybody: its numbers in order are
  ///   the signs, 64 coordinates each.
  /// - Throws: ``MechanismError/parameter(_:)`` for a dimension outside 1…2²⁸.
  public init(dimension: Int, signs: inout some RandomNumberGenerator) throws(MechanismError) {
    guard (1...ConditionalRounding.maximumDimension).contains(dimension) else { throw .parameter(.dimension) }
    self.dimension = dimension
    let words = (Self.paddedDimension(dimension) + 63) / 64
    var drawn = [UInt64](repeating: 0, count: words)
    for index in drawn.indices { drawn[index] = signs.next() }
    self.signs = drawn
  }

  /// The rotated vector, of ``paddedDimension`` values and of the same norm up to rounding.
  /// - Throws: ``MechanismError/shape(expected:found:)``
  public func rotate(_ vector: [Double]) throws(MechanismError) -> [Double] {
    guard vector.count == dimension else { throw .shape(expected: dimension, found: vector.count) }
    var result = vector + [Double](repeating: 0, count: paddedDimension - dimension)
    flipSigns(&result)
    Self.transform(&result)
    return result
  }

  /// The vector whose rotation is given, cut to ``dimension`` values.
  /// - Throws: ``MechanismError/shape(expected:found:)``
  public func undo(_ rotated: [Double]) throws(MechanismError) -> [Double] {
    guard rotated.count == paddedDimension else {
      throw .shape(expected: paddedDimension, found: rotated.count)
    }
    var result = rotated
    Self.transform(&result)
    flipSigns(&result)
    result.removeLast(paddedDimension - dimension)
    return result
  }

  private func flipSigns(_ vector: inout [Double]) {
    for index in vector.indices where signs[index >> 6] >> UInt64(index & 63) & 1 == 1 {
      vector[index] = -vector[index]
    }
  }

  /// The Walsh–Hadamard transform over √d, its own inverse; d is a power of two.
  static func transform(_ vector: inout [Double]) {
    vector.withUnsafeMutableBufferPointer { values in
      var half = 1
      while half < values.count {
        for start in stride(from: 0, to: values.count, by: 2 * half) {
          for index in start..<(start + half) {
            let (first, second) = (values[index], values[index + half])
            values[index] = first + second
            values[index + half] = first - second
          }
        }
        half *= 2
      }
      let factor = 1 / Double(values.count).squareRoot()
      for index in values.indices { values[index] *= factor }
    }
  }
}
