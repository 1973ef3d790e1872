import Cryptography
import Testing

@testable import AuditLog

/// The exact rule, on records made by hand: `journal entry` numbers are positions in the list.
@Suite struct ByteAccountingTests {
  private typealias Traffic = AuditRecord.Traffic

  private static let exporter = SHA256Digest(hashing: [1])

  private static func record(_ place: Int, _ draft: AuditRecord.Draft) throws -> AuditRecord {
    AuditRecord(
      organization: try OrganizationName("alder.example"), sequence: UInt64(place), previous: nil,
      time: try #require(AuditTime(milliseconds: 0)), content: draft)
  }

  private static func peer(_ exporter: SHA256Digest?) throws -> AuditRecord.Peer {
    .init(name: try OrganizationName("hub.example"), exporter: exporter)
  }

  private static func sent(
    _ id: String, bytes: Int, over exporter: SHA256Digest? = exporter
  ) throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(.messageSent)
    draft.destination = try peer(exporter)
    draft.message = .init(label: try Fixed.label(id), payload: [UInt8](repeating: 0, count: bytes))
    return draft
  }

  private static func delivered(_ id: String, _ outcome: AuditRecord.Outcome = .succeeded) -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(.delivery)
    draft.messageID = MessageIdentifier(id)
    draft.outcome = outcome
    return draft
  }

  /// Two frames of DATA and one of SETTINGS, consistent unless told otherwise.
  private static func counted(
    _ event: AuditRecord.Event, data: UInt64, extra: UInt64 = 0, settings: UInt64 = 1,
    over exporter: SHA256Digest? = exporter
  ) throws -> AuditRecord.Draft {
    var draft = AuditRecord.Draft(event)
    draft.destination = try peer(exporter)
    var frames: [Traffic.Frame: Traffic.Count] = [
      .settings: .init(frames: settings, bytes: 24), .headers: .init(frames: 1, bytes: 90),
    ]
    if data > 0 { frames[.data] = .init(frames: 2, bytes: data) }
    let sum = 24 + frames.values.reduce(0) { $0 + 9 * $1.frames + $1.bytes }
    draft.traffic = .init(plaintextBytes: sum + extra, frames: frames, headerLists: 1)
    return draft
  }

  /// What is found in entries from `first` on; the same when they pass as bytes, as in a verification.
  private func findings(
    _ drafts: [AuditRecord.Draft], from first: Int = 0
  ) throws -> [VerificationReport.Check] {
    var fromRecords = ByteAccounting()
    var fromBytes = ByteAccounting()
    let scanner = EntryScanner(keeper: try OrganizationName("alder.example"))
    for (place, draft) in drafts.enumerated() {
      let record = try Self.record(first + place, draft)
      fromRecords.take(record)
      try record.entry().withUnsafeBytes { bytes in
        guard let scanned = scanner.scan(bytes) else { return fromBytes.observe(EntryView(record, bytes: bytes)) }
        fromBytes.observe(EntryView(scanned, bytes: bytes))
      }
    }
    var (one, other) = (LogVerification(directory: "nowhere"), LogVerification(directory: "nowhere"))
    fromRecords.conclude(in: &one)
    fromBytes.conclude(in: &other)
    #expect(one.report == other.report)
    return one.report.checks
  }

  private func failure(_ drafts: [AuditRecord.Draft]) throws -> String? {
    let failed = try findings(drafts).filter { $0.result == .failed }
    #expect(failed.count <= 1)
    return failed.first.map { "\($0.at): \($0.detail)" }
  }

  @Test func whatAddsUpPasses() throws {
    let found = try findings([
      Self.sent("a", bytes: 100), Self.delivered("a"), Self.counted(.connectionTraffic, data: 105),
      Self.sent("b", bytes: 10), Self.delivered("b"), Self.counted(.connectionClosed, data: 120),
    ])
    #expect(found.map(\.result) == [.passed])
    #expect(found.first?.detail.contains("1 connection are those of 2 recorded messages") == true)
  }

  @Test func aMessageOfUnknownDeliveryMayStopAnywhere() throws {
    for left: UInt64 in [0, 1, 64, 104, 105] {
      let found = try findings([
        Self.sent("a", bytes: 100), Self.delivered("a", .unknown), Self.counted(.connectionClosed, data: left),
      ])
      #expect(found.map(\.result) == [.passed])
    }
  }

  @Test func oneByteTooManyIsFound() throws {
    #expect(
      try failure([Self.sent("a", bytes: 100), Self.delivered("a"), Self.counted(.connectionClosed, data: 106)])
        == "journal entry 2: 106 bytes of messages left, and 105 were on the record")
    // Also on the way, though a later message would make up for it.
    #expect(
      try failure([
        Self.sent("a", bytes: 100), Self.counted(.connectionTraffic, data: 110), Self.sent("b", bytes: 1),
        Self.delivered("a"), Self.delivered("b"), Self.counted(.connectionClosed, data: 111),
      ]) == "journal entry 1: 110 bytes of messages left, and 105 were on the record")
  }

  @Test func aDeliveredMessageHasLeftWhole() throws {
    #expect(
      try failure([Self.sent("a", bytes: 100), Self.delivered("a"), Self.counted(.connectionClosed, data: 104)])
        == "journal entry 2: 1 byte of messages did not leave, though they were delivered")
  }

  @Test func framesMakeUpThePlaintext() throws {
    for extra: UInt64 in [1, 9] {
      #expect(
        try failure([
          Self.sent("a", bytes: 1), Self.delivered("a"), Self.counted(.connectionClosed, data: 6, extra: extra),
        ])?.hasPrefix("journal entry 2:") == true)
    }
  }

  /// What adds up to the plaintext, and is more than frames of their type can hold.
  @Test(arguments: AuditRecord.Traffic.Frame.allCases)
  func nothingHidesInOtherFrames(_ frame: AuditRecord.Traffic.Frame) throws {
    let most: [Traffic.Frame: UInt64] = [
      .headers: 1024, .rstStream: 8, .settings: 36, .ping: 16, .goAway: 128, .windowUpdate: 8,
    ]
    func verdict(bytes: UInt64, change: (inout [Traffic.Frame: Traffic.Count]) -> Void = { _ in }) throws -> String? {
      var draft = try Self.counted(.connectionClosed, data: 6)
      var frames = draft.traffic?.frames ?? [:]
      frames[frame] = .init(frames: 2, bytes: bytes)
      change(&frames)
      let sum = 24 + frames.values.reduce(0) { $0 + 9 * $1.frames + $1.bytes }
      draft.traffic = .init(plaintextBytes: sum, frames: frames, headerLists: 1)
      return try failure([Self.sent("a", bytes: 1), Self.delivered("a"), draft])
    }
    guard let most = most[frame] else {
      // Messages leave in calls, and calls begin with headers.
      #expect(try verdict(bytes: 6) == nil)
      #expect(try verdict(bytes: 6) { $0[.headers] = nil } != nil)
      return
    }
    #expect(try verdict(bytes: most) == nil)
    #expect(try verdict(bytes: most + 1)?.hasPrefix("journal entry 2: more bytes left") == true)
  }

  @Test func countsOnlyGrow() throws {
    #expect(
      try failure([
        Self.counted(.connectionTraffic, data: 0, settings: 3), Self.counted(.connectionClosed, data: 0, settings: 2),
      ]) == "journal entry 1: counts less than entry 0")
  }

  @Test func headerListsAreOthersOnlyIfThereAreMore() throws {
    func failure(lists: UInt64, _ digest: SHA256Digest?) throws -> String? {
      let drafts = try [
        (AuditRecord.Event.connectionTraffic, UInt64(1), SHA256Digest(hashing: [7])),
        (.connectionClosed, lists, digest),
      ]
      .map { event, lists, digest in
        var draft = try Self.counted(event, data: 0)
        let sum = (draft.traffic?.plaintextBytes ?? 0) + 9
        draft.traffic?.frames[.headers] = .init(frames: 2, bytes: 90)
        draft.traffic?.plaintextBytes = sum
        draft.traffic?.headerLists = lists
        draft.traffic?.headersSHA256 = digest
        return draft
      }
      return try self.failure(drafts)
    }
    #expect(try failure(lists: 1, SHA256Digest(hashing: [7])) == nil)
    #expect(try failure(lists: 2, SHA256Digest(hashing: [8])) == nil)
    for digest in [SHA256Digest(hashing: [8]), nil] {
      #expect(
        try failure(lists: 1, digest) == "journal entry 1: as many header lists as in entry 0, and not the same")
    }
  }

  @Test func nothingFollowsTheEnd() throws {
    let closed = try Self.counted(.connectionClosed, data: 0)
    // A connection may be lost while a message is recorded, which has not left then: it goes over another.
    let second = SHA256Digest(hashing: [2])
    let late = [closed, try Self.sent("a", bytes: 1), Self.delivered("a", .unknown)]
    let again = [
      try Self.sent("a", bytes: 1, over: second), Self.delivered("a"),
      try Self.counted(.connectionClosed, data: 6, over: second),
    ]
    #expect(try findings(late + again).map(\.result) == [.passed])
    #expect(
      try failure([closed, Self.sent("a", bytes: 1), Self.delivered("a")])
        == "journal entry 2: a message was delivered whose connection had ended before it was recorded")
    #expect(try failure([closed, closed]) == "journal entry 1: the connection had ended")
  }

  @Test func messagesBeforeTheHandshakeAreFound() throws {
    #expect(try failure([Self.counted(.connectionClosed, data: 0, over: nil)]) == nil)
    #expect(try failure([Self.counted(.connectionClosed, data: 1, over: nil)]) != nil)
  }

  @Test func whatCannotBeCheckedIsSaid() throws {
    #expect(try findings([]).map(\.result) == [.notChecked])
    let open = try findings([
      Self.sent("a", bytes: 1), Self.counted(.connectionTraffic, data: 6), Self.sent("b", bytes: 1),
    ])
    #expect(open.map(\.result) == [.notChecked])
    #expect(open.first?.detail.hasSuffix("unaccounted for past entry 1") == true)
    #expect(try findings([Self.sent("a", bytes: 1, over: nil)]).map(\.result) == [.notChecked])
    var bare = AuditRecord.Draft(.connectionClosed)
    bare.destination = try Self.peer(Self.exporter)
    #expect(
      try findings([Self.sent("a", bytes: 1), bare]).map(\.detail) == ["1 connection was closed without a count"])
  }

  @Test func manyOpenConnectionsAreSummedUp() throws {
    let open = try findings(
      (0..<25).map { try Self.sent("a\($0)", bytes: 1, over: SHA256Digest(hashing: [UInt8($0)])) })
    #expect(open.count == 21)
    #expect(open.last?.detail == "5 more connections were not closed on the record")
  }

  @Test func aDeliveryThatIsToldAfterTheEndChangesNothing() throws {
    let found = try findings([
      Self.sent("a", bytes: 100), Self.counted(.connectionClosed, data: 50), Self.delivered("a"),
    ])
    #expect(found.map(\.result) == [.passed])
  }

  /// Copies of one message over two connections: only the last is known to have arrived.
  @Test func aCopyThatWasLostStaysUnknown() throws {
    let second = SHA256Digest(hashing: [2])
    let found = try findings([
      Self.sent("a", bytes: 100), Self.delivered("a", .unknown), Self.counted(.connectionClosed, data: 50),
      Self.sent("a", bytes: 100, over: second), Self.delivered("a"),
      Self.counted(.connectionClosed, data: 105, over: second),
    ])
    #expect(found.map(\.result) == [.passed])
  }

  @Test func ofAPrunedLogOnlyWhatIsKeptWholeIsChecked() throws {
    let drafts = [
      try Self.sent("a", bytes: 1), Self.delivered("a"), try Self.counted(.connectionClosed, data: 500),
    ]
    #expect(try findings(drafts).map(\.result) == [.failed])
    #expect(
      try findings(drafts, from: 256).map(\.detail) == ["1 connection began before the entries that are kept"])
    var handshake = AuditRecord.Draft(.handshake)
    handshake.source = try Self.peer(Self.exporter)
    #expect(try findings([handshake] + drafts, from: 256).map(\.result) == [.failed])
  }

  @Test func numbersAtTheEndOfTheRangeAreNoTrap() throws {
    var draft = try Self.counted(.connectionClosed, data: 0)
    draft.traffic?.frames[.data] = .init(frames: 1 << 52, bytes: (1 << 53) - 1)
    #expect(try failure([draft]) != nil)
  }
}
