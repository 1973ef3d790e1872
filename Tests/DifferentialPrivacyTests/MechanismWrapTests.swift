import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismWrapTests {
  /// Whole rounds at the calibrated width, with the worst vectors there are: all organisations send the same, at the
  /// clip. The sum modulo 2^bits is the sum itself; four bits less and it is not.
  @Test(arguments: NoiseMechanism.allCases) func organizationsDoNotWrap(mechanism: NoiseMechanism) throws {
    let parameters = try MechanismParameters(
      unit: .organization, mechanism: mechanism, clip: 2, dimension: 100, cohort: cohort(20, minimum: 15, corrupt: 3),
      bits: 16)
    let plan = try NoiseCalibration(parameters: parameters, rounds: 1).plan(noiseMultiplier: 1, delta: 1e-5)
    // The noise of all twenty, not of the honest ones only.
    let variance = plan.model.noise.localVariance.roundedDown * 20
    #expect(plan.wrap.noise == NoiseTail.bound(mechanism, variance: variance, coordinates: 128, bits: 41))
    var randomness = SeededRandomness(seed: 91)
    var largest: Int64 = 0
    for round in 0..<20 {
      var signs = SeededRandomness(seed: UInt64(1000 + round))
      let rotation = try Rotation(dimension: 100, signs: &signs)
      let pipeline = try OrganizationContribution(encoding: plan.encoding, rotation: rotation)
      for update in adversarialVectors(dimension: 100, norm: 2) {
        var exact = [Int64](repeating: 0, count: 128)
        for _ in 0..<20 {
          let term = try pipeline.encode(update, adding: plan.model.noise, using: &randomness).term
          for index in exact.indices { exact[index] += term.values[index] }
        }
        #expect(try ModularWords.centred(ModularWords.words(exact, bits: 16), bits: 16) == exact)
        largest = max(largest, exact.reduce(0) { max($0, Int64($1.magnitude)) })
      }
    }
    #expect(Double(largest) <= plan.wrap.total)
    // Not so loose that it wastes more than a few bits, and not so safe that nothing could wrap.
    #expect(Double(largest) > plan.wrap.total / 8)
    #expect(largest >= 1 << 11)
  }

  /// Without the rotation one coordinate may take everything, which the bound for the organisation unit leaves out.
  @Test func rotationIsWhatNarrowsTheSum() throws {
    let parameters = try MechanismParameters(
      unit: .organization, mechanism: .skellam, clip: 1, dimension: 1 << 16, cohort: cohort(50), bits: 24)
    let plan = try NoiseCalibration(parameters: parameters, rounds: 1).plan(noiseMultiplier: 1, delta: 1e-5)
    #expect(plan.wrap.signal < 0.1 * 50 * plan.encoding.rounding.integerClip)
    // In few dimensions it gains nothing, and the bound is the largest there can be.
    let few = try MechanismParameters(
      unit: .organization, mechanism: .skellam, clip: 1, dimension: 4, cohort: cohort(50), bits: 24)
    let small = try NoiseCalibration(parameters: few, rounds: 1).plan(noiseMultiplier: 1, delta: 1e-5)
    #expect(small.wrap.signal == 50 * small.encoding.rounding.integerClip)
  }

  @Test func recordsDoNotWrapWithinThePlansBound() throws {
    let parameters = try MechanismParameters(
      unit: .record(.records(200)), mechanism: .skellam, clip: 1, dimension: 5, cohort: cohort(4), bits: 24)
    let plan = try NoiseCalibration(parameters: parameters, rounds: 1).plan(noiseMultiplier: 2, delta: 1e-5)
    var randomness = SeededRandomness(seed: 92)
    var exact = [Int64](repeating: 0, count: 5)
    for _ in 0..<4 {
      var contribution = RecordContribution(encoding: plan.encoding)
      for _ in 0..<200 { try contribution.add(gradient: [-9, 0, 0, 0, 0], using: &randomness) }
      let term = contribution.finish(adding: plan.model.noise, using: &randomness)
      for index in exact.indices { exact[index] += term.values[index] }
    }
    #expect(try ModularWords.centred(ModularWords.words(exact, bits: 24), bits: 24) == exact)
    #expect(Double(exact[0].magnitude) <= plan.wrap.total)
    #expect(Double(exact[0].magnitude) > 0.9 * plan.wrap.signal)
    // A bound in real units is taken as it is.
    let stated = try MechanismParameters(
      unit: .record(.magnitude(200)), mechanism: .skellam, clip: 1, dimension: 5, cohort: cohort(4), bits: 24)
    let other = WrapBound(parameters: stated, encoding: plan.encoding, noise: plan.model.noise)
    #expect(other.signal == 4 * 200 * plan.encoding.scale)
  }

  @Test func countersKnowHowFarOneShareReaches() throws {
    var randomness = SeededRandomness(seed: 93)
    for mechanism in NoiseMechanism.allCases {
      let share = try NoiseShare(mechanism: mechanism, centralVariance: 400, cohort: cohort(5))
      let bound = share.localBound(coordinates: 1000)
      #expect(bound > 60 && bound < 200)
      // By the tails of either distribution: 2⁻¹²⁸ for a thousand coordinates on two sides.
      let (reach, variance) = (Double(bound), share.variance(shares: 1))
      let rate =
        mechanism == .skellam ? NoiseTail.skellamRate(reach, variance: variance) : reach * reach / (2 * variance)
      #expect(rate >= 138.9 * 0.6931471805599453 && rate < 150 * 0.6931471805599453)
      for _ in 0..<20 {
        let noised = NoisedIntegers([Int64](repeating: 0, count: 1000), adding: share, using: &randomness)
        #expect(noised.values.allSatisfy { $0.magnitude <= bound })
      }
    }
  }
}
