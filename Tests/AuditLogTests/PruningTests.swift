import Cryptography
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import AuditLog

@Suite struct PruningTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }

  init() throws { directory = try TemporaryDirectory() }

  /// 1,000 entries in segments of 256, a minute apart.
  private func makeSegmented() throws {
    let minutes = Mutex(0.0)
    let writer = try openSegmented(
      log,
      clock: {
        minutes.withLock { minutes in
          minutes += 1
          return Date(timeIntervalSince1970: 1_772_357_400 + 60 * (minutes - 1))
        }
      })
    try writer.fill(1000)
    try writer.close()
  }

  private func prune(below sequence: UInt64) throws -> PrunedEntries? {
    let writer = try openSegmented(log)
    var draft = AuditRecord.Draft(.stopped)
    draft.reason = "six years are over"
    let pruned = try writer.prune(below: sequence, recording: draft)
    try writer.close()
    return pruned
  }

  @Test func nothingBeyondALimitGoes() throws {
    try makeSegmented()
    let writer = try openSegmented(log)
    let later = try #require(AuditTime("2030-01-01T00:00:00.000Z"))
    #expect(try writer.prunable(before: later) == 0..<768)
    #expect(try writer.prunable(before: later, upTo: 700) == 0..<512)
    #expect(try writer.prunable(before: later, upTo: 255) == nil)
    #expect(try writer.prune(before: later, upTo: 255) == nil)
    #expect(writer.size == 1000)
    let pruned = try #require(try writer.prune(before: later, upTo: 700))
    #expect(pruned.below == 512 && pruned.count == 512)
    #expect(try writer.prunable(before: later) == 512..<768)
    try writer.close()
    #expect(try verify(log).verified)
  }

  @Test func whatIsPrunedGoesAndItsHashesStay() throws {
    try makeSegmented()
    let tiles = TileDirectory(path: log)
    let old = try #require(try tiles.checkpoint()).checkpoint
    let proof = try #require(try TileReader(directory: tiles, size: old.size).inclusionProof(index: 17))
    let entry = try TileReader(directory: tiles, size: old.size).entry(at: 17)

    #expect(try prune(below: 255) == nil)
    let pruned = try #require(try prune(below: 600))
    #expect(pruned.below == 512)
    #expect(pruned.count == 512)
    #expect(pruned.record.sequence == 1000)
    #expect(try names("\(log)/journal.d") == ["0000000000000512-0000000000000767", "pruned"])
    #expect(try names("\(log)/tile/entries") == ["002", "003.p"])
    #expect(try sequences(log) == Array(512...1000))
    #expect(try AuditLogReader(directory: log).firstSequence == 512)

    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == 1001)
    #expect(report.pruned == 512)
    guard case .object(let members) = report.json else { throw TestFailure("no object") }
    #expect(members["pruned"] == .integer(512))
    // Old and new proofs hold, and both checkpoints are of one tree.
    let new = try #require(try tiles.checkpoint()).checkpoint
    let reader = TileReader(directory: tiles, size: new.size)
    #expect(proof.verifies(leaf: MerkleHashing.leaf(entry), root: old.root))
    let again = try #require(try reader.inclusionProof(index: 17))
    #expect(again.verifies(leaf: MerkleHashing.leaf(entry), root: new.root))
    let consistency = try #require(try reader.consistencyProof(from: old.size))
    #expect(consistency.verifies(oldRoot: old.root, newRoot: new.root))
    #expect(throws: TransparencyLogError.self) { try reader.entry(at: 17) }

    var last: AuditRecord?
    var records = try AuditLogReader(directory: log)
    while let entry = try records.next() { last = entry.record }
    #expect(last?.event == .entriesPruned)
    #expect(last?.pruned == .init(below: 512))
    #expect(last?.reason == "six years are over")
  }

  @Test func aPrunedLogGoesOnAndIsPrunedAgain() throws {
    try makeSegmented()
    _ = try prune(below: 300)
    #expect(try verify(log).pruned == 256)
    let writer = try openSegmented(log)
    #expect(writer.size == 1001)
    try writer.fill(600)
    try writer.close()
    // The record that said so goes as well; the new one says more.
    let pruned = try #require(try prune(below: 2000))
    #expect(pruned.below == 1536)
    #expect(pruned.count == 1280)
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.pruned == 1536)
    #expect(try names("\(log)/journal.d") == ["pruned"])
    #expect(try sequences(log) == Array(1536...1601))
    try openSegmented(log).close()
  }

  @Test func entriesGoByTheirAge() throws {
    try makeSegmented()
    let writer = try openSegmented(log)
    func time(_ entry: Int64) throws -> AuditTime {
      try #require(AuditTime(milliseconds: 1_772_357_400_000 + 60_000 * entry))
    }
    #expect(try writer.prune(before: try time(255)) == nil)
    #expect(try writer.prune(before: try time(512))?.below == 512)
    #expect(try writer.prune(before: try time(512)) == nil)
    try writer.close()
    #expect(try verify(log).verified)
  }

  @Test func aGapWithoutARecordFails() throws {
    try makeSegmented()
    let manager = FileManager.default
    try manager.removeItem(atPath: "\(log)/journal.d/0000000000000000-0000000000000255")
    try manager.removeItem(atPath: "\(log)/tile/entries/000")
    func expectRefused(_ what: String) throws {
      let report = try verify(log)
      #expect(!report.verified, "\(what)")
      #expect(report.pruned == 0)
      #expect(report.result(.journal) == .failed, "\(what)")
      #expect(report.failures.contains { $0.at == "tile/entries/000" }, "\(what): \(report.failures)")
      #expect(throws: AuditLogError.segmentMissing(path: "\(log)/journal.d", sequence: 0), "\(what)") {
        try openSegmented(log)
      }
    }
    try expectRefused("nothing says so")
    try write(PrunedMarker(below: 256, record: 900).bytes, to: "\(log)/journal.d/pruned")
    try expectRefused("the marker names another record")
    try write(PrunedMarker(below: 256, record: 5000).bytes, to: "\(log)/journal.d/pruned")
    try expectRefused("the marker names no record")
  }

  @Test func aRecordThatIsNotSignedExcusesNothing() throws {
    try makeSegmented()
    let checkpoint = try read("\(log)/checkpoint")
    let pruned = try #require(try prune(below: 256))
    #expect(try verify(log).verified)
    try write(checkpoint, to: "\(log)/checkpoint")
    let report = try verify(log)
    #expect(!report.verified)
    #expect(report.result(.journal) == .failed)
    #expect(pruned.record.sequence == 1000)
  }

  @Test func prunedEntriesAreCheckedByTheirHashes() throws {
    try makeSegmented()
    _ = try prune(below: 256)
    let path = "\(log)/tile/0/000"
    let original = try read(path)
    for place in [0, 31, 8191] {
      var bytes = original
      bytes[place] ^= 1
      try write(bytes, to: path)
      let report = try verify(log)
      #expect(!report.verified)
      #expect(report.result(.root) == .failed)
    }
    try FileManager.default.removeItem(atPath: path)
    #expect(try !verify(log).verified)
    try write(original, to: path)
    #expect(try verify(log).verified)
  }

  @Test(arguments: [JournalStep.markerWritten, .bundleRemoved, .segmentRemoved], [0, 1])
  func aCrashWhilePruningIsFinishedAtTheNextOpening(step: JournalStep, after: Int) throws {
    if step == .markerWritten, after > 0 { return }
    try makeSegmented()
    let interruption = Interruption(step, after: after)
    let writer = try openSegmented(log, step: { (step) throws(AuditLogError) in try interruption.reached(step) })
    #expect(throws: AuditLogError.writerFailed) { try writer.prune(below: 512) }
    #expect(interruption.isDone)
    writer.journal.unlock()
    let between = try verify(log)
    #expect(between.verified, "\(between.failures)")
    let next = try openSegmented(log)
    #expect(next.size == 1001)
    try next.close()
    #expect(try names("\(log)/journal.d") == ["0000000000000512-0000000000000767", "pruned"])
    #expect(try names("\(log)/tile/entries") == ["002", "003.p"])
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.pruned == 512)
  }

  @Test func reconciliationDoesNotMissWhatIsPruned() throws {
    try makeSegmented()
    _ = try prune(below: 512)
    let hub = "\(directory.path)-hub"
    defer { try? FileManager.default.removeItem(atPath: hub) }
    let ingress = try openLog(hub, name: "hub.example", seed: 9)
    try ingress.append(.init(.serviceStarted))
    try ingress.close()
    #expect(try AuditReconciliation.reconcile(egress: [log], ingress: hub).differences == [])
    try FileManager.default.removeItem(atPath: "\(log)/journal.d/0000000000000512-0000000000000767")
    let report = try AuditReconciliation.reconcile(egress: [log], ingress: hub)
    #expect(report.differences.map(\.kind) == [.sequenceGap])
  }

  /// Whoever comes last, the log can be opened again.
  @Test func prunersSideBySideLeaveALogThatOpens() throws {
    for _ in 0..<8 {
      let directory = try TemporaryDirectory()
      let writer = try openSegmented(directory.path)
      try writer.fill(1100)
      try writer.publish()
      DispatchQueue.concurrentPerform(iterations: 4) { number in
        _ = try? writer.prune(below: UInt64(256 * (4 - number)))
      }
      try writer.close()
      let again = try openSegmented(directory.path)
      try again.close()
      #expect(try verify(directory.path).verified)
    }
  }
}
