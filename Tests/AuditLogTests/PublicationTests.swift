import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// Checkpoints that fall due while others append, or cannot be written.
@Suite struct PublicationTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }

  init() throws { directory = try TemporaryDirectory() }

  @Test func aLogThatCannotBeSignedDoesNotGrowWithoutEnd() throws {
    let writer = try openLog(log)
    // Where the tiles should go there is a file.
    try write([], to: "\(log)/tile")
    try writer.fill(Int(AuditLogWriter.maximumUnpublished))
    #expect(writer.publicationFailure != nil)
    #expect(writer.checkpoint == nil)
    for _ in 0..<3 {
      #expect(throws: AuditLogError.self) {
        _ = try writer.recordEgress(.init(.messageSent), message: try Fixed.label("m-1"), payload: [1])
      }
    }
    #expect(writer.size == AuditLogWriter.maximumUnpublished)
    #expect(try sequences(log).count == Int(AuditLogWriter.maximumUnpublished))

    try FileManager.default.removeItem(atPath: "\(log)/tile")
    _ = try writer.recordEgress(.init(.messageSent), message: try Fixed.label("m-1"), payload: [1])
    #expect(writer.publicationFailure == nil)
    #expect(writer.checkpoint?.checkpoint.size == AuditLogWriter.maximumUnpublished)
    try writer.close()
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == AuditLogWriter.maximumUnpublished + 1)
  }

  /// Event loops append without waiting for the disk, and tiles and checkpoints are several waits.
  @Test func whoDoesNotWaitForTheDiskDoesNotPublish() throws {
    let writer = try openLog(log)
    for _ in 0..<600 { try writer.append(.init(.connectionTraffic), durable: false, publishing: false) }
    #expect(writer.checkpoint == nil)
    #expect(try names(log) == ["journal"])
    try writer.fill(1)
    #expect(writer.checkpoint?.checkpoint.size == 512)
    try writer.close()
    #expect(try verify(log).verified)
  }

  /// What is prepared before the log is held must be the entry that the record itself would be.
  @Test func aPreparedEntryIsTheRecordsEntry() throws {
    let keeper = try OrganizationName("alder.example")
    let time = try #require(AuditTime("2026-03-01T09:30:00.500Z"))
    for event in AuditRecord.Event.allCases {
      var draft = AuditRecord.Draft(event)
      draft.run = "a \"quoted\" run"
      draft.task = "größer"
      draft.transcript = TranscriptDigest(hashing: [1])
      draft.actor = .init(service: "client")
      draft.pruned = .init(below: 9)
      for (sequence, previous) in [(UInt64(0), LeafHash?.none), (1 << 53 - 1, LeafHash(hashing: [2]))] {
        let record = AuditRecord(
          organization: keeper, sequence: sequence, previous: previous, time: time, content: draft)
        let prepared = try PreparedEntry(draft, organization: keeper)
        let entry = try prepared.entry(sequence: sequence, previous: previous, time: Array(time.description.utf8))
        #expect(try entry == record.entry())
      }
    }
    #expect(throws: AuditLogError.invalidField("sequence")) {
      try PreparedEntry(.init(.stopped), organization: keeper).entry(sequence: 1 << 53, previous: nil, time: [])
    }
  }
}
