import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismRoundingTests {
  @Test func boundIsThatOfTheTheorem() throws {
    let small = try ConditionalRounding(dimension: 16, integerClip: 2, bias: .exponential)
    #expect(small.squaredNormBound == 12)
    #expect(abs(small.l2Sensitivity - 12.0.squareRoot()) < 1e-12)
    // √12·min(4, √12) = 12
    #expect(small.l1Sensitivity == 12)
    let large = try ConditionalRounding(dimension: 4096, integerClip: 1024, bias: .exponential)
    #expect(large.squaredNormBound == 1024 * 1024 + 1024 + 1024 + 32)
    #expect(abs(large.l1Sensitivity - 64 * large.l2Sensitivity) < 1e-6)
    #expect(try ConditionalRounding(dimension: 4096, integerClip: 1024, bias: .none).squaredNormBound == 1088 * 1088)
    // Where √d is small against C, both bounds are the same kind of small; the smaller is taken.
    let tiny = try ConditionalRounding(dimension: 1, integerClip: 1, bias: .exponential)
    #expect(tiny.squaredNormBound == 2)
  }

  @Test(arguments: [1, 2, 3, 12, 13, 1 << 52, (1 << 53) + 1, (1 << 61) - 1, 1 << 60] as [UInt64])
  func rootsAreNeverRoundedDown(value: UInt64) {
    let root = ConditionalRounding.rootRoundedUp(value)
    // root² ≥ value exactly, by the fused remainder; and close to it.
    #expect((-Double(value)).addingProduct(root, root) >= 0)
    #expect(root <= Double(value).squareRoot() * (1 + 0x1p-50))
    if value < 1 << 53 { #expect(ConditionalRounding.roundedUp(value) == Double(value)) }
  }

  static let shapes: [(dimension: Int, clip: Double)] = [(1, 1), (3, 1), (16, 2), (16, 2.5), (100, 30), (1000, 16)]

  @Test(arguments: shapes, ConditionalRounding.Bias.allCases)
  func neverExceedsTheBound(shape: (dimension: Int, clip: Double), bias: ConditionalRounding.Bias) throws {
    let rounding = try ConditionalRounding(dimension: shape.dimension, integerClip: shape.clip, bias: bias)
    var randomness = SeededRandomness(seed: 1)
    var vectors = adversarialVectors(dimension: shape.dimension, norm: shape.clip * (1 - 0x1p-24))
    for _ in 0..<20 { vectors.append(randomness.vector(dimension: shape.dimension, norm: shape.clip * (1 - 0x1p-24))) }
    for vector in vectors {
      for _ in 0..<20 {
        let rounded = try rounding.round(vector, using: &randomness)
        #expect(squaredNorm(rounded) <= rounding.squaredNormBound)
        #expect(zip(rounded, vector).allSatisfy { abs(Double($0) - $1) < 1 })
      }
    }
  }

  /// Without the condition the bound is exceeded: the loop is what keeps it. But rarely enough, as the theorem says.
  @Test func unconditionalRoundingExceedsTheBound() throws {
    let rounding = try ConditionalRounding(dimension: 16, integerClip: 2, bias: .exponential)
    let halves = [Double](repeating: 0.5, count: 16)
    var randomness = SeededRandomness(seed: 2)
    var result = [Int64](repeating: 0, count: 16)
    var exceeded = 0
    for _ in 0..<4000 {
      halves.withUnsafeBufferPointer { halves in
        result.withUnsafeMutableBufferPointer {
          ConditionalRounding.roundOnce(halves, into: $0, using: &randomness)
        }
      }
      if squaredNorm(result) > rounding.squaredNormBound { exceeded += 1 }
    }
    // 4000 · Pr[Bin(16, ½) > 12] = 42.5
    #expect((15...80).contains(exceeded))
  }

  @Test func attemptsFailWithAtMostBeta() throws {
    var randomness = SeededRandomness(seed: 3)
    for (dimension, clip) in Self.shapes {
      let rounding = try ConditionalRounding(dimension: dimension, integerClip: clip, bias: .exponential)
      for vector in adversarialVectors(dimension: dimension, norm: clip * (1 - 0x1p-24)) {
        var result = [Int64](repeating: 0, count: dimension)
        var failed = 0
        for _ in 0..<500 {
          vector.withUnsafeBufferPointer { vector in
            result.withUnsafeMutableBufferPointer {
              ConditionalRounding.roundOnce(vector, into: $0, using: &randomness)
            }
          }
          if !result.withUnsafeBufferPointer({ rounding.isShort($0) }) { failed += 1 }
        }
        // 500·e^(−½) = 303, and five standard deviations.
        #expect(failed <= 303 + 55)
      }
    }
  }

  @Test func vectorsBeyondTheClipAreRefusedInTheEnd() throws {
    let rounding = try ConditionalRounding(dimension: 16, integerClip: 2, bias: .exponential)
    var randomness = SeededRandomness(seed: 4)
    let expected = MechanismError.roundingBoundNotMet(attempts: ConditionalRounding.maximumAttempts)
    for value in [10, 0x1p40, 1e300, .infinity, -.infinity, .nan] {
      let vector = [value] + [Double](repeating: 0, count: 15)
      #expect(throws: expected) { try rounding.round(vector, using: &randomness) }
    }
    #expect(throws: MechanismError.shape(expected: 16, found: 15)) {
      try rounding.round([Double](repeating: 0, count: 15), using: &randomness)
    }
    // Nothing in the exact test overflows.
    for value in [Int64.min, .max, 1 << 32, -(1 << 31)] {
      #expect(![value, value].withUnsafeBufferPointer { rounding.isShort($0) })
    }
  }

  @Test func integersStayAndTheRestIsUnbiased() throws {
    let rounding = try ConditionalRounding(dimension: 5, integerClip: 8, bias: .none)
    var randomness = SeededRandomness(seed: 5)
    #expect(try rounding.round([3, -2, 0, 1, -0.0], using: &randomness) == [3, -2, 0, 1, 0])
    let vector = [0.25, -0.75, 3.9, -1.5, 0.001]
    var sums = [Int64](repeating: 0, count: 5)
    let count = 20_000
    for _ in 0..<count {
      for (index, value) in try rounding.round(vector, using: &randomness).enumerated() { sums[index] += value }
    }
    for (sum, value) in zip(sums, vector) {
      // Standard deviation of the mean at most ½/√20000 = 0.0035.
      #expect(abs(Double(sum) / Double(count) - value) < 0.018)
    }
  }

  @Test func refusesParameters() {
    for dimension in [0, -1, (1 << 28) + 1] {
      #expect(throws: MechanismError.parameter(.dimension)) {
        try ConditionalRounding(dimension: dimension, integerClip: 2, bias: .none)
      }
    }
    for clip in [0, -1, 0.99, 0x1.00001p30, .infinity, .nan] {
      #expect(throws: MechanismError.parameter(.scale)) {
        try ConditionalRounding(dimension: 3, integerClip: clip, bias: .none)
      }
    }
  }
}

@Suite struct MechanismClippingTests {
  private func clip(_ vector: [Double], to clip: Double, scale: Double = 1) -> ([Double], NormClipping.Outcome) {
    var result = [Double](repeating: .nan, count: vector.count)
    let outcome = vector.withUnsafeBufferPointer { vector in
      result.withUnsafeMutableBufferPointer { NormClipping(clip: clip, scale: scale).apply(vector, into: $0) }
    }
    return (result, outcome)
  }

  @Test func leavesShortVectorsAndScalesLongOnes() {
    #expect(clip([3, 4], to: 6, scale: 4) == ([12, 16], .within))
    #expect(clip([0, 0], to: 1) == ([0, 0], .within))
    let (slightly, isClipped) = clip([3, 4], to: 4.99)
    #expect(isClipped == .clipped && norm(slightly) <= 4.99)
    let (clipped, outcome) = clip([30, -40], to: 5, scale: 4)
    #expect(outcome == .clipped)
    #expect(abs(clipped[0] - 12) < 1e-5 && abs(clipped[1] + 16) < 1e-5)
    #expect(norm(clipped) <= 20)
  }

  /// No magnitude overflows or vanishes on the way to the norm.
  @Test(arguments: [1e308, 1e155, 1, 1e-160, .leastNonzeroMagnitude]) func handlesAllMagnitudes(magnitude: Double) {
    let (result, outcome) = clip([Double](repeating: magnitude, count: 100), to: 0x1p-40, scale: 0x1p40)
    #expect(outcome == (magnitude > 1e-12 ? .clipped : .within))
    #expect(norm(result) <= 1 && result.allSatisfy(\.isFinite))
    if outcome == .clipped { #expect(norm(result) > 1 - 1e-6) }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity, .signalingNaN]) func takesWhatIsNotFiniteAsZero(value: Double) {
    let (result, outcome) = clip([1, value, 1e300], to: 1)
    #expect(outcome == .notFinite && result == [0, 0, 0])
  }

  @Test func normIsConservative() {
    var randomness = SeededRandomness(seed: 6)
    for dimension in [1, 7, 1000, 100_000] {
      let (result, _) = clip(randomness.vector(dimension: dimension, norm: 123), to: 1, scale: 1024)
      #expect(norm(result) <= 1024 && norm(result) > 1024 * (1 - 1e-6))
    }
  }
}
