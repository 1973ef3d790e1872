import Cryptography

/// The right edge of a growing tree, tile by tile: what is not full yet, and nothing else.
///
/// Memory: at most 256 hashes a level, and the full tiles not yet taken.
package struct TileTree: Sendable {
  private struct Level {
    var index: UInt64 = 0
    /// The hashes one after the other, as a tile has them.
    var bytes: [UInt8] = []
    var frontier = MerkleFrontier()

    var width: Int { bytes.count / TreeHash.byteCount }
  }

  private var levels: [Level] = [Level()]
  package private(set) var size: UInt64 = 0
  /// Tiles that became full and have not been discarded, in the order in which they did.
  package private(set) var completed: [TileContents] = []

  package init() {}

  /// A tree that goes on after `size` leaves, of which every tile that is full by then is elsewhere.
  ///
  /// - Parameters:
  ///   - size: a multiple of 256.
  ///   - edge: the hashes in the tile at the right edge, from level 1 upwards; as many as the size says.
  package init(resumingAt size: UInt64, edge: [[TreeHash]]) {
    precondition(size.isMultiple(of: UInt64(TileAddress.fullWidth)), "only full bundles can be left behind")
    self.size = size
    levels = [Level(index: size / UInt64(TileAddress.fullWidth))]
    for (place, hashes) in edge.enumerated() {
      let count = size >> UInt64(8 * (place + 1))
      precondition(hashes.count == Int(count % UInt64(TileAddress.fullWidth)), "the edge is not that of the size")
      var level = Level(index: count / UInt64(TileAddress.fullWidth))
      for hash in hashes {
        hash.withUnsafeBytes { level.bytes.append(contentsOf: $0) }
        level.frontier.append(node: hash)
      }
      levels.append(level)
    }
  }

  package mutating func append(_ leaf: LeafHash) {
    size += 1
    append(TreeHash(leaf), level: 0)
  }

  /// Adds a full tile of leaves at once.
  ///
  /// - Parameters:
  ///   - hashes: 256 leaf hashes, which begin at a multiple of 256.
  ///   - root: the root over them.
  package mutating func append(tile hashes: [UInt8], root: TreeHash) {
    precondition(
      levels[0].bytes.isEmpty && hashes.count == TileAddress.fullWidth * TreeHash.byteCount,
      "a tile is added whole, where one begins")
    size += UInt64(TileAddress.fullWidth)
    complete(hashes, root: root, level: 0)
  }

  package mutating func discardCompleted() {
    completed.removeAll(keepingCapacity: true)
  }

  /// The root over all leaves.
  package var root: TreeHash { root(fromLevel: 0, tail: MerkleFrontier()) ?? TreeHashing.emptyRoot }

  /// The number of leaves that full tiles of level 0 hold.
  package var alignedSize: UInt64 { size - UInt64(levels[0].width) }

  /// The root over those that full tiles of level 0 hold.
  package var alignedRoot: TreeHash { root(fromLevel: 1, tail: MerkleFrontier()) ?? TreeHashing.emptyRoot }

  /// The root over those that full tiles of level 0 hold, and a few more.
  package func root(adding tail: MerkleFrontier) -> TreeHash {
    root(fromLevel: 1, tail: tail) ?? TreeHashing.emptyRoot
  }

  private func root(fromLevel first: Int, tail: MerkleFrontier) -> TreeHash? {
    var root: TreeHash?
    func add(_ peaks: [TreeHash]) {
      for peak in peaks.reversed() { root = root.map { TreeHashing.node(peak, $0) } ?? peak }
    }
    add(tail.peaks)
    for level in levels.dropFirst(first) { add(level.frontier.peaks) }
    return root
  }

  /// The tiles at the right edge that are not full, from level `first` upwards.
  package func partials(fromLevel first: Int = 0) -> [TileContents] {
    levels.enumerated().dropFirst(first).compactMap { number, level in
      guard level.width > 0 else { return nil }
      let address = TileAddress(kind: .hashes(level: number), index: level.index, width: level.width)
      return TileContents(address: address, bytes: level.bytes)
    }
  }

  private mutating func append(_ hash: TreeHash, level: Int) {
    hash.withUnsafeBytes { levels[level].bytes.append(contentsOf: $0) }
    levels[level].frontier.append(node: hash)
    guard levels[level].width == TileAddress.fullWidth, let root = levels[level].frontier.peaks.first else { return }
    let hashes = levels[level].bytes
    levels[level].bytes = []
    levels[level].frontier = MerkleFrontier()
    complete(hashes, root: root, level: level)
  }

  private mutating func complete(_ hashes: [UInt8], root: TreeHash, level: Int) {
    let address = TileAddress(kind: .hashes(level: level), index: levels[level].index)
    completed.append(TileContents(address: address, bytes: hashes))
    levels[level].index += 1
    if level + 1 == levels.count { levels.append(Level()) }
    append(root, level: level + 1)
  }
}
