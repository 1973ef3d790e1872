import Foundation
import Testing

@testable import DifferentialPrivacy

@Suite struct MechanismFiguresTests {
  private func figures() throws -> MechanismFigures {
    let small = MechanismFigures.Setting(
      honestShares: 4, dimension: 16, clip: 1, scaleExponent: 1, localDeviation: 0.5, bias: .exponential, releases: 1)
    var large = MechanismFigures.Setting(
      honestShares: 10, dimension: 4096, clip: 1, scaleExponent: 10, localDeviation: 0.5, bias: .exponential,
      releases: 10)
    var unbiased = large
    unbiased.bias = .none
    large.releases = 10
    return try MechanismFigures(settings: [small, large, unbiased], delta: 1e-5)
  }

  /// Figures that are known from elsewhere.
  @Test func reproducesKnownFigures() throws {
    let rows = try figures().rows
    #expect(abs(rows[0].l2Sensitivity - 3.0.squareRoot()) < 1e-12)
    #expect(abs(rows[0].distance - 5.40223e-4) < 5e-10)
    #expect(abs(rows[0].discreteGaussianEpsilon - 9.0965052) < 1e-6)
    #expect(abs(rows[0].skellamEpsilon - 11.3641915) < 1e-6)
    #expect(abs(rows[1].discreteGaussianEpsilon - 10.8135933) < 1e-6)
    #expect(abs(rows[1].skellamEpsilon - 10.8135954) < 1e-6)
    #expect(abs(rows[2].discreteGaussianEpsilon - 11.5751290) < 1e-6)
  }

  @Test func isTextForADocument() throws {
    #expect(
      try figures().text == """
        | shares | d | c | 1/γ | σ of a share | β | T | Δ₂ | τ | ε, discrete Gaussian | ε, Skellam |
        |---|---|---|---|---|---|---|---|---|---|---|
        | 4 | 16 | 1 | 2^1 | 0.5 | exp-1/2 | 1 | 1.73205 | 0.000540223 | 9.09651 | 11.3642 |
        | 10 | 4096 | 1 | 2^10 | 0.5 | exp-1/2 | 10 | 1.00099 | 0 | 10.8136 | 10.8136 |
        | 10 | 4096 | 1 | 2^10 | 0.5 | 0 | 10 | 1.0625 | 0 | 11.5751 | 11.5751 |

        """)
  }

  @Test func refusesSettingsOutOfRange() {
    var setting = MechanismFigures.Setting(
      honestShares: 4, dimension: 16, clip: 1, scaleExponent: -1, localDeviation: 1, bias: .none, releases: 1)
    #expect(throws: MechanismError.parameter(.scale)) { try MechanismFigures(settings: [setting], delta: 1e-5) }
    setting.scaleExponent = 1
    setting.localDeviation = 0.2
    let error = #expect(throws: MechanismError.self) { try MechanismFigures(settings: [setting], delta: 1e-5) }
    #expect(error?.code == "privacy-parameter-out-of-range" && error?.blame == "caller")
  }
}
