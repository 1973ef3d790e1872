import Testing

@testable import Learning

@Suite struct AdaptiveClippingTests {
  @Test func movesByTheRule() throws {
    let clipping = try AdaptiveClipping(quantile: 0.5, learningRate: 0.2, range: 0.01...100)
    // e^(−0.2 · ½), e^0, e^(0.2 · ½), by the tables.
    #expect(try abs(clipping.next(norm: 2, bitSum: 10, expectedContributions: 10) - 2 * 0.9048374180359595) < 1e-12)
    #expect(try clipping.next(norm: 2, bitSum: 0, expectedContributions: 10) == 2)
    #expect(try abs(clipping.next(norm: 2, bitSum: -10, expectedContributions: 10) - 2 * 1.1051709180756477) < 1e-12)
    // Noise beyond what is possible moves no further.
    #expect(
      try clipping.next(norm: 2, bitSum: .min, expectedContributions: 10)
        == clipping.next(norm: 2, bitSum: -10, expectedContributions: 10))
    #expect(try clipping.next(norm: 0.01, bitSum: 10, expectedContributions: 10) == 0.01)
    #expect(try clipping.next(norm: 100, bitSum: -10, expectedContributions: 10) == 100)
    #expect(AdaptiveClipping.bit(norm: 1, clippingNorm: 1) == 1)
    #expect(AdaptiveClipping.bit(norm: 1.0000001, clippingNorm: 1) == -1)
    #expect(AdaptiveClipping.bit(norm: .nan, clippingNorm: 1) == -1)
  }

  @Test(arguments: [(0.5, 5.0), (0.8, 8.0), (0.1, 1.0)], [0.1, 50])
  func findsTheQuantileThroughNoise(target: (quantile: Double, norm: Double), start: Double) throws {
    let clipping = try AdaptiveClipping(quantile: target.quantile, learningRate: 0.2, range: 0.001...1000)
    var source = Congruential(state: 6)
    // Norms 0.01, 0.02, …, 10: the quantile q is 10 q.
    let norms = (1...1000).map { Double($0) / 100 }
    var norm = start
    for _ in 0..<200 {
      let sum = norms.reduce(0) { $0 + AdaptiveClipping.bit(norm: $1, clippingNorm: norm) }
      let noise = Int64((40 * (source.next() - 0.5)).rounded())
      norm = try clipping.next(norm: norm, bitSum: sum + noise, expectedContributions: 1000)
    }
    #expect(abs(norm - target.norm) < 0.15 * target.norm)
  }

  @Test func refusesValuesOutOfRange() throws {
    for quantile in [-0.1, 1.1, .nan] {
      #expect(throws: LearningError.self) { try AdaptiveClipping(quantile: quantile, range: 1...2) }
    }
    for rate in [0, -1, 1.1, .nan] {
      #expect(throws: LearningError.self) { try AdaptiveClipping(learningRate: rate, range: 1...2) }
    }
    #expect(throws: LearningError.self) { try AdaptiveClipping(range: 0...2) }
    #expect(throws: LearningError.self) { try AdaptiveClipping(range: 1...Double.infinity) }
    let clipping = try AdaptiveClipping(range: 1...2)
    for norm in [0.5, 3, .nan] {
      #expect(throws: LearningError.self) { try clipping.next(norm: norm, bitSum: 0, expectedContributions: 1) }
    }
    for expected in [0, -1, .nan, Double.infinity] {
      #expect(throws: LearningError.self) { try clipping.next(norm: 1, bitSum: 0, expectedContributions: expected) }
    }
  }
}
