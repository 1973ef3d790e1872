import Foundation
import NoiseSampling
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismCalibrationTests {
  private func record(
    _ mechanism: NoiseMechanism = .skellam, clip: Double = 1, dimension: Int = 31, size: Int = 8, bits: Int = 32,
    records: Int = 5000
  ) throws -> MechanismParameters {
    try MechanismParameters(
      unit: .record(.records(records)), mechanism: mechanism, clip: clip, dimension: dimension,
      cohort: cohort(size, minimum: size - 2, corrupt: 2), bits: bits)
  }

  private func organization(
    _ mechanism: NoiseMechanism = .distributedDiscreteGaussian, dimension: Int = 5000, size: Int = 100, bits: Int = 20
  ) throws -> MechanismParameters {
    try MechanismParameters(
      unit: .organization, mechanism: mechanism, clip: 0.3, dimension: dimension,
      cohort: cohort(size, minimum: size * 8 / 10, corrupt: 10), bits: bits)
  }

  /// ε as reported is that of the events, at most the target and within a hundredth of it; a little less noise passes it.
  private func check(_ calibration: NoiseCalibration, epsilon: Double, delta: Double) throws {
    let plan = try calibration.plan(epsilon: epsilon, delta: delta)
    #expect(plan.epsilon <= epsilon && plan.epsilon > 0.99 * epsilon)
    var composition = PrivacyComposition()
    for release in plan.releases { try composition.compose(release.event, count: release.releases) }
    for (event, count) in calibration.further { try composition.compose(event, count: count) }
    #expect(try composition.epsilon(delta: delta) == plan.epsilon)
    #expect(plan.wrap.fits(bits: plan.parameters.bits))
    // Whoever is shown the numbers gets the same plan.
    let variances = plan.releases.map(\.noise.localVariance)
    #expect(
      try calibration.plan(scaleExponent: plan.scaleExponent, localVariances: variances, delta: delta) == plan)
    // The negative twin: a hundredth less standard deviation.
    var narrower = variances
    narrower[0] = try NoiseShare.roundedUp(variances[0].roundedDown * 0.98)
    let twin = try calibration.plan(scaleExponent: plan.scaleExponent, localVariances: narrower, delta: delta)
    #expect(twin.epsilon > epsilon)
  }

  @Test(arguments: NoiseMechanism.allCases, [(0.5, 1e-6), (1, 1e-5), (8, 1e-5), (30, 1e-9)])
  func reachesTheTargetForRecords(mechanism: NoiseMechanism, target: (epsilon: Double, delta: Double)) throws {
    for rounds in [1, 100] {
      try check(
        try NoiseCalibration(parameters: record(mechanism), rounds: rounds), epsilon: target.epsilon,
        delta: target.delta)
    }
  }

  @Test(arguments: NoiseMechanism.allCases, [(1, 1e-5), (10, 1e-5)])
  func reachesTheTargetForOrganizations(
    mechanism: NoiseMechanism, target: (epsilon: Double, delta: Double)
  ) throws {
    try check(
      try NoiseCalibration(parameters: organization(mechanism), rounds: 20), epsilon: target.epsilon,
      delta: target.delta)
  }

  /// Evaluation counters have noise of their own and part of the budget, and earlier runs theirs.
  @Test(arguments: NoiseMechanism.allCases) func sharesTheBudget(mechanism: NoiseMechanism) throws {
    let histogram = try CounterSection(name: "histogram", count: 200, releases: 10, level: .relative(2))
    let bit = try CounterSection(
      name: "clip-bit", mechanism: .distributedDiscreteGaussian, count: 1, releases: 50, level: .fixed(40))
    let alone = try NoiseCalibration(parameters: record(mechanism), rounds: 50)
    let calibration = try NoiseCalibration(
      parameters: record(mechanism), rounds: 50, counters: [histogram, bit],
      further: [(event: .gaussian(noiseMultiplier: 12), count: 3)])
    try check(calibration, epsilon: 3, delta: 1e-5)
    let plan = try calibration.plan(epsilon: 3, delta: 1e-5)
    let multiplier = plan.model.noiseMultiplier
    #expect(multiplier > 1.02 * (try alone.plan(epsilon: 3, delta: 1e-5).model.noiseMultiplier))
    #expect(abs(plan.releases[1].noiseMultiplier / multiplier - 2) < 0.001)
    #expect(abs(plan.releases[2].noiseMultiplier - 40) < 0.01)
    #expect(plan.releases.map(\.name) == ["model", "histogram", "clip-bit"])
    #expect(
      plan.releases.map(\.noise.mechanism) == [mechanism, .skellam, .distributedDiscreteGaussian])
    #expect(plan.releases[1].squaredL2Sensitivity == 1 && plan.releases[1].l1Sensitivity == 1)
  }

  @Test func relativeCountersGetAtLeastTheLeastNoise() throws {
    let section = try CounterSection(name: "histogram", count: 10, releases: 1, level: .relative(0.1))
    let plan = try NoiseCalibration(parameters: record(), rounds: 1, counters: [section])
      .plan(noiseMultiplier: 1, delta: 1e-5)
    #expect(plan.releases[1].noise.localVariance.roundedDown == 0.25)
    let fixed = try CounterSection(name: "histogram", count: 10, releases: 1, level: .fixed(0.1))
    #expect(throws: MechanismError.self) {
      try NoiseCalibration(parameters: record(), rounds: 1, counters: [fixed]).plan(noiseMultiplier: 1, delta: 1e-5)
    }
  }

  /// Narrow shares of discrete Gaussians are charged for being far from one, which is why counters have Skellam noise.
  @Test func narrowCountersAreCheaperBySkellam() throws {
    func epsilon(_ mechanism: NoiseMechanism) throws -> Double {
      let section = try CounterSection(
        name: "histogram", mechanism: mechanism, count: 200, releases: 1, level: .fixed(1.05))
      return try NoiseCalibration(parameters: record(), rounds: 1, counters: [section])
        .plan(noiseMultiplier: 4, delta: 1e-5).epsilon
    }
    #expect(try epsilon(.skellam) * 2 < epsilon(.distributedDiscreteGaussian))
  }

  /// Where the finest grid would need more noise than the samplers draw, a coarser one is taken.
  @Test func coarsensTheGridForTheSamplers() throws {
    let parameters = try MechanismParameters(
      unit: .organization, mechanism: .skellam, clip: 1, dimension: 1 << 20, cohort: cohort(2), bits: 32)
    let plan = try NoiseCalibration(parameters: parameters, rounds: 1).plan(noiseMultiplier: 50, delta: 1e-5)
    #expect(plan.scaleExponent < 20 && plan.scaleExponent > 10)
    #expect(plan.model.noise.localVariance.roundedDown <= 0x1p40)
    let solved = try NoiseCalibration(parameters: parameters, rounds: 1).plan(epsilon: 0.05, delta: 1e-5)
    #expect(solved.epsilon <= 0.05 && solved.epsilon > 0.0495)
  }

  @Test func takesAMultiplier() throws {
    let plan = try NoiseCalibration(parameters: record(), rounds: 10).plan(noiseMultiplier: 4, delta: 1e-5)
    #expect(plan.model.noiseMultiplier >= 4 && plan.model.noiseMultiplier < 4.001)
    // The grid is fine enough to make little of rounding: close to continuous Gaussian noise.
    let gaussian = try RenyiCurve.gaussian(noiseMultiplier: 4).repeated(10).epsilon(delta: 1e-5)
    #expect(abs(plan.epsilon / gaussian - 1) < 0.01)
    #expect(plan.encoding.rounding.l2Sensitivity < 1.001 * plan.encoding.rounding.integerClip)
  }

  /// The scale is the largest that fits: one more does not, unless the grid is as fine as it may be.
  @Test(arguments: NoiseMechanism.allCases, [14, 16, 18]) func scaleIsTheLargestThatFits(
    mechanism: NoiseMechanism, bits: Int
  ) throws {
    let calibration = try NoiseCalibration(parameters: organization(mechanism, bits: bits), rounds: 1)
    let plan = try calibration.plan(noiseMultiplier: 1, delta: 1e-5)
    #expect(plan.wrap.fits(bits: bits))
    let finer = try plan.parameters.encoding(scaleExponent: plan.scaleExponent + 1)
    let noise = try NoiseShare(
      mechanism: mechanism, centralVariance: 1.001 * Double(finer.rounding.squaredNormBound),
      cohort: plan.parameters.cohort)
    #expect(!WrapBound(parameters: plan.parameters, encoding: finer, noise: noise).fits(bits: bits))
    // Each further bit allows a grid of about twice the fineness.
    let wider = try NoiseCalibration(parameters: organization(mechanism, bits: bits + 1), rounds: 1)
      .plan(noiseMultiplier: 1, delta: 1e-5)
    #expect(wider.scaleExponent == plan.scaleExponent + 1)
  }

  @Test func refusesWhatDoesNotFit() throws {
    let narrow = try NoiseCalibration(parameters: organization(size: 5000, bits: 8), rounds: 1)
    #expect(throws: MechanismError.noScaleFits(bits: 8)) { try narrow.plan(epsilon: 1, delta: 1e-5) }
    let records = try NoiseCalibration(parameters: record(bits: 16), rounds: 1)
    #expect(throws: MechanismError.noScaleFits(bits: 16)) { try records.plan(noiseMultiplier: 1, delta: 1e-5) }
    // A plan that is stated with too fine a grid wraps.
    let calibration = try NoiseCalibration(parameters: record(), rounds: 1)
    let plan = try calibration.plan(epsilon: 1, delta: 1e-5)
    #expect(throws: MechanismError.noScaleFits(bits: 32)) {
      try calibration.plan(
        scaleExponent: plan.scaleExponent + 12, localVariances: [plan.model.noise.localVariance], delta: 1e-5)
    }
    #expect(throws: MechanismError.shape(expected: 1, found: 0)) {
      try calibration.plan(scaleExponent: 4, localVariances: [], delta: 1e-5)
    }
  }

  @Test func refusesTargetsThatAreSpentAlready() throws {
    let calibration = try NoiseCalibration(
      parameters: record(), rounds: 1, further: [(event: .gaussian(noiseMultiplier: 1), count: 1)])
    #expect(throws: MechanismError.targetOutOfReach(epsilon: 2)) { try calibration.plan(epsilon: 2, delta: 1e-5) }
    let open = try NoiseCalibration(parameters: record(), rounds: 1, further: [(event: .unbounded, count: 1)])
    #expect(throws: MechanismError.targetOutOfReach(epsilon: 50)) { try open.plan(epsilon: 50, delta: 1e-5) }
  }

  @Test func refusesParameters() throws {
    let parameters = try record()
    let calibration = try NoiseCalibration(parameters: parameters, rounds: 1)
    for epsilon in [0, -1, .nan, .infinity, 1e6] {
      #expect(throws: MechanismError.parameter(.epsilon)) { try calibration.plan(epsilon: epsilon, delta: 1e-5) }
    }
    for delta in [0, 1, -1, .nan] {
      #expect(throws: MechanismError.parameter(.delta)) { try calibration.plan(epsilon: 1, delta: delta) }
      #expect(throws: MechanismError.parameter(.delta)) { try calibration.plan(noiseMultiplier: 1, delta: delta) }
    }
    for multiplier in [0, -1, .nan, 1e9] {
      #expect(throws: MechanismError.parameter(.noiseMultiplier)) {
        try calibration.plan(noiseMultiplier: multiplier, delta: 1e-5)
      }
    }
    for rounds in [0, -1, (1 << 24) + 1] {
      #expect(throws: MechanismError.parameter(.releases)) {
        try NoiseCalibration(parameters: parameters, rounds: rounds)
      }
    }
    let section = try CounterSection(name: "a", count: 1, releases: 1, level: .fixed(9))
    #expect(throws: MechanismError.parameter(.section)) {
      try NoiseCalibration(parameters: parameters, rounds: 1, counters: [section, section])
    }
    for name in ["", "model"] {
      #expect(throws: MechanismError.parameter(.section)) {
        try CounterSection(name: name, count: 1, releases: 1, level: .fixed(1))
      }
    }
    for factor in [0, -1, .nan, .infinity] {
      #expect(throws: MechanismError.parameter(.noiseMultiplier)) {
        try CounterSection(name: "a", count: 1, releases: 1, level: .relative(factor))
      }
    }
    #expect(throws: MechanismError.parameter(.clip)) { try record(clip: .nan) }
    #expect(throws: MechanismError.parameter(.dimension)) { try record(dimension: 0) }
    #expect(throws: MechanismError.parameter(.bits)) { try record(bits: 33) }
    #expect(throws: MechanismError.parameter(.sumBound)) { try record(records: 0) }
  }

  @Test func errorsSayWhoIsAtFaultAndWhatToDo() {
    let errors: [MechanismError] =
      MechanismError.Parameter.allCases.map { .parameter($0) } + [
        .shape(expected: 1, found: 2), .dimensions(1, 2), .tooManyRecords(limit: 3), .sensitivityExceeded,
        .roundingBoundNotMet(attempts: 4), .noiseTooNarrow(standardDeviation: 0.1), .noScaleFits(bits: 8),
        .targetOutOfReach(epsilon: 1), .accounting(.outOfRange(.delta, value: 2)),
      ]
    #expect(Set(errors.map(\.code)).count == errors.count)
    for error in errors {
      #expect(["caller", "local"].contains(error.blame))
      #expect(error.code.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "-" })
      #expect(!error.message.isEmpty && error.remedy.hasSuffix("."))
    }
  }
}
