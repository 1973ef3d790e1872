import DifferentialPrivacy
import Foundation
import Testing

/// The cases of `dp_accounting.json`.
struct AccountingVectors: Decodable {
  struct Gaussian: Decodable { let sigma, delta, epsilon: Double }
  struct ZeroConcentrated: Decodable { let rho, delta, epsilon: Double }
  struct Sampled: Decodable {
    let q, noiseMultiplier: Double
    let steps: Int
    let delta, epsilonRdp, epsilonPld: Double
  }
  struct DiscreteGaussian: Decodable {
    let sigma: Double
    let sensitivity, compositions: Int
    let delta, epsilonPld: Double
  }
  struct Cases: Decodable {
    let gaussian, gaussianSigma: [Gaussian]
    let zcdp: [ZeroConcentrated]
    let dpsgd: [Sampled]
    let discreteGaussian: [DiscreteGaussian]
  }
  let cases: Cases

  static func load() throws -> Cases {
    let url = try #require(
      Bundle.module.url(forResource: "dp_accounting", withExtension: "json", subdirectory: "Resources"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(AccountingVectors.self, from: try Data(contentsOf: url)).cases
  }
}

func relativeError(_ value: Double, _ expected: Double) -> Double { abs(value - expected) / abs(expected) }

@Suite("Accounting: golden values")
struct AccountingGoldenTests {
  @Test func gaussianEpsilonIsThePeersToNineDigits() throws {
    for item in try AccountingVectors.load().gaussian {
      let epsilon = try GaussianMechanism.epsilon(delta: item.delta, noiseMultiplier: item.sigma)
      #expect(relativeError(epsilon, item.epsilon) < 1e-9, "σ \(item.sigma)")
      let delta = try GaussianMechanism.delta(epsilon: item.epsilon, noiseMultiplier: item.sigma)
      #expect(relativeError(delta, item.delta) < 1e-9, "σ \(item.sigma)")
    }
  }

  @Test func gaussianSigmaIsThePeersToNineDigits() throws {
    for item in try AccountingVectors.load().gaussianSigma {
      let sigma = try GaussianMechanism.noiseMultiplier(epsilon: item.epsilon, delta: item.delta)
      #expect(relativeError(sigma, item.sigma) < 1e-9, "ε \(item.epsilon)")
    }
  }

  @Test(arguments: [(1, 4.3771781), (2, 1.9930914), (4, 0.9263415)])
  func gaussianEpsilonOfTheDesign(_ sigma: Double, _ epsilon: Double) throws {
    #expect(relativeError(try GaussianMechanism.epsilon(delta: 1e-5, noiseMultiplier: sigma), epsilon) < 1e-7)
  }

  @Test(arguments: [(0.5, 7.0318267), (1, 3.7306316), (3, 1.3905935), (8, 0.6002290)])
  func gaussianSigmaOfTheDesign(_ epsilon: Double, _ sigma: Double) throws {
    #expect(relativeError(try GaussianMechanism.noiseMultiplier(epsilon: epsilon, delta: 1e-5), sigma) < 2e-7)
  }

  @Test func zeroConcentrated() throws {
    for item in try AccountingVectors.load().zcdp {
      let epsilon = try RenyiCurve.zeroConcentrated(rho: item.rho).epsilon(delta: item.delta)
      #expect(relativeError(epsilon, item.epsilon) < 1e-12, "ρ \(item.rho)")
    }
    #expect(relativeError(try RenyiCurve.zeroConcentrated(rho: 0.5).epsilon(delta: 1e-5), 4.7285071) < 1e-7)
  }

  @Test func subsampledGaussianByRenyiDivergence() throws {
    for item in try AccountingVectors.load().dpsgd {
      let curve = try RenyiCurve.poissonSubsampledGaussian(
        noiseMultiplier: item.noiseMultiplier, samplingProbability: item.q)
      let epsilon = try curve.repeated(item.steps).epsilon(delta: item.delta)
      #expect(relativeError(epsilon, item.epsilonRdp) < 1e-9, "q \(item.q), z \(item.noiseMultiplier)")
    }
  }

  @Test func gaussianByRenyiDivergenceAtTheDesignsNoise() throws {
    let epsilon = try RenyiCurve.gaussian(noiseMultiplier: 4.530877117).epsilon(delta: 1e-6)
    #expect(relativeError(epsilon, 1) < 1e-6)
  }

  @Test(arguments: [(1.13, 19.74, 18.7), (8.83, 2.04, 1.77)])
  func treeStaysUnderThePublishedFigures(_ noise: Double, _ most: Double, _ least: Double) throws {
    let epsilon = try RenyiCurve.tree(noiseMultiplier: noise, leaves: 1600).epsilon(delta: 1e-6)
    #expect(epsilon <= most)
    // The published conversion is older; a wrong depth would fall below.
    #expect(epsilon >= least)
  }
}
