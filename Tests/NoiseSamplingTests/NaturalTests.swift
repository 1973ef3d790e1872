import Testing

@testable import NoiseSampling

@Suite("Natural numbers")
struct NaturalTests {
  private static func random(_ words: Int, using generator: inout Keystream) -> Natural {
    (0..<words).reduce(Natural(0)) { sum, _ in sum << 64 + Natural(generator.next()) }
  }

  @Test("compute what 128 bits compute")
  func agreesWithWords() throws {
    var generator = try Keystream(seed: 1)
    for _ in 0..<500 {
      let shift = UInt64.random(in: 0..<60, using: &generator)
      let (a, b) = (generator.next() >> shift, generator.next() >> (60 - shift) | 1)
      #expect((Natural(a) + Natural(b)).doubleWord == UInt128(a) + UInt128(b))
      #expect((Natural(a) * Natural(b)).doubleWord == UInt128(a) * UInt128(b))
      #expect((Natural(a) / Natural(b)).word == a / b)
      #expect((Natural(a) - Natural(b)).word == (a > b ? a - b : 0))
      #expect((Natural(a) < Natural(b)) == (a < b))
      #expect((Natural(a) << Int(shift)).doubleWord == UInt128(a) << UInt128(shift))
      #expect((Natural(a) >> Int(shift)).word == a >> shift)
      #expect(Natural(a).bitWidth == 64 - a.leadingZeroBitCount)
    }
  }

  @Test("satisfy the laws of arithmetic at any length")
  func laws() throws {
    var generator = try Keystream(seed: 2)
    for length in 1..<9 {
      let a = Self.random(length, using: &generator)
      let b = Self.random(9 - length, using: &generator)
      let c = Self.random(3, using: &generator)
      #expect((a + b) * c == a * c + b * c)
      #expect((a + b) - b == a)
      let quotient = a / c
      #expect(quotient * c <= a && a < (quotient + Natural(1)) * c)
      for shift in [0, 1, 63, 64, 65, 200] {
        #expect((a << shift) >> shift == a)
        #expect(a << shift == a * Natural.powerOfTwo(shift))
        #expect(a >> shift == a / Natural.powerOfTwo(shift))
      }
      var scaled = a
      let factor = generator.next()
      scaled.multiply(by: factor)
      #expect(scaled == a * Natural(factor))
      #expect(scaled.divide(by: factor) == false && scaled == a)
      scaled = scaled * Natural(factor) + Natural(1)
      #expect(scaled.divide(by: factor) == true && scaled == a)
    }
  }

  @Test("know zero, and do not fall below it")
  func zero() {
    #expect(Natural(0).isZero && Natural(0).bitWidth == 0 && Natural(0).word == 0)
    #expect(Natural(3) - Natural(4) == Natural(0))
    #expect((Natural(5) >> 3).isZero)
    #expect((Natural(0) << 70).isZero)
    var product = Natural(7)
    product.multiply(by: 0)
    #expect(product.isZero)
    #expect((Natural.powerOfTwo(128)).doubleWord == nil)
  }

  @Test("carry through every word")
  func carries() {
    let ones = Natural.powerOfTwo(256) - Natural(1)
    #expect(ones.bitWidth == 256)
    #expect(ones + Natural(1) == .powerOfTwo(256))
    #expect(Natural.powerOfTwo(256) - ones == Natural(1))
    #expect(ones * ones == .powerOfTwo(512) - .powerOfTwo(257) + Natural(1))
  }
}
