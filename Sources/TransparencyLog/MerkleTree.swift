import Cryptography

/// An RFC 6962 tree in memory that keeps every complete node: about 64 bytes of hashes a leaf.
///
/// Appending is O(1) amortised; a root or a proof of any earlier size is O(log n).
public struct MerkleTree: MerkleNodeSource, Sendable {
  /// `levels[l][i]` is the root of the i-th run of 2^l leaves.
  private var levels: [[TreeHash]] = [[]]

  public init() {}

  public init(leaves: some Sequence<LeafHash>) {
    for leaf in leaves { append(leaf) }
  }

  public var size: UInt64 { UInt64(levels[0].count) }

  public mutating func append(_ leaf: LeafHash) {
    levels[0].append(TreeHash(leaf))
    var level = 0
    while levels[level].count.isMultiple(of: 2) {
      let count = levels[level].count
      let parent = TreeHashing.node(levels[level][count - 2], levels[level][count - 1])
      level += 1
      if level == levels.count { levels.append([]) }
      levels[level].append(parent)
    }
  }

  public func leaf(at index: UInt64) -> LeafHash { LeafHash(levels[0][Int(index)]) }

  public func node(level: Int, index: UInt64) throws(Never) -> TreeHash { levels[level][Int(index)] }
}

/// The root of a growing tree in O(log n) memory, for those who need no proofs.
public struct MerkleFrontier: Sendable {
  /// The complete subtrees, largest first: one for each set bit of `size`.
  package private(set) var peaks: [TreeHash] = []

  public private(set) var size: UInt64 = 0

  public init() {}

  public mutating func append(_ leaf: LeafHash) { append(node: TreeHash(leaf)) }

  package mutating func append(node: TreeHash) {
    var node = node
    for _ in 0..<(~size).trailingZeroBitCount {
      node = TreeHashing.node(peaks.removeLast(), node)
    }
    peaks.append(node)
    size += 1
  }

  public var root: TreeHash {
    guard var root = peaks.last else { return TreeHashing.emptyRoot }
    for peak in peaks.dropLast().reversed() { root = TreeHashing.node(peak, root) }
    return root
  }
}
