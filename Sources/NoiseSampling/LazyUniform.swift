/// Bounds of a real number: both are to be divided by a power of two that the context names.
struct Bounds {
  let lower: Natural
  let upper: Natural
}

/// What fixed-point bounds say about whether a uniform number lies below a probability.
enum Verdict {
  case below
  case notBelow
  /// The bounds and the bits drawn so far leave it open.
  case undecided

  /// Compares `digits`/2⁶⁴ and the digits that might follow with a probability that is at most `tolerance`/2⁶⁴ away from
  /// `estimate`/2⁶⁴.
  @inline(__always)
  init(digits: UInt64, estimate: UInt64, tolerance: UInt64) {
    // The uniform number is at least digits and less than digits + 1; no difference here can wrap unnoticed.
    if digits < estimate {
      self = estimate - digits > tolerance ? .below : .undecided
    } else {
      self = digits - estimate >= tolerance ? .notBelow : .undecided
    }
  }
}

/// A number drawn uniformly from [0, 1), of which only as many binary digits exist as comparisons have asked for.
///
/// So it has no smallest step: the outcome of a comparison has exactly the probability of the real number it is compared
/// with, not a rounded one. A comparison ends with probability one; each further word is needed with probability about
/// 2⁻⁶⁴.
struct LazyUniform {
  private var digits: Natural
  private var digitCount: Int

  init(digits: UInt64, count: Int) {
    self.digits = Natural(digits)
    digitCount = count
  }

  /// Whether it lies below a real number. Takes further digits from the generator only if those at hand leave it open.
  /// - Parameter bounds: the real number times two to the power of its argument, the closer the larger the argument.
  mutating func isBelow(
    using generator: inout some RandomNumberGenerator, _ bounds: (_ fractionBits: Int) -> Bounds
  ) -> Bool {
    while true {
      let bounds = bounds(digitCount + 64)
      if (digits + Natural(1)) << 64 <= bounds.lower { return true }
      if digits << 64 >= bounds.upper { return false }
      digits = digits << 64 + Natural(generator.next())
      digitCount += 64
    }
  }
}
