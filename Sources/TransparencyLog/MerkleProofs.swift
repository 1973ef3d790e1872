import Cryptography

/// Shows that one entry is in a tree of a given size and root.
public struct InclusionProof: Hashable, Sendable {
  public let index: UInt64
  public let size: UInt64
  /// From the leaf upwards; at most 64.
  public let hashes: [TreeHash]

  public init(index: UInt64, size: UInt64, hashes: [TreeHash]) {
    self.index = index
    self.size = size
    self.hashes = hashes
  }

  /// Implements §2.1.3.2 of RFC 9162.
  public func verifies(leaf: LeafHash, root: TreeHash) -> Bool {
    guard index < size else { return false }
    var position = index
    var last = size - 1
    var hash = TreeHash(leaf)
    for sibling in hashes {
      if last == 0 { return false }
      if position & 1 == 1 || position == last {
        hash = TreeHashing.node(sibling, hash)
        while position & 1 == 0 && position != 0 {
          position >>= 1
          last >>= 1
        }
      } else {
        hash = TreeHashing.node(hash, sibling)
      }
      position >>= 1
      last >>= 1
    }
    return last == 0 && hash == root
  }
}

/// Shows that a smaller tree is the beginning of a larger one: nothing was changed or taken out.
public struct ConsistencyProof: Hashable, Sendable {
  public let from: UInt64
  public let to: UInt64
  /// At most 65.
  public let hashes: [TreeHash]

  public init(from: UInt64, to: UInt64, hashes: [TreeHash]) {
    self.from = from
    self.to = to
    self.hashes = hashes
  }

  /// Implements §2.1.4.2 of RFC 9162. Every tree is consistent with the empty one, given its true root and no hash.
  public func verifies(oldRoot: TreeHash, newRoot: TreeHash) -> Bool {
    guard from <= to else { return false }
    if from == to { return hashes.isEmpty && oldRoot == newRoot && (from > 0 || oldRoot == TreeHashing.emptyRoot) }
    if from == 0 { return hashes.isEmpty && oldRoot == TreeHashing.emptyRoot }
    let path = from & (from - 1) == 0 ? [oldRoot] + hashes : hashes
    guard let first = path.first else { return false }

    var position = from - 1
    var last = to - 1
    let shift = UInt64((~position).trailingZeroBitCount)
    position >>= shift
    last >>= shift
    var old = first
    var new = first
    for sibling in path.dropFirst() {
      if last == 0 { return false }
      if position & 1 == 1 || position == last {
        old = TreeHashing.node(sibling, old)
        new = TreeHashing.node(sibling, new)
        while position & 1 == 0 && position != 0 {
          position >>= 1
          last >>= 1
        }
      } else {
        new = TreeHashing.node(new, sibling)
      }
      position >>= 1
      last >>= 1
    }
    return last == 0 && old == oldRoot && new == newRoot
  }
}
