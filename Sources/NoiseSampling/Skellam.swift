/// The symmetric Skellam distribution: the difference of two independent Poisson variables of mean variance/2, exactly.
///
/// Sums of independent Skellam variables are Skellam with the sum of the variances, exactly. What ``Poisson`` says of
/// time holds for each of the two draws.
public struct Skellam: Sampler {
  public let variance: PositiveRational
  private let poisson: Poisson

  /// `nil` unless the variance is at most 2⁴⁰ and its reduced denominator at most 2²⁰.
  ///
  /// Computes tables, of at most some 400 entries.
  public init?(variance: PositiveRational) { self.init(variance: variance, tuning: .standard) }

  init?(variance: PositiveRational, tuning: PoissonTuning) {
    guard SamplerRange.contains(variance), let mean = variance.half, let poisson = Poisson(mean: mean, tuning: tuning)
    else { return nil }
    self.variance = variance
    self.poisson = poisson
  }

  /// One draw.
  /// - Parameter generator: cryptographically secure, under a fresh seed; see <doc:NoiseSampling>.
  public func sample(using generator: inout some RandomNumberGenerator) -> Int64 {
    let first = Int64(poisson.sample(using: &generator))
    return first - Int64(poisson.sample(using: &generator))
  }
}
