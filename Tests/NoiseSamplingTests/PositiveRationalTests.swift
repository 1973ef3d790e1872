import Testing

@testable import NoiseSampling

@Suite("Positive rational numbers")
struct PositiveRationalTests {
  @Test("are in lowest terms, and equal if they are the same number")
  func areReduced() throws {
    let value = try #require(PositiveRational(numerator: 84, denominator: 36))
    #expect(value.numerator == 7 && value.denominator == 3)
    #expect(value == PositiveRational(numerator: 7, denominator: 3))
    #expect(value != PositiveRational(numerator: 7, denominator: 4))
    let largest = try #require(PositiveRational(numerator: .max, denominator: .max))
    #expect(largest == PositiveRational(1))
  }

  @Test("have no zero on either side")
  func areNeverZero() {
    #expect(PositiveRational(numerator: 0, denominator: 1) == nil)
    #expect(PositiveRational(numerator: 1, denominator: 0) == nil)
    #expect(PositiveRational(0) == nil)
  }

  @Test("are halved exactly or not at all")
  func areHalved() throws {
    #expect(PositiveRational(numerator: 7, denominator: 3)?.half == PositiveRational(numerator: 7, denominator: 6))
    #expect(PositiveRational(numerator: 8, denominator: 3)?.half == PositiveRational(numerator: 4, denominator: 3))
    #expect(PositiveRational(numerator: 1, denominator: .max)?.half == nil)
  }

  @Test("have integer square roots at both sides of every square")
  func squareRoots() {
    for root: UInt64 in [1, 2, 3, 1000, 65_536, 1 << 20, (1 << 32) - 1] {
      #expect(squareRoot(root * root) == root)
      #expect(squareRoot(root * root - 1) == root - 1)
    }
    #expect(squareRoot(0) == 0)
    #expect(squareRoot(.max) == (1 << 32) - 1)
  }

  @Test("Samplers take the range they document, and nothing beyond")
  func ranges() throws {
    let limit: UInt64 = 1 << 40
    for (numerator, denominator, fits) in [
      (limit, 1, true), (limit + 1, 1, false), (1, 1 << 20, true), (1, (1 << 20) + 1, false),
      (limit << 20 - 1, 1 << 20, true), (limit << 20 + 1, 1 << 20, false), (UInt64.max, 1, false),
      (1, UInt64.max, false),
    ] as [(UInt64, UInt64, Bool)] {
      let value = try #require(PositiveRational(numerator: numerator, denominator: denominator))
      #expect((DiscreteGaussian(variance: value) != nil) == fits)
      #expect((DiscreteLaplace(scale: value) != nil) == fits)
      #expect((Skellam(variance: value) != nil) == fits)
    }
    #expect(Poisson(mean: try #require(PositiveRational(numerator: 1, denominator: 1 << 21))) != nil)
    #expect(Poisson(mean: try #require(PositiveRational(numerator: 1, denominator: 1 << 21 + 1))) == nil)
    #expect(Poisson(mean: try #require(PositiveRational(limit + 1))) == nil)
  }
}
