import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// Our verifier against one that shares no code with it, on logs that are as they should be, and on histories that only
/// somebody who has seen another can tell apart.
@Suite(.enabled(if: IndependentVerifier.mayRun, IndependentVerifier.reason))
struct IndependentCheckTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  @Test(
    "Logs of sizes at which tiles begin and end verify, whole and with a tail; one changed hash of a topmost tile is seen"
  )
  func sizes() throws {
    let table = try VerdictTable()
    for count in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 700] {
      try SampleLogs.plain(path("\(count)"), count: count)
      try table.add("\(count) entries", to: path("\(count)"), .verified)
    }
    for (count, tail) in [(1, 1), (5, 2), (255, 1), (257, 100)] {
      try SampleLogs.plain(path("\(count)-\(tail)"), count: count, tail: tail)
      try table.add("\(count) entries, \(tail) unsigned", to: path("\(count)-\(tail)"), .verified)
    }
    // 256 full tiles of level 0, one of level 1, and the first hash of level 2.
    let large = path("large")
    try SampleLogs.plain(large, count: 66_000, tail: 7)
    try table.add("66000 entries", to: large, .verified)
    for file in ["tile/2/000.p/1", "tile/1/000"] {
      try table.add("\(file) of 66000 entries", to: large, .refused, file: file) { $0[$0.count - 3] ^= 4 }
    }
    try table.compare()
  }

  @Test(
    "Proofs computed from the tiles hold for every index and every two sizes of a small log, and for those of large")
  func proofs() throws {
    try SampleLogs.plain(path("small"), count: 21)
    var arguments = ["--key", try Fixed.verifierKey(), path("small")]
    for index in 0..<21 { arguments += ["--inclusion", "\(index)"] }
    for new in 0...21 { for old in 0...new { arguments += ["--consistency", "\(old)", "\(new)"] } }
    #expect(try IndependentVerifier.verdicts(arguments).map(\.failures) == [[]])

    try SampleLogs.plain(path("large"), count: 700)
    arguments = ["--key", try Fixed.verifierKey(), path("large")]
    for index in [0, 1, 255, 256, 511, 512, 600, 699] { arguments += ["--inclusion", "\(index)"] }
    for (old, new) in [(0, 700), (1, 700), (255, 256), (256, 257), (256, 700), (511, 699), (512, 700), (699, 700)] {
      arguments += ["--consistency", "\(old)", "\(new)"]
    }
    #expect(try IndependentVerifier.verdicts(arguments).map(\.failures) == [[]])
    for beyond in [["--inclusion", "700"], ["--consistency", "3", "701"], ["--consistency", "4", "3"]] {
      #expect(try !IndependentVerifier.verdicts(["--key", Fixed.verifierKey(), path("large")] + beyond)[0].verified)
    }
  }

  @Test("A proof of ours is a tlog-proof to others, and with anything changed it is none")
  func tlogProofs() throws {
    let log = path("log")
    try SampleLogs.plain(log, count: 300)
    let note = try read("\(log)/checkpoint")
    let entry = try journalLines(log)[257]
    let reader = TileReader(directory: TileDirectory(path: log), size: 300)
    let proof = try #require(try reader.inclusionProof(index: 257))
    func text(_ hashes: [TreeHash], index: UInt64 = 257, entry: [UInt8]) -> [UInt8] {
      let lines = ["c2sp.org/tlog-proof@v1", "extra \(Base64.encode(entry))", "index \(index)"]
      return Array((lines + hashes.map { Base64.encode($0.bytes) } + ["", ""]).joined(separator: "\n").utf8) + note
    }
    var cases: [(bytes: [UInt8], isValid: Bool)] = [(text(proof.hashes, entry: entry), true)]
    for place in proof.hashes.indices {
      var hashes = proof.hashes
      hashes[place] = TreeHash(hashing: [1])
      cases.append((text(hashes, entry: entry), false))
    }
    cases.append((text(Array(proof.hashes.dropLast()), entry: entry), false))
    cases.append((text(Array(proof.hashes.dropFirst()), entry: entry), false))
    cases.append((text(proof.hashes + [proof.hashes[0]], entry: entry), false))
    cases.append((text(proof.hashes.reversed(), entry: entry), false))
    for index: UInt64 in [0, 256, 258, 299, 300, 1 << 40] {
      cases.append((text(proof.hashes, index: index, entry: entry), false))
    }
    cases.append((text(proof.hashes, entry: entry + [0x20]), false))
    let good = cases[0].bytes
    for place in [0, 30, good.count - note.count - 1, good.count - note.count + 2, good.count - 1] {
      var bytes = good
      bytes[place] ^= 1
      cases.append((bytes, false))
    }
    cases.append((Array(good.dropLast(note.count)), false))
    let key = try Fixed.verifierKey()
    var arguments = ["--key", key, "--witness", try FixedWitness.verifierKey().text]
    for (number, item) in cases.enumerated() {
      try write(item.bytes, to: path("\(number).tlog-proof"))
      arguments += ["--proof", path("\(number).tlog-proof")]
    }
    #expect(try IndependentVerifier.verdicts(arguments).map(\.verified) == cases.map(\.isValid))
    // The entry apart from the proof; and a witness that has not seen the log.
    let (proofFile, entryFile) = (path("0.tlog-proof"), path("entry"))
    for (bytes, isValid) in [
      (entry, true), (entry + [0x0A], true), (entry + [0x0A, 0x0A], false), (Array(entry.dropLast()), false),
    ] {
      try write(bytes, to: entryFile)
      let verdict = try IndependentVerifier.verdicts(["--key", key, "--proof", proofFile, "--entry", entryFile])
      #expect(verdict[0].verified == isValid)
    }
    let stranger = try FixedWitness.verifierKey(8).text
    #expect(
      try !IndependentVerifier.verdicts(["--key", key, "--witness", stranger, "--proof", proofFile])[0].verified)
  }

  @Test(
    "Two histories of one size under one key verify alone; the witness's cosignature and a checkpoint seen tell them apart"
  )
  func forks() throws {
    let (first, second) = (path("first"), path("second"))
    try SampleLogs.plain(first, count: 300, tag: "first")
    // Up to 100 the same, then another: what a keeper shows to somebody else.
    let lines = try journalLines(first)
    let other = try openLog(second)
    for line in lines.prefix(100) { try other.append(draft(of: line), durable: false) }
    for round in 100..<300 {
      var draft = AuditRecord.Draft(.roundCompleted)
      draft.run = "second"
      draft.round = round
      try other.append(draft, durable: false)
    }
    try other.close()

    let key = try Fixed.verifierKey()
    let alone = VerdictTable.Policy(key: key, witnesses: [], quorum: 0)
    let table = try VerdictTable()
    try table.add("the first", to: first, .verified, policy: alone)
    try table.add("the second", to: second, .verified, policy: alone)
    try table.add("the first, with its witness", to: first, .verified)
    try table.add("the second, whose witness signed nothing", to: second, .refused)
    let cosigned = try #require(try TileDirectory(path: first).checkpoint())
    let witness = try FixedWitness.verifierKey()
    let line = try #require(cosigned.note.signatures.first { $0.name == witness.name })
    try table.add("the second, with the first's cosignature", to: second, .refused) { log in
      var checkpoint = try #require(try TileDirectory(path: log).checkpoint())
      try checkpoint.add(try Cosignature(line))
      try TileDirectory(path: log).write(checkpoint)
    }
    try table.add("the first, with the second's checkpoint", to: first, .refused, policy: alone) { log in
      try VerdictTable.replace("\(log)/checkpoint", read("\(second)/checkpoint"))
    }
    try table.add("the first, with the second's journal", to: first, .refused, policy: alone) { log in
      try VerdictTable.replace("\(log)/journal", read("\(second)/journal"))
    }

    // Somebody who kept a checkpoint of the first knows the second for another history, from its files alone.
    let seen = VerdictTable.Policy(key: key, witnesses: [], quorum: 0, seen: "\(first)/checkpoint")
    try table.add("the first, seen before", to: first, .verified, policy: seen)
    try table.add(
      "the second, to one who saw the first", to: second,
      .differs(ours: true, theirs: false, because: "ours asks for no earlier checkpoint: the witnesses hold them"),
      policy: seen)
    try table.compare()
    #expect(try isContinued(first, from: cosigned.checkpoint))
    #expect(try !isContinued(second, from: cosigned.checkpoint))
  }

  @Test(
    "An older checkpoint in the place of a newer one is a tail to the files alone, and a step back to whoever saw more")
  func replays() throws {
    let log = path("log")
    let writer = try openLog(log)
    for round in 0..<300 {
      var draft = AuditRecord.Draft(.roundCompleted)
      draft.round = round
      try writer.append(draft, durable: false)
      if round == 99 { try writer.publish() }
      if round == 99 { try FixedWitness.cosign(log) }
      if round == 99 { try write(read("\(log)/checkpoint"), to: path("older")) }
    }
    try writer.publish()
    try FixedWitness.cosign(log)
    try write(try read("\(log)/checkpoint"), to: path("newer"))

    let table = try VerdictTable()
    let key = try Fixed.verifierKey()
    let sawNewer = VerdictTable.Policy(key: key, seen: path("newer"))
    let sawOlder = VerdictTable.Policy(key: key, seen: path("older"))
    let replayed: (String) throws -> Void = { try VerdictTable.replace("\($0)/checkpoint", read(path("older"))) }
    /// Everything as it was when there were a hundred entries.
    let rolledBack: (String) throws -> Void = { log in
      try replayed(log)
      let lines = try journalLines(log).prefix(100)
      try VerdictTable.replace("\(log)/journal", lines.flatMap { $0 + [0x0A] })
      try FileManager.default.removeItem(atPath: "\(log)/tile")
      var builder = TileBuilder()
      for line in lines { try builder.append(line) }
      try TileDirectory(path: log).write(builder.partials)
    }
    let nature = "from its files alone nothing tells an older log from a log: the witnesses know the newer one"
    for (name, change) in [("replayed", replayed), ("rolled back", rolledBack)] {
      try table.add(name, to: log, .verified, change: change)
      try table.add(
        "\(name), to one who saw more", to: log, .differs(ours: true, theirs: false, because: nature), policy: sawNewer,
        change: change)
      try table.add("\(name), to one who saw as much", to: log, .verified, policy: sawOlder, change: change)
    }
    try table.add("the log, to one who saw less", to: log, .verified, policy: sawOlder)
    try table.compare()
  }

  @Test("The independent check reads sealed segments of a journal, and what is left of one that was pruned")
  func segments() throws {
    let log = path("log")
    let writer = try openLog(log)
    for number in 0..<700 {
      var draft = AuditRecord.Draft(number == 600 ? .entriesPruned : .roundCompleted)
      draft.pruned = number == 600 ? .init(below: 256) : nil
      try writer.append(draft, durable: false)
    }
    try writer.close()
    let lines = try journalLines(log)
    let (first, second) = ("0000000000000000-0000000000000255", "0000000000000256-0000000000000511")
    var copies: [(path: String, isValid: Bool)] = []
    func row(_ isValid: Bool, _ files: [String: ArraySlice<[UInt8]>], without bundle: String? = nil) throws {
      let copy = path("copy-\(copies.count)")
      try FileManager.default.copyItem(atPath: log, toPath: copy)
      for (name, lines) in files { try VerdictTable.replace("\(copy)/\(name)", lines.flatMap { $0 + [0x0A] }) }
      if let bundle { try FileManager.default.removeItem(atPath: "\(copy)/\(bundle)") }
      copies.append((copy, isValid))
    }
    let sealed = ["journal.d/\(first)": lines[..<256], "journal.d/\(second)": lines[256..<512]]
    let bundle = "tile/entries/000"
    func with(_ other: [String: ArraySlice<[UInt8]>]) -> [String: ArraySlice<[UInt8]>] {
      sealed.merging(other) { $1 }
    }
    try row(true, with(["journal": lines[512...]]))
    // Sealed, and not yet taken out of the journal.
    try row(true, with(["journal": lines[256...]]))
    try row(true, with(["journal.d/\(second).tmp": lines[..<1], "journal": lines[512...]]))
    try row(false, with(["journal": lines[513...]]))
    try row(false, with(["journal.d/\(second)": lines[256..<511], "journal": lines[512...]]))
    try row(false, with(["journal.d/\(second)": lines[257..<512], "journal": lines[512...]]))
    try row(false, with(["journal.d/notes": lines[..<1], "journal": lines[512...]]))
    try row(false, with(["journal": lines[512...]]), without: bundle)
    // The first 256 are no longer kept, as entry 600 says.
    let pruned = ["journal.d/\(second)": lines[256..<512], "journal": lines[512...]]
    try row(true, pruned, without: bundle)
    try row(false, pruned, without: "tile/0/000")
    let more = "0000000000000512-0000000000000767"
    try row(false, ["journal.d/\(more)": lines[512...], "journal": []], without: bundle)
    try row(false, ["journal": lines[256...]], without: bundle)
    let verdicts = try IndependentVerifier.verdicts(["--key", Fixed.verifierKey()] + copies.map(\.path))
    #expect(verdicts.map(\.verified) == copies.map(\.isValid), "\(verdicts)")
  }

  private func draft(of line: [UInt8]) throws -> AuditRecord.Draft {
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
    var draft = AuditRecord.Draft(.roundCompleted)
    draft.run = object["run"] as? String
    draft.round = object["round"] as? Int
    return draft
  }

  /// What a witness asks before it cosigns, with our own types.
  private func isContinued(_ log: String, from old: Checkpoint) throws -> Bool {
    let tiles = TileDirectory(path: log)
    let new = try #require(try tiles.checkpoint()).checkpoint
    let proof = try #require(try TileReader(directory: tiles, size: new.size).consistencyProof(from: old.size))
    return proof.verifies(oldRoot: old.root, newRoot: new.root)
  }
}
