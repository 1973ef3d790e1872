import DifferentialPrivacy
import Foundation
import Testing

/// Kairouz, Liu, Steinke 2021, Theorem 1: Δ₂² after conditional rounding, in integer units.
func squaredL2AfterRounding(clip: Double, granularity: Double, dimension: Int, beta: Double) -> Double {
  let norm = clip / granularity
  let root = Double(dimension).squareRoot()
  let always = (norm + root) * (norm + root)
  guard beta > 0 else { return always }
  return min(always, norm * norm + Double(dimension) / 4 + (2 * log(1 / beta)).squareRoot() * (norm + root / 2))
}

@Suite("Accounting: distributed noise")
struct AccountingDistributedNoiseTests {
  struct Case: Sendable {
    let shares, dimension: Int
    let granularity, beta: Double
    let rounds: Int
    let discreteGaussian, skellam: Double

    func noise(localSigma: Double = 0.5) throws -> DistributedNoise {
      try DistributedNoise(
        squaredL2Sensitivity: squaredL2AfterRounding(
          clip: 1, granularity: granularity, dimension: dimension, beta: beta),
        dimension: dimension, honestShares: shares, localVariance: pow(localSigma / granularity, 2))
    }
  }

  static let cases = [
    Case(
      shares: 4, dimension: 16, granularity: 0.5, beta: exp(-0.5), rounds: 1, discreteGaussian: 9.0965052,
      skellam: 11.3641915),
    Case(
      shares: 10, dimension: 4096, granularity: exp2(-10), beta: exp(-0.5), rounds: 10, discreteGaussian: 10.8135933,
      skellam: 10.8135954),
    Case(
      shares: 10, dimension: 4096, granularity: exp2(-10), beta: 0, rounds: 10, discreteGaussian: 11.5751290,
      skellam: 11.5751313),
  ]

  @Test(arguments: cases)
  func epsilonOfTheDesign(_ item: Case) throws {
    let noise = try item.noise()
    let discrete = try RenyiCurve.distributedDiscreteGaussian(noise).repeated(item.rounds).epsilon(delta: 1e-5)
    #expect(relativeError(discrete, item.discreteGaussian) < 1e-8)
    let skellam = try RenyiCurve.skellam(noise).repeated(item.rounds).epsilon(delta: 1e-5)
    #expect(relativeError(skellam, item.skellam) < 1e-8)
  }

  @Test func smallExampleInIntegerUnits() throws {
    let noise = try Self.cases[0].noise()
    #expect(relativeError(noise.squaredL2Sensitivity, 12) < 1e-15)
    #expect(noise.localVariance == 1)
    #expect(noise.centralVariance == 4)
    #expect(relativeError(noise.l1Sensitivity, 12) < 1e-15)
  }

  /// Leaving one share too many in, real units in place of integer ones, or the sum of σ in place of σ²: none passes.
  @Test func wrongVariantsAreRejected() throws {
    let item = Self.cases[0]
    let variants = try [
      DistributedNoise(squaredL2Sensitivity: 12, dimension: 16, honestShares: 5, localVariance: 1),
      DistributedNoise(squaredL2Sensitivity: 12, dimension: 16, honestShares: 3, localVariance: 1),
      DistributedNoise(squaredL2Sensitivity: 3, dimension: 16, honestShares: 4, localVariance: 1),
      DistributedNoise(squaredL2Sensitivity: 12, dimension: 16, honestShares: 4, localVariance: 2),
    ]
    for noise in variants {
      let discrete = try RenyiCurve.distributedDiscreteGaussian(noise).epsilon(delta: 1e-5)
      #expect(relativeError(discrete, item.discreteGaussian) > 1e-2)
      #expect(relativeError(try RenyiCurve.skellam(noise).epsilon(delta: 1e-5), item.skellam) > 1e-2)
    }
  }

  /// τ = 5.40223e-4 is seen in the ε of a vector whose sensitivity is all but nothing: there r(α) = α·d·τ²/2.
  @Test func distanceFromOneDiscreteGaussian() throws {
    let noise = try DistributedNoise(
      squaredL2Sensitivity: 1e-30, l1Sensitivity: 1e-15, dimension: 16, honestShares: 4, localVariance: 1)
    let curve = RenyiCurve.distributedDiscreteGaussian(noise)
    let index = try #require(RenyiCurve.defaultOrders.firstIndex(of: 2))
    #expect(relativeError(curve.values[index], 16 * 5.40223e-4 * 5.40223e-4) < 1e-5)
  }

  @Test func oneShareIsOneDiscreteGaussian() throws {
    let noise = try DistributedNoise(
      squaredL2Sensitivity: 9, l1Sensitivity: 5, dimension: 4, honestShares: 1, localVariance: 16)
    let one = try RenyiCurve.discreteGaussian(sigma: 4, sensitivity: 3)
    for (order, values) in zip(
      RenyiCurve.defaultOrders, zip(RenyiCurve.distributedDiscreteGaussian(noise).values, one.values))
    where order == order.rounded() {
      #expect(relativeError(values.0, values.1) < 1e-14)
    }
  }

  @Test func skellamDoesNotDependOnTheScale() throws {
    // Real units with s: [(2α−1)s·Δ₂² + 6Δ₁]/(4s³μ²) and 3Δ₁/(2sμ), as the paper writes them.
    let (real2, real1, variance, scale) = (3.0, 6.0, 1.0, 2.0)
    let noise = try DistributedNoise(
      squaredL2Sensitivity: real2 * scale * scale, l1Sensitivity: real1 * scale, dimension: 16, honestShares: 4,
      localVariance: variance * scale * scale / 4)
    for (order, value) in zip(RenyiCurve.defaultOrders, RenyiCurve.skellam(noise).values)
    where order == order.rounded() {
      let quadratic =
        ((2 * order - 1) * scale * real2 + 6 * real1 / 1) / (4 * scale * scale * scale * variance * variance)
      let linear = 3 * real1 / (2 * scale * variance)
      #expect(relativeError(value, order * real2 / (2 * variance) + min(quadratic, linear)) < 1e-14)
    }
  }

  @Test func hostileParametersAreRefused() {
    let values: [(AccountedQuantity, () throws(PrivacyAccountingError) -> DistributedNoise)] = [
      (.squaredL2Sensitivity, { () throws(PrivacyAccountingError) in try Self.noise(squared: 0) }),
      (.squaredL2Sensitivity, { () throws(PrivacyAccountingError) in try Self.noise(squared: .nan) }),
      (.squaredL2Sensitivity, { () throws(PrivacyAccountingError) in try Self.noise(squared: .infinity) }),
      (.l1Sensitivity, { () throws(PrivacyAccountingError) in try Self.noise(first: 1) }),
      (.l1Sensitivity, { () throws(PrivacyAccountingError) in try Self.noise(first: .nan) }),
      (.dimension, { () throws(PrivacyAccountingError) in try Self.noise(dimension: 0) }),
      (.dimension, { () throws(PrivacyAccountingError) in try Self.noise(dimension: .max) }),
      (.honestShares, { () throws(PrivacyAccountingError) in try Self.noise(shares: 0) }),
      (.honestShares, { () throws(PrivacyAccountingError) in try Self.noise(shares: 1_000_001) }),
      (.localVariance, { () throws(PrivacyAccountingError) in try Self.noise(variance: 0.2499) }),
      (.localVariance, { () throws(PrivacyAccountingError) in try Self.noise(variance: .nan) }),
    ]
    for (quantity, make) in values {
      let error = #expect(throws: PrivacyAccountingError.self) { try make() }
      guard case .outOfRange(quantity, _) = error else {
        Issue.record("\(quantity): \(String(describing: error))")
        continue
      }
    }
  }

  private static func noise(
    squared: Double = 4, first: Double = 2, dimension: Int = 4, shares: Int = 2, variance: Double = 1
  ) throws(PrivacyAccountingError) -> DistributedNoise {
    try DistributedNoise(
      squaredL2Sensitivity: squared, l1Sensitivity: first, dimension: dimension, honestShares: shares,
      localVariance: variance)
  }
}
