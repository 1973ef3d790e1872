import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// A log is followed over everything that its writer, or somebody else, can do to its files.
@Suite struct LogFollowerTests {
  private final class Place {
    let directory: TemporaryDirectory
    let lines: [[UInt8]]

    /// The lines of a log of `count` entries, and a directory to lay them in.
    init(_ count: Int) throws {
      directory = try TemporaryDirectory()
      let made = try TemporaryDirectory()
      try makeLog("\(made.path)/log", count: count)
      lines = try journalLines("\(made.path)/log")
    }

    var journal: String { "\(directory.path)/journal" }

    func write(_ range: Range<Int>, torn: Int = 0) throws {
      var bytes = Self.joined(lines[range])
      if torn > 0 { bytes += lines[range.upperBound].prefix(torn) }
      try AuditLogTests.write(bytes, to: journal)
    }

    func append(_ bytes: [UInt8]) throws {
      let handle = try #require(FileHandle(forWritingAtPath: journal))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data(bytes))
      try handle.close()
    }

    func append(_ range: Range<Int>) throws { try append(Self.joined(lines[range])) }

    static func joined(_ lines: some Collection<[UInt8]>) -> [UInt8] { lines.flatMap { $0 + [0x0A] } }

    func roll(to name: String) throws {
      try FileManager.default.moveItem(atPath: journal, toPath: "\(directory.path)/\(name)")
    }
  }

  private static func poll(_ follower: LogFollower) throws -> [String] {
    var items: [String] = []
    try follower.poll { item in
      switch item {
      case .entry(let entry): items.append("\(entry.record.sequence)")
      case .unreadable: items.append("unreadable")
      case .broken(let sequence): items.append("broken \(sequence)")
      case .missing(let from, let end): items.append("missing \(from)..<\(end)")
      case .shortened: items.append("shortened")
      }
    }
    return items
  }

  @Test func givesWhatIsThereAndThenWhatComes() throws {
    let place = try Place(6)
    try place.write(0..<2)
    let follower = LogFollower(directory: place.directory.path)
    #expect(try Self.poll(follower) == ["0", "1"])
    #expect(try Self.poll(follower) == [])
    try place.append(2..<5)
    #expect(try Self.poll(follower) == ["2", "3", "4"])
    try place.append(5..<6)
    #expect(try Self.poll(follower) == ["5"])
  }

  @Test func goesOnWhenTheJournalIsSealedAndANewOneBegins() throws {
    let place = try Place(8)
    try place.write(0..<3)
    let follower = LogFollower(directory: place.directory.path)
    #expect(try Self.poll(follower) == ["0", "1", "2"])
    // What was appended just before the sealing is not lost, and the moment without a journal is none of concern.
    try place.append(3..<4)
    try place.roll(to: "sealed-0")
    #expect(try Self.poll(follower) == ["3"])
    #expect(try Self.poll(follower) == [])
    try place.write(4..<6)
    #expect(try Self.poll(follower) == ["4", "5"])
    try place.append(6..<8)
    #expect(try Self.poll(follower) == ["6", "7"])
  }

  @Test func goesOnWhenBothHappenBetweenTwoLooks() throws {
    let place = try Place(6)
    try place.write(0..<2)
    let follower = LogFollower(directory: place.directory.path)
    _ = try Self.poll(follower)
    try place.append(2..<3)
    try place.roll(to: "sealed-0")
    try place.write(3..<5)
    #expect(try Self.poll(follower) == ["2", "3", "4"])
  }

  @Test func tellsEntriesThatAreNowhere() throws {
    let place = try Place(8)
    try place.write(0..<2)
    let follower = LogFollower(directory: place.directory.path)
    _ = try Self.poll(follower)
    try FileManager.default.removeItem(atPath: place.journal)
    try place.write(5..<7)
    #expect(try Self.poll(follower) == ["missing 2..<5", "5", "6"])
  }

  @Test func waitsForTheEndOfATornLine() throws {
    let place = try Place(4)
    try place.write(0..<2, torn: 40)
    let follower = LogFollower(directory: place.directory.path)
    #expect(try Self.poll(follower) == ["0", "1"])
    try place.append(Array(place.lines[2].dropFirst(40)) + [0x0A])
    #expect(try Self.poll(follower) == ["2"])
  }

  /// A writer that could not finish a line takes it back; what it writes then is another line.
  @Test func aTornLineThatIsTakenBackIsNotJoinedToTheNext() throws {
    let place = try Place(4)
    try place.write(0..<2, torn: 70)
    let follower = LogFollower(directory: place.directory.path)
    #expect(try Self.poll(follower) == ["0", "1"])
    let handle = try #require(FileHandle(forWritingAtPath: place.journal))
    try handle.truncate(atOffset: UInt64(place.lines[0].count + place.lines[1].count + 2))
    try handle.close()
    #expect(try Self.poll(follower) == [])
    try place.append(2..<4)
    #expect(try Self.poll(follower) == ["2", "3"])
  }

  @Test func noticesThatEntriesWereRemoved() throws {
    let place = try Place(4)
    try place.write(0..<3)
    let follower = LogFollower(directory: place.directory.path)
    _ = try Self.poll(follower)
    let handle = try #require(FileHandle(forWritingAtPath: place.journal))
    try handle.truncate(atOffset: UInt64(place.lines[0].count + 1))
    try handle.close()
    #expect(try Self.poll(follower) == ["shortened"])
  }

  @Test func noticesAnotherHistory() throws {
    let place = try Place(4)
    let other = try TemporaryDirectory()
    try makeLog("\(other.path)/log", count: 5, tag: "other")
    let forged = try journalLines("\(other.path)/log")
    try place.write(0..<3)
    let follower = LogFollower(directory: place.directory.path)
    _ = try Self.poll(follower)
    try FileManager.default.removeItem(atPath: place.journal)
    try write(Place.joined(forged), to: place.journal)
    #expect(try Self.poll(follower) == ["broken 2", "broken 3", "3", "4"])
  }

  @Test func goesOnAfterALineThatIsNoEntry() throws {
    let place = try Place(5)
    try place.write(0..<1)
    let follower = LogFollower(directory: place.directory.path)
    _ = try Self.poll(follower)
    try place.append(Array("nonsense\n".utf8))
    try place.append([UInt8](repeating: 0x41, count: 300_000) + [0x0A])
    try place.append(3..<5)
    #expect(try Self.poll(follower) == ["unreadable", "unreadable", "3", "4"])
  }

  @Test func thereMustBeALog() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: AuditLogError.self) { try Self.poll(LogFollower(directory: directory.path)) }
  }
}

@Suite struct LogAnalysisTests {
  @Test func tiesItsFiguresToTheSignedRoot() throws {
    let directory = try TemporaryDirectory()
    try makeLog(directory.path, count: 300)
    let report = try verify(directory.path)
    let analysis = try LogAnalysis(directory: directory.path, verification: report)
    #expect(analysis.tie == .same)
    #expect(analysis.entries == 300)
    #expect(analysis.figures.records.count == 300)

    // The same log with one entry more than was signed, as while it is written.
    var filter = AuditFilter()
    filter.round = 7
    let selected = try LogAnalysis(directory: directory.path, filter: filter, verification: report)
    #expect(selected.tie == .same)
    #expect(selected.figures.records.count == 1)
    #expect(selected.entries == 300)
  }

  /// Entries that change between the verification and the reading are noticed.
  @Test func noticesEntriesThatAreNotTheVerifiedOnes() throws {
    let directory = try TemporaryDirectory()
    try makeLog(directory.path, count: 20)
    let report = try verify(directory.path)
    #expect(report.verified)
    let other = try TemporaryDirectory()
    try makeLog(other.path, count: 20, tag: "other")
    try writeJournal(try journalLines(other.path), directory.path)
    #expect(try LogAnalysis(directory: directory.path, verification: report).tie == .differs)
    try writeJournal(Array(try journalLines(other.path).prefix(10)), directory.path)
    #expect(try LogAnalysis(directory: directory.path, verification: report).tie == .differs)
  }

  @Test func withoutASignatureNothingIsTied() throws {
    let directory = try TemporaryDirectory()
    try makeLog(directory.path, count: 3)
    let unsigned = AuditVerifier.verify(logDirectory: directory.path, verifierKey: nil, cosigners: nil)
    guard case .notChecked = try LogAnalysis(directory: directory.path, verification: unsigned).tie else {
      Issue.record("tied to a root that nobody signed")
      return
    }
  }

  @Test func countsLinesThatAreNoEntries() throws {
    let directory = try TemporaryDirectory()
    try makeLog(directory.path, count: 5)
    var lines = try journalLines(directory.path)
    lines[2] = Array("{}".utf8)
    try writeJournal(lines, directory.path)
    let analysis = try LogAnalysis(directory: directory.path, verification: try verify(directory.path))
    #expect(analysis.unreadable == 1)
    #expect(analysis.figures.records.count == 4)
    #expect(analysis.tie == .differs)
  }
}
