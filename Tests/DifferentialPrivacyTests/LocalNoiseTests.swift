import Foundation
import NoiseSampling
import Testing

@testable import DifferentialPrivacy

@Suite("Noise of one organisation alone")
struct LocalNoiseTests {
  /// ln of the moment of order α of the one distribution over the other, summed over the integers.
  private static func logMoment(_ one: [Double], _ other: [Double], order: Double) -> Double {
    log(zip(one, other).reduce(0) { $0 + $1.1 * exp(order * (log($1.0) - log($1.1))) })
  }

  /// With and without a record that moves the sum by `shift`: discrete Gaussian noise over a Poisson sample, exactly.
  private static func pair(sigma: Double, shift: Int, probability: Double) -> (with: [Double], without: [Double]) {
    let reach = Int(30 * sigma) + shift
    let weights = (-reach...reach).map { exp(-Double($0 * $0) / (2 * sigma * sigma)) }
    let moved = (-reach...reach).map { exp(-Double(($0 - shift) * ($0 - shift)) / (2 * sigma * sigma)) }
    let total = weights.reduce(0, +)
    return (
      zip(weights, moved).map { ((1 - probability) * $0 + probability * $1) / total }, weights.map { $0 / total }
    )
  }

  @Test(
    "The curve is the exact moment at integer orders, and bounds the other direction and smaller shifts",
    arguments: [(2.0, 3, 0.2), (0.6, 1, 0.5), (4, 5, 0.01), (3, 2, 0.25)])
  func curveIsExact(sigma: Double, sensitivity: Int, probability: Double) throws {
    let curve = try RenyiCurve.poissonSubsampledDiscreteGaussian(
      noiseMultiplier: sigma / Double(sensitivity), samplingProbability: probability)
    for (order, value) in zip(RenyiCurve.defaultOrders, curve.values) {
      guard order == order.rounded() else {
        #expect(value == .infinity)
        continue
      }
      // Beyond, the largest terms lie outside of what is summed here.
      guard order <= 6 else { continue }
      for shift in 1...sensitivity {
        let (with, without) = Self.pair(sigma: sigma, shift: shift, probability: probability)
        let added = Self.logMoment(with, without, order: order) / (order - 1)
        let removed = Self.logMoment(without, with, order: order) / (order - 1)
        #expect(added <= value * (1 + 1e-9) + 1e-12 && removed <= added * (1 + 1e-9) + 1e-12)
        if shift == sensitivity { #expect(abs(added / value - 1) < 1e-8) }
      }
    }
  }

  @Test("No smaller than for the continuous Gaussian, and without sampling its own")
  func againstTheGaussian() throws {
    let sampled = PrivacyEvent.poissonSubsampledDiscreteGaussian(noiseMultiplier: 1.1, samplingProbability: 0.1)
    let continuous = PrivacyEvent.poissonSubsampledGaussian(noiseMultiplier: 1.1, samplingProbability: 0.1)
    func epsilon(_ event: PrivacyEvent) throws -> Double {
      var composition = PrivacyComposition()
      try composition.compose(event, count: 100)
      #expect(try (composition.privacyLossDistribution() == nil) == (event == sampled))
      return try composition.renyiCurve().epsilon(delta: 1e-5)
    }
    #expect(try epsilon(sampled) >= epsilon(continuous) && epsilon(sampled) < 1.2 * epsilon(continuous))
    let full = try RenyiCurve.poissonSubsampledDiscreteGaussian(noiseMultiplier: 2, samplingProbability: 1)
    #expect(full.values.last == 128.0 as Double)
    #expect(try RenyiCurve.poissonSubsampledDiscreteGaussian(noiseMultiplier: 2, samplingProbability: 0) == .none)
    #expect(throws: PrivacyAccountingError.self) {
      try RenyiCurve.poissonSubsampledDiscreteGaussian(noiseMultiplier: 2, samplingProbability: 1.5)
    }
  }

  @Test("Calibration achieves its ε, with hardly more noise than needed", arguments: [0.5, 3, 8])
  func calibration(epsilon: Double) throws {
    func noise(_ multiplier: Double) throws -> LocalNoise {
      try LocalNoise(
        noiseMultiplier: multiplier, clip: 1.5, samplingProbability: 0.1, releases: 400, delta: 1e-5)
    }
    let found = try LocalNoise.calibrated(
      epsilon: epsilon, clip: 1.5, samplingProbability: 0.1, releases: 400, delta: 1e-5)
    var composition = PrivacyComposition()
    try composition.compose(found.event, count: 400)
    #expect(try composition.epsilon(delta: 1e-5) == found.epsilon && found.epsilon <= epsilon)
    #expect(try noise(found.noiseMultiplier * 0.999).epsilon > epsilon)
  }

  @Test("What is charged is never more than what is drawn, from the least noise to the most")
  func figures() throws {
    for clip in [0x1p-40, 0.3, 1, 4, 1000.7, 0x1p40] {
      for multiplier in [0x1p-10, 0.7, 1, 30, 0x1p10, 0x1p20] {
        let noise = try LocalNoise(
          noiseMultiplier: multiplier, clip: clip, samplingProbability: 0.5, releases: 1, delta: 1e-5)
        #expect(noise.sensitivity >= 1 && Double(noise.sensitivity) <= clip * noise.scale)
        #expect(clip * noise.scale <= 0x1p19)
        guard case .poissonSubsampledDiscreteGaussian(let charged, 0.5) = noise.event else {
          Issue.record("another event")
          continue
        }
        #expect(charged <= noise.noiseMultiplier && noise.noiseMultiplier >= multiplier * (1 - 1e-12))
        #expect(noise.noiseMultiplier < multiplier * 1.0002)
      }
    }
    let noise = try LocalNoise(noiseMultiplier: 2, clip: 4, samplingProbability: 0.5, releases: 1, delta: 1e-5)
    var randomness = SeededRandomness(seed: 5)
    let variance = moments(noise.samples(count: 20_000, using: &randomness)).variance
    let expected = 2 * Double(noise.sensitivity)
    #expect(abs(variance / (expected * expected) - 1) < 0.05)
    #expect(abs(noise.deviation - 8) < 1e-3)
  }

  @Test func refusesParameters() {
    func error(
      multiplier: Double = 1, clip: Double = 1, probability: Double = 0.5, releases: Int = 1, delta: Double = 1e-5
    ) -> MechanismError? {
      do throws(MechanismError) {
        _ = try LocalNoise(
          noiseMultiplier: multiplier, clip: clip, samplingProbability: probability, releases: releases, delta: delta)
        return nil
      } catch { return error }
    }
    #expect(error() == nil)
    for value in [0, -1, .nan, .infinity] {
      #expect(error(multiplier: value) == .parameter(.noiseMultiplier))
      #expect(error(clip: value) == .parameter(.clip))
      #expect(error(probability: value) == .parameter(.samplingProbability))
      #expect(error(delta: value) == .parameter(.delta))
    }
    #expect(error(probability: 0.51) == .parameter(.samplingProbability))
    #expect(error(releases: 0) == .parameter(.releases))
    #expect(throws: MechanismError.targetOutOfReach(epsilon: 1e-9)) {
      try LocalNoise.calibrated(epsilon: 1e-9, clip: 1, samplingProbability: 0.5, releases: 1 << 24, delta: 1e-17)
    }
  }
}
