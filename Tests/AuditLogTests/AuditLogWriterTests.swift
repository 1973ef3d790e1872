import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

@Suite struct AuditLogWriterTests {
  private let directory: TemporaryDirectory
  private let log: String

  init() throws {
    directory = try TemporaryDirectory()
    log = "\(directory.path)/log"
  }

  @Test func recordsAreChainedAndPublished() throws {
    let writer = try openLog(log)
    let first = try writer.append(.init(.serviceStarted))
    let second = try writer.append(.init(.runStarted))
    #expect(first.sequence == 0)
    #expect(second.sequence == 1)
    #expect(!FileManager.default.fileExists(atPath: "\(log)/checkpoint"))
    let published = try writer.publish()
    #expect(published.checkpoint.size == 2)
    #expect(try writer.publish() == published)
    #expect(published.status(of: writer.verifierKey) == .valid)

    var reader = try AuditLogReader(directory: log)
    let records = [try #require(try reader.next()), try #require(try reader.next())]
    #expect(try reader.next() == nil)
    #expect(records[0].record.previous == nil)
    #expect(records[1].record.previous == records[0].leaf)
    #expect(records.map(\.leaf) == [first.leaf, second.leaf])
    #expect(records[0].record.time == AuditTime("2026-03-01T09:30:00.500Z"))
    try writer.close()
    #expect(try verify(log).verified)
  }

  @Test func filesAreForTheirOwnerOnly() throws {
    let writer = try openLog(log)
    try writer.append(.init(.serviceStarted))
    func mode(_ path: String) throws -> Int? {
      try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }
    #expect(try mode(log) == 0o700)
    #expect(try mode("\(log)/journal") == 0o600)
    try writer.close()
  }

  @Test func aLogGoesOnAfterReopening() throws {
    try makeLog(log, count: 3)
    let writer = try openLog(log)
    #expect(writer.size == 3)
    #expect(writer.checkpoint?.checkpoint.size == 3)
    let next = try writer.append(.init(.runEnded))
    #expect(next.sequence == 3)
    try writer.close()
    let report = try verify(log)
    #expect(report.verified)
    #expect(report.size == 4)
  }

  @Test func publicationFallsDueEvery256Entries() throws {
    let writer = try openLog(log)
    for _ in 0..<255 { try writer.append(.init(.connectionClosed), durable: false) }
    #expect(writer.checkpoint == nil)
    try writer.append(.init(.connectionClosed), durable: false)
    #expect(writer.checkpoint?.checkpoint.size == 256)
    for _ in 0..<300 { try writer.append(.init(.connectionClosed), durable: false) }
    #expect(writer.checkpoint?.checkpoint.size == 512)
    try writer.close()
    let report = try verify(log)
    #expect(report.verified)
    #expect(report.size == 556)
    #expect(report.checks.filter { $0.result == .notChecked }.map(\.name) == [.cosignatures, .byteAccounting])
    // Partial tiles go when the full one is there.
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(log)/tile/0").sorted() == ["000", "001", "002.p"])
  }

  @Test func proofsComeFromThePublishedDirectory() throws {
    try makeLog(log, count: 300)
    let tiles = TileDirectory(path: log)
    let checkpoint = try #require(try tiles.checkpoint()).checkpoint
    let reader = TileReader(directory: tiles, size: checkpoint.size)
    let proof = try #require(try reader.inclusionProof(index: 271))
    let entry = try reader.entry(at: 271)
    #expect(entry == (try journalLines(log))[271])
    #expect(proof.verifies(leaf: MerkleHashing.leaf(entry), root: checkpoint.root))
  }

  @Test func onlyOneWriterHoldsALog() throws {
    let writer = try openLog(log)
    #expect(throws: AuditLogError.locked(path: "\(log)/journal")) { try openLog(log) }
    try writer.close()
    let next = try openLog(log)
    #expect(throws: AuditLogError.closed) { try writer.append(.init(.serviceStarted)) }
    #expect(throws: AuditLogError.closed) { try writer.publish() }
    try writer.close()
    try next.append(.init(.serviceStarted))
    try next.close()
  }

  @Test func refusedDraftsLeaveNothingBehind() throws {
    let writer = try openLog(log)
    try writer.append(.init(.serviceStarted))
    var bad = AuditRecord.Draft(.approval)
    bad.approver = "two\nlines"
    #expect(throws: AuditLogError.invalidField("approver")) {
      try writer.append(contentsOf: [.init(.runStarted), bad])
    }
    #expect(writer.size == 1)
    #expect(try journalLines(log).count == 1)
    try writer.append(.init(.runStarted))
    try writer.close()
    #expect(try verify(log).verified)
  }

  @Test func egressIsOnDiskBeforeItCanBeSent() throws {
    let writer = try openLog(log)
    let payload = Array("the exact bytes".utf8)
    var draft = AuditRecord.Draft(.delivery)
    draft.run = "run-1"
    let token = try writer.recordEgress(draft, message: try Fixed.label("m-1"), payload: payload)
    #expect(token.bytes == payload)
    #expect(token.message.value == "m-1")
    #expect(token.record.sequence == 0)
    var reader = try AuditLogReader(directory: log)
    let entry = try #require(try reader.next())
    #expect(entry.record.event == .messageSent)
    #expect(entry.record.message?.bytes == UInt64(payload.count))
    #expect(entry.record.message?.sha256 == MessageHash(hashing: payload))
    #expect(entry.leaf == token.record.leaf)

    let streamed = try writer.recordEgress(draft, message: try Fixed.label("m-2"), chunks: [[1, 2], [3]])
    #expect(streamed.chunks == [[1, 2], [3]])
    #expect(streamed.bytes == [1, 2, 3])
    reader = try AuditLogReader(directory: log)
    _ = try reader.next()
    let second = try #require(try reader.next())
    #expect(second.record.message?.chunks == 2)
    try writer.close()
    #expect(throws: AuditLogError.closed) {
      _ = try writer.recordEgress(draft, message: try Fixed.label("m-3"), payload: payload)
    }
  }

  @Test func writersFromManyTasksKeepOneOrder() async throws {
    let writer = try openLog(log)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask {
          for round in 0..<40 {
            var draft = AuditRecord.Draft(.roundCompleted)
            draft.run = "task-\(task)"
            draft.round = round
            let appended = try writer.append(draft, durable: round.isMultiple(of: 4))
            if round == 20 { try writer.publish() }
            guard appended.sequence < 320 else { throw TestFailure("sequence \(appended.sequence)") }
          }
        }
      }
      try await group.waitForAll()
    }
    try writer.close()
    #expect(try verify(log).verified)
    var reader = try AuditLogReader(directory: log)
    var rounds: [String: [Int]] = [:]
    var sequence: UInt64 = 0
    while let entry = try reader.next() {
      #expect(entry.record.sequence == sequence)
      sequence += 1
      if let run = entry.record.run, let round = entry.record.round { rounds[run, default: []].append(round) }
    }
    #expect(sequence == 320)
    for task in 0..<8 { #expect(rounds["task-\(task)"] == Array(0..<40)) }
  }

  @Test func aJournalThatIsNoFileIsRefused() throws {
    try FileManager.default.createDirectory(atPath: "\(log)/journal", withIntermediateDirectories: true)
    #expect(throws: AuditLogError.self) { try openLog(log) }
    try FileManager.default.removeItem(atPath: "\(log)/journal")
    try FileManager.default.createSymbolicLink(atPath: "\(log)/journal", withDestinationPath: "/dev/full")
    #expect(throws: AuditLogError.self) { try openLog(log) }
  }

  /// Puts something else under the writer's file: a full disk, a file that cannot be written or not synchronised.
  @Test(arguments: ["/dev/full", "read-only", "pipe"])
  func nothingLeavesWhenTheLogCannotBeWritten(place: String) throws {
    let writer = try openLog(log)
    try writer.append(.init(.serviceStarted))
    let before = try read("\(log)/journal")
    var pipe: [Int32] = [0, 0]
    #expect(Foundation.pipe(&pipe) == 0)
    let other =
      switch place {
      case "/dev/full": open("/dev/full", O_RDWR)
      case "pipe": pipe[1]
      default: open("\(log)/journal", O_RDONLY)
      }
    let kept = dup(writer.journal.descriptor)
    #expect(dup2(other, writer.journal.descriptor) >= 0)
    let draft = AuditRecord.Draft(.messageSent)
    #expect(throws: AuditLogError.self) {
      _ = try writer.recordEgress(draft, message: try Fixed.label("m-1"), payload: [1])
    }
    // What is on disk is uncertain now: the writer stays shut even if the disk comes back.
    #expect(dup2(kept, writer.journal.descriptor) >= 0)
    #expect(throws: AuditLogError.writerFailed) {
      _ = try writer.recordEgress(draft, message: try Fixed.label("m-1"), payload: [1])
    }
    #expect(throws: AuditLogError.writerFailed) { try writer.publish() }
    #expect(throws: AuditLogError.writerFailed) { try writer.close() }
    #expect(try read("\(log)/journal") == before)
    for descriptor in [other, kept, pipe[0], pipe[1]] { close(descriptor) }
    writer.journal.unlock()
    let next = try openLog(log)
    #expect(next.size == 1)
    try next.close()
    #expect(try verify(log).verified)
  }

  @Test func filtersSelect() throws {
    let writer = try openLog(log)
    for (place, name) in ["hub.example", "other.example", "hub.example"].enumerated() {
      var draft = AuditRecord.Draft(.messageSent)
      draft.run = "run-\(place)"
      draft.destination = .init(name: try OrganizationName(name))
      let kind = place == 2 ? "heartbeat" : "maskedInput"
      _ = try writer.recordEgress(draft, message: try Fixed.label("m-\(place)", kind: kind), payload: [1])
    }
    try writer.append(.init(.runEnded))
    try writer.close()
    func count(_ change: (inout AuditFilter) throws -> Void) throws -> Int {
      var filter = AuditFilter()
      try change(&filter)
      var reader = try AuditLogReader(directory: directory.path, filter: filter)
      var count = 0
      while try reader.next() != nil { count += 1 }
      return count
    }
    #expect(try count { _ in } == 4)
    #expect(try count { $0.run = "run-1" } == 1)
    #expect(try count { $0.kind = "heartbeat" } == 1)
    #expect(try count { $0.destination = try OrganizationName("hub.example") } == 2)
    #expect(try count { $0.events = [.runEnded, .stopped] } == 1)
    #expect(try count { $0.from = AuditTime("2026-03-01T09:30:00.501Z") } == 0)
    #expect(try count { $0.from = AuditTime("2026-03-01T09:30:00.500Z") } == 4)
    #expect(try count { $0.to = AuditTime("2026-03-01T09:30:00.500Z") } == 0)
  }
}
