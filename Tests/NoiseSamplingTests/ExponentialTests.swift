import Foundation
import Testing

@testable import NoiseSampling

@Suite("The exponential function in integers")
struct ExponentialTests {
  /// ⌊e^(−p/q) · 10⁶⁰⌋, computed elsewhere with 80 digits.
  static let golden: [(numerator: UInt64, denominator: UInt64, digits: String)] = [
    (0, 1, "1" + String(repeating: "0", count: 60)),
    (1, 1, "367879441171442321595523770161460867445811131031767834507836"),
    (2, 1, "135335283236612691893999494972484403407631545909575881468158"),
    (1, 3, "716531310573789250425604096925379667453112059821479157140870"),
    (40, 1, "4248354255291588995329234782858658017879565"),
    (123_456_789, 1_000_000, "2417674"),
    (524_288, 1, "0"),
  ]

  private static func natural(_ digits: String) -> Natural {
    digits.utf8.reduce(Natural(0)) { $0 * Natural(10) + Natural(UInt64($1 - 48)) }
  }

  @Test("Bounds hold 60 digits computed elsewhere between them", arguments: golden.indices)
  func boundsHoldGoldenValues(index: Int) {
    let (numerator, denominator, digits) = Self.golden[index]
    let power = (0..<60).reduce(Natural(1)) { product, _ in product * Natural(10) }
    let expected = Self.natural(digits)
    for bits in [1, 64, 127, 256, 1000] {
      let bounds = Exponential.bounds(
        numerator: Natural(numerator), denominator: Natural(denominator), fractionBits: bits)
      #expect(bounds.lower * power < (expected + Natural(1)) << bits)
      #expect(bounds.upper * power >= expected << bits)
      #expect(bounds.upper - bounds.lower <= Natural(2))
      // Digits that are wrong are noticed, where there are bits for them.
      if bits >= 256 {
        #expect(bounds.upper * power < (expected + Natural(1)) << bits || numerator == 0)
        #expect(bounds.lower * power >= expected << bits)
      }
    }
  }

  @Test("More digits refine the bounds")
  func boundsNest() throws {
    var generator = try Keystream(seed: 3)
    for _ in 0..<40 {
      let numerator = Natural(generator.next() >> UInt64.random(in: 20..<60, using: &generator))
      let denominator = Natural(generator.next() >> UInt64.random(in: 20..<60, using: &generator) | 1)
      let (coarse, fine) = (
        Exponential.bounds(numerator: numerator, denominator: denominator, fractionBits: 70),
        Exponential.bounds(numerator: numerator, denominator: denominator, fractionBits: 300)
      )
      #expect(coarse.lower << 230 <= fine.upper && fine.lower <= coarse.upper << 230)
    }
  }

  @Test("The estimate is within its tolerance, everywhere")
  func estimateIsWithinTolerance() throws {
    let generator = try Keystream(seed: 4)
    var largest: UInt64 = 0
    var exponents: [UInt128] = [
      0, 1, 0xB172_17F7_D1CF_79AB, 0xB172_17F7_D1CF_79AC, 43 << 64 | 0xFFFF_FFFF_FFFF_FFFF, 44 << 64,
    ]
    for scale in 0..<400 { exponents.append(UInt128(generator.next()) << UInt128(scale % 8)) }
    // Near the multiples of ln 2, where one more is shifted out.
    for multiple in 1..<90 as Range<UInt128> {
      for step in 0..<3 as Range<UInt128> {
        exponents.append(multiple * 0xB172_17F7_D1CF_79AB + multiple / 2 - 1 + step)
      }
    }
    for exponent in exponents {
      let numerator = Natural(UInt64(exponent >> 64)) << 64 + Natural(UInt64(truncatingIfNeeded: exponent))
      let bounds = Exponential.bounds(numerator: numerator, denominator: .powerOfTwo(64), fractionBits: 64)
      let estimate = Exponential.estimate(exponent)
      let difference =
        max(
          Natural(estimate) - bounds.lower, bounds.upper - Natural(estimate)
        ).word ?? .max
      largest = max(largest, difference)
      #expect(difference <= Exponential.estimateTolerance + 2, "x = \(exponent)/2^64")
    }
    // It does lose something: the test compares.
    #expect(largest > 1)
  }

  @Test("Large exponents give next to nothing")
  func estimateOfLargeExponents() {
    for exponent in [45, 64, 65, 1000, 1 << 62] as [UInt128] { #expect(Exponential.estimate(exponent << 64) <= 1) }
  }
}

@Suite("Lazy uniform numbers")
struct LazyUniformTests {
  private static func third(_ bits: Int) -> Bounds {
    let lower = Natural.powerOfTwo(bits) / Natural(3)
    return Bounds(lower: lower, upper: lower + Natural(1))
  }

  @Test("draw no more digits than a comparison needs")
  func takesWordsOnlyIfNeeded() {
    let prefix: UInt64 = 0x5555_5555_5555_5555
    for (digits, following, isBelow, taken) in [
      (prefix - 1, [], true, 0), (prefix + 1, [], false, 0),
      (prefix, [prefix - 1], true, 1), (prefix, [prefix + 1], false, 1),
      (prefix, [prefix, prefix, prefix - 1], true, 3), (prefix, [prefix, prefix, prefix + 1], false, 3),
    ] as [(UInt64, [UInt64], Bool, Int)] {
      var generator = ScriptedWords(following)
      var uniform = LazyUniform(digits: digits, count: 64)
      #expect(uniform.isBelow(using: &generator, Self.third) == isBelow)
      #expect(generator.taken == taken)
      // The digits stay for the next comparison.
      #expect(uniform.isBelow(using: &generator, Self.third) == isBelow)
      #expect(generator.taken == taken)
    }
  }

  @Test("Verdicts agree with the exact comparison wherever they are given")
  func verdicts() {
    let (estimate, tolerance): (UInt64, UInt64) = (1000, 7)
    for digits in 900..<1100 as Range<UInt64> {
      let verdict = Verdict(digits: digits, estimate: estimate, tolerance: tolerance)
      // The true value may be anything from 993 to 1007, the number anything from digits to digits + 1.
      let expected: Verdict = digits + 1 <= 993 ? .below : digits >= 1007 ? .notBelow : .undecided
      #expect(verdict == expected)
    }
    #expect(Verdict(digits: .max, estimate: .max, tolerance: 1) == .undecided)
    #expect(Verdict(digits: 0, estimate: 0, tolerance: 0) == .notBelow)
    #expect(Verdict(digits: 0, estimate: 0, tolerance: 1) == .undecided)
    #expect(Verdict(digits: 0, estimate: .max, tolerance: .max) == .undecided)
  }
}
