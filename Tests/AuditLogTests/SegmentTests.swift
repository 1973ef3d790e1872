import Cryptography
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import AuditLog

/// Ends a rearrangement of files at one of its steps, once.
final class Interruption: Sendable {
  private let step: JournalStep
  private let state: Mutex<(rest: Int, isDone: Bool)>

  /// - Parameter after: how many times the step is let pass.
  init(_ step: JournalStep, after: Int = 0) {
    self.step = step
    state = Mutex((after, false))
  }

  var isDone: Bool { state.withLock { $0.isDone } }

  func reached(_ step: JournalStep) throws(AuditLogError) {
    guard step == self.step else { return }
    let stops = state.withLock { state in
      state.rest -= 1
      if state.rest < 0 { state.isDone = true }
      return state.isDone
    }
    // Nothing after it happens, as after a crash.
    if stops { throw .writerFailed }
  }
}

@Suite struct SegmentTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }
  private static let segments = (0..<3).map { JournalSegment(first: 256 * $0, last: 256 * $0 + 255)?.name ?? "" }

  init() throws { directory = try TemporaryDirectory() }

  private func makeSegmented(_ count: Int = 1000) throws {
    let writer = try openSegmented(log)
    try writer.fill(count)
    try writer.close()
  }

  /// Whoever only reads goes on after a missing segment, and says so.
  @Test func readersGoOnAfterAMissingSegment() throws {
    try makeSegmented()
    try FileManager.default.removeItem(atPath: "\(log)/journal.d/\(Self.segments[1])")
    let analysis = try LogAnalysis(directory: log, verification: try verify(log))
    #expect(analysis.entries == 744)
    #expect(analysis.unreadable == 1)
    #expect(analysis.defects.first?.contains("no segment with entry 256") == true)
    #expect(analysis.tie == .differs)
    var missing: [Range<UInt64>] = []
    var entries = 0
    try LogFollower(directory: log).poll { item in
      if case .missing(let from, let end) = item { missing.append(from..<end) }
      if case .entry = item { entries += 1 }
    }
    #expect(missing == [256..<512])
    #expect(entries == 744)
  }

  @Test(
    arguments: [(0, 0), (255, 0), (256, 256), (700, 512), (768, 768), (999, 768), (5000, 768)] as [(UInt64, UInt64)])
  func aReaderBeginsWithTheFileOfAnEntry(_ entry: UInt64, _ first: UInt64) throws {
    try makeSegmented()
    var reader = try AuditLogReader(directory: log, from: entry)
    #expect(reader.position == first)
    #expect(try reader.next()?.record.sequence == first)
    while try reader.next() != nil {}
    #expect(reader.position == 1000)
  }

  @Test func aKeeperIsKnownByWhatCanBeRead() throws {
    try makeSegmented(3)
    let name = try OrganizationName("alder.example")
    #expect(try AuditLogReader.keeper(of: log) == name)
    var bytes = try read("\(log)/journal")
    bytes[0] = UInt8(ascii: "[")
    try write(bytes, to: "\(log)/journal")
    #expect(try AuditLogReader.keeper(of: log) == name)
    try FileManager.default.removeItem(atPath: "\(log)/journal")
    #expect(try AuditLogReader.keeper(of: log) == name)
    try FileManager.default.removeItem(atPath: "\(log)/checkpoint")
    #expect(try AuditLogReader.keeper(of: log) == nil)
  }

  @Test func whatIsSignedMovesToSegments() throws {
    try makeSegmented()
    #expect(Self.segments[1] == "0000000000000256-0000000000000511")
    #expect(try names("\(log)/journal.d") == Self.segments)
    #expect(try journalLines(log).count == 232)
    #expect(try sequences(log) == Array(0..<1000))
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == 1000)
    #expect(report.pruned == 0)
    let mode = try FileManager.default.attributesOfItem(atPath: "\(log)/journal.d/\(Self.segments[0])")
    #expect(mode[.posixPermissions] as? Int == 0o600)

    let again = try openSegmented(log)
    #expect(again.size == 1000)
    try again.fill(100)
    try again.close()
    #expect(try names("\(log)/journal.d").count == 4)
    #expect(try sequences(log) == Array(0..<1100))
    #expect(try verify(log).verified)
  }

  @Test func aLogInOneFileOpensAndRollsOver() throws {
    try makeLog(log, count: 700)
    let before = try read("\(log)/journal")
    let writer = try openSegmented(log)
    #expect(writer.size == 700)
    try writer.fill(1)
    try writer.close()
    #expect(try names("\(log)/journal.d") == Array(Self.segments[..<2]))
    var joined: [UInt8] = []
    for name in Self.segments[..<2] { joined += try read("\(log)/journal.d/\(name)") }
    joined += try read("\(log)/journal")
    #expect(Array(joined.prefix(before.count)) == before)
    #expect(try verify(log).verified)
    #expect(try sequences(log) == Array(0..<701))
  }

  @Test func anEmptyActiveJournalGoesOn() throws {
    try makeSegmented(512)
    #expect(try read("\(log)/journal").isEmpty)
    #expect(try verify(log).verified)
    let writer = try openSegmented(log)
    #expect(writer.size == 512)
    try writer.fill(3)
    try writer.close()
    #expect(try verify(log).verified)
    #expect(try sequences(log) == Array(0..<515))
  }

  /// Opening reads only what is not sealed, so it cannot see this; verifying does, to the byte.
  @Test func everyChangedByteOfASegmentIsNoticedByVerifying() throws {
    try makeSegmented()
    let path = "\(log)/journal.d/\(Self.segments[1])"
    let original = try read(path)
    let line = try #require(original.firstIndex(of: 0x0A))
    for place in Array(0...line) + [original.count - 1] {
      var bytes = original
      bytes[place] ^= 1
      try write(bytes, to: path)
      let places = try verify(log).failures.map(\.at)
      #expect(
        !places.isEmpty && places.allSatisfy { $0.isEmpty || $0.hasPrefix("journal") }, "byte \(place): \(places)")
      #expect(places.contains { $0.hasPrefix("journal.d/\(Self.segments[1]) entry") }, "byte \(place): \(places)")
    }
    for changed in [Array(original.dropLast()), original + [0x61], Array(original[(line + 1)...]), []] {
      try write(changed, to: path)
      #expect(try !verify(log).verified)
    }
    try write(original, to: path)
    let writer = try openSegmented(log)
    try writer.close()
    #expect(try verify(log).verified)
  }

  @Test func aMissingSegmentIsRefusedAndNamed() throws {
    try makeSegmented()
    for (place, name) in Self.segments.enumerated() {
      let path = "\(log)/journal.d/\(name)"
      let original = try read(path)
      try FileManager.default.removeItem(atPath: path)
      let error = #expect(throws: AuditLogError.self) { try openSegmented(log) }
      switch place {
      case 2: #expect(error == .rolledBack(path: "\(log)/journal", entries: 744, checkpoint: 1000))
      default: #expect(error == .segmentMissing(path: "\(log)/journal.d", sequence: UInt64(256 * place)))
      }
      let report = try verify(log)
      #expect(!report.verified)
      #expect(report.failures.contains { $0.at.contains("entry \(256 * place)") || $0.at.contains("entry 0") })
      try write(original, to: path)
    }
    try write([1], to: "\(log)/journal.d/note")
    #expect(try verify(log).failures.map(\.at) == ["journal.d/note"])
  }

  @Test func anAlteredOrCutActiveJournalIsRefused() throws {
    try makeSegmented()
    let lines = try journalLines(log)
    try writeJournal(Array(lines.dropLast()), log)
    #expect(throws: AuditLogError.rolledBack(path: "\(log)/journal", entries: 999, checkpoint: 1000)) {
      try openSegmented(log)
    }
    var changed = lines
    changed.swapAt(3, 4)
    try writeJournal(changed, log)
    #expect(throws: AuditLogError.journalAltered(path: "\(log)/journal", checkpoint: 1000)) { try openSegmented(log) }
    try writeJournal(lines, log)
    try openSegmented(log).close()
  }

  @Test func damagedTilesMakeOpeningReadTheWholeJournal() throws {
    try makeSegmented()
    for tile in ["tile/1/000.p/3", "tile/0/002"] {
      let path = "\(log)/\(tile)"
      let original = try read(path)
      var bytes = original
      bytes[40] ^= 1
      for changed in [bytes, Array(original.dropLast()), nil] {
        if let changed { try write(changed, to: path) } else { try FileManager.default.removeItem(atPath: path) }
        let writer = try openSegmented(log)
        #expect(writer.size == 1000)
        writer.journal.unlock()
      }
      try write(original, to: path)
    }
    #expect(try verify(log).verified)
  }

  @Test(arguments: [
    JournalStep.segmentWritten, .segmentRenamed, .segmentsSealed, .restWritten, .restRenamed,
  ])
  func aCrashWhileSealingLosesNothing(step: JournalStep) throws {
    // Of one full segment, and of a log in one file that makes two.
    for (before, segments) in [(0, 1), (700, 2)] {
      try? FileManager.default.removeItem(atPath: log)
      if before > 0 { try makeLog(log, count: before) }
      for after in 0..<(step == .restWritten || step == .restRenamed ? 1 : segments) {
        let interruption = Interruption(step, after: after)
        let writer = try openSegmented(log, step: { (step) throws(AuditLogError) in try interruption.reached(step) })
        while !interruption.isDone {
          do { try writer.fill(1) } catch AuditLogError.writerFailed { break }
        }
        let size = writer.size
        writer.journal.unlock()
        let report = try verify(log)
        #expect(report.verified, "\(step): \(report.failures)")
        #expect(try sequences(log) == Array(0..<size), "\(step)")
        let next = try openSegmented(log)
        #expect(next.size == size)
        #expect(try sequences(log) == Array(0..<size), "\(step)")
        try next.fill(300)
        try next.close()
        let last = try verify(log)
        #expect(last.verified, "\(step): \(last.failures)")
        #expect(try sequences(log) == Array(0..<size + 300), "\(step)")
      }
    }
  }

  @Test func aSegmentThatIsNotWhatTheJournalRepeatsIsNotDropped() throws {
    let interruption = Interruption(.restWritten)
    let writer = try openSegmented(log, step: { (step) throws(AuditLogError) in try interruption.reached(step) })
    while !interruption.isDone { _ = try? writer.fill(1) }
    writer.journal.unlock()
    let path = "\(log)/journal.d/\(Self.segments[0])"
    var bytes = try read(path)
    bytes[10] ^= 1
    try write(bytes, to: path)
    let journal = try read("\(log)/journal")
    #expect(throws: AuditLogError.self) { try openSegmented(log) }
    #expect(try read("\(log)/journal") == journal)
  }

  @Test func manyWritersSealAsTheyGo() async throws {
    let writer = try openSegmented(log)
    let log = log
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask { try writer.fill(400, durable: task.isMultiple(of: 2)) }
      }
      // Others read meanwhile, and never see a gap.
      group.addTask {
        for _ in 0..<10 {
          var reader = try AuditLogReader(directory: log)
          var expected: UInt64 = 0
          while let entry = try reader.next() {
            guard entry.record.sequence == expected else {
              throw TestFailure("\(entry.record.sequence), not \(expected)")
            }
            expected += 1
          }
        }
      }
      try await group.waitForAll()
    }
    try writer.close()
    #expect(try names("\(log)/journal.d").count == 12)
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(try sequences(log) == Array(0..<3200))
  }

  /// Else a program that is started later could write to the journal, and would keep the log locked.
  @Test func theJournalIsNotInheritedAfterSealing() throws {
    let writer = try openSegmented(log)
    #expect(fcntl(writer.journal.descriptor, F_GETFD) & FD_CLOEXEC != 0)
    try writer.fill(300)
    try writer.publish()
    #expect(try names("\(log)/journal.d").count == 1)
    #expect(fcntl(writer.journal.descriptor, F_GETFD) & FD_CLOEXEC != 0)
    try writer.close()
  }
}
