import Cryptography
import Testing
import TransparencyLog

/// The tree that the reference implementation of Certificate Transparency is tested with.
private enum ReferenceTree {
  static let entries = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
  ]
  static let roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ]
  static let inclusion: [(index: UInt64, size: UInt64, hashes: [String])] = [
    (0, 1, []),
    (
      0, 8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ]
    ),
    (
      5, 8,
      [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ]
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
      1, 5,
      [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ]
    ),
  ]
  static let consistency: [(from: UInt64, to: UInt64, hashes: [String])] = [
    (1, 1, []),
    (
      1, 8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ]
    ),
    (
      6, 8,
      [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ]
    ),
    (
      2, 5,
      [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ]
    ),
  ]

  static func leaf(_ index: UInt64) throws -> LeafHash {
    MerkleHashing.leaf(try Hexadecimal.decode(entries[Int(index)]))
  }

  static func tree() throws -> MerkleTree {
    MerkleTree(leaves: try (0..<8).map { try leaf($0) })
  }
}

@Suite struct MerkleTreeTests {
  @Test func referenceRoots() throws {
    let tree = try ReferenceTree.tree()
    var frontier = MerkleFrontier()
    for size in 0...8 {
      #expect(tree.root(size: UInt64(size)).hexadecimal == ReferenceTree.roots[size])
      #expect(frontier.root.hexadecimal == ReferenceTree.roots[size])
      if size < 8 { frontier.append(try ReferenceTree.leaf(UInt64(size))) }
    }
  }

  @Test func referenceInclusionProofs() throws {
    let tree = try ReferenceTree.tree()
    for vector in ReferenceTree.inclusion {
      let proof = try #require(tree.inclusionProof(index: vector.index, size: vector.size))
      #expect(proof.hashes.map(\.hexadecimal) == vector.hashes)
      let root = try TreeHash(hexadecimal: ReferenceTree.roots[Int(vector.size)])
      let leaf = try ReferenceTree.leaf(vector.index)
      #expect(proof.verifies(leaf: leaf, root: root))
      #expect(!proof.verifies(leaf: leaf, root: TreeHash(hashing: [1])))
      #expect(!proof.verifies(leaf: MerkleHashing.leaf([9]), root: root))
    }
  }

  @Test func referenceConsistencyProofs() throws {
    let tree = try ReferenceTree.tree()
    for vector in ReferenceTree.consistency {
      let proof = try #require(tree.consistencyProof(from: vector.from, to: vector.to))
      #expect(proof.hashes.map(\.hexadecimal) == vector.hashes)
      let old = try TreeHash(hexadecimal: ReferenceTree.roots[Int(vector.from)])
      let new = try TreeHash(hexadecimal: ReferenceTree.roots[Int(vector.to)])
      #expect(proof.verifies(oldRoot: old, newRoot: new))
      #expect(!proof.verifies(oldRoot: TreeHash(hashing: [1]), newRoot: new))
      #expect(!proof.verifies(oldRoot: old, newRoot: TreeHash(hashing: [1])))
    }
  }

  @Test func rootsFollowTheDefinitionAtEverySize() {
    let all = leaves(300)
    let tree = MerkleTree(leaves: all)
    var frontier = MerkleFrontier()
    for size in 0...300 {
      let expected = definedRoot(all[..<size])
      #expect(tree.root(size: UInt64(size)) == expected)
      #expect(frontier.root == expected)
      if size < 300 { frontier.append(all[size]) }
    }
  }

  @Test func everyInclusionProofUpTo300Verifies() throws {
    let all = leaves(300)
    let tree = MerkleTree(leaves: all)
    for size in 1...300 {
      let root = tree.root(size: UInt64(size))
      var failures = 0
      for index in 0..<size {
        let proof = try #require(tree.inclusionProof(index: UInt64(index), size: UInt64(size)))
        if !proof.verifies(leaf: all[index], root: root) { failures += 1 }
        // The same hashes prove no other place of the leaf.
        let other = (index + 1) % size
        let moved = InclusionProof(index: UInt64(other), size: UInt64(size), hashes: proof.hashes)
        if size > 1, moved.verifies(leaf: all[index], root: root) { failures += 1 }
      }
      #expect(failures == 0, "size \(size)")
    }
  }

  @Test func everyConsistencyProofUpTo300Verifies() throws {
    let tree = MerkleTree(leaves: leaves(300))
    let roots = (0...300).map { tree.root(size: UInt64($0)) }
    for to in 0...300 {
      var failures = 0
      for from in 0...to {
        let proof = try #require(tree.consistencyProof(from: UInt64(from), to: UInt64(to)))
        if !proof.verifies(oldRoot: roots[from], newRoot: roots[to]) { failures += 1 }
        // Nothing but the true old root is consistent.
        if proof.verifies(oldRoot: roots[from == 0 ? 300 : from - 1], newRoot: roots[to]) { failures += 1 }
      }
      #expect(failures == 0, "size \(to)")
    }
  }

  @Test func alteredProofsAreRefused() throws {
    let all = leaves(37)
    let tree = MerkleTree(leaves: all)
    let inclusion = try #require(tree.inclusionProof(index: 20))
    let consistency = try #require(tree.consistencyProof(from: 21))
    let old = tree.root(size: 21)
    for place in inclusion.hashes.indices {
      var hashes = inclusion.hashes
      hashes[place] = TreeHash(hashing: [7])
      #expect(!InclusionProof(index: 20, size: 37, hashes: hashes).verifies(leaf: all[20], root: tree.root()))
    }
    for place in consistency.hashes.indices {
      var hashes = consistency.hashes
      hashes[place] = TreeHash(hashing: [7])
      #expect(!ConsistencyProof(from: 21, to: 37, hashes: hashes).verifies(oldRoot: old, newRoot: tree.root()))
    }
    let short = Array(inclusion.hashes.dropLast())
    let long = inclusion.hashes + [TreeHash(hashing: [7])]
    #expect(!InclusionProof(index: 20, size: 37, hashes: short).verifies(leaf: all[20], root: tree.root()))
    #expect(!InclusionProof(index: 20, size: 37, hashes: long).verifies(leaf: all[20], root: tree.root()))
    #expect(!InclusionProof(index: 37, size: 37, hashes: []).verifies(leaf: all[20], root: tree.root()))
    let longer = consistency.hashes + [TreeHash(hashing: [7])]
    #expect(!ConsistencyProof(from: 21, to: 37, hashes: longer).verifies(oldRoot: old, newRoot: tree.root()))
    #expect(!ConsistencyProof(from: 21, to: 37, hashes: []).verifies(oldRoot: old, newRoot: tree.root()))
    #expect(!ConsistencyProof(from: 38, to: 37, hashes: []).verifies(oldRoot: old, newRoot: old))
    #expect(!ConsistencyProof(from: 21, to: 21, hashes: []).verifies(oldRoot: old, newRoot: tree.root()))
    #expect(!ConsistencyProof(from: 0, to: 37, hashes: []).verifies(oldRoot: old, newRoot: tree.root()))
  }

  @Test func proofsOutsideTheTreeDoNotExist() {
    let tree = MerkleTree(leaves: leaves(5))
    #expect(tree.inclusionProof(index: 5) == nil)
    #expect(tree.inclusionProof(index: 0, size: 6) == nil)
    #expect(tree.inclusionProof(index: 0, size: 0) == nil)
    #expect(tree.consistencyProof(from: 4, to: 6) == nil)
    #expect(tree.consistencyProof(from: 5, to: 4) == nil)
  }
}
