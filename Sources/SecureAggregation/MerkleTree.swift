import Cryptography

/// An RFC 6962 tree (§2.1), kept level by level to prove some of its leaves at once.
///
/// Pairing neighbours and moving an odd last node up unchanged gives the same tree as the recursive definition. A proof
/// of several leaves holds each hash that cannot be computed from them once, level by level from the leaves up and from
/// left to right; for one leaf that is its inclusion path, for all leaves it is empty.
struct MerkleTree: Sendable {
  private let levels: [[SHA256Digest]]

  init(leaves: [LeafHash]) {
    var levels = [leaves.map { SHA256Digest($0) }]
    while let nodes = levels.last, nodes.count > 1 {
      levels.append(
        stride(from: 0, to: nodes.count, by: 2).map { index in
          index + 1 < nodes.count ? MerkleHashing.node(nodes[index], nodes[index + 1]) : nodes[index]
        })
    }
    self.levels = levels
  }

  var root: SHA256Digest { levels.last?.first ?? MerkleHashing.emptyRoot }

  /// The hashes that complete the tree for someone who knows the leaves at `indices`, ascending and distinct.
  func siblings(of indices: [Int]) -> [SHA256Digest] {
    var siblings: [SHA256Digest] = []
    var known = indices
    for nodes in levels.dropLast() {
      var parents: [Int] = []
      var next = known.startIndex
      while next < known.endIndex {
        let index = known[next]
        next += 1
        if next < known.endIndex, index % 2 == 0, known[next] == index + 1 {
          next += 1
        } else if index ^ 1 < nodes.count {
          siblings.append(nodes[index ^ 1])
        }
        parents.append(index / 2)
      }
      known = parents
    }
    return siblings
  }

  /// The root that leaves and their siblings give in a tree of `count` leaves.
  ///
  /// - Parameter leaves: at ascending, distinct indices below `count`.
  /// - Returns: nil if there are no leaves, an index is out of order or range, or the siblings are not exactly as many
  ///   as the indices demand.
  static func root(
    leaves: [(index: Int, hash: LeafHash)], count: Int, siblings: [SHA256Digest]
  ) -> SHA256Digest? {
    var known = leaves.map { (index: $0.index, hash: SHA256Digest($0.hash)) }
    guard let first = known.first, let last = known.last, first.index >= 0, last.index < count,
      zip(known, known.dropFirst()).allSatisfy({ $0.index < $1.index })
    else { return nil }
    var rest = siblings[...]
    var width = count
    while width > 1 {
      var parents: [(index: Int, hash: SHA256Digest)] = []
      parents.reserveCapacity((known.count + 1) / 2)
      var next = known.startIndex
      while next < known.endIndex {
        let node = known[next]
        next += 1
        var hash = node.hash
        if next < known.endIndex, node.index % 2 == 0, known[next].index == node.index + 1 {
          hash = MerkleHashing.node(hash, known[next].hash)
          next += 1
        } else if node.index ^ 1 < width {
          guard let sibling = rest.popFirst() else { return nil }
          hash = node.index % 2 == 0 ? MerkleHashing.node(hash, sibling) : MerkleHashing.node(sibling, hash)
        }
        parents.append((node.index / 2, hash))
      }
      known = parents
      width = (width + 1) / 2
    }
    return rest.isEmpty ? known[0].hash : nil
  }
}
