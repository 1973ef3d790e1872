import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// Logs with one thing wrong in each: our verifier and the independent one must both see it.
@Suite(.enabled(if: IndependentVerifier.mayRun, IndependentVerifier.reason))
struct CorruptionTests {
  private let directory: TemporaryDirectory
  private var log: String { "\(directory.path)/log" }

  init() throws { directory = try TemporaryDirectory() }

  // MARK: - Checkpoint and cosignature

  @Test("Every byte of a checkpoint: origin, size, root, and of each signature dash, name, key ID, time and signature")
  func checkpointBytes() throws {
    try SampleLogs.plain(log, count: 5, tail: 2)
    var checkpoint = try #require(try TileDirectory(path: log).checkpoint())
    let stranger = try FixedWitness.cosignature(of: checkpoint.checkpoint, seed: 7)
    try checkpoint.add(stranger)
    try TileDirectory(path: log).write(checkpoint)
    let bytes = try read("\(log)/checkpoint")
    let strangersLine = try #require(bytes.indices.dropLast().last { bytes[$0] == 0x0A && bytes[$0 + 1] == 0xE2 }) + 1
    let table = try VerdictTable()
    try table.add("unchanged", to: log, .verified)
    for place in bytes.indices {
      // Whoever asks for witness 9 does not look at what witness 7 has signed.
      let expected: VerdictTable.Expected = place < strangersLine ? .refused : .same
      for bit: UInt8 in place < strangersLine ? [1, 0x20] : [1] {
        try table.add("byte \(place) bit \(bit)", to: log, expected, file: "checkpoint") { $0[place] ^= bit }
      }
    }
    for length in [0, 1, 14, 60, bytes.count - 1] {
      try table.add("cut to \(length)", to: log, .refused, file: "checkpoint") { $0 = Array($0.prefix(length)) }
    }
    try table.compare()
  }

  @Test("Checkpoints and cosignatures that are well formed and say another thing")
  func checkpointMembers() throws {
    try SampleLogs.plain(log, count: 5, tail: 2)
    let signed = try #require(try TileDirectory(path: log).checkpoint()).checkpoint
    let table = try VerdictTable()
    let tiles = TileDirectory(path: log)
    let bytes = try read("\(log)/checkpoint")
    let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\n")
    // origin, size, root, blank, log's line, witness's line, end
    try #require(lines.count == 7)
    func row(_ name: String, _ expected: VerdictTable.Expected, _ change: (inout [String]) throws -> Void) throws {
      var changed = lines
      try change(&changed)
      try table.add(name, to: log, expected) {
        try VerdictTable.replace("\($0)/checkpoint", Array(changed.joined(separator: "\n").utf8))
      }
    }
    try row("an extension line that nobody signed", .refused) { $0.insert("more", at: 3) }
    try row("an empty extension line", .refused) { $0.insert("", at: 3) }
    try row("size with a leading zero", .refused) { $0[1] = "03" }
    try row("size with a sign", .refused) { $0[1] = "+3" }
    try row("size that is too large", .refused) { $0[1] = "99999999999999999999" }
    try row("root without its padding", .refused) { $0[2].removeLast() }
    try row("no signature of the log", .refused) { $0.remove(at: 4) }
    try row("no cosignature", .refused) { $0.remove(at: 5) }
    try row("signatures in the other order", .verified) { $0.swapAt(4, 5) }
    try row("a signature twice", .refused) { $0.insert($0[4], at: 5) }
    try row("a line of a stranger", .verified) { $0.insert("— somebody.example AAAAAQID", at: 4) }
    try row("a line of a kind to come, as long as one that withstands quantum computers", .verified) {
      $0.insert("— somebody.example \(Base64.encode([UInt8](repeating: 7, count: 2432)))", at: 6)
    }
    try row("an empty line of a stranger", .refused) { $0.insert("— somebody.example AAAAAQ==", at: 4) }
    try row("a line of no signer", .refused) { $0.insert("—  AAAAAQID", at: 4) }
    try row("carriage returns", .refused) { $0 = $0.map { $0 + "\r" } }
    try row("text before the origin", .refused) { $0.insert("hello", at: 0) }
    try row("a byte order mark", .refused) { $0[0] = "\u{FEFF}" + $0[0] }

    func cosigned(_ name: String, _ expected: VerdictTable.Expected, by cosignature: Cosignature) throws {
      try table.add(name, to: log, expected) { copy in
        var checkpoint = try #require(try tiles.checkpoint())
        try checkpoint.add(cosignature)
        try VerdictTable.replace("\(copy)/checkpoint", checkpoint.serialized)
      }
    }
    try cosigned("another time, signed", .verified, by: FixedWitness.cosignature(of: signed, time: 1))
    let fork = Checkpoint(origin: try OrganizationName("alder.example"), size: 3, root: TreeHash(hashing: [1]))
    try cosigned("of another root", .refused, by: FixedWitness.cosignature(of: fork))
    let elsewhere = Checkpoint(origin: try OrganizationName("birch.example"), size: 3, root: signed.root)
    try cosigned("of another log", .refused, by: FixedWitness.cosignature(of: elsewhere))
    let honest = try FixedWitness.cosignature(of: signed)
    for (name, place) in [("time", 0), ("time", 7), ("R", 8), ("S", 40), ("S", 71)] {
      try table.add("cosignature, byte \(place) (\(name))", to: log, .refused) { copy in
        var line = honest.noteSignature.bytes
        line[place] ^= 1
        let encoded = Base64.encode(honest.keyID.bytes + line)
        var changed = lines
        changed[5] = "— \(honest.name) \(encoded)"
        try VerdictTable.replace("\(copy)/checkpoint", Array(changed.joined(separator: "\n").utf8))
      }
    }
    // The log's own signature under the witness's name and the other way round.
    let witnessKey = try FixedWitness.verifierKey()
    try row("a cosignature that is a plain signature", .refused) {
      let body = Array($0[0...2].map { $0 + "\n" }.joined().utf8)
      var note = try SignedNote(text: body)
      try note.sign(name: OrganizationName("witness9.example"), key: LogSigningKey(seed: Fixed.secretSeed(9)))
      let plain = try #require(note.signatures.first)
      $0[5] = "— \(witnessKey.name) \(Base64.encode(witnessKey.id.bytes + plain.bytes))"
    }
    try table.compare()
  }

  @Test("Checkpoints that the log's key has signed, and that are none")
  func signedNonsense() throws {
    try SampleLogs.plain(log, count: 5)
    let root = try #require(try TileDirectory(path: log).checkpoint()).checkpoint.root
    let encoded = Base64.encode(root.bytes)
    let table = try VerdictTable()
    let policy = VerdictTable.Policy(key: try Fixed.verifierKey(), witnesses: [], quorum: 0)
    func row(_ name: String, _ expected: VerdictTable.Expected, _ lines: [String]) throws {
      try table.add(name, to: log, expected, policy: policy) { copy in
        var note = try SignedNote(text: lines.map { $0 + "\n" }.joined())
        try note.sign(name: OrganizationName("alder.example"), key: Fixed.key())
        try VerdictTable.replace("\(copy)/checkpoint", note.serialized)
      }
    }
    try row("as it is", .verified, ["alder.example", "5", encoded])
    try row("extension lines", .verified, ["alder.example", "5", encoded, "more", "and more"])
    try row("an empty extension line", .refused, ["alder.example", "5", encoded, "", "more"])
    // A note of ours cannot be made with it.
    try table.add("a control character", to: log, .refused, policy: policy) { copy in
      let text = "alder.example\n5\n\(encoded)\nmore\u{7F}\n"
      let key = try NoteVerifierKey<LogKeyRole>(policy.key)
      let bytes = try Fixed.key().signNote(text: Array(text.utf8)).bytes
      let line = NoteSignature(name: key.name, keyID: key.id, bytes: bytes).line
      try VerdictTable.replace("\(copy)/checkpoint", Array("\(text)\n\(line)".utf8))
    }
    try row("no root", .refused, ["alder.example", "5"])
    try row("no origin", .refused, ["", "5", encoded])
    try row("another origin", .refused, ["birch.example", "5", encoded])
    try row("origin and a path", .refused, ["alder.example/log", "5", encoded])
    for size in ["05", "+5", "5 ", "٥", "0x5", "", "5.0", "-5", "18446744073709551621", "4", "6"] {
      try row("size \(size)", .refused, ["alder.example", size, encoded])
    }
    // The last character before the padding carries two bits that must be zero.
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    let last = try #require(encoded.dropLast().last.flatMap { alphabet.firstIndex(of: $0) })
    let spelled = encoded.dropLast(2) + String(alphabet[last + 1]) + "="
    for other in [
      String(spelled), String(encoded.dropLast()), encoded + "=", " " + encoded, root.hexadecimal, "AAAA",
      Base64.encode(root.bytes + [0]), Base64.encode(Array(root.bytes.dropLast())),
      Base64.encode(Array(root.bytes.reversed())),
    ] { try row("root \(other)", .refused, ["alder.example", "5", other]) }
    try table.compare()
  }

  @Test("A signature with S + L, a replaced key, and quorums")
  func keys() throws {
    try SampleLogs.plain(log, count: 5)
    let table = try VerdictTable()
    let own = try Fixed.verifierKey()
    try table.add("another key", to: log, .refused, policy: .init(key: try Fixed.verifierKey(seed: 2)))
    let others = try Fixed.verifierKey("birch.example")
    try table.add("another name for the key", to: log, .refused, policy: .init(key: others))
    for (witnesses, quorum, expected): ([UInt8], Int, VerdictTable.Expected) in [
      ([], 0, .verified), ([9], 0, .verified), ([8], 0, .verified), ([8], 1, .refused), ([8, 9], 1, .verified),
      ([8, 9], 2, .refused), ([9], 2, .refused), ([], 1, .refused),
    ] {
      try table.add(
        "\(quorum) of \(witnesses)", to: log, expected,
        policy: .init(key: own, witnesses: witnesses, quorum: quorum))
    }
    try table.add("another key's log, with its own signature", to: nil, .refused) { copy in
      try SampleLogs.plain(copy, count: 5, seed: 2)
    }
    try table.add("a malleable signature", to: log, .refused) { copy in
      var checkpoint = try #require(try TileDirectory(path: log).checkpoint())
      let line = try #require(checkpoint.note.signatures.first { $0.name.value == "alder.example" })
      let altered = NoteSignature(name: line.name, keyID: line.keyID, bytes: Self.addingGroupOrder(line.bytes))
      let cosignature = try FixedWitness.cosignature(of: checkpoint.checkpoint)
      var note = try SignedNote(text: checkpoint.note.text)
      try note.add(altered)
      try note.add(cosignature.noteSignature)
      checkpoint = try SignedCheckpoint(parsing: note.serialized)
      try VerdictTable.replace("\(copy)/checkpoint", checkpoint.serialized)
    }
    try table.compare()
  }

  /// R ‖ S as R ‖ S + L: the same equation for a verifier that does not look at the range of S.
  private static func addingGroupOrder(_ signature: [UInt8]) -> [UInt8] {
    let order: [UInt8] = [
      0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14,
    ]
    let high = [UInt8](repeating: 0, count: 15) + [0x10]
    var result = signature
    var carry = 0
    for (index, byte) in (order + high).enumerated() {
      carry += Int(signature[32 + index]) + Int(byte)
      result[32 + index] = UInt8(carry & 0xFF)
      carry >>= 8
    }
    return result
  }

  // MARK: - Tiles and bundles

  @Test(
    "Tiles and bundles at every level: each class of byte, cut, grown, swapped, wider, narrower, missing, strange, linked"
  )
  func files() throws {
    try SampleLogs.plain(log, count: 700, tail: 30)
    let table = try VerdictTable()
    try table.add("unchanged", to: log, .verified)
    let hashTiles = ["tile/0/000", "tile/0/001", "tile/0/002.p/158", "tile/1/000.p/2"]
    let bundles = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/158"]
    for file in hashTiles {
      let count = try read("\(log)/\(file)").count
      for place in [0, 31, 32, count / 2, count - 1] {
        try table.add("\(file) byte \(place)", to: log, .refused, file: file) { $0[place] ^= 0x10 }
      }
      try table.add("\(file) hashes swapped", to: log, .refused, file: file) {
        $0 = Array($0[32..<64]) + $0[..<32] + $0[64...]
      }
    }
    for file in bundles {
      // The length before an entry, both bytes; the first and the last byte of one; the length of the next.
      let first = try read("\(log)/\(file)")
      let length = Int(first[0]) << 8 | Int(first[1])
      for place in [0, 1, 2, 1 + length, 2 + length, 3 + length, first.count - 1] {
        try table.add("\(file) byte \(place)", to: log, .refused, file: file) { $0[place] ^= 1 }
      }
      try table.add("\(file) entries swapped", to: log, .refused, file: file) { bytes in
        let next = Int(bytes[2 + length]) << 8 | Int(bytes[3 + length])
        let end = 4 + length + next
        bytes = Array(bytes[(2 + length)..<end]) + bytes[..<(2 + length)] + bytes[end...]
      }
    }
    for file in hashTiles + bundles {
      try table.add("\(file) cut", to: log, .refused, file: file) { $0.removeLast() }
      try table.add("\(file) empty", to: log, .refused, file: file) { $0 = [] }
      try table.add("\(file) grown", to: log, .refused, file: file) { $0.append(0) }
      try table.add("\(file) missing", to: log, .refused) {
        try FileManager.default.removeItem(atPath: "\($0)/\(file)")
      }
      try table.add("\(file) linked", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
        try FileManager.default.createSymbolicLink(
          atPath: "\(copy)/\(file)", withDestinationPath: "\(log)/\(file)")
      }
      try table.add("\(file) a directory", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
        try FileManager.default.createDirectory(atPath: "\(copy)/\(file)", withIntermediateDirectories: false)
      }
      try table.add("\(file) a pipe", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
        try #require(mkfifo("\(copy)/\(file)", 0o600) == 0)
      }
    }
    for (one, other) in [
      ("tile/0/000", "tile/0/001"), ("tile/entries/000", "tile/entries/001"), ("tile/0/000", "tile/entries/000"),
    ] {
      try table.add("\(one) and \(other) swapped", to: log, .refused) { copy in
        let bytes = (try read("\(copy)/\(one)"), try read("\(copy)/\(other)"))
        try VerdictTable.replace("\(copy)/\(one)", bytes.1)
        try VerdictTable.replace("\(copy)/\(other)", bytes.0)
      }
    }
    try layouts(table)
    try table.compare()
  }

  private func layouts(_ table: VerdictTable) throws {
    // 670 are signed; what lies in the tiles of the tail is compared with the journal as well.
    var whole = TileBuilder()
    for line in try journalLines(log) { try whole.append(line) }
    for tile in whole.partials where tile.address.path.contains("/002.p/") {
      try table.add("\(tile.address.path), ahead of its checkpoint", to: log, .verified) {
        try VerdictTable.replace("\($0)/\(tile.address.path)", tile.bytes)
      }
      try table.add("\(tile.address.path), wider than the journal", to: log, .refused) {
        let path = tile.address.path.replacingOccurrences(of: ".p/188", with: ".p/189")
        try VerdictTable.replace("\($0)/\(path)", tile.bytes + tile.bytes.prefix(32))
      }
    }
    func narrower(_ copy: String, _ keeping: Bool) throws {
      let bytes = try read("\(copy)/tile/0/002.p/158")
      if !keeping { try FileManager.default.removeItem(atPath: "\(copy)/tile/0/002.p/158") }
      try VerdictTable.replace("\(copy)/tile/0/002.p/157", Array(bytes.dropLast(32)))
    }
    try table.add("an older partial tile beside the newer", to: log, .verified) { try narrower($0, true) }
    try table.add("an older partial tile in its place", to: log, .refused) { try narrower($0, false) }
    try table.add("a partial tile beside the full one", to: log, .verified) {
      try VerdictTable.replace("\($0)/tile/0/000.p/3", Array(read("\(log)/tile/0/000").prefix(96)))
    }
    try table.add("a wrong partial tile beside the full one", to: log, .refused) {
      try VerdictTable.replace("\($0)/tile/0/000.p/3", Array(read("\(log)/tile/0/001").prefix(96)))
    }
    try table.add("a full tile renamed to a partial one", to: log, .refused) {
      try VerdictTable.replace("\($0)/tile/0/000.p/255", read("\(log)/tile/0/000"))
      try FileManager.default.removeItem(atPath: "\($0)/tile/0/000")
    }
    for name in [
      "tile/0/note.txt", "tile/0/003", "tile/0/003.p/1", "tile/2/000.p/1", "tile/7/000", "tile/8/000", "tile/64/000",
      "tile/00/000",
      "tile/0/x000/000", "tile/0/x001/000", "tile/0/0000", "tile/0/00", "tile/0/000.p/0", "tile/0/000.p/01",
      "tile/0/000.p/256", "tile/0/000.p/3.bak", "tile/0/000.gz", "tile/entries/003", "tile/data/000", "tile/readme",
      "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999", "tile/0/٣٣٣",
      "tile/0/a/b/c/d/e/f/g/h/i/j", "tile/0/.hidden", "tile/0/.tmp", "tile/0/note.tmp", "tile/entries/000.p/7",
    ] {
      try table.add("strange: \(name)", to: log, .refused) { try VerdictTable.replace("\($0)/\(name)", [1, 2, 3]) }
    }
    try table.add("strange: a name that is no text", to: log, .refused) { copy in
      let name = Array("\(copy)/tile/0/".utf8) + [0xFF, 0x1B, 0]
      let descriptor = name.map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { open($0, O_WRONLY | O_CREAT, 0o600) } ?? -1
      }
      try #require(descriptor >= 0)
      close(descriptor)
    }
    for name in ["tile/0/000.tmp", "tile/0/002.p/170.tmp", "tile/entries/003.tmp", "checkpoint.tmp"] {
      try table.add("left by a crash: \(name)", to: log, .verified) {
        try VerdictTable.replace("\($0)/\(name)", [1, 2, 3])
      }
    }
    try table.add("a file beside the log's own, which is not part of it", to: log, .verified) {
      try VerdictTable.replace("\($0)/notes", [1, 2, 3])
    }
    for folder in ["tile", "tile/0", "tile/entries", "tile/0/002.p"] {
      try table.add("\(folder) linked", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(folder)")
        try FileManager.default.createSymbolicLink(
          atPath: "\(copy)/\(folder)", withDestinationPath: "\(log)/\(folder)")
      }
    }
    try table.add("a link among the tiles to somewhere", to: log, .refused) {
      try FileManager.default.createSymbolicLink(atPath: "\($0)/tile/loop", withDestinationPath: $0)
    }
    for file in ["journal", "checkpoint"] {
      try table.add("\(file) missing", to: log, .refused) {
        try FileManager.default.removeItem(atPath: "\($0)/\(file)")
      }
      try table.add("\(file) linked", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
        try FileManager.default.createSymbolicLink(atPath: "\(copy)/\(file)", withDestinationPath: "\(log)/\(file)")
      }
      try table.add("\(file) a pipe", to: log, .refused) { copy in
        try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
        try #require(mkfifo("\(copy)/\(file)", 0o600) == 0)
      }
    }
    try table.add("nothing at all", to: nil, .refused)
    try table.add("tiles without a journal", to: log, .refused) { try VerdictTable.replace("\($0)/journal", []) }
    try table.add("the same under log/, as an organisation keeps it", to: nil, .verified) {
      try SampleLogs.plain("\($0)/log", count: 3)
    }
  }
}
