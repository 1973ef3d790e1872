import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

/// What a crash, or someone with access to the disk, can leave behind.
@Suite struct RecoveryTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }
  private var journal: String { "\(log)/journal" }

  init() throws { directory = try TemporaryDirectory() }

  @Test func aTornLastLineIsCutOffAtEveryLength() throws {
    try makeLog(log, count: 2)
    let whole = try read(journal)
    let writer = try openLog(log)
    try writer.append(.init(.runEnded))
    try writer.synchronize()
    let line = Array(try read(journal).dropFirst(whole.count))
    try writer.close()
    // The checkpoint of before, as if the crash had come before the publication.
    try FileManager.default.removeItem(atPath: log)
    try makeLog(log, count: 2)
    for length in 1..<line.count {
      try write(whole + line.prefix(length), to: journal)
      let torn = try verify(log)
      #expect(torn.verified)
      #expect(torn.result(.unsignedTail) == .notChecked)
      let recovered = try openLog(log)
      #expect(recovered.size == 2, "\(length) bytes")
      #expect(try read(journal) == whole)
    }
    // Whole but for the checkpoint: kept, and the log goes on after it.
    try write(whole + line, to: journal)
    let recovered = try openLog(log)
    #expect(recovered.size == 3)
    try recovered.append(.init(.serviceStarted))
    try recovered.close()
    #expect(try verify(log).verified)
  }

  @Test func aTornFirstLineLeavesAnEmptyLog() throws {
    try write(Array(#"{"event":"#.utf8), to: journal)
    let writer = try openLog(log)
    #expect(writer.size == 0)
    try writer.close()
    #expect(try verify(log).verified)
    #expect(try verify(log).size == 0)
  }

  @Test func entriesRemovedUnderTheCheckpointAreNoticed() throws {
    try makeLog(log, count: 5)
    let lines = try journalLines(log)
    for kept in 0..<5 {
      try writeJournal(Array(lines.prefix(kept)), log)
      let expected = AuditLogError.rolledBack(path: journal, entries: UInt64(kept), checkpoint: 5)
      #expect(throws: expected) { try openLog(log) }
    }
    try FileManager.default.removeItem(atPath: journal)
    #expect(throws: AuditLogError.rolledBack(path: journal, entries: 0, checkpoint: 5)) { try openLog(log) }
  }

  @Test func aLineTornUnderTheCheckpointIsNotCutOff() throws {
    try makeLog(log, count: 3)
    let cut = Array(try read(journal).dropLast(10))
    try write(cut, to: journal)
    #expect(throws: AuditLogError.rolledBack(path: journal, entries: 2, checkpoint: 3)) { try openLog(log) }
    #expect(try read(journal) == cut)
  }

  @Test func entriesAlteredUnderTheCheckpointAreNoticed() throws {
    try makeLog(log, count: 3)
    let lines = try journalLines(log)
    for altered in [[lines[1], lines[0], lines[2]], [lines[0], lines[0], lines[2]], [lines[0], lines[1], lines[1]]] {
      try writeJournal(altered, log)
      #expect(throws: AuditLogError.journalAltered(path: journal, checkpoint: 3)) { try openLog(log) }
    }
  }

  @Test func theUnsignedTailMustContinueTheLog() throws {
    try makeLog(log, count: 2)
    let writer = try openLog(log)
    try writer.append(.init(.runStarted))
    try writer.append(.init(.runEnded))
    try writer.append(.init(.serviceStopped))
    try writer.synchronize()
    let lines = try journalLines(log)
    let checkpoint = try read("\(log)/checkpoint")
    try writer.close()
    try write(checkpoint, to: "\(log)/checkpoint")

    func defect(_ lines: [[UInt8]]) throws -> AuditLogError.EntryDefect? {
      try writeJournal(lines, log)
      do {
        _ = try AuditLogWriter(
          directory: log, organization: try OrganizationName("alder.example"), logKey: try Fixed.key())
        return nil
      } catch AuditLogError.malformedEntry(let defect, _, _, _) { return defect }
    }
    #expect(try defect(lines) == nil)
    #expect(try defect([lines[0], lines[1], lines[3], lines[4]]) == .sequence(found: 3))
    #expect(try defect([lines[0], lines[1], lines[2], lines[2], lines[3]]) == .sequence(found: 2))
    let altered = Array(
      String(decoding: lines[2], as: UTF8.self).replacingOccurrences(of: "Started", with: "Ended").utf8)
    #expect(try defect([lines[0], lines[1], altered, lines[3]]) == .previous)
    #expect(try defect([lines[0], lines[1], lines[2], Array("not an entry".utf8)]) == .notCanonical)
    #expect(try defect([lines[0], lines[1], [UInt8](repeating: 0x61, count: 70_000)]) == .tooLong)
  }

  @Test func anotherKeyOrOrganizationIsRefused() throws {
    try makeLog(log, count: 2)
    #expect(throws: AuditLogError.foreignCheckpoint(path: "\(log)/checkpoint")) { try openLog(log, seed: 2) }
    let birch = try OrganizationName("birch.example")
    #expect(throws: AuditLogError.foreignOrganization(path: "\(log)/checkpoint", expected: birch)) {
      try openLog(log, name: "birch.example")
    }
    try FileManager.default.removeItem(atPath: "\(log)/checkpoint")
    #expect(
      throws: AuditLogError.malformedEntry(.organization, path: journal, sequence: 0, byte: 0)
    ) { try openLog(log, name: "birch.example") }
  }

  @Test func anUnreadableCheckpointIsAnError() throws {
    try makeLog(log, count: 2)
    try write(Array("nonsense".utf8), to: "\(log)/checkpoint")
    #expect(throws: AuditLogError.storage(.malformedNote(.signatureLine))) { try openLog(log) }
  }

  @Test func tilesOfAnInterruptedPublicationAreWrittenAgain() throws {
    let writer = try openLog(log)
    for _ in 0..<255 { try writer.append(.init(.connectionClosed), durable: false) }
    try writer.publish()
    let checkpoint = try read("\(log)/checkpoint")
    for _ in 0..<10 { try writer.append(.init(.connectionClosed), durable: false) }
    try writer.close()
    // The new checkpoint never came, and one of the new tiles was still under its temporary name.
    try write(checkpoint, to: "\(log)/checkpoint")
    let manager = FileManager.default
    try manager.moveItem(atPath: "\(log)/tile/0/000", toPath: "\(log)/tile/0/000.tmp")
    try manager.createDirectory(atPath: "\(log)/tile/0/000.p", withIntermediateDirectories: false)
    let short = Array(try read("\(log)/tile/0/000.tmp").dropLast(32))
    try write(short, to: "\(log)/tile/0/000.p/255")
    let interrupted = try verify(log)
    #expect(interrupted.verified, "\(interrupted.failures)")
    #expect(interrupted.unsignedTail == 10)
    let again = try openLog(log)
    try again.close()
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == 265)
    #expect(manager.fileExists(atPath: "\(log)/tile/0/000"))
  }
}
