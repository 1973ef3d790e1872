/// The JSON of a safetensors header, parsed for exactly the shape it may have.
///
/// A general JSON parser would accept repeated keys, numbers that are not integers and any nesting; here each is an
/// error at a byte. Nothing is recursive.
struct SafetensorsHeader {
  struct Entry {
    var name: String
    var dtype: String
    var shape: [Int]
    var start: Int
    var end: Int
  }

  private var text: JSONScanner

  init(bytes: ArraySlice<UInt8>) {
    text = JSONScanner(bytes: bytes)
  }

  mutating func parse() throws(LearningError) -> (tensors: [Entry], metadata: [String: String]) {
    var tensors: [Entry] = []
    var metadata: [String: String] = [:]
    var seen: Set<String> = []
    guard text.peek() == UInt8(ascii: "{") else { throw text.error("the header must begin with an object") }
    try object { (parser, name) throws(LearningError) in
      guard seen.insert(name).inserted else { throw parser.text.error("the key \(quoted(name)) appears twice") }
      if name == Safetensors.metadataKey {
        metadata = try parser.text.stringMap()
      } else {
        tensors.append(try parser.entry(name))
      }
    }
    try text.finish()
    return (tensors, metadata)
  }

  private mutating func entry(_ name: String) throws(LearningError) -> Entry {
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try object { (parser, key) throws(LearningError) in
      switch key {
      case "dtype" where dtype == nil: dtype = try parser.text.string()
      case "shape" where shape == nil: shape = try parser.text.integers(maximum: 8)
      case "data_offsets" where offsets == nil: offsets = try parser.text.integers(maximum: 2)
      case _: throw parser.text.error("unknown or repeated member \(quoted(key)) of a tensor")
      }
    }
    guard let dtype, let shape, let offsets, offsets.count == 2 else {
      throw text.error("the tensor \(quoted(name)) needs dtype, shape and two data_offsets")
    }
    return Entry(name: name, dtype: dtype, shape: shape, start: offsets[0], end: offsets[1])
  }

  private mutating func object(
    _ member: (inout SafetensorsHeader, String) throws(LearningError) -> Void
  ) throws(LearningError) {
    try text.expect("{")
    if text.accept("}") { return }
    repeat {
      let key = try text.string()
      try text.expect(":")
      try member(&self, key)
    } while text.accept(",")
    try text.expect("}")
  }
}
