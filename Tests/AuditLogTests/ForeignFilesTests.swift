import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// What the second verifier showed of ours; here it is not needed.
@Suite struct ForeignFilesTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }

  init() throws { directory = try TemporaryDirectory() }

  @Test("Tiles behind a symbolic link, or a file in their place, are not the log's")
  func linkedTiles() throws {
    try makeLog(log, count: 3)
    let elsewhere = try TemporaryDirectory()
    try FileManager.default.moveItem(atPath: "\(log)/tile", toPath: "\(elsewhere.path)/tile")
    try FileManager.default.createSymbolicLink(atPath: "\(log)/tile", withDestinationPath: "\(elsewhere.path)/tile")
    #expect(try verify(log).failures.contains { $0.name == .layout && $0.at == "tile" })
    try FileManager.default.removeItem(atPath: "\(log)/tile")
    try write([1], to: "\(log)/tile")
    #expect(try verify(log).failures.contains { $0.name == .layout && $0.at == "tile" })
    try FileManager.default.removeItem(atPath: "\(log)/tile")
    try FileManager.default.moveItem(atPath: "\(elsewhere.path)/tile", toPath: "\(log)/tile")
    #expect(try verify(log).verified)
  }

  @Test("Segments behind a symbolic link, or a file in their place, are not the log's")
  func linkedSegments() throws {
    let writer = try openSegmented(log)
    try writer.fill(300)
    try writer.close()
    let folder = "\(log)/journal.d"
    let elsewhere = try TemporaryDirectory()
    try FileManager.default.moveItem(atPath: folder, toPath: "\(elsewhere.path)/journal.d")
    try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: "\(elsewhere.path)/journal.d")
    #expect(try verify(log).failures.contains { $0.name == .journal && $0.at == "journal.d" })
    try FileManager.default.removeItem(atPath: folder)
    try FileManager.default.moveItem(atPath: "\(elsewhere.path)/journal.d", toPath: folder)
    #expect(try verify(log).verified)
    let plain = try TemporaryDirectory()
    try makeLog(plain.path, count: 3)
    try write([1], to: "\(plain.path)/journal.d")
    #expect(try verify(plain.path).failures.contains { $0.name == .journal && $0.at == "journal.d" })
  }

  @Test("Entries in another file than the one whose name says so")
  func misplacedEntries() throws {
    let writer = try openSegmented(log)
    try writer.fill(1000)
    try writer.close()
    let paths = try names("\(log)/journal.d").map { "\(log)/journal.d/\($0)" }
    func lines(_ path: String) throws -> [[UInt8]] { try read(path).split(separator: 0x0A).map { Array($0) } }
    func put(_ lines: some Sequence<[UInt8]>, _ path: String) throws {
      try write(lines.flatMap { $0 + [0x0A] }, to: path)
    }
    let (first, second, last) = (try lines(paths[0]), try lines(paths[1]), try lines(paths[2]))
    // One from the second to the first; the order of all entries stays.
    try put(first + second.prefix(1), paths[0])
    try put(second.dropFirst(), paths[1])
    #expect(try verify(log).failures.map(\.name) == [.journal])
    try put(first.dropLast(), paths[0])
    try put(first.suffix(1) + second, paths[1])
    #expect(try verify(log).failures.map(\.name) == [.journal])
    try put(first, paths[0])
    try put(second, paths[1])
    #expect(try verify(log).verified)
    // From the journal to the last segment.
    let active = try journalLines(log)
    try put(last + active.prefix(1), paths[2])
    try writeJournal(Array(active.dropFirst()), log)
    #expect(try verify(log).failures.map(\.name) == [.journal])
  }

  @Test("A cosignature of a kind that we do not know, as long as ML-DSA-44 makes it, leaves the others valid")
  func longSignatures() throws {
    try makeLog(log, count: 3)
    let line = "— somebody.example \(Base64.encode([UInt8](repeating: 7, count: 4 + 8 + 2420)))\n"
    try write(try read("\(log)/checkpoint") + Array(line.utf8), to: "\(log)/checkpoint")
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
  }

  @Test("One witness's key under two names, or twice, counts once")
  func witnessesCountOnce() throws {
    try makeLog(log, count: 3)
    let checkpoint = try #require(try TileDirectory(path: log).checkpoint())
    var cosigned = checkpoint
    let organizations = try ["witness9.example", "birch.example"].map { try OrganizationName($0) }
    for name in organizations {
      try cosigned.add(
        Cosignature(of: checkpoint.checkpoint, name: name, key: FixedWitness.key(), time: 1_772_357_401))
    }
    try TileDirectory(path: log).write(cosigned)
    let key = try FixedWitness.key().verifyingKey
    let names = organizations.map { NoteVerifierKey<WitnessKeyRole>(organization: $0, key: key) }
    for witnesses in [names, [names[0], names[0]]] {
      func verdict(_ quorum: Int) throws -> Bool {
        let policy = CosignerPolicy(witnesses: witnesses, quorum: quorum)
        return AuditVerifier.verify(logDirectory: log, verifierKey: try Fixed.verifierKey(), cosigners: policy).verified
      }
      #expect(try verdict(1))
      #expect(try !verdict(2))
      guard IndependentVerifier.interpreter != nil else { continue }
      let arguments = ["--key", try Fixed.verifierKey()] + witnesses.flatMap { ["--witness", $0.text] } + [log]
      #expect(try IndependentVerifier.verdicts(["--quorum", "1"] + arguments).map(\.verified) == [true])
      #expect(try IndependentVerifier.verdicts(["--quorum", "2"] + arguments).map(\.verified) == [false])
    }
  }
}
