import CSodium
import Synchronization

/// Secret bytes in guarded memory, zeroed at the end of their life.
///
/// The memory comes from `sodium_malloc`: locked in RAM where the system's limit allows it, left out of core files,
/// and between guard pages. Secrets of at most 64 bytes share guarded slabs, because one guarded allocation each would
/// exhaust the memory maps of a process that holds the shares of a large cohort.
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
    address = count <= SecretSlots.slotByteCount ? SecretSlots.shared.take() : Self.guardedMemory(count)
  }

  /// `randomCount` bytes from the system's generator.
  public init(randomCount: Int) {
    self.init(count: randomCount)
    randombytes_buf(address, randomCount)
  }

  deinit {
    if count <= SecretSlots.slotByteCount {
      SecretSlots.shared.giveBack(address)
    } else {
      sodium_free(address)
    }
  }

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

  fileprivate static func guardedMemory(_ count: Int) -> UnsafeMutableRawPointer {
    Sodium.requireStarted()
    let memory = sodium_malloc(count)
    guard let memory else { preconditionFailure("the system has no guarded memory left for \(count) secret bytes") }
    sodium_memzero(memory, count)
    return memory
  }
}

/// 64-byte slots cut from guarded slabs. Free slots are always zero; slabs are kept for the life of the process.
private final class SecretSlots: Sendable {
  static let shared = SecretSlots()
  static let slotByteCount = 64
  private static let slotsInSlab = 1024

  // Unchecked: a slot is in the list exactly while nobody uses it, and the lock hands it to one owner.
  private struct Slot: @unchecked Sendable { let address: UnsafeMutableRawPointer }
  private let free = Mutex<[Slot]>([])

  func take() -> UnsafeMutableRawPointer {
    free.withLock { slots in
      if let slot = slots.popLast() { return slot }
      let slab = SecretBytes.guardedMemory(Self.slotByteCount * Self.slotsInSlab)
      for index in (1..<Self.slotsInSlab).reversed() {
        slots.append(Slot(address: slab + index * Self.slotByteCount))
      }
      return Slot(address: slab)
    }.address
  }

  func giveBack(_ address: UnsafeMutableRawPointer) {
    sodium_memzero(address, Self.slotByteCount)
    let slot = Slot(address: address)
    free.withLock { $0.append(slot) }
  }
}
