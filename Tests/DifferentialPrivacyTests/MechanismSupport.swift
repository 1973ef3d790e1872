import Foundation

@testable import DifferentialPrivacy

/// SplitMix64: the same numbers for a seed on every machine.
struct SeededRandomness: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Normal, by Box and Muller.
  mutating func normal() -> Double {
    (-2 * log(1 - uniform())).squareRoot() * cos(2 * .pi * uniform())
  }

  /// A vector in a random direction.
  mutating func vector(dimension: Int, norm length: Double) -> [Double] {
    let direction = (0..<dimension).map { _ in normal() }
    let factor = length / norm(direction)
    return direction.map { $0 * factor }
  }
}

func norm(_ vector: [Double]) -> Double { vector.reduce(0) { $0 + $1 * $1 }.squareRoot() }

/// Σ vᵢ², for small integers.
func squaredNorm(_ vector: [Int64]) -> UInt64 { vector.reduce(0) { $0 + $1.magnitude * $1.magnitude } }

/// Vectors of norm `length` that try to be longer once they are rounded.
func adversarialVectors(dimension: Int, norm length: Double) -> [[Double]] {
  var vectors = [
    [Double](repeating: length / Double(dimension).squareRoot(), count: dimension),
    (0..<dimension).map { ($0.isMultiple(of: 2) ? 1 : -1) * length / Double(dimension).squareRoot() },
    [length] + [Double](repeating: 0, count: dimension - 1),
    [Double](repeating: 0, count: dimension - 1) + [-length],
  ]
  // Everything just above an integer, or on a half, as far as the norm allows.
  for step in [0.5, 1.5, 0.01] where Double(dimension).squareRoot() * step <= length {
    var vector = [Double](repeating: step, count: dimension)
    let ratio = step / length
    vector[0] = length * max(1 - Double(dimension - 1) * ratio * ratio, 0).squareRoot() * (1 - 0x1p-50)
    vectors.append(vector)
  }
  return vectors
}

/// Mean and variance about zero.
func moments(_ values: [Int64]) -> (mean: Double, variance: Double) {
  let count = Double(values.count)
  return (values.reduce(0) { $0 + Double($1) } / count, values.reduce(0) { $0 + Double($1) * Double($1) } / count)
}

func cohort(_ size: Int, minimum: Int? = nil, corrupt: Int = 1) throws -> NoiseCohort {
  try NoiseCohort(size: size, minimum: minimum ?? size, assumedCorrupt: corrupt)
}
