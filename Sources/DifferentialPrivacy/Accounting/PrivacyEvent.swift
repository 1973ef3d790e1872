/// One release, as a plan declares it and a ledger keeps it.
///
/// Cases hold what a caller put in; ``validate()`` says whether it is in range, and everything that computes with an event
/// validates it first.
public enum PrivacyEvent: Hashable, Sendable {
  /// Gaussian noise of standard deviation z times the L2 sensitivity, once.
  case gaussian(noiseMultiplier: Double)
  /// The same on a secret Poisson sample of the records, each drawn with probability q.
  case poissonSubsampledGaussian(noiseMultiplier: Double, samplingProbability: Double)
  /// Discrete Gaussian noise of parameter z times the L2 sensitivity, on integers, over a secret Poisson sample.
  case poissonSubsampledDiscreteGaussian(noiseMultiplier: Double, samplingProbability: Double)
  /// A sum of discrete Gaussian shares.
  case distributedDiscreteGaussian(DistributedNoise)
  /// A sum of Skellam shares.
  case skellam(DistributedNoise)
  /// Discrete Gaussian noise of parameter σ on one integer that a neighbouring change moves by at most Δ.
  case discreteGaussian(sigma: Double, sensitivity: Int)
  /// Anything that is ρ-zero-concentrated private.
  case zeroConcentrated(rho: Double)
  /// A binary tree of Gaussian sums over T leaves, with every record in one leaf.
  case tree(noiseMultiplier: Double, leaves: Int)
  /// Anything that is (ε, 0)-private.
  case pure(epsilon: Double)
  /// Something left without noise: ε is infinite from then on.
  case unbounded
  /// Releases that are made together, from 2 to ``mostParts``, none of them joint itself: they cost what they cost one by one.
  case joint([PrivacyEvent])

  /// Parts of a joint event.
  public static let mostParts = 8

  /// The single releases: the parts of a joint event, or the event itself.
  public var releases: [PrivacyEvent] {
    if case .joint(let parts) = self { parts } else { [self] }
  }

  var isJoint: Bool {
    if case .joint = self { true } else { false }
  }

  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)`` if a parameter is.
  public func validate() throws(PrivacyAccountingError) {
    switch self {
    case .gaussian(let noise): try Checked.noiseMultiplier(noise)
    case .poissonSubsampledGaussian(let noise, let probability),
      .poissonSubsampledDiscreteGaussian(let noise, let probability):
      try Checked.noiseMultiplier(noise)
      try Checked.samplingProbability(probability)
    case .discreteGaussian(let sigma, let sensitivity):
      try Checked.discreteGaussian(sigma: sigma, sensitivity: sensitivity)
    case .zeroConcentrated(let rho): try Checked.rho(rho)
    case .tree(let noise, let leaves):
      try Checked.noiseMultiplier(noise)
      try Checked.leaves(leaves)
    case .pure(let epsilon): try Checked.epsilon(epsilon)
    case .distributedDiscreteGaussian, .skellam, .unbounded: break
    case .joint(let parts):
      try Checked.parts(parts)
      for part in parts { try part.validate() }
    }
  }

  /// The event's bound on the Rényi divergence; every event has one.
  ///
  /// Fails with ``PrivacyAccountingError/outOfRange(_:value:)``.
  public func renyiCurve() throws(PrivacyAccountingError) -> RenyiCurve {
    switch self {
    case .gaussian(let noise): try .gaussian(noiseMultiplier: noise)
    case .poissonSubsampledGaussian(let noise, let probability):
      try .poissonSubsampledGaussian(noiseMultiplier: noise, samplingProbability: probability)
    case .poissonSubsampledDiscreteGaussian(let noise, let probability):
      try .poissonSubsampledDiscreteGaussian(noiseMultiplier: noise, samplingProbability: probability)
    case .distributedDiscreteGaussian(let noise): .distributedDiscreteGaussian(noise)
    case .skellam(let noise): .skellam(noise)
    case .discreteGaussian(let sigma, let sensitivity):
      try .discreteGaussian(sigma: sigma, sensitivity: sensitivity)
    case .zeroConcentrated(let rho): try .zeroConcentrated(rho: rho)
    case .tree(let noise, let leaves): try .tree(noiseMultiplier: noise, leaves: leaves)
    case .pure(let epsilon): try .pure(epsilon: epsilon)
    case .unbounded: .unbounded
    case .joint: try jointCurve()
    }
  }

  private func jointCurve() throws(PrivacyAccountingError) -> RenyiCurve {
    try validate()
    var sum = RenyiCurve.none
    for release in releases { sum = sum.adding(try release.renyiCurve()) }
    return sum
  }
}
