/// What a sequence of draws is for: draws for one purpose never depend on how many were made for another.
enum DrawPurpose: UInt64, Sendable {
  case script = 1
  case tensors = 2
  case counters = 3
}

/// Reproducible draws (SplitMix64, Steele et al. 2014). For terms, dropouts and faults, and never for keys.
struct SeededGenerator: RandomNumberGenerator, Sendable {
  static let increment: UInt64 = 0x9e37_79b9_7f4a_7c15

  private var state: UInt64

  init(seed: UInt64, purpose: DrawPurpose, round: Int, organization: Int = 0) {
    state = Self.seed(seed, purpose: purpose, round: round, organization: organization)
  }

  /// A seed of its own for each purpose, round and organisation.
  static func seed(_ seed: UInt64, purpose: DrawPurpose, round: Int, organization: Int) -> UInt64 {
    [purpose.rawValue, UInt64(round), UInt64(organization)].reduce(mixed(seed &+ increment)) {
      mixed($0 ^ mixed($1 &+ increment))
    }
  }

  /// A bijection on 64 bits whose outputs look independent.
  static func mixed(_ input: UInt64) -> UInt64 {
    var value = (input ^ (input &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value &>> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value &>> 31)
  }

  mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mixed(state)
  }
}
