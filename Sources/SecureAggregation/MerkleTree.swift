import Cryptography

/// An RFC 6962 tree (§2.1) over a few hundred leaves, kept level by level for inclusion paths.
///
/// Pairing neighbours and moving an odd last node up unchanged gives the same tree as the recursive definition.
struct MerkleTree {
  /// Longest path for the largest cohort.
  static let maximumPathLength = 9

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

  /// The path of the leaf at `index`, from the leaf's sibling up.
  func path(of index: Int) -> [SHA256Digest] {
    var path: [SHA256Digest] = []
    var position = index
    for nodes in levels.dropLast() {
      let sibling = position ^ 1
      if sibling < nodes.count { path.append(nodes[sibling]) }
      position /= 2
    }
    return path
  }

  /// The root that a leaf and its path give, or nil if the path has not the length that the position demands.
  static func root(leaf: LeafHash, index: Int, count: Int, path: [SHA256Digest]) -> SHA256Digest? {
    guard index >= 0, index < count else { return nil }
    var value = SHA256Digest(leaf)
    var position = index
    var width = count
    var rest = path[...]
    while width > 1 {
      if position ^ 1 < width {
        guard let sibling = rest.popFirst() else { return nil }
        value = position.isMultiple(of: 2) ? MerkleHashing.node(value, sibling) : MerkleHashing.node(sibling, value)
      }
      position /= 2
      width = (width + 1) / 2
    }
    return rest.isEmpty ? value : nil
  }
}
