import CSodium

/// Secret bytes in guarded memory, zeroed at the end of their life.
///
/// The memory comes from `sodium_malloc`: locked in RAM where the system's limit allows it, left out of core files, and
/// between guard pages. Secrets of at most 16 KiB share guarded slabs, each in a slot of its own that fits its size,
/// because one guarded allocation each would exhaust the memory maps of a process that holds the shares of a large cohort.
/// So guard pages stop what runs over the ends of a slab, or of a longer secret. They do not stop what runs from one
/// short secret into the next of like size, nor is there a canary between these.
///
/// A value cannot be copied, compared with `==`, encoded or printed. It does not protect against somebody who can read
/// the memory of the process while the value lives, nor what a closure copies out of it.
public struct SecretBytes: ~Copyable, @unchecked Sendable {
  // Unchecked: the pointer is owned by this one value. Shared access only reads, and writing needs exclusive access.
  private let address: UnsafeMutableRawPointer
  public let count: Int

  /// `count` zero bytes.
  ///
  /// Stops the program if the system has no memory left, or `count` is negative.
  public init(count: Int) {
    precondition(count >= 0, "a count of secret bytes is negative")
    self.count = count
    address = SecretMemory.take(count)
  }

  /// `randomCount` bytes from the system's generator.
  public init(randomCount: Int) {
    self.init(count: randomCount)
    randombytes_buf(address, randomCount)
  }

  deinit { SecretMemory.giveBack(address, count) }

  /// A secret with the same bytes. The caller erases the original.
  public static func copying(_ bytes: UnsafeRawBufferPointer) -> SecretBytes {
    var secret = SecretBytes(count: bytes.count)
    secret.withUnsafeMutableBytes { $0.copyMemory(from: bytes) }
    return secret
  }

  /// Reads the bytes. The pointer is valid only during the call.
  public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try body(UnsafeRawBufferPointer(start: address, count: count))
  }

  /// Reads or writes the bytes. The pointer is valid only during the call.
  public mutating func withUnsafeMutableBytes<R: ~Copyable, E: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try body(UnsafeMutableRawBufferPointer(start: address, count: count))
  }

  /// A second secret with the same bytes.
  public borrowing func clone() -> SecretBytes { withUnsafeBytes { SecretBytes.copying($0) } }

  /// Whether both have the same bytes; takes the same time wherever they differ. Lengths are not secret.
  public borrowing func constantTimeEquals(_ other: borrowing SecretBytes) -> Bool {
    count == other.count && sodium_memcmp(address, other.address, count) == 0
  }

  /// The number of bytes and nothing else.
  public var description: String { "SecretBytes(\(count) bytes, redacted)" }
}
