/// Writes the little JSON that model files need: ASCII punctuation, strings, maps of strings, lists of strings.
struct JSONText {
  var bytes: [UInt8] = []

  mutating func append(_ literal: String) {
    bytes.append(contentsOf: literal.utf8)
  }

  mutating func append(string: String) {
    let hexadecimal = Array("0123456789abcdef".utf8)
    bytes.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case 0..<0x20:
        append("\\u00")
        bytes.append(contentsOf: [hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]])
      case _:
        bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  mutating func append(object: [String: String]) {
    append("{")
    let keys = object.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    for (index, key) in keys.enumerated() {
      if index > 0 { append(",") }
      append(string: key)
      append(":")
      append(string: object[key] ?? "")
    }
    append("}")
  }

  /// A list of strings as JSON text.
  static func list(_ strings: [String]) -> String {
    var text = JSONText()
    text.append("[")
    for (index, string) in strings.enumerated() {
      if index > 0 { text.append(",") }
      text.append(string: string)
    }
    text.append("]")
    return String(decoding: text.bytes, as: UTF8.self)
  }
}

/// Reads that JSON back, strictly. Not recursive; every result is no longer than the input.
struct JSONScanner {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  init(bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  /// An error at the current byte.
  func error(_ problem: String) -> LearningError {
    .artifact(.header(offset: position, problem: problem))
  }

  func peek() -> UInt8? {
    position < bytes.endIndex ? bytes[position] : nil
  }

  private mutating func skipWhiteSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipWhiteSpace()
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ character: Unicode.Scalar) throws(LearningError) {
    guard accept(character) else { throw error("\"\(character)\" is expected") }
  }

  /// White space, then the end.
  mutating func finish() throws(LearningError) {
    skipWhiteSpace()
    guard position == bytes.endIndex else { throw error("text follows the end of the value") }
  }

  mutating func string() throws(LearningError) -> String {
    try expect("\"")
    var content: [UInt8] = []
    while let byte = peek() {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else { throw error("a string is not UTF-8") }
        return text
      case UInt8(ascii: "\\"):
        content.append(contentsOf: Array(String(try escape()).utf8))
      case 0..<0x20:
        throw error("a string holds a control character")
      case _:
        content.append(byte)
      }
    }
    throw error("a string does not end")
  }

  private mutating func escape() throws(LearningError) -> Unicode.Scalar {
    guard let byte = peek() else { throw error("a string does not end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    case _: throw error("unknown escape in a string")
    }
    let unit = try hexadecimalUnit()
    if let scalar = Unicode.Scalar(UInt32(unit)) { return scalar }
    guard unit < 0xdc00, peek() == UInt8(ascii: "\\") else { throw error("half a surrogate pair in a string") }
    position += 1
    guard peek() == UInt8(ascii: "u") else { throw error("half a surrogate pair in a string") }
    position += 1
    let low = try hexadecimalUnit()
    guard 0xdc00...0xdfff ~= low,
      let scalar = Unicode.Scalar(0x10000 + (UInt32(unit) - 0xd800) << 10 + UInt32(low) - 0xdc00)
    else { throw error("half a surrogate pair in a string") }
    return scalar
  }

  private mutating func hexadecimalUnit() throws(LearningError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw error("four hexadecimal digits are expected")
      }
      unit = unit << 4 | UInt16(digit)
      position += 1
    }
    return unit
  }

  /// A list of at most `maximum` integers from zero up, without sign, fraction, exponent or leading zeros.
  mutating func integers(maximum: Int) throws(LearningError) -> [Int] {
    try expect("[")
    var list: [Int] = []
    if accept("]") { return list }
    repeat {
      guard list.count < maximum else { throw error("more than \(maximum) numbers in a list") }
      list.append(try integer())
    } while accept(",")
    try expect("]")
    return list
  }

  private mutating func integer() throws(LearningError) -> Int {
    skipWhiteSpace()
    let start = position
    var value = 0
    while let byte = peek(), UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte {
      guard position - start < 16 else { throw error("a number is too large") }
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
      position += 1
    }
    let digits = position - start
    guard digits > 0, digits == 1 || bytes[start] != UInt8(ascii: "0") else {
      throw error("an integer is expected")
    }
    return value
  }

  mutating func stringMap() throws(LearningError) -> [String: String] {
    try expect("{")
    var map: [String: String] = [:]
    if accept("}") { return map }
    repeat {
      let key = try string()
      try expect(":")
      guard map.updateValue(try string(), forKey: key) == nil else {
        throw error("the key \(quoted(key)) appears twice")
      }
    } while accept(",")
    try expect("}")
    return map
  }

  mutating func strings() throws(LearningError) -> [String] {
    try expect("[")
    var list: [String] = []
    if accept("]") { return list }
    repeat { list.append(try string()) } while accept(",")
    try expect("]")
    return list
  }
}
