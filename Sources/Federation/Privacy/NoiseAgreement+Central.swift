import Cryptography
import DifferentialPrivacy
public import SecureAggregation

extension CentralNoise {
  /// What the server adds to a task's sum; nil for a task that the plan does not have.
  func noise(of task: TaskKind) -> CentralGaussian? {
    switch task {
    case .statistics: nil
    case .fit: model
    case .evaluate: evaluation?.noise
    }
  }
}

extension NoiseAgreement {
  /// A sum as it may be published: where the server is trusted with the noise (`privacy.noise: central`), with fresh noise in
  /// it; else as it is, for the terms had noise in them.
  ///
  /// Of central noise, call it once for a sum, drop the argument, and store what it gives before anybody is told: a second
  /// call gives other noise, and two of them tell more than is charged for. Counters stay within the declared bounds.
  /// - Throws: ``FederationError/privacy(_:)``, ``FederationError/cryptography(_:)``, ``FederationError/aggregation(_:)``;
  ///   nothing may be published then.
  public func published(
    _ sum: AggregateSum, of task: TaskKind, context: AggregationContext
  ) throws(FederationError) -> AggregateSum {
    guard case .central(let central) = form else { return sum }
    guard let noise = central.noise(of: task) else { throw .privacy(.parameter(.section)) }
    // Independent noise in every round of a tree would not be what is charged for.
    guard task != .fit || central.tree == nil else { throw .privacy(.parameter(.steps)) }
    var (integers, counters) = (sum.integers, sum.counters)
    do throws(CryptographyError) {
      var randomness = try KeystreamRandomness(generator: context.parameters.generator)
      if task == .fit {
        noise.add(to: &integers, using: &randomness)
      } else {
        noise.add(to: &counters, using: &randomness)
      }
      try randomness.check()
    } catch { throw .cryptography(error) }
    return try Self.replacing(sum, integers: integers, counters: counters, context: context)
  }

  /// The same sum with other numbers.
  static func replacing(
    _ sum: AggregateSum, integers: [Int64], counters: [Int64], context: AggregationContext
  ) throws(FederationError) -> AggregateSum {
    let members = Int64(sum.survivors.count)
    let bounds = context.parameters.counters.flatMap { Array(repeating: Int64(clamping: $0.bound), count: $0.count) }
    do throws(AggregationError) {
      return try AggregateSum(
        words: integers.map { UInt32(truncatingIfNeeded: $0) },
        counters: zip(counters, bounds).map { UInt64(bitPattern: min(max($0, -$1 * members), $1 * members)) },
        survivors: sum.survivors, maskedInputRoot: sum.maskedInputRoot, context: context)
    } catch { throw .aggregation(error) }
  }
}
