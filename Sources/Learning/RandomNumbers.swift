/// xoshiro256** 1.0 of Blackman and Vigna, its state filled by SplitMix64 from a 64-bit seed.
///
/// The sequence for a seed is part of the project's formats: splits and synthetic data must be the same on every
/// machine and in every version. Not for anything secret.
public struct Xoshiro256StarStar: RandomNumberGenerator, Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  public init(seed: UInt64) {
    var filler = SplitMix64(seed: seed)
    state = (filler.next(), filler.next(), filler.next(), filler.next())
  }

  init(state: (UInt64, UInt64, UInt64, UInt64)) {
    self.state = state
  }

  public mutating func next() -> UInt64 {
    let product = state.1 &* 5
    let result = ((product << 7) | (product >> 57)) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = (state.3 << 45) | (state.3 >> 19)
    return result
  }

  /// A uniform integer in `0..<bound`, `bound` above zero, by rejection: exactly uniform, no library's choice in it.
  public mutating func integer(below bound: UInt64) -> UInt64 {
    // Values below 2^64 mod bound are the surplus that would favour small results.
    let surplus = (0 &- bound) % bound
    while true {
      let value = next()
      if value >= surplus { return value % bound }
    }
  }

  /// A uniform multiple of 2^-53 in [0, 1).
  public mutating func unitInterval() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Fisher–Yates, from the last position down.
  public mutating func shuffle<T>(_ elements: inout [T]) {
    guard elements.count > 1 else { return }
    for last in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(last, Int(integer(below: UInt64(last) + 1)))
    }
  }
}

/// SplitMix64 of Steele, Lea and Flood: fills states and mixes seeds.
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) {
    state = seed
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
