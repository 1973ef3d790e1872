import Foundation
import NoiseSampling
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismNoiseTests {
  /// So many integers that carry nothing but the sum of `shares` shares.
  private func sum(
    of shares: Int, _ noise: NoiseShare, count: Int, using randomness: inout SeededRandomness
  ) -> [Int64] {
    var total = [Int64](repeating: 0, count: count)
    for _ in 0..<shares { noise.add(to: &total, using: &randomness) }
    return total
  }

  /// Ten organisations, of which seven must stay and two collude: with all, with the fewest and with the honest ones of
  /// the fewest alone, the variance of the sum is at least the plan's; that of one share, or one too few, is not.
  @Test(arguments: NoiseMechanism.allCases, [8.0, 3000.0])
  func variancesAddUpToThePlan(mechanism: NoiseMechanism, planned: Double) throws {
    var randomness = SeededRandomness(seed: 51)
    let noise = try NoiseShare(
      mechanism: mechanism, centralVariance: planned, cohort: cohort(10, minimum: 7, corrupt: 2))
    #expect(noise.honestShares == 5)
    #expect(noise.centralVariance >= planned && noise.centralVariance <= planned * (1 + 0x1p-15))
    let count = 20_000
    // The variance of 20000 draws is known to a hundredth.
    for (shares, factor) in [(10, 2.0), (7, 1.4), (5, 1.0), (4, 0.8), (1, 0.2)] {
      let (mean, variance) = moments(sum(of: shares, noise, count: count, using: &randomness))
      #expect(abs(variance / (planned * factor) - 1) < 0.05)
      #expect(abs(mean) < 5 * (planned * factor / Double(count)).squareRoot())
      if shares >= 7 { #expect(variance > 1.2 * planned) }
      if shares < 5 { #expect(variance < 0.9 * planned) }
    }
  }

  /// What leaves one organisation is its integers and one share.
  @Test(arguments: NoiseMechanism.allCases) func contributionsCarryOneShare(mechanism: NoiseMechanism) throws {
    var randomness = SeededRandomness(seed: 52)
    let noise = try NoiseShare(mechanism: mechanism, centralVariance: 300, cohort: cohort(4))
    let noised = NoisedIntegers([Int64](repeating: 50, count: 20_000), adding: noise, using: &randomness)
    let (mean, variance) = moments(noised.values.map { $0 - 50 })
    #expect(abs(mean) < 0.4 && abs(variance / 100 - 1) < 0.05)
  }

  @Test(arguments: [0.25, 0.3, 1, 1.0000001, 3.7, 99_999.9, 1e9, 0x1p40])
  func variancesAreRoundedUp(variance: Double) throws {
    let rational = try NoiseShare.roundedUp(variance)
    #expect(rational.roundedDown >= variance && rational.roundedDown <= variance * (1 + 0x1p-15))
    // Exactly, in integers: numerator ≥ variance · denominator.
    #expect(Double(rational.numerator) >= variance * Double(rational.denominator))
    #expect(rational.denominator <= 1 << 20)
    // Both samplers take it.
    for mechanism in NoiseMechanism.allCases {
      #expect(
        try NoiseShare(mechanism: mechanism, localVariance: rational, honestShares: 1).localVariance == rational)
    }
  }

  @Test func chargedVariancesAreNeverRoundedUp() throws {
    let third = try #require(PositiveRational(numerator: 1, denominator: 3))
    #expect(third.roundedDown < 1.0 / 3 && third.roundedDown > 1.0 / 3 - 1e-15)
    let exact = try #require(PositiveRational(numerator: 7, denominator: 8))
    #expect(exact.roundedDown == 0.875)
    let large = try #require(PositiveRational(numerator: (1 << 60) - 1, denominator: 1 << 20))
    #expect(large.roundedDown < 0x1p40)
  }

  @Test(arguments: NoiseMechanism.allCases) func refusesNoiseThatTheGridShowsThrough(mechanism: NoiseMechanism) throws {
    let cohort = try cohort(10, minimum: 9)
    #expect(try NoiseShare(mechanism: mechanism, centralVariance: 2, cohort: cohort).localVariance.roundedDown == 0.25)
    let error = #expect(throws: MechanismError.self) {
      try NoiseShare(mechanism: mechanism, centralVariance: 1.99, cohort: cohort)
    }
    guard case .noiseTooNarrow(let deviation) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(deviation < 0.5 && deviation > 0.49)
    let narrow = try #require(PositiveRational(numerator: 24_999, denominator: 100_000))
    #expect(throws: MechanismError.self) {
      try NoiseShare(mechanism: mechanism, localVariance: narrow, honestShares: 8)
    }
    for variance in [0, -1, .nan, .infinity, 0x1p44] {
      #expect(throws: MechanismError.parameter(.variance)) {
        try NoiseShare(mechanism: mechanism, centralVariance: variance, cohort: cohort)
      }
    }
    // Denominators that the samplers do not take.
    let fine = try #require(PositiveRational(numerator: (1 << 21) + 1, denominator: 1 << 21))
    #expect(throws: MechanismError.parameter(.variance)) {
      try NoiseShare(mechanism: mechanism, localVariance: fine, honestShares: 8)
    }
    #expect(throws: MechanismError.parameter(.assumedCorrupt)) {
      try NoiseShare(mechanism: mechanism, localVariance: try NoiseShare.roundedUp(1), honestShares: 0)
    }
  }

  /// n_c is at least 1: one's own share hides nothing from oneself.
  @Test(arguments: [(2, 2, 0), (5, 3, 3), (5, 1, 0), (5, 6, 1), (1_000_001, 3, 1), (5, 3, -1)])
  func refusesCohorts(size: Int, minimum: Int, corrupt: Int) {
    #expect(throws: MechanismError.self) {
      try NoiseCohort(size: size, minimum: minimum, assumedCorrupt: corrupt)
    }
  }

  /// Chances of 2^−6 are seen, and are no larger; nor is the bound out of proportion.
  @Test(arguments: NoiseMechanism.allCases, [1.0, 50.0])
  func tailsAreBounded(mechanism: NoiseMechanism, variance: Double) throws {
    var randomness = SeededRandomness(seed: 53)
    let noise = try NoiseShare(mechanism: mechanism, centralVariance: variance, cohort: cohort(2))
    let bound = NoiseTail.bound(mechanism, variance: 3 * variance, coordinates: 16, bits: 6)
    var exceeded = 0
    for _ in 0..<4000 {
      let total = sum(of: 3, noise, count: 16, using: &randomness)
      if total.contains(where: { Double($0.magnitude) > bound }) { exceeded += 1 }
    }
    // 4000/64 = 62.5
    #expect(exceeded <= 62)
    #expect(bound < 6 * (3 * variance).squareRoot())
  }

  @Test func skellamTailIsBetweenGaussianAndBernstein() {
    for variance in [0.5, 1, 30, 1e4, 1e10] {
      for bits in [6.0, 41, 100] {
        let logarithm = log(2 * 1000) + bits * log(2.0)
        let bound = NoiseTail.bound(.skellam, variance: variance, coordinates: 1000, bits: bits)
        #expect(bound >= (2 * variance * logarithm).squareRoot())
        #expect(bound <= logarithm / 3 + (logarithm * logarithm / 9 + 2 * variance * logarithm).squareRoot() * 1.0001)
        #expect(abs(NoiseTail.skellamRate(bound, variance: variance) / logarithm - 1) < 1e-6)
      }
    }
  }
}
