import Cryptography
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import AuditLog

/// Logs of more than one batch, with tiles of level 1 that are full.
@Suite struct LargeLogTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }
  private static let count = 66_000

  init() throws { directory = try TemporaryDirectory() }

  private func makeLarge() throws {
    let writer = try openLog(log)
    for start in stride(from: 0, to: Self.count, by: 1500) {
      let drafts = (start..<start + 1500).map { round in
        var draft = AuditRecord.Draft(.roundCompleted)
        draft.round = round
        return draft
      }
      try writer.append(contentsOf: drafts, durable: false)
    }
    try writer.close()
  }

  @Test func everyPlaceIsNamed() throws {
    try makeLarge()
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == UInt64(Self.count))
    #expect(try names("\(log)/journal.d") == ["0000000000000000-0000000000065535"])

    func places(changing file: String, at place: Int) throws -> [String] {
      let path = "\(log)/\(file)"
      let original = try read(path)
      var bytes = original
      bytes[place] ^= 1
      try write(bytes, to: path)
      defer { try? write(original, to: path) }
      return try verify(log).failures.map(\.at)
    }
    #expect(try places(changing: "tile/0/170", at: 8191) == ["tile/0/170 byte 8191"])
    #expect(try places(changing: "tile/1/000", at: 33) == ["tile/1/000 byte 33"])
    #expect(try places(changing: "tile/1/001.p/1", at: 0) == ["tile/1/001.p/1 byte 0"])
    #expect(try places(changing: "tile/2/000.p/1", at: 31) == ["tile/2/000.p/1 byte 31"])
    #expect(try places(changing: "tile/entries/170", at: 5) == ["tile/entries/170 entry 43520 byte 2"])
    #expect(try places(changing: "tile/entries/257.p/208", at: 2) == ["tile/entries/257.p/208 entry 65792 byte 2"])
    // The journal's 40,000th line, in its last byte but one; what it breaks is itself, the chain, and the root.
    let segment = "journal.d/0000000000000000-0000000000065535"
    let lines = try read("\(log)/\(segment)").split(separator: 0x0A, omittingEmptySubsequences: false)
    let line = lines[40_000]
    let found = try places(changing: segment, at: line.endIndex - 4)
    #expect(found.contains("\(segment) entry 40000"))
    #expect(found.contains("\(segment) entry 40001 byte \(line.endIndex + 1)"))
    #expect(found.allSatisfy { $0.hasPrefix("\(segment) entry 4000") }, "\(found)")
  }

  @Test func missingAndSurplusFilesAreSummedUp() throws {
    try makeLarge()
    let manager = FileManager.default
    for index in 100..<150 { try manager.removeItem(atPath: "\(log)/tile/0/\(index)") }
    var report = try verify(log)
    #expect(report.failures.count == 21)
    #expect(report.failures.first?.at == "tile/0/100")
    #expect(report.failures.last?.detail == "and 30 more")
    for index in 100..<150 { try write([1], to: "\(log)/tile/0/\(index)") }
    report = try verify(log)
    #expect(report.failures.count == 21)
    #expect(report.failures.allSatisfy { $0.name == .tiles })
    for index in 300..<340 { try write([1], to: "\(log)/tile/entries/\(index)") }
    report = try verify(log)
    #expect(report.failures.filter { $0.name == .entryBundles }.count == 21)
    #expect(report.failures.contains { $0.at == "tile/entries/300" && $0.detail.hasPrefix("covers entries") })
  }

  @Test func tilesAreFoundAmongRunsOfThem() throws {
    try FileManager.default.createDirectory(atPath: "\(log)/tile/0", withIntermediateDirectories: true)
    let there: Set<UInt64> = [1, 2, 3, 5, 8, 9, 200]
    for index in there { try write([1], to: "\(log)/\(TileAddress(kind: .hashes(level: 0), index: index).path)") }
    let inventory = TileInventory(directory: log)
    #expect(Set((0..<300).filter { inventory.hasFull(.hashes(level: 0), $0) }) == there)
    #expect(!inventory.hasFull(.entries, 1))
  }

  @Test func checksSeeEveryAcceptedEntryOnceAndInOrder() throws {
    final class Seen: Sendable { let sequences = Mutex<[UInt64]>([]) }
    struct Check: EntryCheck {
      let seen: Seen
      mutating func observe(_ entry: borrowing EntryView) {
        let sequence = entry.sequence
        seen.sequences.withLock { $0.append(sequence) }
      }
      func conclude(in verification: inout LogVerification) {
        verification.note(.byteAccounting, .passed, detail: "seen")
      }
    }
    try makeLog(log, count: 10_000)
    let seen = Seen()
    var verification = LogVerification(directory: log)
    verification.checkCheckpoint(verifierKey: try Fixed.verifierKey())
    verification.entryChecks = [Check(seen: seen)]
    verification.checkEntries(nil)
    #expect(seen.sequences.withLock { $0 } == Array(0..<10_000))
    #expect(verification.report.result(.byteAccounting) == .passed)
    #expect(verification.report.verified)
  }
}
