/// The hashes of a Merkle tree. Implements §2.1 of RFC 6962.
public enum MerkleHashing {
  /// The root of a tree without leaves: SHA-256 of nothing.
  public static let emptyRoot = SHA256Digest(hashing: [])

  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: some Collection<UInt8>) -> LeafHash {
    var hasher = SHA256Hasher()
    hasher.update(CollectionOfOne(0x00))
    hasher.update(entry)
    return hasher.finish(as: LeafRole.self)
  }

  /// SHA-256(0x01 ‖ left ‖ right), of two hashes of 32 bytes.
  public static func node(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
    precondition(left.count == 32 && right.count == 32, "a tree hash has 32 bytes")
    return SHA256Digest(hashing: [0x01] + left + right).bytes
  }

  /// The hash of a node over two subtrees.
  public static func node(_ left: SHA256Digest, _ right: SHA256Digest) -> SHA256Digest {
    withUnsafeTemporaryAllocation(byteCount: 65, alignment: 1) { input in
      input[0] = 0x01
      left.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: input[1..<33]).copyMemory(from: $0) }
      right.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: input[33..<65]).copyMemory(from: $0) }
      return SHA256Digest(hashing: UnsafeRawBufferPointer(input))
    }
  }

  /// The root of the tree over `leaves`, split at the largest power of two below their number.
  public static func root(of leaves: [LeafHash]) -> SHA256Digest {
    // The roots of complete subtrees, largest first, as the bits of the count say: pairs of equal size merge at once.
    var subtrees: [SHA256Digest] = []
    for (index, leaf) in leaves.enumerated() {
      var subtree = SHA256Digest(leaf)
      for _ in 0..<(~index).trailingZeroBitCount { subtree = node(subtrees.removeLast(), subtree) }
      subtrees.append(subtree)
    }
    guard var root = subtrees.popLast() else { return emptyRoot }
    while let left = subtrees.popLast() { root = node(left, root) }
    return root
  }
}
