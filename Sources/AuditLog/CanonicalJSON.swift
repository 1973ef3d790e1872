/// JSON as entries and reports use it: no floating point, object members sorted by name, no white space.
///
/// The form is that of RFC 8785 with integers of at most 53 bits and names in ASCII.
public enum CanonicalJSON: Hashable, Sendable {
  case null
  case boolean(Bool)
  /// −(2⁵³ − 1) … 2⁵³ − 1, so that every reader gets the same number.
  case integer(Int64)
  case string(String)
  case array([CanonicalJSON])
  case object([String: CanonicalJSON])

  public static let integerRange: ClosedRange<Int64> = -(1 << 53) + 1...(1 << 53) - 1

  /// The one way to write this value.
  public var serialized: [UInt8] {
    var output: [UInt8] = []
    write(to: &output)
    return output
  }

  public var text: String { String(decoding: serialized, as: UTF8.self) }

  func write(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .boolean(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
    case .integer(let number): output.append(contentsOf: String(number).utf8)
    case .string(let text): Self.write(text, to: &output)
    case .array(let values):
      output.append(UInt8(ascii: "["))
      for (place, value) in values.enumerated() {
        if place > 0 { output.append(UInt8(ascii: ",")) }
        value.write(to: &output)
      }
      output.append(UInt8(ascii: "]"))
    case .object(let members):
      output.append(UInt8(ascii: "{"))
      let sorted = members.sorted { Self.precedes($0.key, $1.key) }
      for (place, member) in sorted.enumerated() {
        if place > 0 { output.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &output)
        output.append(UInt8(ascii: ":"))
        member.value.write(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  /// The order of the bytes of two names.
  static func precedes(_ left: String, _ right: String) -> Bool {
    // The generic comparison of collections goes byte by byte through calls.
    left.utf8.withContiguousStorageIfAvailable { left in
      right.utf8.withContiguousStorageIfAvailable { right in
        for place in 0..<min(left.count, right.count) where left[place] != right[place] {
          return left[place] < right[place]
        }
        return left.count < right.count
      }
    }.flatMap { $0 } ?? left.utf8.lexicographicallyPrecedes(right.utf8)
  }

  /// Nothing in it has to be escaped.
  private static func isPlain(_ text: String) -> Bool {
    text.utf8.withContiguousStorageIfAvailable { bytes in
      for byte in bytes where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
      return true
    } ?? false
  }

  private static func write(_ text: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    if isPlain(text) {
      output.append(contentsOf: text.utf8)
      output.append(UInt8(ascii: "\""))
      return
    }
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case 0x08: output.append(contentsOf: "\\b".utf8)
      case 0x09: output.append(contentsOf: "\\t".utf8)
      case 0x0A: output.append(contentsOf: "\\n".utf8)
      case 0x0C: output.append(contentsOf: "\\f".utf8)
      case 0x0D: output.append(contentsOf: "\\r".utf8)
      case 0..<0x20:
        let digits = String(byte, radix: 16)
        output.append(contentsOf: "\\u00\(digits.utf8.count == 1 ? "0" : "")\(digits)".utf8)
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}

extension CanonicalJSON {
  /// Where and that a text is not canonical JSON.
  public struct ParsingError: Error, Hashable, Sendable {
    /// The first byte, from 0, at which the text departs from the one form it could have.
    public let byte: Int
  }

  static let maximumDepth = 8

  /// Reads canonical JSON and nothing else: other spellings of the same value are refused.
  public init(parsing bytes: some Collection<UInt8>) throws(ParsingError) {
    var parser = CanonicalJSONParser(bytes: Array(bytes))
    self = try parser.document()
    let canonical = serialized
    guard canonical == parser.bytes else {
      let place = zip(canonical, parser.bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      throw ParsingError(byte: place ?? min(canonical.count, parser.bytes.count))
    }
  }
}

/// Recursive descent over JSON without white space; the caller compares with the canonical form.
private struct CanonicalJSONParser {
  typealias Failure = CanonicalJSON.ParsingError

  let bytes: [UInt8]
  private var place = 0

  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  mutating func document() throws(Failure) -> CanonicalJSON {
    let value = try value(depth: 0)
    guard place == bytes.count else { throw failure }
    return value
  }

  private var failure: Failure { Failure(byte: min(place, bytes.count)) }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func take(_ character: Unicode.Scalar) throws(Failure) {
    guard next == UInt8(ascii: character) else { throw failure }
    place += 1
  }

  private mutating func takes(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    place += 1
    return true
  }

  private mutating func value(depth: Int) throws(Failure) -> CanonicalJSON {
    guard depth <= CanonicalJSON.maximumDepth, let first = next else { throw failure }
    switch first {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .boolean(true))
    case UInt8(ascii: "f"): return try literal("false", .boolean(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func literal(_ word: String, _ value: CanonicalJSON) throws(Failure) -> CanonicalJSON {
    guard bytes[place...].starts(with: word.utf8) else { throw failure }
    place += word.utf8.count
    return value
  }

  private mutating func object(depth: Int) throws(Failure) -> CanonicalJSON {
    try take("{")
    var members: [String: CanonicalJSON] = [:]
    if takes("}") { return .object(members) }
    repeat {
      let start = place
      let name = try string()
      guard name.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }), members[name] == nil else {
        place = start
        throw failure
      }
      try take(":")
      members[name] = try value(depth: depth + 1)
    } while takes(",")
    try take("}")
    return .object(members)
  }

  private mutating func array(depth: Int) throws(Failure) -> CanonicalJSON {
    try take("[")
    var values: [CanonicalJSON] = []
    if takes("]") { return .array(values) }
    repeat { values.append(try value(depth: depth + 1)) } while takes(",")
    try take("]")
    return .array(values)
  }

  private mutating func number() throws(Failure) -> CanonicalJSON {
    let start = place
    _ = takes("-")
    while let digit = next, (0x30...0x39).contains(digit) { place += 1 }
    guard let number = Int64(String(decoding: bytes[start..<place], as: UTF8.self)),
      CanonicalJSON.integerRange.contains(number)
    else {
      place = start
      throw failure
    }
    return .integer(number)
  }

  private mutating func string() throws(Failure) -> String {
    try take("\"")
    let start = place
    var content: [UInt8] = []
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw failure }
      place += 1
      content.append(byte == UInt8(ascii: "\\") ? try escaped() : byte)
    }
    try take("\"")
    guard let text = String(validating: content, as: UTF8.self) else {
      place = start
      throw failure
    }
    return text
  }

  /// The character after a backslash. Only what the canonical form escapes has to be understood.
  private mutating func escaped() throws(Failure) -> UInt8 {
    guard let byte = next else { throw failure }
    place += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): return byte
    case UInt8(ascii: "b"): return 0x08
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "n"): return 0x0A
    case UInt8(ascii: "f"): return 0x0C
    case UInt8(ascii: "r"): return 0x0D
    case UInt8(ascii: "u"):
      let digits = bytes[place...].prefix(4)
      guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), code < 0x20
      else { throw failure }
      place += 4
      return code
    default: throw failure
    }
  }
}
