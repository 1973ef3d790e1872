import Cryptography
import Foundation
import Testing
import TransparencyLog

/// A log of entries "entry 0", "entry 1", … and its keys; `salt` makes another history.
struct TestLog {
  let origin: OrganizationName
  let verifier: NoteVerifierKey<LogKeyRole>
  private(set) var tree: MerkleTree
  private let seed: UInt8

  init(_ size: Int, name: String = "alder.example", seed: UInt8 = 1, salt: String = "", changedFrom: Int = 0) throws {
    origin = try OrganizationName(name)
    self.seed = seed
    verifier = NoteVerifierKey(
      organization: origin, key: try signingKey(LogKeyRole.self, seed: seed).verifyingKey)
    tree = MerkleTree(leaves: (0..<size).map { Self.leaf($0, salt: $0 < changedFrom ? "" : salt) })
  }

  static func entry(_ index: Int, salt: String = "") -> [UInt8] { Array("entry \(index)\(salt)".utf8) }

  private static func leaf(_ index: Int, salt: String) -> LeafHash { MerkleHashing.leaf(entry(index, salt: salt)) }

  func checkpoint(_ size: Int? = nil, root: TreeHash? = nil) throws -> SignedCheckpoint {
    let size = size.map { UInt64($0) } ?? tree.size
    return try SignedCheckpoint.signing(
      origin: origin, size: size, root: root ?? tree.root(size: size),
      key: try signingKey(LogKeyRole.self, seed: seed))
  }

  func request(from old: Int, to size: Int? = nil) throws -> WitnessRequest {
    let checkpoint = try checkpoint(size)
    let proof = tree.consistencyProof(from: UInt64(old), to: checkpoint.checkpoint.size)
    return try WitnessRequest(oldSize: UInt64(old), hashes: proof?.hashes ?? [], checkpoint: checkpoint)
  }

  func proof(_ index: Int, extra: [UInt8]? = nil, cosigners: [UInt8] = []) throws -> LogProof {
    var checkpoint = try checkpoint()
    for seed in cosigners {
      try checkpoint.add(
        Cosignature(
          of: checkpoint.checkpoint, name: try Self.witnessName(seed),
          key: try signingKey(WitnessKeyRole.self, seed: seed), time: 1_700_000_000 + UInt64(seed)))
    }
    let inclusion = try #require(tree.inclusionProof(index: UInt64(index)))
    return try LogProof(index: UInt64(index), hashes: inclusion.hashes, checkpoint: checkpoint, extra: extra)
  }

  static func witnessName(_ seed: UInt8) throws -> OrganizationName { try OrganizationName("w\(seed).example") }

  static func witness(_ seed: UInt8) throws -> NoteVerifierKey<WitnessKeyRole> {
    NoteVerifierKey(
      organization: try witnessName(seed), key: try signingKey(WitnessKeyRole.self, seed: seed).verifyingKey)
  }
}

@Suite struct LogProofTests {
  private func leaf(_ index: Int) -> LeafHash { MerkleHashing.leaf(TestLog.entry(index)) }

  @Test func textFollowsTheFormat() throws {
    let log = try TestLog(3)
    let proof = try log.proof(2, extra: Array("more".utf8))
    let hash = try #require(proof.hashes.first)
    let expected = """
      c2sp.org/tlog-proof@v1
      extra bW9yZQ==
      index 2
      \(Base64.encode(hash.bytes))


      """
    let checkpoint = String(decoding: try log.checkpoint().serialized, as: UTF8.self)
    #expect(String(decoding: proof.serialized, as: UTF8.self) == expected + checkpoint)
  }

  @Test func everyProofRoundTripsAndVerifies() throws {
    for size in [1, 2, 3, 7, 8, 255, 256, 257] {
      let log = try TestLog(size)
      for index in Set([0, size / 2, size - 1]) {
        for extra in [nil, TestLog.entry(index)] {
          let proof = try log.proof(index, extra: extra)
          let read = try LogProof(parsing: proof.serialized)
          #expect(read == proof)
          #expect(read.serialized == proof.serialized)
          #expect(read.verify(leaf: leaf(index), log: log.verifier).isValid)
          #expect(read.verify(leaf: leaf(index + 1), log: log.verifier).failures == [.notIncluded])
        }
      }
    }
  }

  @Test func emptyExtraIsNone() throws {
    #expect(try TestLog(3).proof(0, extra: []).extra == nil)
  }

  @Test func keysDecide() throws {
    let log = try TestLog(5)
    let proof = try log.proof(3, cosigners: [11, 12])
    let stranger = try TestLog(5, seed: 2)
    #expect(proof.verify(leaf: leaf(3), log: stranger.verifier).failures == [.notSigned(.absent)])
    let other = try TestLog(5, name: "birch.example")
    #expect(proof.verify(leaf: leaf(3), log: other.verifier).failures == [.foreignOrigin, .notSigned(.absent)])

    let witnesses = try [TestLog.witness(11), TestLog.witness(12), TestLog.witness(13)]
    let verified = proof.verify(leaf: leaf(3), log: log.verifier, witnesses: witnesses, quorum: 2)
    #expect(verified.isValid)
    #expect(verified.cosigners.map(\.name.value) == ["w11.example", "w12.example"])
    #expect(verified.cosigners.map(\.time) == [1_700_000_011, 1_700_000_012])
    let more = proof.verify(leaf: leaf(3), log: log.verifier, witnesses: witnesses, quorum: 3)
    #expect(more.failures == [.tooFewWitnesses(found: 2, needed: 3)])
    let none = proof.verify(leaf: leaf(3), log: log.verifier, quorum: 1)
    #expect(none.failures == [.tooFewWitnesses(found: 0, needed: 1)])
  }

  @Test func oneWitnessCountsOnce() throws {
    let log = try TestLog(5)
    var checkpoint = try log.checkpoint()
    let key = try signingKey(WitnessKeyRole.self, seed: 11)
    // The same key under two names.
    let names = try ["w11.example", "alias.example"].map { try OrganizationName($0) }
    for name in names {
      try checkpoint.add(Cosignature(of: checkpoint.checkpoint, name: name, key: key, time: 5))
    }
    let proof = try LogProof(
      index: 0, hashes: try #require(log.tree.inclusionProof(index: 0)).hashes, checkpoint: checkpoint)
    let witnesses = names.map { NoteVerifierKey<WitnessKeyRole>(organization: $0, key: key.verifyingKey) }
    let verified = proof.verify(leaf: leaf(0), log: log.verifier, witnesses: witnesses + witnesses, quorum: 2)
    #expect(verified.failures == [.tooFewWitnesses(found: 1, needed: 2)])
  }

  @Test func aFalseCosignatureFails() throws {
    let log = try TestLog(5)
    let grown = try TestLog(6)
    var checkpoint = try log.checkpoint()
    let key = try signingKey(WitnessKeyRole.self, seed: 11)
    let name = try TestLog.witnessName(11)
    try checkpoint.add(Cosignature(of: try grown.checkpoint().checkpoint, name: name, key: key, time: 5))
    let proof = try LogProof(
      index: 0, hashes: try #require(log.tree.inclusionProof(index: 0)).hashes, checkpoint: checkpoint)
    let verified = proof.verify(leaf: leaf(0), log: log.verifier, witnesses: [try TestLog.witness(11)])
    #expect(verified.failures == [.invalidCosignature(NoteKeyName(name))])
  }

  @Test func everyByteCounts() throws {
    let log = try TestLog(5)
    let good = try log.proof(3, extra: TestLog.entry(3), cosigners: [11]).serialized
    let witness = try TestLog.witness(11)
    for place in good.indices {
      var bytes = good
      bytes[place] ^= 1
      guard let proof = try? LogProof(parsing: bytes), let entry = proof.extra else { continue }
      let verified = proof.verify(
        leaf: MerkleHashing.leaf(entry), log: log.verifier, witnesses: [witness], quorum: 1)
      #expect(!verified.isValid, "byte \(place)")
    }
  }

  @Test func malformedProofsAreRefused() throws {
    let log = try TestLog(3)
    let hash = Base64.encode([UInt8](repeating: 7, count: 32))
    let checkpoint = String(decoding: try log.checkpoint().serialized, as: UTF8.self)
    let start = "c2sp.org/tlog-proof@v1\n"
    let long = String(repeating: "AAAA", count: 21_846)
    let table: [(String, LogProofError)] = [
      ("", .malformed(.firstLine)), ("c2sp.org/tlog-proof@v2\nindex 0\n\n\(checkpoint)", .malformed(.firstLine)),
      ("c2sp.org/tlog-proof@v1", .malformed(.firstLine)), (start, .malformed(.index)),
      ("\(start)\n\(checkpoint)", .malformed(.index)),
      ("\(start)index 01\n\n\(checkpoint)", .malformed(.index)),
      ("\(start)index -1\n\n\(checkpoint)", .malformed(.index)),
      ("\(start)index  1\n\n\(checkpoint)", .malformed(.index)),
      ("\(start)index 1 \n\n\(checkpoint)", .malformed(.index)),
      ("\(start)index 18446744073709551616\n\n\(checkpoint)", .malformed(.index)),
      ("\(start)index 0\nextra AA==\n\n\(checkpoint)", .malformed(.hashLine)),
      ("\(start)extra \nindex 0\n\n\(checkpoint)", .malformed(.extra)),
      ("\(start)extra AB==\nindex 0\n\n\(checkpoint)", .malformed(.extra)),
      ("\(start)extra AA==\nextra AA==\nindex 0\n\n\(checkpoint)", .malformed(.index)),
      ("\(start)extra \(long)\nindex 0\n\n\(checkpoint)", .malformed(.extra)),
      ("\(start)index 3\n\n\(checkpoint)", .malformed(.indexNotInTree)),
      ("\(start)index 0\n\(hash)\n", .malformed(.unterminated)),
      ("\(start)index 0\n\(hash) \n\n\(checkpoint)", .malformed(.hashLine)),
      ("\(start)index 0\n\(hash.dropLast(4))\n\n\(checkpoint)", .malformed(.hashLine)),
      ("\(start)index 0\n\(hash.dropLast(1))\n\n\(checkpoint)", .malformed(.hashLine)),
      ("\(start)index 0\r\n\n\(checkpoint)", .malformed(.index)),
      (
        "\(start)index 0\n\(String(repeating: "\(hash)\n", count: 65))\n\(checkpoint)", .malformed(.tooManyHashes)
      ),
      ("\(start)index 0\n\n", .checkpoint(.malformedNote(.signatureLine))),
      ("\(start)index 0\n\n\(checkpoint)\n", .checkpoint(.malformedNote(.noSignature))),
    ]
    for (text, error) in table {
      #expect(throws: error, "\(text.prefix(80))") { try LogProof(parsing: Array(text.utf8)) }
    }
    #expect(throws: LogProofError.malformed(.tooLong)) {
      try LogProof(parsing: [UInt8](repeating: 0x0A, count: LogProof.maximumBytes + 1))
    }
  }

  @Test func proofsComeFromTiles() throws {
    let folder = try TemporaryDirectory()
    let directory = TileDirectory(path: folder.path)
    let log = try TestLog(300)
    var builder = TileBuilder()
    for index in 0..<300 { try builder.append(TestLog.entry(index)) }
    try directory.write(builder.completed + builder.partials)
    #expect(throws: TransparencyLogError.missingFile(path: "\(folder.path)/checkpoint")) {
      try TileReader.proof(directory: directory, index: 0, includingEntry: true)
    }
    try directory.write(try log.checkpoint())
    for index in [0, 255, 256, 299] {
      let proof = try TileReader.proof(directory: directory, index: UInt64(index), includingEntry: true)
      #expect(proof == (try log.proof(index, extra: TestLog.entry(index))))
      #expect(proof.verify(leaf: leaf(index), log: log.verifier).isValid)
    }
    #expect(throws: TransparencyLogError.outOfRange(requested: 300, size: 300)) {
      try TileReader.proof(directory: directory, index: 300, includingEntry: false)
    }
  }

  @Test func consistencyProofsComeFromTiles() throws {
    let folder = try TemporaryDirectory()
    let directory = TileDirectory(path: folder.path)
    let log = try TestLog(600)
    var builder = TileBuilder()
    for index in 0..<600 { try builder.append(TestLog.entry(index)) }
    try directory.write(builder.completed + builder.partials)
    let reader = TileReader(directory: directory, size: 600)
    for from in [0, 1, 255, 256, 257, 511, 512, 599, 600] as [UInt64] {
      #expect(try reader.consistencyProof(from: from) == log.tree.consistencyProof(from: from))
    }
  }
}
