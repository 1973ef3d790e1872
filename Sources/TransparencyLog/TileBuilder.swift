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

  private var tree: TileTree
  private var bundle: [UInt8] = []
  private var complete: [TileContents] = []

  public init() {
    tree = TileTree()
  }

  /// Goes on where a tree ends that has only full bundles.
  package init(resuming tree: TileTree) {
    precondition(tree.alignedSize == tree.size, "only full bundles can be left behind")
    self.tree = tree
  }

  public var size: UInt64 { tree.size }
  public var root: TreeHash { tree.root }

  /// The number of entries in full bundles.
  package var alignedSize: UInt64 { tree.alignedSize }
  /// The root over the entries in full bundles.
  package var alignedRoot: TreeHash { tree.alignedRoot }

  /// Adds an entry and returns its leaf hash.
  ///
  /// - Throws: `entryTooLong`; then nothing has changed.
  @discardableResult
  public mutating func append(_ entry: some Collection<UInt8>) throws(TransparencyLogError) -> LeafHash {
    try append(Array(entry))
  }

  // The same, not generic: callers are in other modules, where the generic one is not specialised.
  /// Adds an entry and returns its leaf hash.
  ///
  /// - Throws: `entryTooLong`; then nothing has changed.
  @discardableResult
  public mutating func append(_ entry: [UInt8]) throws(TransparencyLogError) -> LeafHash {
    let leaf = MerkleHashing.leaf(entry)
    try append(entry, leaf: leaf)
    return leaf
  }

  /// Adds an entry whose leaf hash is known already.
  ///
  /// - Throws: `entryTooLong`; then nothing has changed.
  package mutating func append(_ entry: [UInt8], leaf: LeafHash) throws(TransparencyLogError) {
    guard entry.count <= Self.maximumEntryBytes else { throw .entryTooLong(bytes: entry.count) }
    bundle.append(UInt8(entry.count >> 8))
    bundle.append(UInt8(entry.count & 0xFF))
    bundle.append(contentsOf: entry)
    tree.append(leaf)
    guard tree.size == tree.alignedSize else { return }
    complete += tree.completed
    tree.discardCompleted()
    let index = tree.size / UInt64(TileAddress.fullWidth) - 1
    complete.append(TileContents(address: TileAddress(kind: .entries, index: index), bytes: bundle))
    bundle.removeAll(keepingCapacity: true)
  }

  /// Tiles that became full and have not been discarded, in the order in which they did.
  public var completed: [TileContents] { complete }

  /// Forgets the full tiles: they are on disk.
  public mutating func discardCompleted() {
    complete.removeAll()
  }

  /// Forgets the first so many full tiles: they are on disk.
  package mutating func discardCompleted(_ count: Int) {
    complete.removeFirst(min(count, complete.count))
  }

  /// The tiles at the right edge that are not full.
  public var partials: [TileContents] {
    let width = Int(tree.size - tree.alignedSize)
    if width == 0 { return tree.partials() }
    let index = tree.size / UInt64(TileAddress.fullWidth)
    return tree.partials() + [
      TileContents(address: TileAddress(kind: .entries, index: index, width: width), bytes: bundle)
    ]
  }

  /// Those of the tree of `alignedSize` entries.
  package var alignedPartials: [TileContents] { tree.partials(fromLevel: 1) }

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
