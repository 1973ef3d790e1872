import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// Journals with one thing wrong in each, under the checkpoint, after it, and under one that their keeper made to fit.
@Suite(.enabled(if: IndependentVerifier.mayRun, IndependentVerifier.reason))
struct JournalCorruptionTests {
  private let directory: TemporaryDirectory
  private var log: String { "\(directory.path)/log" }

  init() throws { directory = try TemporaryDirectory() }

  @Test("Every member of every event, under the checkpoint and in the tail, with another value or left out")
  func members() throws {
    let table = try VerdictTable()
    var seen: Set<String> = []
    for (number, event) in AuditRecord.Event.allCases.enumerated() {
      let sample = "\(directory.path)/\(event)"
      try SampleLogs.full(sample, event, tail: number.isMultiple(of: 2))
      try table.add("\(event) unchanged", to: sample, .verified)
      let lines = try journalLines(sample)
      let entry = try CanonicalJSON(parsing: lines[1])
      for (index, path) in Self.paths(entry).enumerated() {
        seen.insert(path.joined(separator: "."))
        var changes: [(String, (CanonicalJSON) -> CanonicalJSON?)] = [("changed", Self.other)]
        // Every value of every event is changed; what is left out takes turns.
        if index % AuditRecord.Event.allCases.count == number { changes.append(("left out", { _ in nil })) }
        for (what, change) in changes {
          try table.add("\(event) \(path) \(what)", to: sample, .refused) { copy in
            let changed = try #require(Self.setting(path[...], in: entry, change))
            try VerdictTable.replace(
              "\(copy)/journal", [lines[0], changed.serialized, lines[2]].flatMap { $0 + [0x0A] })
          }
        }
      }
    }
    // The members of a record, those of its groups among them; more may come.
    #expect(seen.count >= 75, "\(seen.sorted())")
    try table.compare()
  }

  @Test("Lines of the journal taken out, doubled, exchanged, cut, and spaced otherwise")
  func lines() throws {
    try SampleLogs.plain(log, count: 9, tail: 4)
    let lines = try journalLines(log)
    let table = try VerdictTable()
    func row(_ name: String, _ expected: VerdictTable.Expected, _ change: (inout [[UInt8]]) -> Void) throws {
      var changed = lines
      change(&changed)
      try table.add(name, to: log, expected) {
        try VerdictTable.replace("\($0)/journal", changed.flatMap { $0 + [0x0A] })
      }
    }
    for number in lines.indices.dropLast() {
      try row("entry \(number) taken out", .refused) { $0.remove(at: number) }
      try row("entry \(number) twice", .refused) { $0.insert($0[number], at: number) }
      try row("entry \(number) after its next", .refused) { $0.swapAt(number, number + 1) }
      try row("an empty line before entry \(number)", .refused) { $0.insert([], at: number) }
    }
    let nature: VerdictTable.Expected = .verified  // What follows would say so: nothing follows yet.
    for kept in 5..<9 { try row("cut after entry \(kept - 1), in the tail", nature) { $0 = Array($0.prefix(kept)) } }
    for kept in 0..<5 {
      try row("cut after entry \(kept), under the checkpoint", .refused) { $0 = Array($0.prefix(kept)) }
    }
    try row("the last entry twice", .refused) { $0.append($0[8]) }
    try row("an empty line at the end", .refused) { $0.append([]) }
    try row("a line longer than an entry can be", .refused) { $0.append([UInt8](repeating: 0x61, count: 70_000)) }

    let last = String(decoding: lines[8], as: UTF8.self)
    func other(_ name: String, _ expected: VerdictTable.Expected, _ change: (String) -> String) throws {
      let changed = change(last)
      try #require(changed != last, "\(name)")
      try row(name, expected) { $0[8] = Array(changed.utf8) }
    }
    try other("the very last entry with another value", nature) { $0.replacingOccurrences(of: #""r""#, with: #""s""#) }
    try Self.spellings(other)
    let schema = "what a member may hold is the schema's, which the independent check does not know"
    let refusedByUs: VerdictTable.Expected = .differs(ours: false, theirs: true, because: schema)
    try other("last entry: unknown event", refusedByUs) {
      $0.replacingOccurrences(of: "roundCompleted", with: "rounded")
    }
    try other("last entry: unknown member", refusedByUs) {
      $0.replacingOccurrences(of: #""time""#, with: #""tall":1,"time""#)
    }
    try other("last entry: negative round", refusedByUs) {
      $0.replacingOccurrences(of: #""round":8"#, with: #""round":-8"#)
    }
    try other("last entry: round as text", refusedByUs) {
      $0.replacingOccurrences(of: #""round":8"#, with: #""round":"8""#)
    }
    try other("last entry: null", refusedByUs) { $0.replacingOccurrences(of: #""round":8"#, with: #""round":null"#) }
    try other("last entry: a control character", refusedByUs) { $0.replacingOccurrences(of: #""r""#, with: #""\n""#) }

    for cut in [1, 2, lines[8].count - 1, lines[8].count] {
      try table.add("last line cut by \(cut)", to: log, .verified, file: "journal") { $0.removeLast(cut) }
    }
    try table.add("torn bytes that are no text", to: log, .verified, file: "journal") { $0 += [0xFF, 0, 0x7B] }
    try table.compare()
  }

  /// Other spellings of an entry, in a place where no hash would tell.
  private static func spellings(
    _ row: (String, VerdictTable.Expected, (String) -> String) throws -> Void
  ) throws {
    func replacing(_ old: String, _ new: String) -> (String) -> String {
      { $0.replacingOccurrences(of: old, with: new) }
    }
    let spellings: [(String, (String) -> String)] = [
      ("a space after a comma", replacing(#","round""#, #", "round""#)),
      ("a space after a colon", replacing(#""round":8"#, #""round": 8"#)),
      ("a space at the end", { $0 + " " }), ("a tab at the start", { "\t" + $0 }), ("a carriage return", { $0 + "\r" }),
      (
        "members in another order",
        { $0.replacingOccurrences(of: #""round":8,"run":"r""#, with: #""run":"r","round":8"#) }
      ),
      ("a member twice", replacing(#""round":8"#, #""round":8,"round":8"#)),
      ("a fraction", replacing(#""round":8"#, #""round":8.0"#)),
      ("an exponent", replacing(#""round":8"#, #""round":8e0"#)),
      ("a leading zero", replacing(#""round":8"#, #""round":08"#)),
      ("minus zero", replacing(#""round":8"#, #""round":-0"#)),
      ("a plus", replacing(#""round":8"#, #""round":+8"#)), ("not a number", replacing(#""round":8"#, #""round":NaN"#)),
      ("too large", replacing(#""round":8"#, #""round":9007199254740992"#)),
      ("far too large", replacing(#""round":8"#, #""round":1\#(String(repeating: "0", count: 5000))"#)),
      ("an escape that need not be", replacing(#""r""#, #""\u0072""#)),
      ("an escaped slash", replacing("bauta/audit/1", #"bauta\/audit/1"#)),
      ("a lone surrogate", replacing(#""r""#, #""\ud800""#)),
      ("a raw control character", replacing(#""r""#, "\"\u{1}\"")),
      ("an escape in capitals", replacing(#""r""#, #""\u001F""#)), ("a comma too many", replacing("}", ",}")),
      ("a name beyond ASCII", replacing(#""run""#, #""ruñ""#)), ("a comment", replacing("{", "/**/{")),
      ("a second value", { $0 + "{}" }), ("a byte order mark", { "\u{FEFF}" + $0 }), ("an array", { "[\($0)]" }),
      ("a word", { _ in "true" }), ("a number", { _ in "8" }),
      ("deep nesting", { _ in String(repeating: "[", count: 60_000) }),
      (
        "nested as deep, closed", { _ in String(repeating: "[", count: 30_000) + String(repeating: "]", count: 30_000) }
      ),
    ]
    for (name, change) in spellings { try row("last entry: \(name)", .refused, change) }
  }

  @Test("Entries that break the chain are seen though their keeper made tiles, checkpoint and cosignature to fit")
  func chain() throws {
    try SampleLogs.plain(log, count: 4)
    let lines = try journalLines(log)
    let table = try VerdictTable()
    try table.add("rebuilt unchanged", to: nil, .verified) { try SampleLogs.signed(lines, in: $0) }
    func row(_ name: String, entry number: Int = 3, _ old: String, _ new: String) throws {
      let text = String(decoding: lines[number], as: UTF8.self)
      try #require(text.contains(old), "\(name)")
      try table.add(name, to: nil, .refused) { copy in
        var changed = Array(lines[...number])
        changed[number] = Array(text.replacingOccurrences(of: old, with: new).utf8)
        try SampleLogs.signed(changed, in: copy)
      }
    }
    let previous = MerkleHashing.leaf(lines[2]).hexadecimal
    let member = #""previous":"\#(previous)""#
    try row("previous of another", previous, MerkleHashing.leaf(lines[1]).hexadecimal)
    try row("previous empty", member, #""previous":"""#)
    try row("previous left out", member + ",", "")
    try row("previous in capitals", previous, previous.uppercased())
    try row("previous cut", previous, String(previous.dropLast(2)))
    try row("previous null", member, #""previous":null"#)
    try row("a first entry that continues another", entry: 0, #""previous":"""#, #""previous":"\#(previous)""#)
    try row("sequence one more", #""sequence":3"#, #""sequence":4"#)
    try row("sequence one less", #""sequence":3"#, #""sequence":2"#)
    try row("sequence negative", #""sequence":3"#, #""sequence":-3"#)
    try row("sequence as text", #""sequence":3"#, #""sequence":"3""#)
    try row("sequence as truth", entry: 1, #""sequence":1"#, #""sequence":true"#)
    try row("sequence left out", #""sequence":3,"#, "")
    try row("another organisation", "alder.example", "birch.example")
    try row("another organisation at first", entry: 0, "alder.example", "birch.example")
    try row("no organisation", #""organization":"alder.example","#, "")
    try row("another schema", "bauta/audit/1", "bauta/audit/2")
    try row("no schema", #""schema":"bauta/audit/1","#, "")
    try row("no event", #""event":"roundCompleted","#, "")
    try row("no time", #","time":"2026-03-01T09:30:00.500Z""#, "")
    for time in [
      "2026-02-30T09:30:00.500Z", "2026-03-01T24:30:00.500Z", "2026-03-01T09:60:00.500Z", "2026-03-01T09:30:60.500Z",
      "2026-03-01T09:30:00Z", "2026-03-01T09:30:00.500", "2026-03-01t09:30:00.500z", "2026-03-01T09:30:00.500+00:00",
      "1969-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z", "2026-13-01T09:30:00.500Z", "٢٠٢٦-03-01T09:30:00.500Z",
    ] { try row("time \(time)", "2026-03-01T09:30:00.500Z", time) }
    try row("white space", #":3,"#, #": 3,"#)
    try row("not an object", "{", "[")

    try table.add("an entry left out and the rest numbered anew", to: nil, .verified) { copy in
      // The keeper of the key can write any history: only those who have seen another know (see `forks`).
      let writer = try openLog(copy)
      for number in [0, 1, 3] {
        var draft = AuditRecord.Draft(.roundCompleted)
        draft.round = number
        try writer.append(draft)
      }
      try writer.close()
      try FixedWitness.cosign(copy)
    }
    try table.add("invalid UTF-8", to: nil, .refused) { copy in
      try SampleLogs.signed(lines[..<3] + [lines[3] + [0xFF]], in: copy)
    }
    try table.add("an empty entry", to: nil, .refused) { try SampleLogs.signed(lines + [[]], in: $0) }
    try table.add("a checkpoint of one entry more", to: log, .refused) { copy in
      try resign(copy, size: 5, root: #require(try TileDirectory(path: copy).checkpoint()).checkpoint.root)
    }
    try table.add("a checkpoint of no entries with a root", to: log, .refused) { copy in
      try resign(copy, size: 0, root: TreeHash(hashing: [1]))
    }
    try table.add("a checkpoint of 2^63 entries", to: log, .refused) { copy in
      try resign(copy, size: 1 << 63, root: TreeHash(hashing: [1]))
    }
    try table.compare()
  }

  private func resign(_ log: String, size: UInt64, root: TreeHash) throws {
    let checkpoint = try SignedCheckpoint.signing(
      origin: OrganizationName("alder.example"), size: size, root: root, key: Fixed.key())
    try VerdictTable.replace("\(log)/checkpoint", checkpoint.serialized)
    try FixedWitness.cosign(log)
  }

  // MARK: - Members

  /// Where the values of an entry are, groups and what is in them.
  private static func paths(_ value: CanonicalJSON, _ prefix: [String] = []) -> [[String]] {
    guard case .object(let members) = value else { return [] }
    return members.sorted { $0.key < $1.key }.flatMap { name, member in
      [prefix + [name]] + paths(member, prefix + [name])
    }
  }

  private static func other(_ value: CanonicalJSON) -> CanonicalJSON? {
    switch value {
    case .null: .boolean(true)
    case .boolean(let flag): .boolean(!flag)
    case .integer(let number): .integer(number + 1)
    case .string(let text): .string(text.isEmpty ? "0" : (text.hasPrefix("0") ? "1" : "0") + text.dropFirst())
    case .array(let values): .array(values + [.null])
    case .object: .object([:])
    }
  }

  private static func setting(
    _ path: ArraySlice<String>, in value: CanonicalJSON, _ change: (CanonicalJSON) -> CanonicalJSON?
  ) -> CanonicalJSON? {
    guard let name = path.first else { return change(value) }
    guard case .object(var members) = value, let member = members[name] else { return nil }
    members[name] = setting(path.dropFirst(), in: member, change)
    return .object(members)
  }
}
