import Foundation
import Testing

@testable import DifferentialPrivacy

/// The step of the clip as every party takes it for itself.
@Suite struct MechanismClipStepTests {
  /// Bit patterns of the very operations in double precision, and eˣ itself with 50 digits, both from Python.
  static let golden: [(x: Double, bits: UInt64, exact: Double)] = [
    (0.1, 0x3ff1_aec7_b35a_00d4, 1.1051709180756477),
    (0.06, 0x3ff0_fd48_5191_c228, 1.0618365465453596),
    (0.2, 0x3ff3_8add_9e58_ac8d, 1.2214027581601699),
    (1.0, 0x4005_bf0a_8b14_5769, 2.718281828459045),
    (2.5, 0x4028_5d6f_d931_e0bb, 12.182493960703473),
    (6.9, 0x408f_0232_9e18_5a45, 992.2747156050262),
    (10.0, 0x40d5_829d_cf95_055f, 22026.465794806718),
  ]

  @Test(arguments: golden)
  func exponentialIsTheSameEverywhereAndRight(x: Double, bits: UInt64, exact: Double) {
    let found = AdaptiveClipping.exponential(x)
    #expect(found.bitPattern == bits)
    #expect(abs(found / exact - 1) < 1e-14)
  }

  /// Clips after a sequence of sums, as bit patterns.
  @Test func clipsAreTheSameEverywhere() throws {
    let clipping = try AdaptiveClipping(quantile: 0.7, learningRate: 0.3)
    var clip = 1.5
    var patterns: [UInt64] = []
    for sum in [4, -4, 0, 1, -3, 100] as [Int64] {
      clip = clipping.nextClip(after: clip, sum: sum, organizations: 4)
      patterns.append(clip.bitPattern)
    }
    #expect(
      patterns == [
        0x3ff5_ef31_75b4_d39c, 0x3ffb_0f57_353d_0880, 0x3ffc_bbb4_1733_7a0b, 0x3ffd_6315_2ff4_8b44,
        0x4001_75bb_cee4_f38f, 0x3fff_ea0e_d295_dd5a,
      ])
  }

  @Test func agreesWithTheLibrary() {
    for step in 0...1000 {
      let x = Double(step) / 100
      #expect(abs(AdaptiveClipping.exponential(x) / exp(x) - 1) < 1e-14, "\(x)")
    }
    #expect(AdaptiveClipping.exponential(0) == 1)
  }

  /// All within: down by exp(−η(1 − q)). None: up by exp(ηq). As many as are to be: where it is.
  @Test(arguments: [(0.5, 0.2), (0.9, 1.5), (0.1, 10), (0.25, 0.01)])
  func extremesMoveByTheFormula(_ quantile: Double, _ rate: Double) throws {
    let clipping = try AdaptiveClipping(quantile: quantile, learningRate: rate)
    for organizations in [1, 4, 1000] {
      let all = Int64(organizations)
      for sum in [all, all + 17, .max] {
        let down = clipping.nextClip(after: 3, sum: sum, organizations: organizations)
        #expect(abs(down / (3 * exp(-rate * (1 - quantile))) - 1) < 1e-13)
      }
      for sum in [-all, -all - 17, .min] {
        let up = clipping.nextClip(after: 3, sum: sum, organizations: organizations)
        #expect(abs(up / (3 * exp(rate * quantile)) - 1) < 1e-13)
      }
    }
    let kept = Int64((2_000_000 * (2 * quantile - 1)).rounded())
    #expect(abs(clipping.nextClip(after: 3, sum: kept, organizations: 2_000_000) / 3 - 1) < 1e-12)
  }

  @Test func reachesWhatStepsReachAndNoMore() throws {
    let clipping = try AdaptiveClipping(quantile: 0.7, learningRate: 0.3)
    var (low, high, mixed) = (2.0, 2.0, 2.0)
    #expect(clipping.isReachable(2, from: 2, rounds: 0) && !clipping.isReachable(2.0.nextUp, from: 2, rounds: 0))
    for round in 1...400 {
      low = clipping.nextClip(after: low, sum: 4, organizations: 4)
      high = clipping.nextClip(after: high, sum: -4, organizations: 4)
      mixed = clipping.nextClip(after: mixed, sum: Int64(round % 9) - 4, organizations: 4)
      for clip in [low, high, mixed] { #expect(clipping.isReachable(clip, from: 2, rounds: round), "\(round)") }
      if high < 0x1p39 { #expect(!clipping.isReachable(high * 1.001, from: 2, rounds: round)) }
      if low > 0x1p-39 { #expect(!clipping.isReachable(low / 1.001, from: 2, rounds: round)) }
    }
    #expect(high == 0x1p40)
    for clip in [0, -1, .nan, .infinity, 0x1p-41, 0x1p41] {
      #expect(!clipping.isReachable(clip, from: 2, rounds: 1000))
    }
    #expect(!clipping.isReachable(2, from: 2, rounds: -1))
  }

  /// The bit's part of ρ is its share, by the definition of ρ.
  @Test(arguments: [0.01, 0.1, 0.5, 0.9]) func shareOfTheBit(_ share: Double) {
    let bit = 2.5 * CounterSection.factor(share: share, beside: 1)
    let (ofUpdate, ofBit) = (1 / (2 * 2.5 * 2.5), 1 / (2 * bit * bit))
    #expect(abs(ofBit / (ofBit + ofUpdate) - share) < 1e-12)
  }
}
