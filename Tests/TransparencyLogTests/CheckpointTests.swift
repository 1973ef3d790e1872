import Cryptography
import Testing
import TransparencyLog

@Suite struct CheckpointTests {
  private let origin: OrganizationName
  private let root = TreeHash(hashing: Array("root".utf8))

  init() throws { origin = try OrganizationName("alder.example") }

  @Test func textIsOriginSizeRoot() throws {
    let checkpoint = Checkpoint(origin: origin, size: 70_000, root: root)
    #expect(checkpoint.text == "alder.example\n70000\n\(Base64.encode(root.bytes))\n")
    #expect(try Checkpoint(parsing: Array(checkpoint.text.utf8)) == checkpoint)
  }

  @Test func emptyTree() throws {
    // The root line of a log without entries, as tlog-checkpoint has it.
    let text = "alder.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    let checkpoint = try Checkpoint(parsing: Array(text.utf8))
    #expect(checkpoint.root == TreeHashing.emptyRoot)
  }

  @Test func extensionLinesAreKept() throws {
    let text = "example.com/log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n"
    let checkpoint = try Checkpoint(parsing: Array(text.utf8))
    #expect(checkpoint.extensionLines == ["more"])
    #expect(checkpoint.text == text)
  }

  @Test(arguments: [
    ("a\n1\n", TransparencyLogError.CheckpointDefect.lineCount),
    ("a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", .lineCount),
    ("\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .emptyOrigin),
    ("a\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .size),
    ("a\n+1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .size),
    ("a\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .size),
    ("a\n\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .size),
    ("a\n18446744073709551616\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", .size),
    ("a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n", .root),
    ("a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==\n", .root),
    ("a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\nmore\n", .emptyExtension),
  ])
  func malformedCheckpointsAreRefused(text: String, defect: TransparencyLogError.CheckpointDefect) {
    #expect(throws: TransparencyLogError.malformedCheckpoint(defect)) { try Checkpoint(parsing: Array(text.utf8)) }
  }

  @Test func signedCheckpointRoundTrips() throws {
    let key = try signingKey(LogKeyRole.self, seed: 1)
    let signed = try SignedCheckpoint.signing(origin: origin, size: 5, root: root, key: key)
    let read = try SignedCheckpoint(parsing: signed.serialized)
    #expect(read == signed)
    #expect(read.status(of: NoteVerifierKey(organization: origin, key: key.verifyingKey)) == .valid)
    let other = try signingKey(LogKeyRole.self, seed: 2)
    #expect(read.status(of: NoteVerifierKey(organization: origin, key: other.verifyingKey)) == .absent)
  }

  @Test func witnessesCosign() throws {
    let log = try signingKey(LogKeyRole.self, seed: 1)
    let witness = try signingKey(WitnessKeyRole.self, seed: 3)
    let name = try OrganizationName("witness.example")
    let known = NoteVerifierKey(organization: name, key: witness.verifyingKey)
    var signed = try SignedCheckpoint.signing(origin: origin, size: 5, root: root, key: log)
    #expect(signed.cosignature(by: known) == .absent)
    let first = try Cosignature(of: signed.checkpoint, name: name, key: witness, time: 1_700_000_000)
    try signed.add(first)
    try signed.add(try Cosignature(of: signed.checkpoint, name: name, key: witness, time: 1_700_000_001))
    let read = try SignedCheckpoint(parsing: signed.serialized)
    #expect(read.note.signatures.count == 2)
    #expect(read.cosignature(by: known) == .valid(time: 1_700_000_001))
    #expect(read.status(of: NoteVerifierKey(organization: origin, key: log.verifyingKey)) == .valid)

    // It stands for this checkpoint only, and for this time only.
    let grown = try SignedCheckpoint.signing(origin: origin, size: 6, root: root, key: log)
    var forged = grown
    try forged.add(first)
    #expect(forged.cosignature(by: known) == .invalid)
    var bytes = first.noteSignature.bytes
    bytes[7] ^= 1
    let shifted = NoteSignature(name: first.name, keyID: first.keyID, bytes: bytes)
    let text = Array(signed.checkpoint.text.utf8)
    #expect(try !Cosignature(shifted).verifies(text: text, witness: known))
    #expect(try Cosignature(first.noteSignature).verifies(text: text, witness: known))
  }

  @Test func cosignatureFollowsTheFormat() throws {
    let witness = try signingKey(WitnessKeyRole.self, seed: 3)
    let name = try OrganizationName("witness.example")
    let checkpoint = Checkpoint(origin: origin, size: 5, root: root)
    let cosignature = try Cosignature(of: checkpoint, name: name, key: witness, time: 258)
    let bytes = cosignature.noteSignature.bytes
    #expect(bytes.count == 72)
    #expect(Array(bytes.prefix(8)) == [0, 0, 0, 0, 0, 0, 1, 2])
    let message = Array("cosignature/v1\ntime 258\n\(checkpoint.text)".utf8)
    #expect(witness.verifyingKey.verifyNote(try Signature(bytes: Array(bytes.dropFirst(8))), text: message))
    let encodedKey = [4] + witness.verifyingKey.bytes
    let digest = SHA256Digest(hashing: Array("witness.example\n".utf8) + encodedKey)
    #expect(cosignature.keyID.bytes == Array(digest.bytes.prefix(4)))
    let verifier = NoteVerifierKey(organization: name, key: witness.verifyingKey)
    #expect(verifier.text == "witness.example+\(cosignature.keyID)+\(Base64.encode(encodedKey))")
    #expect(try NoteVerifierKey<WitnessKeyRole>(verifier.text) == verifier)
  }

  @Test func cosignatureTimesAndLengthsAreBounded() throws {
    let witness = try signingKey(WitnessKeyRole.self, seed: 3)
    let checkpoint = Checkpoint(origin: origin, size: 5, root: root)
    for time in [0, UInt64(Int64.max) + 1] {
      #expect(throws: TransparencyLogError.malformedCosignature) {
        try Cosignature(of: checkpoint, name: origin, key: witness, time: time)
      }
    }
    let name = NoteKeyName(origin)
    for bytes in [
      [UInt8](repeating: 1, count: 64), [UInt8](repeating: 1, count: 73), [UInt8](repeating: 255, count: 72),
    ] {
      #expect(throws: TransparencyLogError.malformedCosignature) {
        try Cosignature(NoteSignature(name: name, keyID: NoteKeyID(1), bytes: bytes))
      }
    }
  }
}
