import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismAdaptiveClippingTests {
  @Test func multiplierOfTheUpdate() throws {
    // z = 1, n = 100, σ_b = n/20
    #expect(abs(try AdaptiveClipping.updateMultiplier(total: 1, bitDeviation: 5) - 1.005038) < 5e-7)
    for (total, deviation) in [(0.0, 5.0), (-1, 5), (10, 5), (11, 5), (.nan, 5), (1, .nan)] {
      #expect(throws: MechanismError.parameter(.noiseMultiplier)) {
        try AdaptiveClipping.updateMultiplier(total: total, bitDeviation: deviation)
      }
    }
  }

  /// Update and bit with Gaussian noise are one release with z, by adding their curves.
  @Test func curvesOfUpdateAndBitAddUp() throws {
    let update = try AdaptiveClipping.updateMultiplier(total: 1, bitDeviation: 5)
    var composition = PrivacyComposition()
    try composition.compose(.gaussian(noiseMultiplier: update), count: 10)
    try composition.compose(.gaussian(noiseMultiplier: 10), count: 10)
    var single = PrivacyComposition()
    try single.compose(.gaussian(noiseMultiplier: 1), count: 10)
    #expect(abs(try composition.epsilon(delta: 1e-5) - single.epsilon(delta: 1e-5)) < 1e-9)
    let curves = try zip(composition.renyiCurve().values, single.renyiCurve().values)
    #expect(curves.allSatisfy { abs($0 / $1 - 1) < 1e-12 })
  }

  /// The same with the discrete mechanisms: the bit's section costs what it does there, never nothing.
  @Test(arguments: NoiseMechanism.allCases) func discreteCurvesAreAdded(mechanism: NoiseMechanism) throws {
    let parameters = try MechanismParameters(
      unit: .organization, mechanism: mechanism, clip: 1, dimension: 1000,
      cohort: cohort(100, minimum: 90, corrupt: 10), bits: 24)
    let bit = try CounterSection(name: "clip-bit", count: 1, releases: 10, level: .fixed(10))
    // Enough noise for integer orders to be no coarser than the others.
    let update = try AdaptiveClipping.updateMultiplier(total: 4, bitDeviation: 5)
    let plan = try NoiseCalibration(parameters: parameters, rounds: 10, counters: [bit])
      .plan(noiseMultiplier: update, delta: 1e-5)
    let alone = try NoiseCalibration(parameters: parameters, rounds: 10).plan(noiseMultiplier: update, delta: 1e-5)
    let gaussian = try RenyiCurve.gaussian(noiseMultiplier: 4).repeated(10).epsilon(delta: 1e-5)
    #expect(plan.epsilon > alone.epsilon * 1.002)
    #expect(abs(plan.epsilon / gaussian - 1) < 0.01)
  }

  @Test func followsTheQuantile() throws {
    let clipping = try AdaptiveClipping(quantile: 0.7, learningRate: 0.2)
    var randomness = SeededRandomness(seed: 61)
    let share = try NoiseShare(
      mechanism: .distributedDiscreteGaussian, centralVariance: 100, cohort: cohort(100))
    var clip = 0.01
    // Norms are uniform in 0…10: the quantile is at 7.
    for _ in 0..<150 {
      var total: Int64 = 0
      for _ in 0..<100 {
        let outcome: NormClipping.Outcome = randomness.uniform() * 10 <= clip ? .within : .clipped
        var counters = try CounterContribution(count: 1, sensitivity: .one)
        try counters.add([AdaptiveClipping.bit(for: outcome)])
        total += counters.finish(adding: share, using: &randomness).values[0]
      }
      clip = clipping.nextClip(after: clip, sum: total, organizations: 100)
    }
    #expect(clip > 5.5 && clip < 8.5)
  }

  @Test func stepsByTheFormulaAndWithinItsRange() throws {
    let clipping = try AdaptiveClipping(quantile: 0.5, learningRate: 0.2)
    #expect(clipping.fraction(sum: 20, organizations: 100) == 0.6)
    #expect(abs(clipping.nextClip(after: 2, sum: 20, organizations: 100) - 2 * exp(-0.02)) < 1e-12)
    // Noise that carries the share out of 0…1 moves the clip no further.
    #expect(clipping.fraction(sum: 500, organizations: 100) == 1)
    #expect(clipping.fraction(sum: -500, organizations: 100) == 0)
    #expect(clipping.fraction(sum: 0, organizations: 0) == 0.5)
    #expect(clipping.nextClip(after: 0x1p40, sum: -100, organizations: 100) == 0x1p40)
    #expect(clipping.nextClip(after: 0x1p-40, sum: 100, organizations: 100) == 0x1p-40)
    #expect(AdaptiveClipping.bit(for: .within) == 1 && AdaptiveClipping.bit(for: .clipped) == -1)
    #expect(AdaptiveClipping.bit(for: .notFinite) == -1)
    for quantile in [0, 1, -0.5, .nan] {
      #expect(throws: MechanismError.parameter(.quantile)) {
        try AdaptiveClipping(quantile: quantile, learningRate: 0.2)
      }
    }
    for rate in [0, -1, 10.5, .infinity, .nan] {
      #expect(throws: MechanismError.parameter(.learningRate)) {
        try AdaptiveClipping(quantile: 0.5, learningRate: rate)
      }
    }
  }
}

@Suite struct MechanismCentralTests {
  @Test func addsAllOfTheNoise() throws {
    var randomness = SeededRandomness(seed: 71)
    let central = try CentralGaussian(noiseMultiplier: 3, squaredL2Sensitivity: 100)
    var sum = [Int64](repeating: -7, count: 20_000)
    central.add(to: &sum, using: &randomness)
    let (mean, variance) = moments(sum.map { $0 + 7 })
    #expect(abs(variance / 900 - 1) < 0.05 && abs(mean) < 1.1)
    #expect(central.noiseMultiplier >= 2.9999999 && central.noiseMultiplier < 3.0001)
    // As the continuous Gaussian.
    var composition = PrivacyComposition()
    try composition.compose(central.event)
    let gaussian = try RenyiCurve.gaussian(noiseMultiplier: 3).epsilon(delta: 1e-5)
    #expect(abs(try composition.epsilon(delta: 1e-5) - gaussian) < 1e-3)
    #expect(CentralGaussian.trust.contains("trusted"))
  }

  @Test func refusesParameters() {
    for multiplier in [0, -1, .nan, .infinity] {
      #expect(throws: MechanismError.parameter(.noiseMultiplier)) {
        try CentralGaussian(noiseMultiplier: multiplier, squaredL2Sensitivity: 1)
      }
    }
    #expect(throws: MechanismError.parameter(.sensitivity)) {
      try CentralGaussian(noiseMultiplier: 1, squaredL2Sensitivity: 0)
    }
    let narrow = #expect(throws: MechanismError.self) {
      try CentralGaussian(noiseMultiplier: 0.25, squaredL2Sensitivity: 1)
    }
    #expect(narrow?.code == "privacy-noise-too-narrow")
    #expect(throws: MechanismError.parameter(.variance)) {
      try CentralGaussian(noiseMultiplier: 1000, squaredL2Sensitivity: 1 << 40)
    }
  }
}
