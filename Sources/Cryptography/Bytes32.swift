/// 32 public bytes in place, without an allocation: the common storage of digests, points and public keys.
struct Bytes32: Hashable, Comparable, Sendable {
  // In memory order, whatever the byte order of the processor.
  private var word0: UInt64 = 0
  private var word1: UInt64 = 0
  private var word2: UInt64 = 0
  private var word3: UInt64 = 0

  static let byteCount = 32

  /// 32 zero bytes.
  init() {}

  /// A number of 256 bits, its lowest word first.
  init(littleEndianWords first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
    word0 = first.littleEndian
    word1 = second.littleEndian
    word2 = third.littleEndian
    word3 = fourth.littleEndian
  }

  /// The bytes, which are exactly 32.
  init(_ bytes: some Collection<UInt8>, of value: CryptographicValue) throws(CryptographyError) {
    self.init()
    let count = bytes.count
    guard count == Self.byteCount else {
      throw .wrongLength(of: value, expected: Self.byteCount, actual: count)
    }
    withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
  }

  /// What `body` writes through its pointer to 32 bytes.
  init<E: Error>(filledBy body: (UnsafeMutablePointer<UInt8>) throws(E) -> Void) throws(E) {
    self.init()
    try withUnsafeMutablePointer(body)
  }

  var array: [UInt8] { withUnsafeBytes { Array($0) } }

  /// Copies the bytes to 32 bytes of memory of any alignment.
  func copyBytes(to target: UnsafeMutableRawPointer) { target.storeBytes(of: self, as: Bytes32.self) }

  func withUnsafeBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try Swift.withUnsafeBytes(of: self, body)
  }

  /// Reads through the pointer type that the C libraries want.
  func withUnsafePointer<R: ~Copyable, E: Error>(_ body: (UnsafePointer<UInt8>) throws(E) -> R) throws(E) -> R {
    try Swift.withUnsafePointer(to: self) { (pointer) throws(E) in
      try body(UnsafeRawPointer(pointer).assumingMemoryBound(to: UInt8.self))
    }
  }

  mutating func withUnsafeMutableBytes(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
    Swift.withUnsafeMutableBytes(of: &self, body)
  }

  private mutating func withUnsafeMutablePointer<E: Error>(
    _ body: (UnsafeMutablePointer<UInt8>) throws(E) -> Void
  ) throws(E) {
    try Swift.withUnsafeMutablePointer(to: &self) { (pointer) throws(E) in
      try body(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt8.self))
    }
  }

  /// The order of the byte strings.
  static func < (left: Bytes32, right: Bytes32) -> Bool {
    if left.word0 != right.word0 { return left.word0.bigEndian < right.word0.bigEndian }
    if left.word1 != right.word1 { return left.word1.bigEndian < right.word1.bigEndian }
    if left.word2 != right.word2 { return left.word2.bigEndian < right.word2.bigEndian }
    return left.word3.bigEndian < right.word3.bigEndian
  }
}

extension Collection<UInt8> {
  /// The bytes in one piece; copied only if they are not stored that way.
  func withContiguousBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    withContiguousStorageIfAvailable { body(UnsafeRawBufferPointer($0)) }
      ?? Array(self).withUnsafeBytes { body($0) }
  }
}

// The C libraries declare most pointers as never null. The buffers given to them are of secrets and of results, which
// have an address even when they are empty.
extension UnsafeRawBufferPointer {
  /// The start in the pointer type that the C libraries want.
  var octets: UnsafePointer<UInt8> {
    guard let baseAddress else { preconditionFailure("a buffer without an address") }
    return baseAddress.assumingMemoryBound(to: UInt8.self)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// The start in the pointer type that the C libraries want.
  var octets: UnsafeMutablePointer<UInt8> {
    guard let baseAddress else { preconditionFailure("a buffer without an address") }
    return baseAddress.assumingMemoryBound(to: UInt8.self)
  }
}

extension [UInt8] {
  /// An array of `count` ≥ 1 bytes that `body` writes.
  init(count: Int, filledBy body: (UnsafeMutablePointer<UInt8>) -> Void) {
    self.init(unsafeUninitializedCapacity: count) { output, initialized in
      body(UnsafeMutableRawBufferPointer(output).octets)
      initialized = count
    }
  }
}
