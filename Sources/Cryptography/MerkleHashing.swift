/// The hashes of a Merkle tree. Implements §2.1 of RFC 6962.
public enum MerkleHashing {
  /// The root of a tree without leaves: SHA-256 of nothing.
  public static let emptyRoot = SHA256Digest(hashing: [])

  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: some Collection<UInt8>) -> LeafHash {
    entry.withContiguousBytes { leaf($0) }
  }

  // The same, not generic: callers are in other modules, where the generic one is not specialised.
  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: [UInt8]) -> LeafHash { entry.withUnsafeBytes { leaf($0) } }

  /// SHA-256(0x00 ‖ entry).
  public static func leaf(_ entry: UnsafeRawBufferPointer) -> LeafHash {
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

  /// The root over the hashes of 1, 2, 4, … subtrees of one size, 32 bytes each and one after the other.
  public static func root(ofSubtrees hashes: UnsafeRawBufferPointer) -> SHA256Digest {
    let count = hashes.count / Bytes32.byteCount
    precondition(
      count > 0 && count & (count - 1) == 0 && hashes.count == count * Bytes32.byteCount,
      "a complete tree has a power of two of hashes of 32 bytes")
    return withUnsafeTemporaryAllocation(byteCount: hashes.count, alignment: 8) { level in
      level.copyMemory(from: hashes)
      return withUnsafeTemporaryAllocation(byteCount: 65, alignment: 1) { input in
        input[0] = 0x01
        let pair = UnsafeMutableRawBufferPointer(rebasing: input[1...])
        var width = count
        while width > 1 {
          width /= 2
          for place in 0..<width {
            // Where a node is put, its children have been read.
            pair.copyMemory(from: UnsafeRawBufferPointer(rebasing: level[(64 * place)..<(64 * place + 64)]))
            SHA256.digest(UnsafeRawBufferPointer(input)).copyBytes(to: level.octets + 32 * place)
          }
        }
        return SHA256Digest(storage: Bytes32 { $0.update(from: level.octets, count: Bytes32.byteCount) })
      }
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
