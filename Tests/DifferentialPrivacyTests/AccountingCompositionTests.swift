import DifferentialPrivacy
import Foundation
import Testing

/// Numbers that are the same on every run.
struct FixedRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  mutating func decades(_ low: Double, _ high: Double) -> Double {
    exp(Double.random(in: log(low)...log(high), using: &self))
  }
}

@Suite("Accounting: composition")
struct AccountingCompositionTests {
  private static func event(_ draw: inout FixedRandom, renyiOnly: Bool) throws -> PrivacyEvent {
    switch Int.random(in: 0..<(renyiOnly ? 8 : 5), using: &draw) {
    case 0: .gaussian(noiseMultiplier: draw.decades(0.5, 1000))
    case 1:
      .poissonSubsampledGaussian(noiseMultiplier: draw.decades(0.5, 10), samplingProbability: draw.decades(1e-3, 1))
    case 2: .discreteGaussian(sigma: draw.decades(1, 40), sensitivity: Int.random(in: 1...3, using: &draw))
    case 3: .tree(noiseMultiplier: draw.decades(2, 100), leaves: Int.random(in: 1...5000, using: &draw))
    case 4: .pure(epsilon: draw.decades(1e-4, 1))
    case 5: .zeroConcentrated(rho: draw.decades(1e-4, 1))
    case 6: .skellam(try noise(&draw))
    default: .distributedDiscreteGaussian(try noise(&draw))
    }
  }

  private static func noise(_ draw: inout FixedRandom) throws -> DistributedNoise {
    try DistributedNoise(
      squaredL2Sensitivity: draw.decades(1, 100), dimension: Int.random(in: 1...64, using: &draw),
      honestShares: Int.random(in: 1...12, using: &draw), localVariance: draw.decades(1, 1000))
  }

  /// A release more, of whatever kind, never makes ε smaller, by whichever bound.
  @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
  func aReleaseMoreNeverLowersEpsilon(_ seed: UInt64) throws {
    var draw = FixedRandom(state: seed)
    var composition = PrivacyComposition()
    var last = [0.0, 0]
    let deltas = [1e-5, 1e-7]
    for step in 0..<6 {
      // Rényi-only releases come late, so that both ways of accounting and the change between them are seen.
      try composition.compose(
        Self.event(&draw, renyiOnly: step > 3), count: Int(draw.decades(1, 200)))
      for (index, delta) in deltas.enumerated() {
        let epsilon = try composition.epsilon(delta: delta)
        #expect(epsilon.isFinite && epsilon >= last[index] * (1 - 1e-6), "seed \(seed), step \(step)")
        last[index] = epsilon
      }
    }
  }

  /// Charged together or one by one, in whatever order: the same to the last bit, by every way of accounting.
  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
  func jointReleasesCostWhatTheirPartsCost(_ seed: UInt64) throws {
    var draw = FixedRandom(state: seed)
    let parts = try (0..<(2 + Int(seed) % 3)).map { _ in try Self.event(&draw, renyiOnly: seed > 4) }
    var together = PrivacyComposition()
    for _ in 0..<3 { try together.compose(.joint(parts)) }
    try together.compose(.joint(parts.reversed()), count: 4)
    var apart = PrivacyComposition()
    for part in parts.reversed() { try apart.compose(part, count: 7) }
    #expect(together == apart)
    #expect(try together.epsilon(delta: 1e-6) == apart.epsilon(delta: 1e-6))
    #expect(try together.delta(epsilon: 1.5) == apart.delta(epsilon: 1.5))
    let sum = try parts.map { try $0.renyiCurve().values }.reduce(RenyiCurve.none.values) { zip($0, $1).map(+) }
    #expect(try PrivacyEvent.joint(parts).renyiCurve().values == sum)
    #expect(PrivacyEvent.joint(parts).releases == parts && parts[0].releases == [parts[0]])
  }

  @Test func jointReleasesThatAreNoneAreRefusedWhole() throws {
    let one = PrivacyEvent.gaussian(noiseMultiplier: 1)
    var composition = PrivacyComposition()
    try composition.compose(one)
    let before = composition
    for parts in [[], [one], Array(repeating: one, count: 9), [one, .joint([one, one])]] {
      #expect(throws: PrivacyAccountingError.outOfRange(.parts, value: Double(parts.count))) {
        try composition.compose(.joint(parts))
      }
      #expect(throws: PrivacyAccountingError.self) { try PrivacyEvent.joint(parts).renyiCurve() }
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.noiseMultiplier, value: 0)) {
      try composition.compose(.joint([one, .gaussian(noiseMultiplier: 0)]))
    }
    // The second part would be one too many: the first is not added either.
    try composition.compose(.pure(epsilon: 1), count: 1_000_000_000_000)
    let full = composition
    #expect(throws: PrivacyAccountingError.self) { try composition.compose(.joint([one, .pure(epsilon: 1)])) }
    #expect(composition == full && before != full)
  }

  @Test func countsAddUpToTheSame() throws {
    let event = PrivacyEvent.poissonSubsampledGaussian(noiseMultiplier: 1, samplingProbability: 0.01)
    var once = PrivacyComposition()
    try once.compose(event, count: 40)
    try once.compose(.gaussian(noiseMultiplier: 5))
    var often = PrivacyComposition()
    try often.compose(.gaussian(noiseMultiplier: 5))
    for _ in 0..<40 { try often.compose(event) }
    #expect(once == often)
    #expect(try once.epsilon(delta: 1e-6) == often.epsilon(delta: 1e-6))
    #expect(once.events.map(\.count) == [1, 40])
  }

  @Test func epsilonFallsWithNoiseAndDeltaAndRisesWithCount() throws {
    let epsilon = { (noise: Double, probability: Double, count: Int, delta: Double) in
      var composition = PrivacyComposition()
      try composition.compose(
        .poissonSubsampledGaussian(noiseMultiplier: noise, samplingProbability: probability), count: count)
      return try composition.epsilon(delta: delta)
    }
    let base = try epsilon(1, 0.05, 100, 1e-6)
    #expect(try epsilon(1.01, 0.05, 100, 1e-6) < base)
    #expect(try epsilon(1, 0.051, 100, 1e-6) > base)
    #expect(try epsilon(1, 0.05, 101, 1e-6) > base)
    #expect(try epsilon(1, 0.05, 100, 1e-7) > base)
  }

  @Test func theRenyiBoundIsNeverTheTighter() throws {
    for seed in 1...8 as ClosedRange<UInt64> {
      var draw = FixedRandom(state: seed &* 977)
      var composition = PrivacyComposition()
      for _ in 0..<2 {
        try composition.compose(Self.event(&draw, renyiOnly: false), count: Int(draw.decades(1, 100)))
      }
      let renyi = try composition.renyiCurve().epsilon(delta: 1e-6)
      let loss = try #require(try composition.privacyLossDistribution()).epsilon(delta: 1e-6)
      #expect(loss <= renyi * (1 + 1e-9), "seed \(seed)")
      #expect(try composition.epsilon(delta: 1e-6) <= loss)
    }
  }

  @Test func gaussiansAndTreesAreExact() throws {
    var composition = PrivacyComposition()
    try composition.compose(.gaussian(noiseMultiplier: 10), count: 5)
    // Depth 3, so three times the square of one node's share.
    try composition.compose(.tree(noiseMultiplier: 4, leaves: 7), count: 2)
    let precision: Double = 5.0 / 100 + 6.0 / 16
    let noise = 1 / precision.squareRoot()
    let exact = try GaussianMechanism.epsilon(delta: 1e-6, noiseMultiplier: noise)
    #expect(relativeError(try composition.epsilon(delta: 1e-6), exact) < 1e-12)
    let delta = try GaussianMechanism.delta(epsilon: 1, noiseMultiplier: noise)
    #expect(relativeError(try composition.delta(epsilon: 1), delta) < 1e-12)
  }

  @Test func pureReleasesNeedNoDelta() throws {
    var composition = PrivacyComposition()
    try composition.compose(.pure(epsilon: 0.25), count: 3)
    try composition.compose(.pure(epsilon: 0.5))
    #expect(try composition.epsilon(delta: 0) == 1.25)
    #expect(try composition.delta(epsilon: 1.25) == 0)
    #expect(try composition.epsilon(delta: 1e-6) <= 1.25)
    try composition.compose(.gaussian(noiseMultiplier: 100))
    #expect(try composition.epsilon(delta: 0) == .infinity)
  }

  @Test func pureReleaseOfOneIsThatOfRandomisedResponse() throws {
    // r(2) = ln[(e²ᵋ + e⁻ᵋ)/(1 + eᵋ)].
    let index = try #require(RenyiCurve.defaultOrders.firstIndex(of: 2))
    for epsilon in [1e-6, 0.1, 1, 5, 300] {
      let value = try RenyiCurve.pure(epsilon: epsilon).values[index]
      let direct = log((exp(2 * epsilon) + exp(-epsilon)) / (1 + exp(epsilon)))
      #expect(relativeError(value, epsilon < 0.01 ? epsilon * epsilon : direct) < 1e-5)
      #expect(value <= epsilon)
    }
  }

  @Test func withoutNoiseNothingIsPromised() throws {
    var composition = PrivacyComposition()
    try composition.compose(.gaussian(noiseMultiplier: 1))
    try composition.compose(.unbounded)
    #expect(try composition.epsilon(delta: 1e-5) == .infinity)
    #expect(try composition.delta(epsilon: 100) == 1)
    #expect(try composition.guarantee(delta: 1e-5).epsilon == .infinity)
    #expect(try composition.epsilon(delta: 1) == 0)
  }

  @Test func edges() throws {
    var composition = PrivacyComposition()
    #expect(try composition.epsilon(delta: 0) == 0)
    #expect(try composition.delta(epsilon: 0) == 0)
    try composition.compose(.gaussian(noiseMultiplier: 1), count: 0)
    #expect(composition == PrivacyComposition())
    for (noise, probability) in [(1e-9, 0.5), (1e9, 0.5), (0.03, 1e-9), (1, 1e-12), (1, 1 - 1e-12), (0.02, 0.999)] {
      for count in [1, 1_000_000] {
        composition = PrivacyComposition()
        try composition.compose(
          .poissonSubsampledGaussian(noiseMultiplier: noise, samplingProbability: probability), count: count)
        try composition.compose(.pure(epsilon: 1e-3))
        for delta in [0, 1e-300, 1e-6, 1] {
          let epsilon = try composition.epsilon(delta: delta)
          #expect(epsilon >= 0, "\(noise), \(probability), \(count), \(delta)")
        }
        for epsilon in [0, 1, 1e6, .infinity] {
          let delta = try composition.delta(epsilon: epsilon)
          #expect(delta >= 0 && delta <= 1, "\(noise), \(probability), \(count), \(epsilon)")
        }
      }
    }
  }

  @Test func manyKindsAreLeftToTheRenyiBound() throws {
    var composition = PrivacyComposition()
    for index in 0...PrivacyComposition.mostKinds {
      try composition.compose(.pure(epsilon: 1e-3 + 1e-6 * Double(index)))
    }
    #expect(try composition.privacyLossDistribution() == nil)
    #expect(try composition.epsilon(delta: 1e-6) > 0)
  }

  @Test func countsAreBoundedInSum() throws {
    var composition = PrivacyComposition()
    try composition.compose(.gaussian(noiseMultiplier: 1), count: 1_000_000_000_000)
    let before = composition
    #expect(throws: PrivacyAccountingError.outOfRange(.count, value: 1_000_000_000_001)) {
      try composition.compose(.gaussian(noiseMultiplier: 1))
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.count, value: -1)) {
      try composition.compose(.gaussian(noiseMultiplier: 1), count: -1)
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.noiseMultiplier, value: 0)) {
      try composition.compose(.gaussian(noiseMultiplier: 0))
    }
    #expect(composition == before)
  }
}
