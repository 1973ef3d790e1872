import Cryptography

/// The hash of a node of an RFC 6962 tree; of a leaf too, once its place in the tree is what matters.
public typealias TreeHash = Digest<NodeRole>

/// Where the hashes of *complete* subtrees come from: an array in memory, or tiles on disk.
///
/// Roots of any earlier size and all proofs follow from these alone.
public protocol MerkleNodeSource {
  associatedtype Failure: Error

  /// The number of leaves.
  var size: UInt64 { get }

  /// The root of the leaves `index << level ..< (index + 1) << level`, all of which exist.
  func node(level: Int, index: UInt64) throws(Failure) -> TreeHash
}

/// RFC 6962 hashing on role-typed values.
public enum TreeHashing {
  /// The root of a tree without leaves: SHA-256 of nothing.
  public static let emptyRoot = TreeHash(hashing: [UInt8]())

  /// SHA-256(0x01 ‖ left ‖ right).
  public static func node(_ left: TreeHash, _ right: TreeHash) -> TreeHash {
    TreeHash(MerkleHashing.node(SHA256Digest(left), SHA256Digest(right)))
  }

  /// SHA-256(0x00 ‖ entry), in its place in the tree.
  public static func leaf(_ entry: some Collection<UInt8>) -> TreeHash { TreeHash(MerkleHashing.leaf(entry)) }
}

extension MerkleNodeSource {
  /// The root of the first `size` leaves (all of them by default). Implements §2.1 of RFC 6962.
  ///
  /// - Precondition: `size` is at most the source's size.
  public func root(size: UInt64? = nil) throws(Failure) -> TreeHash {
    let size = size ?? self.size
    precondition(size <= self.size, "a root of more leaves than there are")
    return size == 0 ? TreeHashing.emptyRoot : try root(from: 0, to: size)
  }

  /// The root of the leaves `low ..< high`, where `low` is aligned as RFC 6962 splits trees.
  func root(from low: UInt64, to high: UInt64) throws(Failure) -> TreeHash {
    let count = high - low
    if count & (count - 1) == 0 {
      let level = count.trailingZeroBitCount
      return try node(level: level, index: low >> UInt64(level))
    }
    let split = low + largestPowerOfTwo(below: count)
    return TreeHashing.node(try root(from: low, to: split), try root(from: split, to: high))
  }

  /// The hashes that, with the leaf at `index`, give the root of the first `size` leaves, lowest first.
  ///
  /// Implements PATH of RFC 6962 §2.1.1. Returns nil when `index` is not below `size`, or `size` exceeds the tree.
  public func inclusionProof(index: UInt64, size: UInt64? = nil) throws(Failure) -> InclusionProof? {
    let size = size ?? self.size
    guard index < size, size <= self.size else { return nil }
    var low: UInt64 = 0
    var high = size
    var path: [TreeHash] = []
    while high - low > 1 {
      let split = low + largestPowerOfTwo(below: high - low)
      if index < split {
        path.append(try root(from: split, to: high))
        high = split
      } else {
        path.append(try root(from: low, to: split))
        low = split
      }
    }
    return InclusionProof(index: index, size: size, hashes: path.reversed())
  }

  /// The hashes that show that the tree of `from` leaves is the beginning of the tree of `to` leaves.
  ///
  /// Implements PROOF of RFC 6962 §2.1.2. Empty for `from` = 0 and `from` = `to`; nil when `from` > `to` or `to`
  /// exceeds the tree.
  public func consistencyProof(from: UInt64, to: UInt64? = nil) throws(Failure) -> ConsistencyProof? {
    let to = to ?? self.size
    guard from <= to, to <= self.size else { return nil }
    guard from > 0, from < to else { return ConsistencyProof(from: from, to: to, hashes: []) }
    var low: UInt64 = 0
    var high = to
    var known = from  // leaves of the old tree within low ..< high
    var isWholeOldTree = true
    var path: [TreeHash] = []
    while known != high - low {
      let width = largestPowerOfTwo(below: high - low)
      if known <= width {
        path.append(try root(from: low + width, to: high))
        high = low + width
      } else {
        path.append(try root(from: low, to: low + width))
        low += width
        known -= width
        isWholeOldTree = false
      }
    }
    // The verifier holds the old root itself, so it is sent only where it is not that very subtree.
    if !isWholeOldTree { path.append(try root(from: low, to: high)) }
    return ConsistencyProof(from: from, to: to, hashes: path.reversed())
  }
}

/// The largest power of two strictly below `count`, which is at least two.
private func largestPowerOfTwo(below count: UInt64) -> UInt64 {
  1 << UInt64(UInt64.bitWidth - 1 - (count - 1).leadingZeroBitCount)
}
