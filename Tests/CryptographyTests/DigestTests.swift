import Testing

@testable import Cryptography

@Suite struct DigestTests {
  /// FIPS 180-4 examples and the empty message.
  static let messages: [(message: String, repeats: Int, digest: String)] = [
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ]

  @Test(arguments: messages)
  func publishedDigests(message: String, repeats: Int, digest: String) throws {
    let bytes = Array(String(repeating: message, count: repeats).utf8)
    #expect(SHA256Digest(hashing: bytes).hexadecimal == digest)
    // A collection that is not stored in one piece gives the same digest.
    #expect(SHA256Digest(hashing: bytes.lazy.map { $0 }).hexadecimal == digest)
    #expect(bytes.withUnsafeBytes { SHA256Digest(hashing: $0) }.description == digest)
    #expect(SHA256Digest(hashing: bytes + [0]).hexadecimal != digest)
    if !bytes.isEmpty { #expect(SHA256Digest(hashing: altered(bytes, at: bytes.count / 2)).hexadecimal != digest) }
  }

  @Test func piecesGiveTheSameDigest() {
    let bytes = randomBytes(1000)
    for cut in [0, 1, 63, 64, 65, 999, 1000] {
      var hasher = SHA256Hasher()
      hasher.update(bytes[..<cut])
      bytes[cut...].withUnsafeBytes { hasher.update($0) }
      #expect(hasher.finish() == SHA256Digest(hashing: bytes).bytes)
    }
  }

  @Test func parsesOnly32Bytes() throws {
    let bytes = randomBytes(32)
    #expect(try ModelHash(bytes: bytes).bytes == bytes)
    for count in [0, 31, 33] {
      #expect(throws: CryptographyError.wrongLength(of: .digest, expected: 32, actual: count)) {
        try ModelHash(bytes: [UInt8](repeating: 1, count: count))
      }
    }
  }

  @Test func parsesOnlyLowercaseHexadecimal() throws {
    let text = SHA256Digest(hashing: []).hexadecimal
    #expect(try SHA256Digest(hexadecimal: text) == SHA256Digest(hashing: []))
    for bad in [
      text.uppercased(), "0x" + text.dropFirst(2), " " + text.dropFirst(), text + "0", "é" + text.dropFirst(2),
    ] {
      #expect(throws: CryptographyError.invalidText(.hexadecimal)) { try SHA256Digest(hexadecimal: bad) }
    }
    #expect(throws: CryptographyError.wrongLength(of: .digest, expected: 32, actual: 31)) {
      try SHA256Digest(hexadecimal: String(text.dropLast(2)))
    }
  }

  @Test func orderIsThatOfTheBytes() throws {
    var generator = SplitMix64(state: 1)
    for _ in 0..<200 {
      let left = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
      var right = left
      right[Int.random(in: 0..<32, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      let (leftDigest, rightDigest) = (try SHA256Digest(bytes: left), try SHA256Digest(bytes: right))
      #expect((leftDigest < rightDigest) == left.lexicographicallyPrecedes(right))
      #expect((leftDigest == rightDigest) == (left == right))
    }
  }

  @Test func changingTheRoleKeepsTheBytes() {
    let digest = SHA256Digest(hashing: [1])
    #expect(ModelHash(digest).bytes == digest.bytes)
  }
}

@Suite struct MerkleHashingTests {
  /// The test vectors of the Certificate Transparency reference implementation.
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

  @Test(arguments: 0...8)
  func publishedRoots(count: Int) throws {
    var leaves: [LeafHash] = []
    for entry in Self.entries.prefix(count) { leaves.append(MerkleHashing.leaf(try hex(entry))) }
    #expect(MerkleHashing.root(of: leaves).hexadecimal == Self.roots[count])
    for index in leaves.indices {
      var changed = leaves
      changed[index] = MerkleHashing.leaf([0xFF])
      #expect(MerkleHashing.root(of: changed).hexadecimal != Self.roots[count])
    }
    if count >= 2 {
      leaves.swapAt(0, 1)
      #expect(MerkleHashing.root(of: leaves).hexadecimal != Self.roots[count])
    }
  }

  /// The recursive definition of RFC 6962 §2.1, word for word.
  private func definedRoot(_ leaves: ArraySlice<LeafHash>) -> [UInt8] {
    guard leaves.count > 1 else { return leaves.first?.bytes ?? MerkleHashing.emptyRoot.bytes }
    var split = 1
    while split * 2 < leaves.count { split *= 2 }
    let middle = leaves.startIndex + split
    return MerkleHashing.node(definedRoot(leaves[..<middle]), definedRoot(leaves[middle...]))
  }

  @Test func rootFollowsTheDefinition() {
    let leaves = (0..<70).map { MerkleHashing.leaf([UInt8($0)]) }
    for count in 0...leaves.count {
      #expect(MerkleHashing.root(of: Array(leaves[..<count])).bytes == definedRoot(leaves[..<count]))
    }
  }

  /// Short and long entries go different ways to the same hash.
  @Test(arguments: [0, 1, 31, 1022, 1023, 1024, 1025, 5000])
  func leavesOfAnyLength(count: Int) {
    let entry = randomBytes(count)
    let expected = SHA256Digest(hashing: [0x00] + entry)
    #expect(SHA256Digest(MerkleHashing.leaf(entry)) == expected)
    #expect(SHA256Digest(MerkleHashing.leaf(entry[...])) == expected)
    #expect(SHA256Digest(MerkleHashing.leaf(entry + [0])) != expected)
  }

  @Test func leavesAndNodesAreApart() {
    let (left, right) = (MerkleHashing.leaf([1]), MerkleHashing.leaf([2]))
    let node = SHA256Digest(hashing: [0x01] + left.bytes + right.bytes)
    #expect(MerkleHashing.node(left.bytes, right.bytes) == node.bytes)
    #expect(MerkleHashing.node(SHA256Digest(left), SHA256Digest(right)) == node)
    #expect(MerkleHashing.leaf(left.bytes + right.bytes).bytes != MerkleHashing.node(left.bytes, right.bytes))
    #expect(
      MerkleHashing.node(SHA256Digest(left), SHA256Digest(right)).bytes
        == MerkleHashing.node(left.bytes, right.bytes))
  }
}
