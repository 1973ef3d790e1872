/// The text of a number as data files have it.
enum DecimalNumber {
  enum Outcome: Equatable {
    case value(Double)
    /// Infinity, not-a-number, or beyond the range of a double.
    case notFinite
    case notANumber
  }

  /// Powers of ten that are doubles exactly.
  private static let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
    1e20, 1e21, 1e22,
  ]

  /// Reads `[+-] digits [. digits] [e [+-] digits]`, nothing before or after, correctly rounded.
  ///
  /// A significand below 2^53 and a power of ten up to 10^22 are both exact, so one multiplication or division rounds
  /// once (Clinger 1990); everything else goes to the standard library.
  static func parse(_ text: UnsafeBufferPointer<UInt8>) -> Outcome {
    var index = 0
    var isNegative = false
    if let first = text.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      isNegative = first == UInt8(ascii: "-")
      index = 1
    }
    let digitsStart = index
    var significand: UInt64 = 0
    var digits = 0
    var fractionDigits = 0
    var sawPoint = false
    while index < text.count {
      let byte = text[index]
      if byte &- 0x30 <= 9 {
        if digits < 19 { significand = significand * 10 + UInt64(byte - 0x30) }
        digits += 1
        if sawPoint { fractionDigits += 1 }
      } else if byte == UInt8(ascii: "."), !sawPoint {
        sawPoint = true
      } else {
        break
      }
      index += 1
    }
    guard digits > 0 else { return isSpecial(text, from: digitsStart) ? .notFinite : .notANumber }
    guard let exponent = exponent(text, from: &index) else { return .notANumber }
    guard index == text.count else { return .notANumber }

    let power = exponent - fractionDigits
    if digits <= 19, significand < 1 << 53, power.magnitude < powersOfTen.count {
      let magnitude =
        power < 0 ? Double(significand) / powersOfTen[-power] : Double(significand) * powersOfTen[power]
      return .value(isNegative ? -magnitude : magnitude)
    }
    guard let value = Double(String(decoding: text, as: UTF8.self)) else { return .notANumber }
    return value.isFinite ? .value(value) : .notFinite
  }

  /// The decimal exponent, 0 without one, nil if malformed; clamped, since the fast path needs only small ones.
  private static func exponent(_ text: UnsafeBufferPointer<UInt8>, from index: inout Int) -> Int? {
    guard index < text.count, text[index] | 0x20 == UInt8(ascii: "e") else { return 0 }
    index += 1
    var isNegative = false
    if index < text.count, text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+") {
      isNegative = text[index] == UInt8(ascii: "-")
      index += 1
    }
    let start = index
    var exponent = 0
    while index < text.count, text[index] &- 0x30 <= 9 {
      exponent = min(exponent * 10 + Int(text[index] - 0x30), 100_000)
      index += 1
    }
    guard index > start else { return nil }
    return isNegative ? -exponent : exponent
  }

  private static func isSpecial(_ text: UnsafeBufferPointer<UInt8>, from index: Int) -> Bool {
    let word = String(decoding: text[index...], as: UTF8.self).lowercased()
    return ["nan", "inf", "infinity"].contains(word)
  }
}
