import Cryptography

/// How a scalar is read: by the type that the format declares, from the text as written, never by what YAML would guess
/// (which turns `no` into false and `010` into eight).
struct YAMLField<Value>: Sendable {
  /// What an error message says was expected, with the range.
  let expected: String
  /// The value, or nil if the scalar is not one.
  let read: @Sendable (_ text: String, _ isPlain: Bool) -> Value?
}

extension YAMLField<String> {
  /// Text of at most `maximum` bytes, not empty, without control characters.
  static func text(maximum: Int) -> YAMLField {
    YAMLField(expected: "text of 1 to \(maximum) bytes") { text, _ in
      let isPrintable = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
      return isPrintable && (1...maximum).contains(text.utf8.count) ? text : nil
    }
  }

  /// A word that names something: letters, digits, hyphen, dot, underscore.
  static let identifier = YAMLField(expected: "a name of 1 to 64 letters, digits, '-', '_' and '.'") { text, _ in
    let isAllowed = text.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }
    return isAllowed && (1...64).contains(text.utf8.count) ? text : nil
  }
}

extension YAMLField<Int> {
  static func integer(_ range: ClosedRange<Int>) -> YAMLField {
    YAMLField(expected: "an integer from \(range.lowerBound) to \(range.upperBound)") { text, isPlain in
      guard isPlain, let value = strictInteger(text), range.contains(value) else { return nil }
      return value
    }
  }
}

extension YAMLField<UInt64> {
  static let seed = YAMLField(expected: "an integer from 0 to \(UInt64(Int64.max))") { text, isPlain in
    guard isPlain, let value = strictInteger(text), value >= 0 else { return nil }
    return UInt64(value)
  }
}

extension YAMLField<Double> {
  static func number(_ expected: String, where isAllowed: @escaping @Sendable (Double) -> Bool) -> YAMLField {
    YAMLField(expected: expected) { text, isPlain in
      guard isPlain, let value = strictNumber(text), isAllowed(value) else { return nil }
      return value
    }
  }
}

extension YAMLField<Duration> {
  static func duration(_ expected: String, where isAllowed: @escaping @Sendable (Duration) -> Bool) -> YAMLField {
    YAMLField(expected: expected) { text, isPlain in
      guard isPlain, let value = DurationText.parse(text), isAllowed(value) else { return nil }
      return value
    }
  }
}

extension YAMLField where Value: RawRepresentable & CaseIterable & SendableMetatype, Value.RawValue == String {
  /// One of the words of an enumeration.
  static var word: YAMLField {
    YAMLField(expected: "one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))") { text, _ in
      Value(rawValue: text)
    }
  }
}

/// `-?(0|[1-9][0-9]*)`, within 64 bits.
func strictInteger(_ text: String) -> Int? {
  let digits = text.utf8.first == 0x2D ? text.dropFirst() : Substring(text)
  guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
    digits.utf8.count == 1 || digits.utf8.first != 0x30, text != "-0"
  else { return nil }
  return Int(text)
}

/// A number as JSON writes it, finite.
func strictNumber(_ text: String) -> Double? {
  guard text.utf8.count <= 64 else { return nil }
  var rest = Substring(text)
  func digits() -> Substring {
    let run = rest.prefix { $0.isASCII && $0.isNumber }
    rest = rest.dropFirst(run.count)
    return run
  }
  if rest.first == "-" { rest.removeFirst() }
  let whole = digits()
  guard !whole.isEmpty, whole.count == 1 || whole.first != "0" else { return nil }
  if rest.first == "." {
    rest.removeFirst()
    guard !digits().isEmpty else { return nil }
  }
  if rest.first == "e" || rest.first == "E" {
    rest.removeFirst()
    if rest.first == "+" || rest.first == "-" { rest.removeFirst() }
    guard !digits().isEmpty else { return nil }
  }
  guard rest.isEmpty, let value = Double(text), value.isFinite else { return nil }
  return value
}

/// Durations as plans and policies write them: `500ms`, `30s`, `10m`, `2h`, `7d`.
enum DurationText {
  private static let units: [(suffix: String, milliseconds: Int)] = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
  ]

  static func parse(_ text: String) -> Duration? {
    for unit in units where text.hasSuffix(unit.suffix) {
      // A longer suffix comes first: `5ms` is no number of `s`.
      guard let count = strictInteger(String(text.dropLast(unit.suffix.count))), count >= 0 else { return nil }
      let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
      return overflow ? nil : .milliseconds(milliseconds)
    }
    return nil
  }

  /// The shortest form that is exact to the millisecond.
  static func format(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    guard milliseconds != 0 else { return "0s" }
    for unit in units.reversed() where milliseconds.isMultiple(of: unit.milliseconds) {
      return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
    }
    return "\(milliseconds)ms"
  }
}
