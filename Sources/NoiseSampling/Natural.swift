/// A natural number of any size, for comparisons that 128 bits do not decide.
///
/// Used about once in 2³⁹ draws or less, so it is plain rather than fast. Its time depends on its values.
struct Natural: Equatable, Comparable {
  /// Least significant first, without zeros at the end.
  private var limbs: [UInt64]

  private init(limbs: [UInt64]) {
    self.limbs = limbs
    while self.limbs.last == 0 { self.limbs.removeLast() }
  }

  init(_ value: UInt64) { self.init(limbs: [value]) }

  static func powerOfTwo(_ exponent: Int) -> Natural { Natural(1) << exponent }

  var isZero: Bool { limbs.isEmpty }

  /// The position of the highest one, counted from one.
  var bitWidth: Int { limbs.count * 64 - (limbs.last?.leadingZeroBitCount ?? 0) }

  /// The value if it fits.
  var word: UInt64? { limbs.count > 1 ? nil : limbs.first ?? 0 }

  /// The value if it fits.
  var doubleWord: UInt128? {
    guard limbs.count <= 2 else { return nil }
    return limbs.reversed().reduce(0) { $0 << 64 | UInt128($1) }
  }

  static func < (left: Natural, right: Natural) -> Bool {
    guard left.limbs.count == right.limbs.count else { return left.limbs.count < right.limbs.count }
    for index in left.limbs.indices.reversed() where left.limbs[index] != right.limbs[index] {
      return left.limbs[index] < right.limbs[index]
    }
    return false
  }

  static func + (left: Natural, right: Natural) -> Natural {
    var sum = left.limbs.count < right.limbs.count ? right.limbs : left.limbs
    let other = left.limbs.count < right.limbs.count ? left.limbs : right.limbs
    var carry = false
    for index in sum.indices {
      let (partial, first) = sum[index].addingReportingOverflow(index < other.count ? other[index] : 0)
      let (total, second) = partial.addingReportingOverflow(carry ? 1 : 0)
      sum[index] = total
      carry = first || second
    }
    if carry { sum.append(1) }
    return Natural(limbs: sum)
  }

  /// The difference, or zero if it would be negative.
  static func - (left: Natural, right: Natural) -> Natural {
    guard right < left else { return Natural(0) }
    var difference = left.limbs
    var borrow = false
    for index in difference.indices {
      let (partial, first) = difference[index].subtractingReportingOverflow(
        index < right.limbs.count ? right.limbs[index] : 0)
      let (total, second) = partial.subtractingReportingOverflow(borrow ? 1 : 0)
      difference[index] = total
      borrow = first || second
    }
    return Natural(limbs: difference)
  }

  static func * (left: Natural, right: Natural) -> Natural {
    var product = [UInt64](repeating: 0, count: left.limbs.count + right.limbs.count)
    for (shift, factor) in right.limbs.enumerated() {
      var carry: UInt64 = 0
      for (index, limb) in left.limbs.enumerated() {
        // At most (2⁶⁴ − 1)² + 2 · (2⁶⁴ − 1), which is 2¹²⁸ − 1.
        let sum = UInt128(limb) * UInt128(factor) + UInt128(product[index + shift]) + UInt128(carry)
        product[index + shift] = UInt64(truncatingIfNeeded: sum)
        carry = UInt64(sum >> 64)
      }
      product[left.limbs.count + shift] = carry
    }
    return Natural(limbs: product)
  }

  static func << (value: Natural, count: Int) -> Natural {
    let (words, bits) = (count / 64, count % 64)
    var shifted = [UInt64](repeating: 0, count: words)
    var carry: UInt64 = 0
    for limb in value.limbs {
      shifted.append(limb << bits | carry)
      carry = bits == 0 ? 0 : limb >> (64 - bits)
    }
    return Natural(limbs: shifted + [carry])
  }

  static func >> (value: Natural, count: Int) -> Natural {
    let (words, bits) = (count / 64, count % 64)
    guard words < value.limbs.count else { return Natural(0) }
    var shifted = Array(value.limbs[words...])
    guard bits > 0 else { return Natural(limbs: shifted) }
    for index in shifted.indices {
      let next = index + 1 < shifted.count ? shifted[index + 1] << (64 - bits) : 0
      shifted[index] = shifted[index] >> bits | next
    }
    return Natural(limbs: shifted)
  }

  /// Multiplies in place by a word.
  mutating func multiply(by factor: UInt64) {
    var carry: UInt64 = 0
    for index in limbs.indices {
      let product = UInt128(limbs[index]) * UInt128(factor) + UInt128(carry)
      limbs[index] = UInt64(truncatingIfNeeded: product)
      carry = UInt64(product >> 64)
    }
    if carry > 0 { limbs.append(carry) }
    if factor == 0 { limbs = [] }
  }

  /// Divides in place by a positive word, rounding down; returns whether there was a remainder.
  @discardableResult
  mutating func divide(by divisor: UInt64) -> Bool {
    var remainder: UInt64 = 0
    for index in limbs.indices.reversed() {
      // The remainder is below the divisor, so the quotient fits into a word.
      (limbs[index], remainder) = divisor.dividingFullWidth((remainder, limbs[index]))
    }
    while limbs.last == 0 { limbs.removeLast() }
    return remainder > 0
  }

  /// The quotient by a positive number, rounded down: a bit at a time.
  static func / (dividend: Natural, divisor: Natural) -> Natural {
    precondition(!divisor.isZero, "a division of natural numbers by zero")
    var quotient = [UInt64](repeating: 0, count: dividend.limbs.count)
    var remainder = Natural(0)
    for bit in (0..<dividend.bitWidth).reversed() {
      remainder = remainder << 1 + Natural(dividend.limbs[bit / 64] >> (bit % 64) & 1)
      guard remainder >= divisor else { continue }
      remainder = remainder - divisor
      quotient[bit / 64] |= 1 << (bit % 64)
    }
    return Natural(limbs: quotient)
  }
}
