import Foundation
import Testing

@testable import NoiseSampling

@Suite("Proposals for Poisson variables")
struct PoissonTableTests {
  private static func table(_ numerator: UInt64, _ denominator: UInt64, tailBits: UInt64 = 46) throws -> PoissonTable {
    let mean = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    return PoissonTable(mean: mean, tuning: PoissonTuning(tailBits: tailBits, extraTolerance: 0))
  }

  @Test("The product of factors is p(k)/p(m)")
  func productIsTheRatio() throws {
    let ratio = PoissonRatio(mean: try #require(PositiveRational(numerator: 505, denominator: 10)))
    #expect(ratio.mode == 50)
    for k in [0, 1, 49, 50, 51, 80, 200] as [UInt64] {
      let bounds = ratio.bounds(of: k, fractionBits: 62)
      let expected = exp(Double(k) * log(50.5) - lgamma(Double(k) + 1) - 50 * log(50.5) + lgamma(51))
      let value = Double(bounds.lower.word ?? .max) * 0x1p-62
      #expect(abs(value - expected) <= 1e-12 * expected + 0x1p-54)
      #expect(bounds.lower <= bounds.upper && bounds.upper - bounds.lower <= Natural(200))
    }
    // Exact where nothing is rounded: p(51)/p(50) = 101/102, p(49)/p(50) = 100/101.
    let above = ratio.bounds(of: 51, fractionBits: 100)
    #expect(above.lower == (Natural(101) << 100) / Natural(102) && above.upper == above.lower + Natural(1))
    let below = ratio.bounds(of: 49, fractionBits: 100)
    #expect(below.lower == (Natural(100) << 100) / Natural(101) && below.upper == below.lower + Natural(1))
  }

  /// The largest distance between estimate and product at steps over all of the reach, as a part of the tolerance.
  private static func largestError(_ numerator: UInt64, _ denominator: UInt64, steps: UInt64, reach: UInt64? = nil)
    throws
    -> Double
  {
    let ratio = PoissonRatio(mean: try #require(PositiveRational(numerator: numerator, denominator: denominator)))
    let estimate = PoissonEstimate(ratio, extraTolerance: 0)
    let reach = min(reach ?? .max, estimate.reach)
    var largest: UInt64 = 0
    for step in 0...steps {
      let distance = reach * step / steps
      for isAbove in [true, false] {
        let bounds = ratio.bounds(of: isAbove ? ratio.mode + distance : ratio.mode - distance, fractionBits: 96)
        let value = Natural(estimate.ratio(distance: distance, below: isAbove ? 0 : .max)) << 32
        let difference = max(value - bounds.lower, bounds.upper - value) >> 32
        largest = max(largest, difference.word ?? .max)
      }
    }
    return Double(largest) / Double(estimate.tolerance)
  }

  @Test("Estimates are within their tolerance", arguments: 0..<9)
  func estimatesAreWithinTolerance(index: Int) throws {
    let (numerator, denominator, steps, reach): (UInt64, UInt64, UInt64, UInt64?) =
      [
        (256, 1, 160, nil), ((257 << 21) - 1, 1 << 21, 160, nil), (1000, 3, 180, nil), (1025, 4, 160, nil),
        (10_000, 1, 100, nil), (1_000_001, 7, 40, nil), (1_000_000, 1, 20, nil), (1 << 40, 1, 6, 3000),
        ((1 << 60) - 1, 1 << 21, 2, 200_000),
      ][index]
    let error = try Self.largestError(numerator, denominator, steps: steps, reach: reach)
    #expect(error <= 1)
    // And not by an estimate that nobody could miss.
    #expect(error > 0)
  }

  @Test("An estimate for a mean that is 2⁻²¹ away would be noticed")
  func wrongMeansWouldShow() throws {
    let right = PoissonRatio(mean: try #require(PositiveRational(numerator: 300, denominator: 1)))
    let wrong = PoissonEstimate(
      PoissonRatio(mean: try #require(PositiveRational(numerator: 300 << 21 + 1, denominator: 1 << 21))),
      extraTolerance: 0)
    let bounds = right.bounds(of: 320, fractionBits: 64)
    let value = Natural(wrong.ratio(distance: 20, below: 0))
    let difference = max(value - bounds.lower, bounds.upper - value)
    #expect(difference > Natural(wrong.tolerance))
  }

  @Test(
    "Every value is proposed at least as often as it has to be",
    arguments: [
      (1, 200, 46), (1, 1, 46), (505, 10, 46), (2559, 10, 46), (256, 1, 46), (50_003, 10, 46), (5, 1, 3), (1000, 1, 3),
    ]
      as [(UInt64, UInt64, UInt64)])
  func weightsDominate(numerator: UInt64, denominator: UInt64, tailBits: UInt64) throws {
    let table = try Self.table(numerator, denominator, tailBits: tailBits)
    let mode = table.ratio.mode
    #expect(table.weights.count == table.blockCount + table.tails.count)
    #expect(table.ends.last.map { UInt64($0) } == table.weights.reduce(UInt64(0)) { $0 + UInt64($1) })
    for slot in 0..<table.blockCount {
      let isAbove = slot < table.aboveCount
      let start = UInt64(isAbove ? slot : slot - table.aboveCount) * table.width + (isAbove ? 1 : 0)
      for distance in start..<(start + table.width) where isAbove || distance <= mode {
        let bounds = table.ratio.bounds(of: isAbove ? mode + distance : mode - distance, fractionBits: 64)
        #expect(bounds.upper * Natural(table.scale) <= Natural(UInt64(table.weights[slot])) << 64)
      }
    }
    for (index, tail) in table.tails.enumerated() {
      let weight = Natural(UInt64(table.weights[table.blockCount + index]))
      let steps = Natural(tail.length / table.width)
      for block in 0..<12 as Range<UInt64> {
        let distance = tail.start + block * tail.length
        guard tail.isAbove || distance <= mode else { break }
        let k = tail.isAbove ? mode + distance : mode - distance
        let upper = table.ratio.bounds(of: k, fractionBits: 128).upper
        #expect(upper <= (Natural(tail.bound) << 64) >> Int(block))
        #expect((upper * Natural(table.scale) * steps) << Int(block + 1) <= weight << 128)
      }
    }
  }

  @Test(
    "Blocks and tails cover every value once",
    arguments: [(1, 200), (5, 1), (505, 10), (1000, 1)] as [(UInt64, UInt64)])
  func blocksCover(numerator: UInt64, denominator: UInt64) throws {
    let table = try Self.table(numerator, denominator)
    let above = try #require(table.tails.first)
    #expect(above.isAbove && above.start == UInt64(table.aboveCount) * table.width + 1)
    let below = UInt64(table.blockCount - table.aboveCount) * table.width
    if table.tails.count > 1 {
      #expect(!table.tails[1].isAbove && table.tails[1].start == below)
    } else {
      #expect(below == table.ratio.mode + 1)
    }
    // One word for each slot and place in it.
    var seen: [UInt64: Int] = [:]
    for slot in 0..<table.blockCount {
      let word = UInt64(table.ends[slot] - 1)
      for place in 0..<table.width { seen[table.proposal(place << 32 | word).value, default: 0] += 1 }
    }
    #expect(seen.values.allSatisfy { $0 == 1 })
    #expect(seen.count == table.blockCount * Int(table.width))
  }

  @Test("A proposal nearly always is accepted", arguments: [(505, 10), (256, 1), (1 << 40, 1)] as [(UInt64, UInt64)])
  func fewAreRejected(numerator: UInt64, denominator: UInt64) throws {
    var generator = try Keystream(seed: 45)
    let mean = try #require(PositiveRational(numerator: numerator, denominator: denominator))
    let sampler = try #require(Poisson(mean: mean))
    _ = sampler.samples(count: 20_000, using: &generator)
    #expect(generator.wordCount < 46_000)
  }
}
