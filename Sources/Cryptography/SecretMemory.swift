import CSodium
import Synchronization

/// The guarded memory that ``SecretBytes`` lives in: slots of a few sizes, cut from guarded slabs.
///
/// A guarded allocation takes several memory maps and some 40 µs, and a process has maps for about 16,000 of them. Slabs
/// have room for tens of thousands of secrets and give one in the time of a lock. Free slots are always zero; slabs are
/// kept for the life of the process.
enum SecretMemory {
  /// Secrets up to this length share slabs.
  static let maximumSlotByteCount = 16_384

  // Threads start at different shards, so that they seldom wait for each other. The slots of one size are all alike: a
  // slot goes back to the shard of the thread that gives it, whichever thread took it.
  private static let shardCount = 4

  // Unsafe for the checker only: the pools are made before anybody has the pointer and live as long as the process,
  // and each guards itself. The pools of a shard lie together, so that threads do not share cache lines.
  private nonisolated(unsafe) static let pools: UnsafeMutablePointer<SlotPool> = {
    let pools = UnsafeMutablePointer<SlotPool>.allocate(capacity: shardCount * SizeClass.count)
    for shard in 0..<shardCount {
      for index in 0..<SizeClass.count {
        (pools + shard * SizeClass.count + index).initialize(to: SlotPool(SizeClass(index: index)))
      }
    }
    return pools
  }()

  private static func pool(_ shard: Int, _ size: SizeClass) -> UnsafeMutablePointer<SlotPool> {
    pools + shard * SizeClass.count + size.index
  }

  /// Stacks of threads are megabytes apart, so their addresses tell threads apart at no cost.
  private static var currentShard: Int {
    var marker: UInt8 = 0
    return withUnsafeMutablePointer(to: &marker) { Int(bitPattern: $0) >> 23 & (shardCount - 1) }
  }

  /// Memory for a secret: zero, and of one owner until it is given back.
  ///
  /// Stops the program if the system has no memory left.
  static func take(_ count: Int) -> UnsafeMutableRawPointer {
    guard count <= maximumSlotByteCount else { return guarded(count) }
    let size = SizeClass(holding: count)
    let shard = currentShard
    let home = pool(shard, size)
    if let slot = home.pointee.pop() { return slot }
    // What other threads gave back is used before more memory is taken.
    for distance in 1..<shardCount {
      let other = pool((shard + distance) & (shardCount - 1), size)
      if let slot = home.pointee.refill(from: other) { return slot }
    }
    return home.pointee.cutSlab()
  }

  /// Zeroes memory that `take` gave for `count` bytes, of which no others were written.
  static func giveBack(_ address: UnsafeMutableRawPointer, _ count: Int) {
    guard count <= maximumSlotByteCount else {
      sodium_free(address)
      return
    }
    sodium_memzero(address, count)
    pool(currentShard, SizeClass(holding: count)).pointee.push(address)
  }

  /// Zero bytes in an allocation of their own, between guard pages.
  static func guarded(_ count: Int) -> UnsafeMutableRawPointer {
    Sodium.requireStarted()
    let memory = sodium_malloc(count)
    guard let memory else { preconditionFailure("the system has no guarded memory left for \(count) secret bytes") }
    sodium_memzero(memory, count)
    return memory
  }
}

/// The sizes of slots: 64 bytes times the powers of two up to 256 and what lies halfway between them.
struct SizeClass {
  static let count = 16
  private static let unitByteCount = 64

  /// In ascending order of size.
  let index: Int

  init(index: Int) { self.index = index }

  /// The smallest size for `count` bytes, which are not more than the largest.
  init(holding count: Int) {
    let units = (count + Self.unitByteCount - 1) / Self.unitByteCount
    guard units > 1 else {
      index = 0
      return
    }
    // units is above 2^octave and at most twice that.
    let octave = Int.bitWidth - 1 - (units - 1).leadingZeroBitCount
    index = 2 * octave + (2 * units <= 3 << octave ? 0 : 1)
  }

  var byteCount: Int {
    let octave = index / 2
    if index == 0 { return Self.unitByteCount }
    return index % 2 == 1 ? Self.unitByteCount << (octave + 1) : 3 * Self.unitByteCount << (octave - 1)
  }
}

/// The free slots of one size that threads of one shard gave back, and the slabs they come from.
private struct SlotPool: ~Copyable {
  // Unchecked: a slot is in a pool exactly while nobody uses it, and the lock hands it to one owner.
  private struct Slot: @unchecked Sendable { let address: UnsafeMutableRawPointer }
  private struct State {
    var free: [Slot] = []
    var slabCount = 0
  }

  // The first slab is small for a process with few secrets: the system lets a process lock few megabytes in RAM.
  private static let firstSlabByteCount = 64 << 10
  private static let largestSlabByteCount = 1 << 20
  private static let largestRefill = 64

  private let size: SizeClass
  private let state = Mutex(State())

  init(_ size: SizeClass) { self.size = size }

  borrowing func pop() -> UnsafeMutableRawPointer? {
    state.withLock { $0.free.popLast() }?.address
  }

  borrowing func push(_ address: UnsafeMutableRawPointer) {
    let slot = Slot(address: address)
    state.withLock { $0.free.append(slot) }
  }

  /// Takes half of the slots of another pool, but not many; one of them for the caller.
  borrowing func refill(from other: UnsafeMutablePointer<SlotPool>) -> UnsafeMutableRawPointer? {
    var moved = other.pointee.state.withLock { state in
      let count = min((state.free.count + 1) / 2, Self.largestRefill)
      let slots = Array(state.free.suffix(count))
      state.free.removeLast(count)
      return slots
    }
    guard let slot = moved.popLast() else { return nil }
    if !moved.isEmpty { state.withLock { $0.free.append(contentsOf: moved) } }
    return slot.address
  }

  /// Makes a slab, twice as large as the one before; one slot of it for the caller.
  borrowing func cutSlab() -> UnsafeMutableRawPointer {
    let earlier = state.withLock { state in
      state.slabCount += 1
      return state.slabCount - 1
    }
    let slabByteCount = min(Self.firstSlabByteCount << min(earlier, 8), Self.largestSlabByteCount)
    let slotByteCount = size.byteCount
    let slotCount = slabByteCount / slotByteCount
    let slab = SecretMemory.guarded(slotCount * slotByteCount)
    let slots = (1..<slotCount).reversed().map { Slot(address: slab + $0 * slotByteCount) }
    state.withLock { $0.free.append(contentsOf: slots) }
    return slab
  }
}
