import Learning

/// A gradient as integers whose L2 norm is tested exactly.
///
/// The gradient is scaled down to at most the clipping norm, multiplied by `scale`, and every element cut off towards
/// zero. That never lengthens a vector, so the integer norm is at most ``bound`` without any rounding bound; the price is a
/// bias of up to one unit an element towards zero, which is nothing at a large scale. The test is on integers: whatever
/// floating point did before, what passes has squared norm at most ``bound``².
///
/// For sums that need few bits use conditional rounding instead.
public struct IntegerClipping: Sendable, Equatable {
  /// Largest ``bound``: 2^30. Squares of that many elements add up in 64 bits.
  public static let maximumBound: Int64 = 1 << 30

  /// Largest L2 norm of an example's gradient, in real units.
  public let norm: Double
  /// Integer units in one real unit.
  public let scale: Double
  /// ⌊norm · scale⌋: largest L2 norm in integer units, the sensitivity of the sum.
  public let bound: Int64

  /// - Throws: `TrainingError.optimization(.settings)` unless norm and scale are above 0 and their product is 1…2^30.
  public init(norm: Double, scale: Double) throws(TrainingError) {
    guard norm.isFinite, norm > 0, scale.isFinite, scale > 0 else {
      throw .optimization(.settings("the clipping norm is \(norm) and the scale \(scale); both must be above 0"))
    }
    let product = norm * scale
    guard product >= 1, product <= Double(Self.maximumBound) else {
      throw .optimization(.settings("the clipping norm times the scale is \(product) and must be in 1…2^30"))
    }
    self.norm = norm
    self.scale = scale
    bound = Int64(product)
  }

  /// The clipped integers; nil where the gradient is not finite.
  public func clip(_ gradient: [Double]) -> [Int64]? {
    guard gradient.allSatisfy(\.isFinite) else { return nil }
    // By the largest element first: squares neither overflow nor vanish.
    let largest = gradient.reduce(0) { max($0, $1.magnitude) }
    guard largest > 0 else { return Array(repeating: 0, count: gradient.count) }
    let shape = gradient.map { $0 / largest }
    let shapeNorm = shape.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let isShort = largest <= norm / shapeNorm
    var factor = isShort ? largest * scale : Double(bound) / shapeNorm
    // Floating point may be off in the last places; a second time is off by more than that on the safe side.
    for _ in 0..<3 {
      let integers = shape.map { Int64(($0 * factor).rounded(.towardZero)) }
      if admits(integers) { return integers }
      factor *= 1 - 0x1p-20
    }
    return Array(repeating: 0, count: gradient.count)
  }

  /// Adds the clipped integers; nothing where the gradient is not finite.
  ///
  /// - Parameter sum: as many elements as the gradient.
  /// - Throws: `TrainingError.optimization(.sumOverflows)` where 64 bits overflow.
  func add(_ gradient: [Double], to sum: inout [Int64]) throws(TrainingError) {
    guard let integers = clip(gradient) else { return }
    for index in sum.indices {
      let (next, overflow) = sum[index].addingReportingOverflow(integers[index])
      guard !overflow else { throw .optimization(.sumOverflows) }
      sum[index] = next
    }
  }

  /// Whether Σ k² ≤ bound², in integers.
  public func admits(_ integers: [Int64]) -> Bool {
    var squares: UInt64 = 0
    for integer in integers {
      let magnitude = integer.magnitude
      guard magnitude <= UInt64(bound) else { return false }
      let (sum, overflow) = squares.addingReportingOverflow(magnitude * magnitude)
      guard !overflow else { return false }
      squares = sum
    }
    return squares <= UInt64(bound) * UInt64(bound)
  }
}
