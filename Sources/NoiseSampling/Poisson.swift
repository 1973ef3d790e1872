/// The Poisson distribution: k with probability e^(−mean) meanᵏ/k!, exactly.
///
/// Rejection from blocks around the mode, in expected constant time whatever the mean is (the idea is that of sublinear
/// binomial samplers: Farach-Colton and Tsai, "Exact Sublinear Binomial Sampling", 2015; Bringmann et al., "Internal DLA:
/// Efficient Simulation of a Physical Growth Model", 2014). A proposal k is accepted with a probability that is a rational
/// number, p(k)/p(m) over the proposal's, where m is the mode. An estimate with a proven error decides nearly always;
/// else the product of the factors of p(k)/p(m) does, with as many digits as it takes.
///
/// Trials are independent, and each of them does the same work with two words, so the time that a sample takes depends on
/// how many were rejected, which is independent of the sample; about one in ten is. See <doc:NoiseSampling> for what that
/// does not cover.
public struct Poisson: Sampler {
  public let mean: PositiveRational
  private let table: PoissonTable

  /// `nil` unless the mean is at most 2⁴⁰ and its reduced denominator at most 2²¹.
  ///
  /// Computes a table of at most some 400 entries.
  public init?(mean: PositiveRational) { self.init(mean: mean, tuning: .standard) }

  init?(mean: PositiveRational, tuning: PoissonTuning) {
    guard SamplerRange.contains(mean, denominatorUpTo: 2 * SamplerRange.largestDenominator) else { return nil }
    self.mean = mean
    table = PoissonTable(mean: mean, tuning: tuning)
  }

  /// One draw.
  /// - Parameter generator: cryptographically secure, under a fresh seed; see <doc:NoiseSampling>.
  public func sample(using generator: inout some RandomNumberGenerator) -> UInt64 {
    while true {
      let (first, second) = (generator.next(), generator.next())
      let proposal = table.proposal(first)
      switch table.verdict(on: proposal, digits: second) {
      case .below: return proposal.value
      case .notBelow: continue
      case .undecided:
        if let value = resolve(proposal, digits: second, using: &generator) { return value }
      }
    }
  }

  /// Exactly, where the estimate leaves it open, and in the tails.
  private func resolve(
    _ proposal: PoissonProposal, digits: UInt64, using generator: inout some RandomNumberGenerator
  ) -> UInt64? {
    var value = proposal.value
    // Accepted with p(k)/p(m) · factor / weight.
    var factor = Natural(table.scale)
    if proposal.slot >= table.blockCount {
      let tail = table.tails[proposal.slot - table.blockCount]
      let steps = tail.length / table.width
      // All of the tail is below its first value, so most proposals need no product.
      let limit = UInt128(tail.bound) * UInt128(2 * table.scale * steps) / UInt128(proposal.weight) + 1
      if UInt128(digits) >= limit { return nil }
      let block = Self.leadingZeros(using: &generator)
      let distance = tail.start + block * tail.length + generator.next() & (tail.length - 1)
      guard tail.isAbove || distance <= table.ratio.mode else { return nil }
      value = tail.isAbove ? table.ratio.mode + distance : table.ratio.mode - distance
      factor = (factor * Natural(steps)) << Int(block + 1)
    }
    var acceptance = LazyUniform(digits: digits, count: 64)
    let isAccepted = acceptance.isBelow(using: &generator) {
      let bounds = table.ratio.bounds(of: value, fractionBits: $0)
      let weight = Natural(UInt64(proposal.weight))
      return Bounds(
        lower: bounds.lower * factor / weight, upper: bounds.upper * factor / weight + Natural(1))
    }
    return isAccepted ? value : nil
  }

  /// i with probability 2^(−i − 1).
  private static func leadingZeros(using generator: inout some RandomNumberGenerator) -> UInt64 {
    var count: UInt64 = 0
    while true {
      let word = generator.next()
      count += UInt64(word.leadingZeroBitCount)
      if word != 0 { return count }
    }
  }
}

/// A value that a trial proposes.
struct PoissonProposal {
  /// Meaningless for a slot that is not a block.
  let value: UInt64
  let slot: Int
  let weight: UInt32
  /// |value − mode|.
  let distance: UInt64
  /// Ones if the value is the mode or below it.
  let below: UInt64
  /// From the table, if it has one.
  let ratio: UInt64
}

extension PoissonTable {
  /// The lower half of the word chooses a slot, the upper half a value in its block. Every entry is read, whatever the word
  /// is.
  @inline(__always)
  func proposal(_ word: UInt64) -> PoissonProposal {
    let selection = word & 0xFFFF_FFFF
    var slot: UInt64 = 0
    ends.withUnsafeBufferPointer { ends in
      for end in ends { slot &-= ~Mask.isLess(selection, UInt64(end)) }
    }
    let weight = Self.entry(slot, of: weights)
    let ratio = Self.entry(slot, of: ratios)
    let below = ~Mask.isLess(slot, UInt64(aboveCount))
    let block = slot &- (UInt64(aboveCount) & below)
    let distance = block &* width &+ (word >> 32 & (width &- 1)) &+ (1 & ~below)
    return PoissonProposal(
      value: self.ratio.mode &+ Mask.negate(distance, if: below), slot: Int(slot), weight: UInt32(weight),
      distance: distance, below: below, ratio: ratio)
  }

  /// The entry at an index, or zero beyond the table.
  @inline(__always)
  private static func entry<Word: UnsignedInteger & FixedWidthInteger>(_ index: UInt64, of table: [Word]) -> UInt64 {
    table.withUnsafeBufferPointer { table in
      var entry: UInt64 = 0
      var position: UInt64 = 0
      for candidate in table {
        entry |= UInt64(truncatingIfNeeded: candidate) & Mask.isEqual(position, index)
        position &+= 1
      }
      return entry
    }
  }

  /// Whether it is accepted, given the first 64 digits of a uniform number.
  @inline(__always)
  func verdict(on proposal: PoissonProposal, digits: UInt64) -> Verdict {
    guard proposal.slot < blockCount else { return proposal.slot < weights.count ? .undecided : .notBelow }
    // Below zero.
    guard proposal.below & Mask.isLess(ratio.mode, proposal.distance) == 0 else { return .notBelow }
    let estimate =
      estimate.map { $0.ratio(distance: proposal.distance, below: proposal.below) } ?? proposal.ratio
    // Both sides times 2⁶⁴ · weight; all products are below 2⁹⁷.
    let uniform = UInt128(digits) * UInt128(proposal.weight)
    let middle = UInt128(estimate) * UInt128(scale)
    let margin = UInt128(tolerance) * UInt128(scale)
    if uniform + UInt128(proposal.weight) + margin <= middle { return .below }
    return uniform >= middle + margin ? .notBelow : .undecided
  }
}
