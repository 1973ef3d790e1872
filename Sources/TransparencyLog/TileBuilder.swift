import Cryptography

/// The contents of one file of a tiled log.
public struct TileContents: Sendable {
  public let address: TileAddress
  public let bytes: [UInt8]
}

/// Makes tiles and entry bundles from entries as they come. Holds what is not full yet, nothing else.
///
/// Memory: at most 256 hashes a level, one entry bundle, and the full tiles not yet taken.
public struct TileBuilder: Sendable {
  /// The longest entry that the two-byte length of a bundle can say.
  public static let maximumEntryBytes = 65_535

  private struct Level {
    var index: UInt64 = 0
    var hashes: [TreeHash] = []
  }

  private var levels: [Level] = [Level()]
  private var bundle: [UInt8] = []
  private var complete: [TileContents] = []
  private var frontier = MerkleFrontier()

  public init() {}

  public var size: UInt64 { frontier.size }
  public var root: TreeHash { frontier.root }

  /// Adds an entry and returns its leaf hash.
  ///
  /// - Throws: `entryTooLong`; then nothing has changed.
  @discardableResult
  public mutating func append(_ entry: some Collection<UInt8>) throws(TransparencyLogError) -> LeafHash {
    guard entry.count <= Self.maximumEntryBytes else { throw .entryTooLong(bytes: entry.count) }
    let leaf = MerkleHashing.leaf(entry)
    bundle.append(UInt8(entry.count >> 8))
    bundle.append(UInt8(entry.count & 0xFF))
    bundle.append(contentsOf: entry)
    let bundleIndex = levels[0].index
    frontier.append(leaf)
    append(TreeHash(leaf), level: 0)
    if levels[0].index > bundleIndex {
      complete.append(TileContents(address: TileAddress(kind: .entries, index: bundleIndex), bytes: bundle))
      bundle.removeAll(keepingCapacity: true)
    }
    return leaf
  }

  /// Tiles that became full and have not been discarded, in the order in which they did.
  public var completed: [TileContents] { complete }

  /// Forgets the full tiles: they are on disk.
  public mutating func discardCompleted() {
    complete.removeAll()
  }

  /// The tiles at the right edge that are not full.
  public var partials: [TileContents] {
    var tiles: [TileContents] = []
    for (number, level) in levels.enumerated() where !level.hashes.isEmpty {
      let address = TileAddress(kind: .hashes(level: number), index: level.index, width: level.hashes.count)
      tiles.append(TileContents(address: address, bytes: level.hashes.flatMap(\.bytes)))
    }
    if let base = levels.first, !base.hashes.isEmpty {
      let address = TileAddress(kind: .entries, index: base.index, width: base.hashes.count)
      tiles.append(TileContents(address: address, bytes: bundle))
    }
    return tiles
  }

  private mutating func append(_ hash: TreeHash, level: Int) {
    levels[level].hashes.append(hash)
    guard levels[level].hashes.count == TileAddress.fullWidth else { return }
    let full = levels[level]
    let address = TileAddress(kind: .hashes(level: level), index: full.index)
    complete.append(TileContents(address: address, bytes: full.hashes.flatMap(\.bytes)))
    levels[level].index += 1
    levels[level].hashes.removeAll(keepingCapacity: true)
    if level + 1 == levels.count { levels.append(Level()) }
    append(Self.root(of: full.hashes[...]), level: level + 1)
  }

  /// The root over a run of hashes of complete subtrees.
  static func root(of hashes: ArraySlice<TreeHash>) -> TreeHash {
    var frontier = MerkleFrontier()
    for hash in hashes { frontier.append(node: hash) }
    return frontier.root
  }
}

/// The entries of a bundle: each two bytes of length, big-endian, and that many bytes.
public enum EntryBundle {
  /// - Returns: the entries, or nil if there are not exactly `count` or bytes are left over.
  public static func entries(of bytes: [UInt8], count: Int) -> [ArraySlice<UInt8>]? {
    var entries: [ArraySlice<UInt8>] = []
    var place = 0
    while place < bytes.count {
      guard entries.count < count, bytes.count - place >= 2 else { return nil }
      let length = Int(bytes[place]) << 8 | Int(bytes[place + 1])
      guard bytes.count - place - 2 >= length else { return nil }
      entries.append(bytes[(place + 2)..<(place + 2 + length)])
      place += 2 + length
    }
    return entries.count == count ? entries : nil
  }
}
