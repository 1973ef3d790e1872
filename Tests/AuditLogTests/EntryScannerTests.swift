import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// Numbers that are the same in every run.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}

/// Records of every event with every field, there or not.
private struct RecordSource {
  var numbers: SplitMix

  mutating func often() -> Bool { Int.random(in: 0..<3, using: &numbers) > 0 }

  mutating func digest<Role>(_ role: Role.Type = Role.self) -> Digest<Role> {
    Digest(hashing: withUnsafeBytes(of: numbers.next()) { Array($0) })
  }

  mutating func text() -> String {
    let texts = [
      "", "run-1", "a \"quoted\" word", "back\\slash", "größer als 日本語", "\u{80}\u{1F600}", "e\u{301}", "]},{\":",
      String(repeating: "x", count: 1024), String(repeating: "\"", count: 1024), "0",
    ]
    return texts[Int.random(in: 0..<texts.count, using: &numbers)]
  }

  mutating func count() -> UInt64 {
    let counts: [UInt64] = [0, 1, 9, 10, 255, 1 << 20, 1 << 53 - 1]
    return counts[Int.random(in: 0..<counts.count, using: &numbers)]
  }

  mutating func integer() -> Int { Int(count()) }

  mutating func name() throws -> OrganizationName {
    let names = ["a", "hub.example", "1.2.3", "a-b.c--d.e", String(repeating: "a", count: 63) + ".x"]
    return try OrganizationName(names[Int.random(in: 0..<names.count, using: &numbers)])
  }

  mutating func time() throws -> AuditTime {
    try #require(AuditTime(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &numbers)))
  }

  mutating func keyID() -> NoteKeyID { NoteKeyID(UInt32(truncatingIfNeeded: numbers.next())) }

  mutating func decimal() -> AuditDecimal? {
    ["0", "1.5", "1e-07", "-0.25", "12345678.9"].compactMap { AuditDecimal($0) }.randomElement(using: &numbers)
  }

  mutating func identifier() -> MessageIdentifier? {
    ["a", "0-.", String(repeating: "f", count: 64)].compactMap { MessageIdentifier($0) }.randomElement(using: &numbers)
  }

  mutating func peer() throws -> AuditRecord.Peer {
    AuditRecord.Peer(
      name: often() ? try name() : nil, claimedName: often() ? text() : nil, address: often() ? text() : nil,
      tlsPeer: often() ? digest() : nil, exporter: often() ? digest() : nil)
  }

  mutating func draft(_ event: AuditRecord.Event) throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    if often() { draft.clock = text() }
    if often() { draft.actor = .init(service: text(), keyID: often() ? keyID() : nil) }
    if often() { draft.destination = try peer() }
    if often() { draft.source = try peer() }
    if often() {
      draft.handshake = .init(version: text(), cipher: often() ? text() : nil, group: often() ? text() : nil)
    }
    if often() {
      draft.suppressed = .init(
        count: integer(), first: often() ? try time() : nil, last: often() ? try time() : nil, addresses: integer())
    }
    if often() { draft.federation = text() }
    if often() { draft.manifest = digest() }
    if often() { draft.plan = digest() }
    if often() { draft.run = text() }
    if often() { draft.round = integer() }
    if often() { draft.attempt = integer() }
    if often() { draft.task = text() }
    if often() { draft.context = digest() }
    if often() { draft.transcript = digest() }
    try fillMessage(&draft)
    try fillDecisions(&draft)
    return draft
  }

  private mutating func fillMessage(_ draft: inout AuditRecord.Draft) throws {
    if often(), let id = identifier() {
      let label = MessageLabel(
        id: id, kind: text(), stage: often() ? text() : nil, resendOf: often() ? count() : nil)
      draft.message = .init(label: label, bytes: count(), sha256: digest(), chunks: often() ? count() : nil)
    }
    if often() { draft.messageID = identifier() }
    if often() {
      draft.maskedInput = .init(
        dimension: integer(), counters: integer(), bits: integer(), masks: integer(), clip: often() ? decimal() : nil,
        localNoise: often() ? decimal() : nil, epsilonCharged: often() ? decimal() : nil,
        epsilonTotal: often() ? decimal() : nil, commitment: often() ? digest() : nil)
    }
    if often() { draft.model = digest() }
    if often() { draft.program = digest() }
    if often() { draft.receipt = .init(index: count(), leaf: digest()) }
    if often() {
      var frames: [AuditRecord.Traffic.Frame: AuditRecord.Traffic.Count] = [:]
      for frame in AuditRecord.Traffic.Frame.allCases where often() {
        frames[frame] = .init(frames: count(), bytes: count())
      }
      draft.traffic = .init(
        plaintextBytes: count(), frames: frames, headerLists: count(), headersSHA256: often() ? digest() : nil)
    }
  }

  private mutating func fillDecisions(_ draft: inout AuditRecord.Draft) throws {
    if often() { draft.cohortSizes = .init(u2: integer(), u3: often() ? integer() : nil) }
    if often() { draft.policy = .init(often() ? .allowed : .refused, rule: text()) }
    if often() { draft.approver = text() }
    if often() { draft.purpose = text() }
    if often() { draft.retention = text() }
    if often() { draft.outcome = AuditRecord.Outcome.allCases.randomElement(using: &numbers) }
    if often() {
      let blames: [Blame] = [.caller, .peer, .participants, .local]
      draft.error = .init(code: text(), blame: try #require(blames.randomElement(using: &numbers)))
    }
    if often() {
      draft.checkpoint = .init(
        origin: text(), size: count(), root: digest(), witness: often() ? text() : nil,
        witnessKeyID: often() ? keyID() : nil)
    }
    if often() {
      draft.opening = .init(
        organization: try name(), slot: integer(), statement: digest(), auditor: often() ? digest() : nil)
    }
    if often() { draft.pruned = .init(below: count()) }
    if often() { draft.stateVersion = count() }
    if often() { draft.reason = text() }
  }

  mutating func record(_ event: AuditRecord.Event, keeper: OrganizationName) throws -> AuditRecord {
    AuditRecord(
      organization: keeper, sequence: count(), previous: often() ? digest() : nil, time: try time(),
      content: try draft(event))
  }
}

@Suite struct EntryScannerTests {
  private let keeper: OrganizationName
  private let scanner: EntryScanner

  init() throws {
    keeper = try OrganizationName("alder.example")
    scanner = EntryScanner(keeper: keeper)
  }

  private func scan(_ entry: [UInt8]) -> ScannedEntry? { entry.withUnsafeBytes { scanner.scan($0) } }

  /// The one property that verdicts rest on: whatever the scanner accepts, the record accepts, with the same values.
  @discardableResult
  private func agree(_ entry: [UInt8], isUsual: Bool = false, _ what: String = "") -> Bool {
    let scanned = scan(entry)
    let record = try? AuditRecord(entry: entry)
    guard let scanned else {
      if isUsual { #expect(record == nil, "left to the slow way: \(String(decoding: entry, as: UTF8.self))") }
      return false
    }
    guard let record, record.organization == keeper else {
      Issue.record("accepted, \(what): \(String(decoding: entry, as: UTF8.self))")
      return false
    }
    entry.withUnsafeBytes { bytes in
      let view = EntryView(scanned, bytes: bytes)
      #expect(view.sequence == record.sequence && view.event == record.event)
      #expect(view.messageBytes == record.message?.bytes)
      #expect(view.destinationExporter == record.destination?.exporter)
      #expect(view.sourceExporter == record.source?.exporter)
      #expect(view.record == record)
      #expect(scanned.continues(record.previous, in: bytes))
      #expect(!scanned.continues(LeafHash(hashing: [1]), in: bytes))
      #expect(record.previous == nil || !scanned.continues(nil, in: bytes))
      #expect(String(decoding: bytes[scanned.time..<scanned.time + 24], as: UTF8.self) == record.time.description)
    }
    return true
  }

  @Test func everyRecordIsReadTheFastWay() throws {
    var source = RecordSource(numbers: SplitMix(state: 1))
    for event in AuditRecord.Event.allCases {
      for _ in 0..<40 {
        let entry = try source.record(event, keeper: keeper).entry()
        #expect(agree(entry, isUsual: true))
      }
    }
  }

  @Test func everyChangedByteIsJudgedAsBefore() throws {
    var source = RecordSource(numbers: SplitMix(state: 2))
    for event in AuditRecord.Event.allCases {
      let entry = try source.record(event, keeper: keeper).entry()
      // Long texts are alike; the scan of their middle is not worth the time.
      guard entry.count < 3000 else { continue }
      for place in entry.indices {
        var changed = entry
        changed[place] ^= 1 << UInt8.random(in: 0..<8, using: &source.numbers)
        agree(changed, "byte \(place)")
        changed[place] = "\"\\{}[],:0-9aA \u{7F}".utf8.randomElement(using: &source.numbers) ?? 0
        agree(changed, "byte \(place)")
      }
    }
  }

  @Test func cutAndLengthenedEntriesAreJudgedAsBefore() throws {
    var source = RecordSource(numbers: SplitMix(state: 3))
    for event in [AuditRecord.Event.messageSent, .handshake, .connectionTraffic] {
      let entry = try source.record(event, keeper: keeper).entry()
      for place in entry.indices.prefix(3000) {
        agree(Array(entry[..<place]), "cut at \(place)")
        agree(Array(entry[..<place] + entry[(place + 1)...]), "without \(place)")
        agree(Array(entry[..<place] + [entry[place]] + entry[place...]), "twice \(place)")
      }
      for tail in [" ", "}", ",", "\0"] { agree(entry + Array(tail.utf8), "with a tail") }
    }
  }

  @Test func membersInAnotherOrderOrTwiceOrUnknownAreNotAccepted() throws {
    var source = RecordSource(numbers: SplitMix(state: 4))
    for _ in 0..<40 {
      let entry = try source.record(.messageSent, keeper: keeper).entry()
      guard case .object(let members) = try CanonicalJSON(parsing: entry) else { continue }
      let names = members.keys.sorted()
      func text(_ names: [String]) -> [UInt8] {
        Array("{\(names.map { "\"\($0)\":\(members[$0]?.text ?? "1")" }.joined(separator: ","))}".utf8)
      }
      #expect(text(names) == entry)
      for place in names.indices.dropLast() {
        var other = names
        other.swapAt(place, place + 1)
        #expect(scan(text(other)) == nil)
        other = names
        other.insert(names[place], at: place)
        #expect(scan(text(other)) == nil)
        other = names
        other.insert(names[place] + "x", at: place + 1)
        #expect(scan(text(other)) == nil)
        other = names
        other.remove(at: place)
        agree(text(other), "without \(names[place])")
      }
    }
  }

  @Test func entriesOfOthersAndWithoutAKeeperAreNotAccepted() throws {
    var source = RecordSource(numbers: SplitMix(state: 5))
    let entry = try source.record(.messageSent, keeper: keeper).entry()
    #expect(scan(entry) != nil)
    let other = EntryScanner(keeper: try OrganizationName("alder.examplf"))
    #expect(entry.withUnsafeBytes { other.scan($0) } == nil)
    #expect(entry.withUnsafeBytes { EntryScanner(keeper: nil).scan($0) } == nil)
  }

  @Test func numbersHaveOneForm() throws {
    func entry(_ number: String) -> [UInt8] {
      let text =
        #"{"event":"stopped","organization":"alder.example","previous":"","round":\#(number),"#
        + #""schema":"bauta/audit/1","sequence":0,"time":"2026-03-01T09:30:00.000Z"}"#
      return Array(text.utf8)
    }
    for number in ["0", "7", "9007199254740991"] { #expect(agree(entry(number), isUsual: true), "\(number)") }
    for number in [
      "", "00", "01", "-0", "-1", "1.0", "1e3", "9007199254740992", "18446744073709551616", "99999999999999999999",
      "+1",
      "\"1\"", "null", " 1",
    ] {
      #expect(!agree(entry(number)), "\(number)")
    }
  }

  @Test func formsOfTextsAreThoseOfTheirTypes() throws {
    var numbers = SplitMix(state: 6)
    func bytes<Value>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
      Array(text.utf8).withUnsafeBufferPointer(body)
    }
    let alphabet = Array("aaazz09--..A_ /")
    for _ in 0..<20_000 {
      let length = Int.random(in: 0..<12, using: &numbers)
      let text = String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &numbers)] })
      #expect(bytes(text, EntryText.isOrganizationName) == ((try? OrganizationName(text)) != nil), "\(text)")
      #expect(bytes(text, EntryText.isMessageIdentifier) == (MessageIdentifier(text) != nil), "\(text)")
    }
    for length in [62, 63, 64, 65] {
      let text = String(repeating: "a", count: length)
      #expect(bytes(text, EntryText.isOrganizationName) == ((try? OrganizationName(text)) != nil), "\(length)")
      #expect(bytes(text, EntryText.isMessageIdentifier) == (MessageIdentifier(text) != nil), "\(length)")
    }
    for length in 250...256 {
      let text = String(String(repeating: "abc.", count: 64).prefix(length))
      #expect(bytes(text, EntryText.isOrganizationName) == ((try? OrganizationName(text)) != nil), "\(length)")
    }
    let base = Array("2024-02-29T23:59:59.999Z".utf8)
    for _ in 0..<20_000 {
      var text = base
      for _ in 0..<Int.random(in: 0..<4, using: &numbers) {
        text[Int.random(in: 0..<24, using: &numbers)] = "0123456789-:TZ.".utf8.randomElement(using: &numbers) ?? 0x30
      }
      let isTime = text.withUnsafeBufferPointer { EntryText.isTime($0) }
      #expect(isTime == (AuditTime(String(decoding: text, as: UTF8.self)) != nil), "\(text)")
    }
    for year in [1969, 1970, 1999, 2000, 2001, 2024, 2100, 9999] {
      for month in 0...13 {
        for day in 0...32 {
          let text = String(format: "%04d-%02d-%02dT00:00:00.000Z", year, month, day)
          #expect(bytes(text, EntryText.isTime) == (AuditTime(text) != nil), "\(text)")
        }
      }
    }
  }
}
