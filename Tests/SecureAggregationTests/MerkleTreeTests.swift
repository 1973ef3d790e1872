import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Inclusion paths")
struct MerkleTreeTests {
  @Test("Every leaf of every size is included, and nothing else", arguments: 1...17)
  func paths(count: Int) throws {
    let leaves = (0..<count).map { MerkleHashing.leaf([UInt8($0)]) }
    let root = MerkleHashing.root(of: leaves)
    let tree = MerkleTree(leaves: leaves)
    for index in 0..<count {
      let path = tree.siblings(of: [index])
      #expect(path.count <= 5)
      func given(_ leaf: LeafHash, _ position: Int, _ path: [SHA256Digest]) -> SHA256Digest? {
        MerkleTree.root(leaves: [(position, leaf)], count: count, siblings: path)
      }
      #expect(given(leaves[index], index, path) == root)
      #expect(given(MerkleHashing.leaf([99]), index, path) != root)
      #expect(given(leaves[index], index, path + [root]) == nil)
      if count > 1 {
        #expect(given(leaves[index], index, Array(path.dropLast())) == nil)
        let other = (index + 1) % count
        #expect(given(leaves[index], other, path) != root)
      }
    }
    #expect(tree.root == root)
    #expect(MerkleTree.root(leaves: [(count, leaves[0])], count: count, siblings: []) == nil)
    #expect(MerkleTree.root(leaves: [(-1, leaves[0])], count: count, siblings: []) == nil)
    #expect(MerkleTree.root(leaves: [], count: count, siblings: [root]) == nil)
  }

  @Test("Every subset of the leaves is proved by the hashes that it lacks", arguments: 1...9)
  func subsets(count: Int) throws {
    let leaves = (0..<count).map { MerkleHashing.leaf([UInt8($0)]) }
    let root = MerkleHashing.root(of: leaves)
    let tree = MerkleTree(leaves: leaves)
    for subset in 1..<(1 << count) {
      let indices = (0..<count).filter { subset >> $0 & 1 == 1 }
      let siblings = tree.siblings(of: indices)
      let known = indices.map { (index: $0, hash: leaves[$0]) }
      #expect(MerkleTree.root(leaves: known, count: count, siblings: siblings) == root)
      #expect(MerkleTree.root(leaves: known, count: count, siblings: siblings + [root]) == nil)
      if indices.count == count { #expect(siblings.isEmpty) }
      if !siblings.isEmpty {
        #expect(MerkleTree.root(leaves: known, count: count, siblings: Array(siblings.dropLast())) == nil)
      }
      var altered = known
      altered[0].hash = MerkleHashing.leaf([99])
      #expect(MerkleTree.root(leaves: altered, count: count, siblings: siblings) != root)
      if known.count > 1 {
        #expect(MerkleTree.root(leaves: known.reversed(), count: count, siblings: siblings) == nil)
        #expect(MerkleTree.root(leaves: known + [known[0]], count: count, siblings: siblings) == nil)
      }
    }
  }
}
