import SecureAggregation

/// The term of one organisation in one round, made from the seed whenever it is read: nothing is kept.
///
/// Coordinates are uniform in the range that the encoding allows, counters in their bound.
struct SimulatedTerm: TermSource {
  let tensorCount: Int
  let counterCount: Int
  private let tensorSeed: UInt64
  private let counterSeed: UInt64
  /// The largest coordinate; they are −largest … largest.
  private let largest: UInt32
  private let wordMask: UInt32

  init(organization: Int, round: Int, settings: SimulationSettings, scale: Double) {
    tensorCount = settings.dimension
    counterCount = settings.counters
    tensorSeed = SeededGenerator.seed(
      settings.seed, purpose: .tensors, round: round, organization: organization)
    counterSeed = SeededGenerator.seed(
      settings.seed, purpose: .counters, round: round, organization: organization)
    // The scale is a power of two, and the largest coordinate is below 2^31.
    largest = UInt32((SimulationSettings.clip * scale).rounded(.up))
    wordMask = UInt32.max >> UInt32(32 - settings.bits)
  }

  /// The coordinate in Z_{2^bits}.
  func coordinate(_ index: Int) -> UInt32 {
    // One draw for two coordinates.
    let pair = SeededGenerator.mixed(tensorSeed &+ UInt64(index &>> 1) &* SeededGenerator.increment)
    let draw = index & 1 == 0 ? pair & 0xffff_ffff : pair &>> 32
    let span = 2 &* UInt64(largest) &+ 1
    return (UInt32(truncatingIfNeeded: (draw &* span) &>> 32) &- largest) & wordMask
  }

  /// The counter in Z_{2^64}.
  func counter(_ index: Int) -> UInt64 {
    let draw = SeededGenerator.mixed(counterSeed &+ UInt64(index) &* SeededGenerator.increment)
    return draw % (2 * SimulationSettings.counterBound + 1) &- SimulationSettings.counterBound
  }

  func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
    for (slot, index) in range.enumerated() { buffer[slot] = coordinate(index) }
  }

  func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {
    for (slot, index) in range.enumerated() { buffer[slot] = counter(index) }
  }
}

/// The sum of terms in the clear, added word by word: shares no code with the machines, so that it can judge them.
struct ClearSum: Sendable {
  private static let runLength = 1 << 13

  let words: [UInt32]
  let counters: [Int64]

  /// - Parameter terms: of those whose masked input the server took.
  init(of terms: [SimulatedTerm], settings: SimulationSettings, workers: Workers) {
    let mask = UInt32.max >> UInt32(32 - settings.bits)
    let starts = Array(stride(from: 0, to: settings.dimension, by: Self.runLength))
    words = workers.map(starts) { start in
      var run = [UInt32](repeating: 0, count: min(Self.runLength, settings.dimension - start))
      for term in terms {
        for slot in run.indices { run[slot] &+= term.coordinate(start + slot) }
      }
      return run.map { $0 & mask }
    }.flatMap { $0 }
    counters = (0..<settings.counters).map { index in
      terms.reduce(into: Int64(0)) { $0 &+= Int64(bitPattern: $1.counter(index)) }
    }
  }
}
