/// The hashes of a Merkle tree. Implements §2.1 of RFC 6962.
public enum MerkleHashing {
  /// The root of a tree without leaves: SHA-256 of nothing.
  public static let emptyRoot = SHA256Digest(hashing: [])

  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: some Collection<UInt8>) -> LeafHash {
    entry.withContiguousBytes { leaf(entry: $0) }
  }

  // The same, not generic: callers are in other modules, where the generic one is not specialised.
  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: [UInt8]) -> LeafHash { entry.withUnsafeBytes { leaf(entry: $0) } }

  private static func leaf(entry: UnsafeRawBufferPointer) -> LeafHash {
    guard entry.count < maximumCopyByteCount else {
      var hasher = SHA256Hasher()
      hasher.update(CollectionOfOne(0x00))
      hasher.update(entry)
      return hasher.finish(as: LeafRole.self)
    }
    // In one piece, as that costs no context.
    return withUnsafeTemporaryAllocation(byteCount: 1 + entry.count, alignment: 1) { input in
      input[0] = 0x00
      UnsafeMutableRawBufferPointer(rebasing: input[1...]).copyMemory(from: entry)
      return LeafHash(hashing: UnsafeRawBufferPointer(input))
    }
  }

  /// Above it hashing costs more than a context, and the stack is no place.
  private static let maximumCopyByteCount = 1024

  /// SHA-256(0x01 ‖ left ‖ right), of two hashes of 32 bytes.
  public static func node(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
    precondition(left.count == 32 && right.count == 32, "a tree hash has 32 bytes")
    return withUnsafeTemporaryAllocation(byteCount: 65, alignment: 1) { input in
      input[0] = 0x01
      UnsafeMutableRawBufferPointer(rebasing: input[1..<33]).copyBytes(from: left)
      UnsafeMutableRawBufferPointer(rebasing: input[33..<65]).copyBytes(from: right)
      return SHA256.digest(UnsafeRawBufferPointer(input)).array
    }
  }

  /// The hash of a node over two subtrees.
  public static func node(_ left: SHA256Digest, _ right: SHA256Digest) -> SHA256Digest {
    withUnsafeTemporaryAllocation(byteCount: 65, alignment: 1) { input in
      input[0] = 0x01
      left.copyBytes(to: input.octets + 1)
      right.copyBytes(to: input.octets + 33)
      return SHA256Digest(storage: SHA256.digest(UnsafeRawBufferPointer(input)))
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
