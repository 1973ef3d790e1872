import DifferentialPrivacy
import Foundation
import Testing

@Suite("Accounting: privacy loss distributions")
struct AccountingLossDistributionTests {
  @Test func sampledGaussianOfThePeer() throws {
    for item in try AccountingVectors.load().dpsgd {
      var composition = PrivacyComposition()
      try composition.compose(
        .poissonSubsampledGaussian(noiseMultiplier: item.noiseMultiplier, samplingProbability: item.q),
        count: item.steps)
      let high = try #require(try composition.privacyLossDistribution()).epsilon(delta: item.delta)
      let low = try #require(try composition.privacyLossDistribution(estimate: .optimistic)).epsilon(delta: item.delta)
      print(item, high, low, high / item.epsilonPld - 1, low / item.epsilonPld - 1)
      #expect(relativeError(high, item.epsilonPld) < 1e-3)
      #expect(low <= item.epsilonPld && low <= high)
    }
  }

  @Test func discreteGaussianOfThePeer() throws {
    for item in try AccountingVectors.load().discreteGaussian {
      var composition = PrivacyComposition()
      try composition.compose(
        .discreteGaussian(sigma: item.sigma, sensitivity: item.sensitivity), count: item.compositions)
      let high = try #require(try composition.privacyLossDistribution()).epsilon(delta: item.delta)
      let low = try #require(try composition.privacyLossDistribution(estimate: .optimistic)).epsilon(delta: item.delta)
      print(item, high, low, high / item.epsilonPld - 1, low / item.epsilonPld - 1)
    }
  }

  @Test(arguments: [(0.5, 1), (1, 1), (4, 1), (30, 1000), (100, 10_000), (1000, 1_000_000)])
  func gaussianIsBracketed(_ noise: Double, _ count: Int) throws {
    for delta in [1e-3, 1e-5, 1e-8] {
      let exact = try GaussianMechanism.epsilon(
        delta: delta, noiseMultiplier: noise / Double(count).squareRoot())
      let high = try PrivacyLossDistribution.gaussian(noiseMultiplier: noise, interval: 1e-4).composed(count).epsilon(delta: delta)
      let low = try PrivacyLossDistribution.gaussian(noiseMultiplier: noise, interval: 1e-4, estimate: .optimistic).composed(count).epsilon(delta: delta)
      print(noise, count, delta, high / exact - 1, low / exact - 1)
      #expect(low <= exact && exact <= high)
    }
  }
}
