/// The one encoding of everything that is hashed, signed, derived from or authenticated.
///
/// A label, then fields in a fixed order. Implements "Canonical encoding and domain separation" of the protocol:
///
/// - the label, byte strings, digests and texts (UTF-8): their length as 8 bytes big-endian, then the bytes
/// - integers: 8 bytes big-endian, two's complement if signed
/// - a flag: one byte, 0 or 1
/// - a list: its count as 8 bytes big-endian, then its elements, of at least one field each
///
/// Two different sequences of fields of one label never have the same encoding. Labels start with `bauta/v1/` and name
/// one sequence of fields each.
public struct CanonicalEncoder: Sendable {
  private var output: [UInt8] = []
  /// Most of what is signed or hashed fits, and takes memory once.
  private static let usualByteCount = 256

  /// An encoding that starts with `label`.
  public init(_ label: String) {
    output.reserveCapacity(Self.usualByteCount)
    append(label)
  }

  public mutating func append(_ bytes: some Collection<UInt8>) {
    append(UInt64(bytes.count))
    output.append(contentsOf: bytes)
  }

  // The same, not generic: callers are in other modules, where the generic one is not specialised.
  public mutating func append(_ bytes: [UInt8]) {
    append(UInt64(bytes.count))
    output.append(contentsOf: bytes)
  }

  public mutating func append(_ string: String) {
    append(UInt64(string.utf8.count))
    output.append(contentsOf: string.utf8)
  }

  public mutating func append(_ value: UInt64) {
    withUnsafeBytes(of: value.bigEndian) { output.append(contentsOf: $0) }
  }

  public mutating func append(_ value: Int64) { append(UInt64(bitPattern: value)) }

  public mutating func append(_ flag: Bool) { output.append(flag ? 1 : 0) }

  public mutating func append<R>(_ digest: Digest<R>) {
    append(UInt64(Digest<R>.byteCount))
    digest.withUnsafeBytes { output.append(contentsOf: $0) }
  }

  /// A list; `each` appends the fields of one element.
  public mutating func append<T>(list: [T], _ each: (inout CanonicalEncoder, T) -> Void) {
    append(UInt64(list.count))
    for element in list { each(&self, element) }
  }

  public func finish() -> [UInt8] { output }
}

/// Reads what ``CanonicalEncoder`` wrote, in the same order, and accepts nothing else.
///
/// Lengths and counts are checked against the input and a stated bound before memory is taken. All errors are
/// ``CryptographyError/malformedEncoding(_:)``, except where another is named. After an error the decoder is of no use.
public struct CanonicalDecoder: Sendable {
  private let input: [UInt8]
  private var position = 0

  /// Starts to read `bytes`, which must start with exactly `label`.
  public init(_ bytes: [UInt8], label: String) throws(CryptographyError) {
    input = bytes
    let count = label.utf8.count
    guard try uint64() == UInt64(count) else { throw .malformedEncoding(.wrongLabel) }
    guard try take(count).elementsEqual(label.utf8) else { throw .malformedEncoding(.wrongLabel) }
  }

  /// A byte string of at most `maximum` bytes.
  public mutating func bytes(maximum: Int) throws(CryptographyError) -> [UInt8] {
    Array(try slice(maximum: maximum))
  }

  /// A text of at most `maximum` bytes of valid UTF-8.
  public mutating func string(maximum: Int) throws(CryptographyError) -> String {
    guard let text = String(validating: try slice(maximum: maximum), as: UTF8.self) else {
      throw .malformedEncoding(.invalidText)
    }
    return text
  }

  public mutating func uint64() throws(CryptographyError) -> UInt64 {
    guard input.count - position >= 8 else { throw .malformedEncoding(.truncated) }
    defer { position += 8 }
    return input.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt64.self)) }
  }

  public mutating func int64() throws(CryptographyError) -> Int64 { Int64(bitPattern: try uint64()) }

  public mutating func flag() throws(CryptographyError) -> Bool {
    switch try take(1).first {
    case 0: return false
    case 1: return true
    default: throw .malformedEncoding(.invalidFlag)
    }
  }

  /// - Throws: also ``CryptographyError/wrongLength(of:expected:actual:)``.
  public mutating func digest<R>() throws(CryptographyError) -> Digest<R> {
    try Digest(bytes: try slice(maximum: Digest<R>.byteCount))
  }

  /// A list of at most `maximum` elements; `each` reads the fields of one, which are never empty.
  public mutating func list<T>(
    maximum: Int, _ each: (inout CanonicalDecoder) throws(CryptographyError) -> T
  ) throws(CryptographyError) -> [T] {
    let declared = try uint64()
    guard let count = Int(exactly: declared), count <= maximum else { throw .malformedEncoding(.fieldTooLong) }
    // Every element has at least one byte, so the input bounds what is reserved.
    guard count <= input.count - position else { throw .malformedEncoding(.truncated) }
    var elements: [T] = []
    elements.reserveCapacity(count)
    for _ in 0..<count { elements.append(try each(&self)) }
    return elements
  }

  /// Accepts the end of the encoding, and nothing after it.
  public consuming func finish() throws(CryptographyError) {
    guard position == input.count else { throw .malformedEncoding(.trailingBytes) }
  }

  private mutating func slice(maximum: Int) throws(CryptographyError) -> ArraySlice<UInt8> {
    let declared = try uint64()
    guard let count = Int(exactly: declared), count <= maximum else { throw .malformedEncoding(.fieldTooLong) }
    return try take(count)
  }

  private mutating func take(_ count: Int) throws(CryptographyError) -> ArraySlice<UInt8> {
    guard count <= input.count - position else { throw .malformedEncoding(.truncated) }
    defer { position += count }
    return input[position..<(position + count)]
  }
}
