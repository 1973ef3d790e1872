/// What tests change, to reach what is too rare otherwise.
struct PoissonTuning: Sendable {
  /// Blocks end where p(k)/p(m) falls below two to the power of minus this.
  var tailBits: UInt64
  /// Widens the bounds of the estimate, in units of 2⁻⁶⁴.
  var extraTolerance: UInt64

  static let standard = PoissonTuning(tailBits: 46, extraTolerance: 0)
}

/// What is beyond the blocks on one side: blocks of `length` values, the i-th proposed with half the weight of the one
/// before.
struct PoissonTail: Sendable {
  let isAbove: Bool
  /// The distance from the mode at which it begins.
  let start: UInt64
  /// A power of two, at least the width of a block, over which the probabilities at least halve.
  let length: UInt64
  /// p(k)/p(m) at its beginning, rounded up, in units of 2⁻⁶⁴.
  let bound: UInt64

  /// - Parameter bound: for the value at `start`, which is at least one step beyond the mode.
  init(_ ratio: PoissonRatio, isAbove: Bool, start: UInt64, width: UInt64, bound: UInt64) {
    self.isAbove = isAbove
    self.start = start
    self.bound = bound
    // Above: (mean/(k + 1))^length ≤ ½ follows from length · ((k + 1)/mean − 1) ≥ 1 by Bernoulli's inequality, where k is
    // the first value. Below likewise with (k/mean)^length.
    let (mean, unit) = (ratio.numerator, ratio.denominator)
    let first = isAbove ? ratio.mode + start + 1 : ratio.mode - start
    let least = isAbove ? mean / (unit * first - mean) : unit * first / (mean - unit * first)
    var length = width
    while length <= least { length *= 2 }
    self.length = length
  }
}

/// The proposals for a Poisson variable: blocks of equal width on both sides of the mode, each with a weight that covers
/// its most probable value, and the two tails.
///
/// A value in block j is proposed with probability W_j / (width · 2³²) and accepted with p(k)/p(m) · scale / W_j.
struct PoissonTable: Sendable {
  let ratio: PoissonRatio
  /// `nil` for means below 256, whose blocks are single values with a ratio each.
  let estimate: PoissonEstimate?
  /// By slot, in units of 2⁻⁶⁴; empty if there is an estimate.
  let ratios: [UInt64]
  /// How far an estimate or one of the ratios may be from the truth.
  let tolerance: UInt64
  /// A power of two.
  let width: UInt64
  /// Slots: blocks above the mode, blocks from the mode downwards, tails. What is left of 2³² is rejected.
  let aboveCount: Int
  let blockCount: Int
  let tails: [PoissonTail]
  let weights: [UInt32]
  /// Sums of the weights up to and with each slot.
  let ends: [UInt32]
  let scale: UInt64

  init(mean: PositiveRational, tuning: PoissonTuning) {
    let ratio = PoissonRatio(mean: mean)
    let sides: PoissonSides
    if ratio.mode < 256 {
      sides = PoissonSides(listing: ratio, tuning: tuning)
      estimate = nil
    } else {
      let estimate = PoissonEstimate(ratio, extraTolerance: tuning.extraTolerance)
      sides = PoissonSides(estimate, ratio, tuning: tuning)
      self.estimate = estimate
    }
    self.ratio = ratio
    ratios = sides.ratios
    tolerance = sides.tolerance
    width = sides.width
    aboveCount = sides.above.count
    blockCount = sides.above.count + sides.below.count
    tails = sides.tails
    // A tail is proposed with twice the weight of its first block, since ½ + ¼ + … is 1.
    let bounds =
      (sides.above + sides.below).map { UInt128($0) }
      + sides.tails.map { 2 * UInt128($0.bound) * UInt128($0.length / sides.width) }
    // At least 2⁶⁴ − 2, for the mode. So the scale is below 2³², and the weights, rounded up, add up to less than 2³².
    let total = bounds.reduce(0, +)
    let scale = ((1 << 32 - UInt128(bounds.count) - 1) << 64) / total
    self.scale = UInt64(scale)
    weights = bounds.map { UInt32(($0 * scale) >> 64) + 1 }
    var (ends, end) = ([UInt32](), UInt32(0))
    for weight in weights {
      end += weight
      ends.append(end)
    }
    self.ends = ends
  }
}

/// The bounds of the blocks and tails, before they are weighted.
struct PoissonSides {
  private(set) var width: UInt64 = 1
  private(set) var tolerance: UInt64
  private(set) var ratios: [UInt64] = []
  /// p(k)/p(m) at the value of a block that is next to the mode, rounded up, in units of 2⁻⁶⁴.
  private(set) var above: [UInt64] = []
  private(set) var below: [UInt64] = []
  private(set) var tails: [PoissonTail] = []

  /// Every value by itself.
  init(listing ratio: PoissonRatio, tuning: PoissonTuning) {
    let least = UInt64.max >> tuning.tailBits
    var (upper, lower) = ([UInt64](), [UInt64.max])
    var value = UInt64.max
    repeat {
      let divisor = ratio.denominator * (ratio.mode + UInt64(upper.count) + 1)
      // Below 2⁶⁴ times 2⁶¹. Each step loses less than one unit of its own, and shrinks what was lost before.
      value = UInt64(UInt128(value) * UInt128(ratio.numerator) / UInt128(divisor))
      upper.append(value)
    } while value > least
    value = .max
    while UInt64(lower.count) <= ratio.mode, value > least {
      let factor = ratio.denominator * (ratio.mode + 1 - UInt64(lower.count))
      value = UInt64(UInt128(value) * UInt128(factor) / UInt128(ratio.numerator))
      lower.append(value)
    }
    let rounding = UInt64(max(upper.count, lower.count)) + 1
    tolerance = rounding + tuning.extraTolerance
    let bounds = (upper.map { Self.raise($0, by: rounding) }, lower.map { Self.raise($0, by: rounding) })
    // The last of each list is where its tail begins, unless the lower one ended at zero.
    tails = [PoissonTail(ratio, isAbove: true, start: UInt64(upper.count), width: 1, bound: bounds.0[upper.count - 1])]
    upper.removeLast()
    if value <= least {
      lower.removeLast()
      tails.append(
        PoissonTail(ratio, isAbove: false, start: UInt64(lower.count), width: 1, bound: bounds.1[lower.count]))
    }
    ratios = upper + lower
    above = Array(bounds.0[..<upper.count])
    below = Array(bounds.1[..<lower.count])
  }

  /// Blocks of about a quarter of the standard deviation.
  init(_ estimate: PoissonEstimate, _ ratio: PoissonRatio, tuning: PoissonTuning) {
    let least = UInt64.max >> tuning.tailBits
    // At least 4 and at most 2¹⁸.
    let width = UInt64(1) << UInt64(61 - squareRoot(ratio.mode).leadingZeroBitCount)
    self.width = width
    tolerance = estimate.tolerance
    // Not that of the tests: it would only lower the rate of acceptance.
    let rounding = estimate.tolerance - tuning.extraTolerance
    for isAbove in [true, false] {
      var bounds: [UInt64] = []
      var start: UInt64 = isAbove ? 1 : 0
      var bound = Self.raise(estimate.ratio(distance: start, below: isAbove ? 0 : .max), by: rounding)
      while bound > least, start + 2 * width <= estimate.reach {
        bounds.append(bound)
        start += width
        bound = Self.raise(estimate.ratio(distance: start, below: isAbove ? 0 : .max), by: rounding)
      }
      tails.append(PoissonTail(ratio, isAbove: isAbove, start: start, width: width, bound: bound))
      if isAbove { above = bounds } else { below = bounds }
    }
  }

  private static func raise(_ value: UInt64, by amount: UInt64) -> UInt64 {
    let (sum, overflow) = value.addingReportingOverflow(amount)
    return overflow ? .max : sum
  }
}
