import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Secret sharing")
struct SecretSharingTests {
  /// Small multiples of the ristretto255 generator, RFC 9496 appendix A.1.
  private func multiple(_ index: Int) throws -> GroupElement {
    let vectors = [
      1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
      2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
      3: "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
      5: "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
      7: "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    ]
    return try GroupElement(bytes: Hexadecimal.decode(try #require(vectors[index])))
  }

  private func bytes(_ value: UInt8) -> [UInt8] { [value] + [UInt8](repeating: 0, count: 31) }

  @Test("f(x) = 3 + 2x: commitments, shares and the secret, with their negative twins")
  func vectors() throws {
    let commitments = FeldmanCommitments(points: [try multiple(3), try multiple(2)])
    #expect(commitments.commitment(at: 1) == (try multiple(5)))
    #expect(commitments.commitment(at: 2) == (try multiple(7)))
    #expect(commitments.verifies(share: bytes(5), at: 1))
    #expect(commitments.verifies(share: bytes(7), at: 2))
    #expect(!commitments.verifies(share: bytes(6), at: 1))
    #expect(!commitments.verifies(share: bytes(5), at: 2))
    #expect(!commitments.verifies(share: bytes(0), at: 1))
    #expect(!commitments.verifies(share: [UInt8](repeating: 0xff, count: 32), at: 1))
    #expect(!commitments.verifies(share: [5], at: 1))
    #expect(!FeldmanCommitments(points: []).verifies(share: bytes(5), at: 1))

    let coefficients = try SecretSharing.lagrangeCoefficients(at: [1, 2])
    let secret = try SecretSharing.reconstruct(shares: [bytes(5), bytes(7)], coefficients: coefficients)
    #expect(secret.withUnsafeBytes { Array($0) } == bytes(3))
    let wrong = try SecretSharing.reconstruct(shares: [bytes(5), bytes(8)], coefficients: coefficients)
    #expect(wrong.withUnsafeBytes { Array($0) } != bytes(3))
  }

  @Test("A share that is not a canonical scalar is refused")
  func nonCanonical() throws {
    // The group order itself.
    let order = try Hexadecimal.decode(
      "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
    let coefficients = try SecretSharing.lagrangeCoefficients(at: [1])
    #expect(throws: CryptographyError.self) {
      _ = try SecretSharing.reconstruct(shares: [order], coefficients: coefficients)
    }
    var below = order
    below[0] -= 1
    #expect(throws: Never.self) {
      _ = try SecretSharing.reconstruct(shares: [below], coefficients: coefficients)
    }
  }

  @Test("Lagrange coefficients need distinct indices")
  func coefficients() throws {
    #expect(try SecretSharing.lagrangeCoefficients(at: [4]) == [PublicScalar(1)])
    #expect(
      try SecretSharing.lagrangeCoefficients(at: [1, 2]) == [
        PublicScalar(2), PublicScalar(0).subtracting(PublicScalar(1)),
      ])
  }

  @Test("Any t shares give the secret, t − 1 do not", arguments: 2...6)
  func anySubset(threshold: Int) throws {
    let polynomial = try SecretPolynomial(threshold: threshold)
    let secret = try polynomial.constant().withUnsafeBytes { Array($0) }
    let commitments = try polynomial.commitments()
    #expect(commitments.count == threshold)
    #expect(try commitments.points().first == SecretSharing.basePointMultiple(of: secret))
    let shares = try (1...7).map { try polynomial.share(at: $0).withUnsafeBytes { Array($0) } }
    for (index, share) in shares.enumerated() {
      #expect(commitments.verifies(share: share, at: index + 1))
      #expect(!commitments.verifies(share: share, at: index + 2))
    }
    func recovered(_ indices: [Int]) throws -> [UInt8] {
      try SecretSharing.reconstruct(
        shares: indices.map { shares[$0 - 1] },
        coefficients: try SecretSharing.lagrangeCoefficients(at: indices)
      ).withUnsafeBytes { Array($0) }
    }
    for subset in 0..<128 where subset.nonzeroBitCount == threshold || subset.nonzeroBitCount == threshold - 1 {
      let indices = (1...7).filter { subset >> ($0 - 1) & 1 == 1 }
      guard !indices.isEmpty else { continue }
      #expect(try recovered(indices) == secret || indices.count < threshold)
      #expect(try recovered(indices) != secret || indices.count == threshold)
    }
  }

  @Test("The vault gives back the kind asked for")
  func vault() throws {
    var vault = ShareVault(ownerCount: 3)
    vault.store(maskShare: Scalar(small: 4), selfMaskShare: Scalar(small: 9), for: 1)
    #expect((0..<3).map { vault.holds($0) } == [false, true, false])
    #expect(vault.release(.mask, for: 1) == bytes(4))
    #expect(vault.release(.selfMask, for: 1) == bytes(9))
  }
}

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
