import DifferentialPrivacy
import Foundation
import Testing

@Suite("Accounting: privacy loss distributions")
struct AccountingLossDistributionTests {
  private func bounds(
    _ events: [(PrivacyEvent, Int)], delta: Double
  ) throws -> (low: Double, high: Double) {
    var composition = PrivacyComposition()
    for (event, count) in events { try composition.compose(event, count: count) }
    let high = try #require(try composition.privacyLossDistribution())
    let low = try #require(try composition.privacyLossDistribution(estimate: .optimistic))
    return (try low.epsilon(delta: delta), try high.epsilon(delta: delta))
  }

  @Test func sampledGaussianOfThePeer() throws {
    for item in try AccountingVectors.load().dpsgd {
      let event = PrivacyEvent.poissonSubsampledGaussian(
        noiseMultiplier: item.noiseMultiplier, samplingProbability: item.q)
      let (low, high) = try bounds([(event, item.steps)], delta: item.delta)
      #expect(relativeError(high, item.epsilonPld) < 1e-4)
      #expect(low <= item.epsilonPld && low <= high)
      #expect((high - low) / high < 3e-4)
      // What the composition answers is this, and not the looser Rényi bound.
      var composition = PrivacyComposition()
      try composition.compose(event, count: item.steps)
      #expect(try composition.epsilon(delta: item.delta) == high)
      #expect(relativeError(item.epsilonRdp, item.epsilonPld) > 1e-2)
    }
  }

  /// One step in a hundred too few, half a percent too much noise, and no sampling: none passes for the peer's value.
  @Test func wrongVariantsAreRejected() throws {
    let item = try AccountingVectors.load().dpsgd[2]
    let variants: [(PrivacyEvent, Int)] = [
      (.poissonSubsampledGaussian(noiseMultiplier: item.noiseMultiplier, samplingProbability: item.q), 198),
      (.poissonSubsampledGaussian(noiseMultiplier: item.noiseMultiplier * 1.005, samplingProbability: item.q), 200),
      (.gaussian(noiseMultiplier: item.noiseMultiplier / item.q), 200),
    ]
    for variant in variants {
      #expect(relativeError(try bounds([variant], delta: item.delta).high, item.epsilonPld) > 1e-3)
    }
  }

  /// The peer rounds this mechanism's losses up, to multiples of 1e-4: its values are up to 2e-4 too large.
  @Test func discreteGaussianOfThePeer() throws {
    let design = [(1.0, 4.430238), (2, 2.011340), (4, 0.927404)].map { sigma, epsilon in
      (sigma: sigma, sensitivity: 1, compositions: 1, delta: 1e-5, epsilon: epsilon)
    }
    let vectors = try AccountingVectors.load().discreteGaussian.map {
      (
        sigma: $0.sigma, sensitivity: $0.sensitivity, compositions: $0.compositions, delta: $0.delta,
        epsilon: $0.epsilonPld
      )
    }
    for item in design + vectors {
      let event = PrivacyEvent.discreteGaussian(sigma: item.sigma, sensitivity: item.sensitivity)
      let (low, high) = try bounds([(event, item.compositions)], delta: item.delta)
      #expect(relativeError(high, item.epsilon) < 3e-4, "\(item)")
      #expect(low <= item.epsilon + 1e-6, "\(item)")
      let exact = Self.exactDiscreteGaussian(
        sigma: item.sigma, sensitivity: item.sensitivity, count: item.compositions, delta: item.delta)
      // The sum in the test is itself rounded.
      #expect(low <= exact + 1e-12 && exact <= high + 1e-12, "\(item), exact \(exact)")
      #expect(relativeError(high, exact) < 1e-6, "\(item)")
    }
  }

  /// By convolving the noise itself: the loss depends on the sum of the noise alone.
  private static func exactDiscreteGaussian(sigma: Double, sensitivity: Int, count: Int, delta: Double) -> Double {
    let reach = Int(8.5 * sigma) + 2
    let weights = (-reach...reach).map { exp(-Double($0 * $0) / (2 * sigma * sigma)) }
    let total = weights.reduce(0, +)
    var sums = [1.0]
    for _ in 0..<count {
      var next = [Double](repeating: 0, count: sums.count + weights.count - 1)
      for i in sums.indices {
        for j in weights.indices { next[i + j] += sums[i] * weights[j] / total }
      }
      sums = next
    }
    let shift = Double(sensitivity)
    let delta = { (epsilon: Double) -> Double in
      sums.enumerated().reduce(0) { result, item in
        let noise = Double(item.offset - count * reach)
        let loss = shift * (Double(count) * shift - 2 * noise) / (2 * sigma * sigma)
        return result - item.element * expm1(min(0, epsilon - loss))
      } - delta
    }
    var (low, high) = (0.0, 200.0)
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if delta(middle) > 0 { low = middle } else { high = middle }
    }
    return high
  }

  @Test(arguments: [(0.5, 1), (1, 1), (4, 1), (30, 1000), (100, 10_000)])
  func gaussianLiesBetweenTheEstimates(_ noise: Double, _ count: Int) throws {
    let one = try PrivacyLossDistribution.gaussian(noiseMultiplier: noise)
    let oneLow = try PrivacyLossDistribution.gaussian(noiseMultiplier: noise, estimate: .optimistic)
    let high = try one.composed(count)
    let low = try oneLow.composed(count)
    let combined = noise / Double(count).squareRoot()
    for target in [1e-3, 1e-5, 1e-8] {
      let exact = try GaussianMechanism.epsilon(delta: target, noiseMultiplier: combined)
      #expect(try low.epsilon(delta: target) <= exact)
      #expect(try high.epsilon(delta: target) >= exact)
      #expect(relativeError(try high.epsilon(delta: target), exact) < 5e-3)
      #expect(relativeError(try low.epsilon(delta: target), exact) < 5e-3)
    }
    for epsilon in [0, 0.3, 1, 4] {
      let exact = try GaussianMechanism.delta(epsilon: epsilon, noiseMultiplier: combined)
      #expect(try low.delta(epsilon: epsilon) <= exact)
      #expect(try high.delta(epsilon: epsilon) >= exact)
    }
  }

  @Test func aMillionReleasesAreStillBounded() throws {
    let exact = try GaussianMechanism.epsilon(delta: 1e-5, noiseMultiplier: 1)
    let high = try PrivacyLossDistribution.gaussian(noiseMultiplier: 1000).composed(1_000_000)
    #expect(try high.epsilon(delta: 1e-5) >= exact)
    #expect(relativeError(try high.epsilon(delta: 1e-5), exact) < 5e-3)
    // Below the bound on rounding nothing is promised.
    #expect(try high.epsilon(delta: 1e-9) == .infinity)
    #expect(try high.epsilon(delta: 0) == .infinity)
  }

  @Test func unlikeGaussiansComposeToOne() throws {
    let noises = [2.0, 3, 7]
    let exact = try GaussianMechanism.epsilon(
      delta: 1e-6, noiseMultiplier: 1 / noises.reduce(0) { $0 + 1 / ($1 * $1) }.squareRoot())
    for (estimate, holds) in [
      (PrivacyLossEstimate.pessimistic, { $0 >= exact } as (Double) -> Bool), (.optimistic, { $0 <= exact }),
    ] {
      var sum = try PrivacyLossDistribution.none(estimate: estimate)
      for noise in noises {
        sum = try sum.composed(with: .gaussian(noiseMultiplier: noise, estimate: estimate))
      }
      let epsilon = try sum.epsilon(delta: 1e-6)
      #expect(holds(epsilon))
      #expect(relativeError(epsilon, exact) < 1e-6)
    }
  }

  /// Randomised response k times: the loss is ε·(k − 2·lies), and δ a binomial sum (Kairouz, Oh, Viswanath 2015).
  @Test(arguments: [(0.1, 10), (0.5, 30), (1.3, 4)])
  func pureReleasesComposeAsRandomisedResponse(_ epsilon: Double, _ count: Int) throws {
    let exact = { (target: Double) in
      (0...count).reduce(0.0) { sum, lies in
        let choices = (0..<lies).reduce(1.0) { $0 * Double(count - $1) / Double($1 + 1) }
        let loss = epsilon * Double(count - 2 * lies)
        let truthful = pow(1 + exp(-epsilon), -Double(count)) * exp(-epsilon * Double(lies))
        return sum - choices * truthful * expm1(min(0, target - loss))
      }
    }
    let high = try PrivacyLossDistribution.pure(epsilon: epsilon).composed(count)
    let low = try PrivacyLossDistribution.pure(epsilon: epsilon, estimate: .optimistic).composed(count)
    for target in [0, 0.5, 1, 2] where target < epsilon * Double(count) {
      #expect(try high.delta(epsilon: target) >= exact(target))
      #expect(relativeError(try high.delta(epsilon: target), exact(target)) < 1e-4)
      #expect(try low.delta(epsilon: target) <= exact(target) * (1 + 1e-12))
      #expect(relativeError(try low.delta(epsilon: target), exact(target)) < 1e-2)
    }
  }

  @Test func removingIsNotAdding() throws {
    // A sampled release tells more of a record that was there: at ε = ln(1/(1 − q)) and above, only that direction loses.
    let one = try PrivacyLossDistribution.poissonSubsampledGaussian(noiseMultiplier: 0.8, samplingProbability: 0.2)
    let exactRemove = { (epsilon: Double) in
      // δ of the mixture over the Gaussian, integrated by a fine rule.
      stride(from: -12.0, to: 14, by: 1e-3).reduce(0.0) { sum, u in
        let density = { (mean: Double) in
          exp(-(u * 0.8 - mean) * (u * 0.8 - mean) / 1.28) / (0.8 * (2 * Double.pi).squareRoot())
        }
        return sum + 0.8 * 1e-3 * max(0, 0.8 * density(0) + 0.2 * density(1) - exp(epsilon) * density(0))
      }
    }
    for epsilon in [0.5, 1, 2] {
      #expect(relativeError(try one.delta(epsilon: epsilon), exactRemove(epsilon)) < 1e-4)
    }
  }

  @Test func distributionsMustMatch() throws {
    let one = try PrivacyLossDistribution.gaussian(noiseMultiplier: 1)
    let others = try [
      PrivacyLossDistribution.gaussian(noiseMultiplier: 1, interval: 2e-4),
      PrivacyLossDistribution.gaussian(noiseMultiplier: 1, estimate: .optimistic),
    ]
    for other in others {
      #expect(throws: PrivacyAccountingError.incompatibleDistributions) { try one.composed(with: other) }
    }
  }

  @Test func sizesAreBounded() throws {
    let error = #expect(throws: PrivacyAccountingError.self) {
      try PrivacyLossDistribution.gaussian(noiseMultiplier: 0.1, interval: 1e-12)
    }
    guard case .distributionTooLarge = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    let one = try PrivacyLossDistribution.gaussian(noiseMultiplier: 0.5)
    let composed = #expect(throws: PrivacyAccountingError.self) { try one.composed(1_000_000) }
    guard case .distributionTooLarge = composed else {
      Issue.record("\(String(describing: composed))")
      return
    }
    for interval in [0, -1, .nan, .infinity, 1e-13] {
      #expect(throws: PrivacyAccountingError.self) {
        try PrivacyLossDistribution.gaussian(noiseMultiplier: 1, interval: interval)
      }
    }
    #expect(throws: PrivacyAccountingError.outOfRange(.count, value: -1)) { try one.composed(-1) }
    #expect(throws: PrivacyAccountingError.outOfRange(.epsilon, value: -1)) { try one.delta(epsilon: -1) }
  }

  @Test func nothingIsNothing() throws {
    let one = try PrivacyLossDistribution.poissonSubsampledGaussian(noiseMultiplier: 1, samplingProbability: 0)
    #expect(try one.epsilon(delta: 0) == 0)
    #expect(try one.delta(epsilon: 0) == 0)
    let none = try PrivacyLossDistribution.gaussian(noiseMultiplier: 1).composed(0)
    #expect(try none.epsilon(delta: 0) == 0)
    #expect(try none.epsilon(delta: 1) == 0)
  }
}
