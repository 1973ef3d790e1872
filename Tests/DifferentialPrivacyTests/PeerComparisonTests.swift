import DifferentialPrivacy
import Foundation
import Testing

/// Compares with dp_accounting on the cases that `Tests/IndependentCheck/compare_accounting.py` writes: `make peers`.
@Suite("Comparison with dp_accounting")
struct PeerComparisonTests {
  private static let path = ProcessInfo.processInfo.environment["BAUTA_PEER_CASES"]

  struct Case: Decodable {
    let family: String
    let seed: Int
    let peer: Double
    let sigma, epsilon, delta, rho, q, sampledSigma: Double?
    let steps, leaves, sensitivity, others: Int?
  }

  /// Largest relative error allowed to each family: the peer's own solver stops at 1e-12 absolutely, and its privacy loss
  /// distributions have a coarser grid than ours.
  private static let tolerances: [(family: String, tolerance: Double)] = [
    ("gaussianEpsilon", 1e-6), ("gaussianSigma", 1e-6), ("zeroConcentrated", 1e-6), ("renyiGaussian", 1e-6),
    ("renyiSampled", 1e-6), ("renyiTree", 1e-6), ("renyiDelta", 1e-6), ("lossGaussian", 1e-3), ("lossSampled", 1e-3),
    ("lossDiscrete", 1e-3), ("lossMixed", 1e-3),
  ]

  @Test(.enabled(if: path != nil, "BAUTA_PEER_CASES names no file of cases: run `make peers`"))
  func valuesAreThePeers() throws {
    let cases = try JSONDecoder().decode(
      [Case].self, from: Data(contentsOf: URL(fileURLWithPath: try #require(Self.path))))
    for (family, tolerance) in Self.tolerances {
      let members = cases.filter { $0.family == family }
      #expect(!members.isEmpty, "no case of \(family)")
      var worst = 0.0
      for item in members {
        let error = relativeError(try Self.value(of: item), item.peer)
        #expect(error <= tolerance, "\(item)")
        worst = max(worst, error)
      }
      print("\(family): \(members.count) cases, worst relative error \(worst)")
    }
    #expect(cases.allSatisfy { item in Self.tolerances.contains { $0.family == item.family } })
  }

  /// The peer's pessimistic ε is never below our optimistic one.
  @Test(.enabled(if: path != nil, "BAUTA_PEER_CASES names no file of cases: run `make peers`"))
  func peersArePessimisticToo() throws {
    let cases = try JSONDecoder().decode(
      [Case].self, from: Data(contentsOf: URL(fileURLWithPath: try #require(Self.path))))
    for item in cases where item.family.hasPrefix("loss") {
      let composition = try Self.composition(of: item)
      let low = try #require(try composition.privacyLossDistribution(estimate: .optimistic))
      #expect(try low.epsilon(delta: try #require(item.delta)) <= item.peer * (1 + 1e-9), "\(item)")
    }
  }

  private static func value(of item: Case) throws -> Double {
    switch item.family {
    case "gaussianEpsilon":
      return try GaussianMechanism.epsilon(delta: #require(item.delta), noiseMultiplier: #require(item.sigma))
    case "gaussianSigma":
      return try GaussianMechanism.noiseMultiplier(epsilon: #require(item.epsilon), delta: #require(item.delta))
    case "renyiDelta":
      return try RenyiCurve.gaussian(noiseMultiplier: #require(item.sigma)).delta(epsilon: #require(item.epsilon))
    case "zeroConcentrated", "renyiGaussian", "renyiSampled", "renyiTree":
      return try composition(of: item).renyiCurve().epsilon(delta: #require(item.delta))
    default:
      let distribution = try #require(try composition(of: item).privacyLossDistribution())
      return try distribution.epsilon(delta: #require(item.delta))
    }
  }

  private static func composition(of item: Case) throws -> PrivacyComposition {
    var composition = PrivacyComposition()
    switch item.family {
    case "zeroConcentrated": try composition.compose(.zeroConcentrated(rho: #require(item.rho)))
    case "renyiTree":
      try composition.compose(.tree(noiseMultiplier: #require(item.sigma), leaves: #require(item.leaves)))
    case "renyiGaussian", "lossGaussian":
      try composition.compose(.gaussian(noiseMultiplier: #require(item.sigma)), count: #require(item.steps))
    case "renyiSampled", "lossSampled":
      try composition.compose(
        .poissonSubsampledGaussian(noiseMultiplier: #require(item.sigma), samplingProbability: #require(item.q)),
        count: #require(item.steps))
    case "lossDiscrete":
      try composition.compose(
        .discreteGaussian(sigma: #require(item.sigma), sensitivity: #require(item.sensitivity)),
        count: #require(item.steps))
    case "lossMixed":
      try composition.compose(
        .poissonSubsampledGaussian(
          noiseMultiplier: #require(item.sampledSigma), samplingProbability: #require(item.q)),
        count: #require(item.steps))
      try composition.compose(.gaussian(noiseMultiplier: #require(item.sigma)), count: #require(item.others))
    default: Issue.record("unknown family \(item.family)")
    }
    return composition
  }
}
