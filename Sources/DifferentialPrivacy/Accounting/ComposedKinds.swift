import Foundation

/// The releases of a composition, sorted by what can be said of them beyond their Rényi curves.
struct ComposedKinds {
  /// A kind of release that has a privacy loss distribution.
  struct Kind {
    let loss: Loss
    let count: Int
  }

  enum Loss {
    case gaussian(noise: Double)
    case sampled(noise: Double, probability: Double)
    case discrete(sigma: Double, sensitivity: Int)
    case pure(epsilon: Double)
  }

  /// Σ count/z² of all that is Gaussian noise.
  private var precision = 0.0
  private var others: [Kind] = []
  /// Some release has a Rényi curve only.
  private var isRenyiOnly = false

  init(_ events: [(event: PrivacyEvent, count: Int)]) {
    let releases = events.flatMap { event, count in event.releases.map { (event: $0, count: count) } }
    for (event, count) in releases {
      switch event {
      case .gaussian(let noise): precision += Double(count) / (noise * noise)
      case .tree(let noise, let leaves):
        // What a record adds to the nodes above its leaf is a vector of norm √depth, under independent noise.
        precision += Double(count) * Double(RenyiCurve.depthOfTree(leaves: leaves)) / (noise * noise)
      case .poissonSubsampledGaussian(let noise, 1): precision += Double(count) / (noise * noise)
      case .poissonSubsampledGaussian(_, 0): break
      case .poissonSubsampledGaussian(let noise, let probability):
        others.append(Kind(loss: .sampled(noise: noise, probability: probability), count: count))
      case .discreteGaussian(let sigma, let sensitivity):
        others.append(Kind(loss: .discrete(sigma: sigma, sensitivity: sensitivity), count: count))
      case .pure(let epsilon): others.append(Kind(loss: .pure(epsilon: epsilon), count: count))
      case .poissonSubsampledDiscreteGaussian, .distributedDiscreteGaussian, .skellam, .zeroConcentrated, .unbounded,
        .joint:
        isRenyiOnly = true
      }
    }
  }

  /// If all is Gaussian: the noise multiplier of the one Gaussian mechanism that it comes to.
  var noiseOfOneGaussian: Double? {
    !isRenyiOnly && others.isEmpty && precision > 0 ? 1 / precision.squareRoot() : nil
  }

  /// If all is pure.
  var sumOfPureEpsilons: Double? {
    guard !isRenyiOnly, precision == 0 else { return nil }
    var sum = 0.0
    for kind in others {
      guard case .pure(let epsilon) = kind.loss else { return nil }
      sum += Double(kind.count) * epsilon
    }
    return sum
  }

  /// What to compose, and on which grid; nil if something cannot be.
  ///
  /// The interval is a power of two, and grows with every release: at most so that the standard deviation of the composed
  /// loss is thousands of intervals, and no release's range more than 2¹⁷.
  var lossPlan: (kinds: [Kind], interval: Double)? {
    guard !isRenyiOnly else { return nil }
    var kinds = others
    if precision > 0 { kinds.append(Kind(loss: .gaussian(noise: min(1e9, 1 / precision.squareRoot())), count: 1)) }
    guard kinds.allSatisfy(\.loss.isDiscretised) else { return nil }
    let deviation = kinds.reduce(0) { $0 + Double($1.count) * $1.loss.variance }.squareRoot()
    let range = kinds.reduce(0) { max($0, $1.loss.range) }
    let interval = max(deviation / 8192, range / 0x1p17, 1e-12)
    return (kinds, exp2(log2(interval).rounded(.up)))
  }
}

extension ComposedKinds.Kind {
  func distribution(
    interval: Double, estimate: PrivacyLossEstimate
  ) throws(PrivacyAccountingError) -> PrivacyLossDistribution {
    switch loss {
    case .gaussian(let noise): try .gaussian(noiseMultiplier: noise, interval: interval, estimate: estimate)
    case .sampled(let noise, let probability):
      try .poissonSubsampledGaussian(
        noiseMultiplier: noise, samplingProbability: probability, interval: interval, estimate: estimate)
    case .discrete(let sigma, let sensitivity):
      try .discreteGaussian(sigma: sigma, sensitivity: sensitivity, interval: interval, estimate: estimate)
    case .pure(let epsilon): try .pure(epsilon: epsilon, interval: interval, estimate: estimate)
    }
  }
}

extension ComposedKinds.Loss {
  /// Larger ones have no use, and would have to be cut.
  private static let mostPure = 1000.0

  var isDiscretised: Bool {
    switch self {
    case .gaussian(let noise), .sampled(let noise, _): noise >= PrivacyLossDistribution.leastNoise
    case .discrete(let sigma, let sensitivity):
      sigma <= PrivacyLossDistribution.mostSigma
        && sigma / Double(sensitivity) >= PrivacyLossDistribution.leastNoise
    case .pure(let epsilon): epsilon <= Self.mostPure
    }
  }

  /// About that of one release's loss.
  var variance: Double {
    switch self {
    case .gaussian(let noise): 1 / (noise * noise)
    case .sampled(let noise, let probability):
      min(1, probability * probability * expm1(1 / (noise * noise)) * noise * noise) / (noise * noise)
    case .discrete(let sigma, let sensitivity): pow(Double(sensitivity) / sigma, 2)
    case .pure(let epsilon): epsilon * epsilon
    }
  }

  /// Width of one release's losses, as far as they are kept.
  var range: Double {
    switch self {
    case .gaussian(let noise): width(SampledGaussianLoss(noise: noise, probability: 1, direction: .remove).range)
    case .sampled(let noise, let probability):
      width(SampledGaussianLoss(noise: noise, probability: probability, direction: .remove).range)
    case .discrete(let sigma, let sensitivity): 2 * Double(sensitivity) * (10 * sigma + 1) / (sigma * sigma)
    case .pure(let epsilon): 2 * epsilon
    }
  }

  private func width(_ range: ClosedRange<Double>) -> Double { range.upperBound - range.lowerBound }
}
