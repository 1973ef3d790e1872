import Foundation
public import NoiseSampling

/// Finds the scale and the noise of a run.
///
/// Noise is measured in multiples of the sensitivity. The scale is the largest power of two at which the sum does not
/// wrap (``WrapBound``), up to where a finer grid would gain nothing; it decides how much rounding adds to the
/// sensitivity. The multiplier is then the smallest whose composed ε is at most the target, with the variances as they
/// are rounded up, so the ε that is reported is that of the noise which is drawn.
public struct NoiseCalibration: Sendable {
  static let releases = 1...(1 << 24)
  /// Multipliers are found to a part in 2¹⁴.
  private static let bisections = 14
  /// A grid so much finer than the clip that rounding adds at most a thousandth to the sensitivity.
  private static let finestGrid = 0x1p10
  private static let smallestMultiplier = 0x1p-10
  private static let largestEpsilon = 0x1p16

  public let parameters: MechanismParameters
  /// T: releases of the model's section in the run.
  public let rounds: Int
  public let counters: [CounterSection]
  /// What else the same data are charged for: earlier runs, say.
  public let further: [(event: PrivacyEvent, count: Int)]
  /// Draws of the noise that one sum may have in it, where that is more than one for each organisation.
  let draws: Int

  /// - Throws: ``MechanismError/parameter(_:)``
  public init(
    parameters: MechanismParameters, rounds: Int, counters: [CounterSection] = [],
    further: [(event: PrivacyEvent, count: Int)] = []
  ) throws(MechanismError) {
    try self.init(parameters: parameters, rounds: rounds, counters: counters, further: further, draws: 1)
  }

  init(
    parameters: MechanismParameters, rounds: Int, counters: [CounterSection],
    further: [(event: PrivacyEvent, count: Int)] = [], draws: Int
  ) throws(MechanismError) {
    guard Self.releases.contains(rounds), further.allSatisfy({ Self.releases.contains($0.count) }) else {
      throw .parameter(.releases)
    }
    guard Set(counters.map(\.name)).count == counters.count else { throw .parameter(.section) }
    self.parameters = parameters
    self.rounds = rounds
    self.counters = counters
    self.further = further
    self.draws = draws
  }

  /// The plan with the least noise whose ε is at most `epsilon`.
  ///
  /// - Throws: ``MechanismError/targetOutOfReach(epsilon:)``, ``MechanismError/noScaleFits(bits:)``,
  ///   ``MechanismError/noiseTooNarrow(standardDeviation:)`` for a fixed counter section,
  ///   ``MechanismError/parameter(_:)``.
  public func plan(epsilon: Double, delta: Double) throws(MechanismError) -> NoisePlan {
    guard epsilon > 0, epsilon <= Self.largestEpsilon else { throw .parameter(.epsilon) }
    guard delta > 0, delta < 1 else { throw .parameter(.delta) }
    // A scale hardly changes the multiplier: each search starts where the last one ended.
    var start = 1.0
    return try firstFitting(unreachable: .targetOutOfReach(epsilon: epsilon)) { (grid) throws(MechanismError) in
      let result = try solve(grid, epsilon: epsilon, delta: delta, start: start)
      if case .found(let plan) = result { start = plan.model.noiseMultiplier }
      return result
    }
  }

  /// The plan with a given noise multiplier z = σ/Δ₂ of the model's section.
  ///
  /// - Throws: ``MechanismError/noScaleFits(bits:)``,
  ///   ``MechanismError/noiseTooNarrow(standardDeviation:)`` for a fixed counter section,
  ///   ``MechanismError/parameter(_:)``.
  public func plan(noiseMultiplier: Double, delta: Double) throws(MechanismError) -> NoisePlan {
    guard noiseMultiplier > 0, noiseMultiplier <= MechanismParameters.largestMultiplier else {
      throw .parameter(.noiseMultiplier)
    }
    guard delta > 0, delta < 1 else { throw .parameter(.delta) }
    return try firstFitting(unreachable: .parameter(.noiseMultiplier)) { (grid) throws(MechanismError) in
      guard noiseMultiplier >= leastMultiplier(grid) else { return .tooCoarse }
      guard noiseMultiplier <= largestMultiplier(grid) else { return .tooFine }
      return .found(try assemble(grid, shares: try shares(grid, multiplier: noiseMultiplier), delta: delta))
    }
  }

  /// The plan that somebody states, with what it achieves; nothing is chosen.
  ///
  /// - Parameter localVariances: Of the model and of the counter sections in their order.
  /// - Throws: ``MechanismError/noScaleFits(bits:)`` if the sum may wrap,
  ///   ``MechanismError/noiseTooNarrow(standardDeviation:)``, ``MechanismError/parameter(_:)``.
  public func plan(
    scaleExponent: Int, localVariances: [PositiveRational], delta: Double
  ) throws(MechanismError) -> NoisePlan {
    guard localVariances.count == counters.count + 1 else {
      throw .shape(expected: counters.count + 1, found: localVariances.count)
    }
    guard delta > 0, delta < 1 else { throw .parameter(.delta) }
    let grid = Grid(exponent: scaleExponent, encoding: try parameters.encoding(scaleExponent: scaleExponent))
    var shares: [NoiseShare] = []
    for (variance, mechanism) in zip(localVariances, [parameters.mechanism] + counters.map(\.mechanism)) {
      shares.append(
        try NoiseShare(
          mechanism: mechanism, localVariance: variance, honestShares: parameters.cohort.honestShares))
    }
    let plan = try assemble(grid, shares: shares, delta: delta)
    guard plan.wrap.fits(bits: parameters.bits) else { throw .noScaleFits(bits: parameters.bits) }
    return plan
  }
}

/// What a scale came to.
private enum GridResult {
  case found(NoisePlan)
  /// The noise is too narrow for the grid, and on coarser ones as well.
  case tooCoarse
  /// The noise would be wider than the samplers reach, in integer units: a coarser grid may do.
  case tooFine
}

/// A candidate for the scale.
private struct Grid {
  let exponent: Int
  let encoding: IntegerEncoding

  var l2Sensitivity: Double { encoding.rounding.l2Sensitivity }
}

extension NoiseCalibration {
  /// The first plan that does not wrap, from the finest grid to the coarsest.
  private func firstFitting(
    unreachable: MechanismError, _ make: (_ grid: Grid) throws(MechanismError) -> GridResult
  ) throws(MechanismError) -> NoisePlan {
    let finest = Self.finestGrid * Double(parameters.integerDimension).squareRoot()
    let largestClip = min(finest, ConditionalRounding.maximumIntegerClip)
    let highest = Int(log2(largestClip / parameters.clip).rounded(.down))
    let lowest = Int(log2(1 / parameters.clip).rounded(.up))
    var failure = MechanismError.noScaleFits(bits: parameters.bits)
    search: for exponent in stride(from: highest, through: lowest, by: -1) {
      let grid = Grid(exponent: exponent, encoding: try parameters.encoding(scaleExponent: exponent))
      // On a coarser grid rounding costs more than the clip itself: rather more bits, or nothing.
      guard grid.l2Sensitivity <= 2 * grid.encoding.rounding.integerClip else { break }
      switch try make(grid) {
      case .found(let plan):
        if plan.wrap.fits(bits: parameters.bits) { return plan }
        failure = .noScaleFits(bits: parameters.bits)
      case .tooCoarse: break search
      case .tooFine: failure = unreachable
      }
    }
    throw failure
  }

  /// The least multiplier of the model's section by bisection.
  private func solve(
    _ grid: Grid, epsilon: Double, delta: Double, start: Double
  ) throws(MechanismError) -> GridResult {
    func attempt(_ multiplier: Double) throws(MechanismError) -> NoisePlan? {
      let plan = try assemble(grid, shares: try shares(grid, multiplier: multiplier), delta: delta)
      return plan.epsilon <= epsilon ? plan : nil
    }
    let limit = largestMultiplier(grid)
    let low = leastMultiplier(grid)
    guard low <= limit else { return .tooFine }
    guard try attempt(low) == nil else { return .tooCoarse }
    let search = MultiplierSearch(
      low: low, start: min(max(start, 2 * low), limit), limit: limit, bisections: Self.bisections)
    return try search.least(attempt).map { .found($0.value) } ?? .tooFine
  }

  /// The multiplier at which the local standard deviation of the model's noise is ½.
  private func leastMultiplier(_ grid: Grid) -> Double {
    let central = NoiseShare.leastStandardDeviation * Double(parameters.cohort.honestShares).squareRoot()
    return max((central / grid.l2Sensitivity).nextUp, Self.smallestMultiplier)
  }

  /// The multiplier beyond which some local variance would pass what the samplers take.
  private func largestMultiplier(_ grid: Grid) -> Double {
    var largest = grid.l2Sensitivity
    for section in counters {
      guard case .relative(let factor) = section.level else { continue }
      largest = max(largest, factor * ConditionalRounding.rootRoundedUp(section.sensitivity.squaredL2))
    }
    // A little less, for the rounding up of the variance.
    let central = NoiseShare.largestVariance * Double(parameters.cohort.honestShares) * (1 - 0x1p-10)
    return min(central.squareRoot() / largest, MechanismParameters.largestMultiplier)
  }

  private func shares(_ grid: Grid, multiplier: Double) throws(MechanismError) -> [NoiseShare] {
    let deviation = multiplier * grid.l2Sensitivity
    var shares = [try share(parameters.mechanism, centralVariance: deviation * deviation)]
    for section in counters {
      let squared = Double(section.sensitivity.squaredL2)
      switch section.level {
      case .relative(let factor):
        let least = Double(parameters.cohort.honestShares) * 0.25
        let level = multiplier * factor
        shares.append(try share(section.mechanism, centralVariance: max(level * level * squared, least)))
      case .fixed(let level): shares.append(try share(section.mechanism, centralVariance: level * level * squared))
      }
    }
    return shares
  }

  private func share(
    _ mechanism: NoiseMechanism, centralVariance: Double
  ) throws(MechanismError) -> NoiseShare {
    try NoiseShare(mechanism: mechanism, centralVariance: centralVariance, cohort: parameters.cohort)
  }

  /// The plan of these shares, the model's first, and what it achieves.
  private func assemble(_ grid: Grid, shares: [NoiseShare], delta: Double) throws(MechanismError) -> NoisePlan {
    let rounding = grid.encoding.rounding
    let model = try NoisedRelease(
      name: NoisePlan.modelName, noise: shares[0], squaredL2Sensitivity: rounding.squaredNormBound,
      l1Sensitivity: rounding.l1Sensitivity, dimension: rounding.dimension, releases: rounds)
    var releases = [model]
    for (section, share) in zip(counters, shares.dropFirst()) {
      releases.append(
        try NoisedRelease(
          name: section.name, noise: share, squaredL2Sensitivity: section.sensitivity.squaredL2,
          l1Sensitivity: Double(section.sensitivity.l1), dimension: section.count, releases: section.releases))
    }
    return NoisePlan(
      parameters: parameters, encoding: grid.encoding, scaleExponent: grid.exponent, releases: releases,
      wrap: WrapBound(parameters: parameters, encoding: grid.encoding, noise: model.noise, draws: draws),
      epsilon: try composed(releases, delta: delta), delta: delta)
  }

  /// ε of all releases and of the further events.
  private func composed(_ releases: [NoisedRelease], delta: Double) throws(MechanismError) -> Double {
    var composition = PrivacyComposition()
    return try MechanismError.accounted { () throws(PrivacyAccountingError) in
      for release in releases { try composition.compose(release.event, count: release.releases) }
      for (event, count) in further { try composition.compose(event, count: count) }
      return try composition.epsilon(delta: delta)
    }
  }
}
