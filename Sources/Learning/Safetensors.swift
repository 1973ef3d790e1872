/// A named array of doubles.
public struct Tensor: Sendable, Equatable {
  /// Sizes, outermost first; the product is the number of values.
  public let shape: [Int]
  public let values: [Double]

  /// A one-dimensional tensor.
  public init(_ values: [Double]) {
    shape = [values.count]
    self.values = values
  }

  init(shape: [Int], values: [Double]) {
    self.shape = shape
    self.values = values
  }
}

/// Reader and writer of the safetensors format, for F64 tensors and string metadata.
///
/// Written bytes are a function of the contents: keys sorted by their UTF-8 bytes, no white space, tensors in the order
/// of the keys without gaps, the header padded with spaces to a multiple of 8. The reader takes what other writers
/// produce but nothing doubtful: header at most 1 MiB, keys unique, known members only, dtype F64 only, tensors that
/// cover the data exactly once and in full.
public struct Safetensors: Sendable, Equatable {
  static let maximumHeader = 1 << 20
  static let metadataKey = "__metadata__"

  public var tensors: [String: Tensor]
  public var metadata: [String: String]

  public init(tensors: [String: Tensor], metadata: [String: String]) {
    self.tensors = tensors
    self.metadata = metadata
  }

  /// The file's bytes.
  ///
  /// - Throws: `LearningError.artifact(.headerLength)` if names and metadata do not fit the header's bound.
  public func encoded() throws(LearningError) -> [UInt8] {
    var header = JSONText()
    var offset = 0
    var isFirst = true
    header.append("{")
    for name in (Array(tensors.keys) + [Self.metadataKey]).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      if !isFirst { header.append(",") }
      isFirst = false
      header.append(string: name)
      header.append(":")
      if let tensor = tensors[name] {
        let end = offset + tensor.values.count * 8
        let shape = tensor.shape.map(String.init).joined(separator: ",")
        header.append("{\"data_offsets\":[\(offset),\(end)],\"dtype\":\"F64\",\"shape\":[\(shape)]}")
        offset = end
      } else {
        header.append(object: metadata)
      }
    }
    header.append("}")
    header.bytes.append(contentsOf: Array(repeating: 0x20, count: (8 - header.bytes.count % 8) % 8))
    guard header.bytes.count <= Self.maximumHeader else {
      throw .artifact(.headerLength(UInt64(header.bytes.count)))
    }
    var file: [UInt8] = []
    file.reserveCapacity(8 + header.bytes.count + offset)
    Self.append(UInt64(header.bytes.count), to: &file)
    file.append(contentsOf: header.bytes)
    for name in tensors.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      for value in tensors[name]?.values ?? [] { Self.append(value.bitPattern, to: &file) }
    }
    return file
  }

  /// Reads a file.
  ///
  /// - Throws: `LearningError.artifact`, naming the byte or tensor.
  public init(decoding file: [UInt8]) throws(LearningError) {
    guard file.count >= 8 else { throw .artifact(.truncated(expected: 8, found: file.count)) }
    let length = Self.word(file, at: 0)
    guard length >= 2, length <= UInt64(Self.maximumHeader) else { throw .artifact(.headerLength(length)) }
    let dataStart = 8 + Int(length)
    guard file.count >= dataStart else { throw .artifact(.truncated(expected: dataStart, found: file.count)) }
    var parser = SafetensorsHeader(bytes: file[8..<dataStart])
    let header = try parser.parse()

    tensors = [:]
    metadata = header.metadata
    var next = 0
    for entry in header.tensors.sorted(by: { ($0.start, $0.end) < ($1.start, $1.end) }) {
      try Self.check(entry, startsAt: next)
      guard file.count - dataStart >= entry.end else {
        throw .artifact(.truncated(expected: dataStart + entry.end, found: file.count))
      }
      let count = (entry.end - entry.start) / 8
      let values = (0..<count).map { index in
        Double(bitPattern: Self.word(file, at: dataStart + entry.start + index * 8))
      }
      tensors[entry.name] = Tensor(shape: entry.shape, values: values)
      next = entry.end
    }
    guard file.count == dataStart + next else { throw .artifact(.trailingBytes(file.count - dataStart - next)) }
  }

  private static func check(_ entry: SafetensorsHeader.Entry, startsAt next: Int) throws(LearningError) {
    guard entry.dtype == "F64" else {
      throw .artifact(.tensor(name: entry.name, problem: "dtype \(quoted(entry.dtype)) is not F64"))
    }
    guard entry.start == next, entry.end >= entry.start else {
      throw .artifact(.tensor(name: entry.name, problem: "its data overlaps another tensor's or leaves a gap"))
    }
    var size = 8
    for dimension in entry.shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
      guard !overflow else { throw .artifact(.tensor(name: entry.name, problem: "its shape is too large")) }
      size = product
    }
    guard size == entry.end - entry.start else {
      throw .artifact(.tensor(name: entry.name, problem: "its shape needs \(size) bytes of data"))
    }
  }

  private static func append(_ word: UInt64, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
  }

  private static func word(_ bytes: [UInt8], at offset: Int) -> UInt64 {
    var word: UInt64 = 0
    for index in (0..<8).reversed() { word = word << 8 | UInt64(bytes[offset + index]) }
    return word
  }
}
