import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

@Suite struct VerificationTests {
  private let directory: TemporaryDirectory
  private var log: String { directory.path }

  init() throws { directory = try TemporaryDirectory() }

  /// Every file under the log with the name by which a report should call it.
  private func files() throws -> [(path: String, name: String)] {
    let enumerator = try #require(FileManager.default.enumerator(atPath: log))
    return enumerator.compactMap { item in
      guard let name = item as? String else { return nil }
      var isDirectory: ObjCBool = false
      let path = "\(log)/\(name)"
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
        return nil
      }
      return (path, name)
    }
  }

  @Test func anIntactLogVerifies() throws {
    try makeLog(log, count: 5)
    let report = try verify(log)
    #expect(report.verified)
    #expect(report.failures.isEmpty)
    #expect(report.origin == "alder.example")
    #expect(report.size == 5)
    #expect(report.unsignedTail == 0)
    #expect(Set(report.checks.map(\.name)) == Set(VerificationReport.CheckName.allCases))
    #expect(report.result(.byteAccounting) == .notChecked)
  }

  @Test func everyChangedByteIsNoticedAndItsFileNamed() throws {
    try makeLog(log, count: 3)
    let files = try files()
    #expect(files.map(\.name).sorted() == ["checkpoint", "journal", "tile/0/000.p/3", "tile/entries/000.p/3"])
    for (path, name) in files {
      let original = try read(path)
      for place in original.indices {
        var bytes = original
        bytes[place] ^= 1
        try write(bytes, to: path)
        let report = try verify(log)
        #expect(!report.verified, "\(name) byte \(place)")
        let places = report.failures.map(\.at)
        #expect(!places.isEmpty && places.allSatisfy { $0.hasPrefix(name) }, "\(name) byte \(place): \(places)")
      }
      try write(original, to: path)
    }
    #expect(try verify(log).verified)
  }

  @Test func everyChangedByteOfUpperTilesIsNoticed() throws {
    try makeLog(log, count: 257)
    let name = "tile/1/000.p/1"
    let original = try read("\(log)/\(name)")
    #expect(original.count == 32)
    for place in original.indices {
      var bytes = original
      bytes[place] ^= 0x80
      try write(bytes, to: "\(log)/\(name)")
      #expect(try verify(log).failures.map(\.at) == ["\(name) byte \(place)"])
    }
  }

  @Test func cutAndGrownFilesAreNoticed() throws {
    try makeLog(log, count: 3)
    for (path, name) in try files() {
      let original = try read(path)
      for changed in [Array(original.dropLast()), original + [0x0A], original + [0x61], []] {
        // A torn line after the last entry is what a crash leaves: not an error.
        if name == "journal", changed == original + [0x61] { continue }
        try write(changed, to: path)
        let report = try verify(log)
        #expect(!report.verified, "\(name) with \(changed.count) bytes")
        #expect(report.failures.contains { $0.at.hasPrefix(name) }, "\(name): \(report.failures)")
      }
      try FileManager.default.removeItem(atPath: path)
      let report = try verify(log)
      #expect(!report.verified)
      #expect(report.failures.contains { $0.at.hasPrefix(name) }, "\(name) removed: \(report.failures)")
      try write(original, to: path)
    }
  }

  @Test func removedInsertedAndReorderedEntriesAreNamed() throws {
    try makeLog(log, count: 5)
    let lines = try journalLines(log)
    func place(_ lines: [[UInt8]]) throws -> String? {
      try writeJournal(lines, log)
      return try verify(log).checks.first { $0.name == .root && $0.result == .failed }?.at
    }
    #expect(try place(lines) == nil)
    #expect(try place(Array(lines.dropLast())) == "journal entry 4")
    #expect(try place(Array(lines.dropFirst())) == "journal entry 0")
    #expect(try place([lines[0], lines[1], lines[3], lines[4]]) == "journal entry 2")
    #expect(try place([lines[0], lines[1], lines[1]] + lines[2...]) == "journal entry 2")
    #expect(try place([lines[0], lines[2], lines[1], lines[3], lines[4]]) == "journal entry 1")
    #expect(try place([]) == "journal entry 0")
  }

  @Test func aForkedHistoryDoesNotVerify() throws {
    // Two logs under one key: the checkpoint of one does not stand for the other.
    try makeLog(log, count: 4, tag: "first")
    let other = try TemporaryDirectory()
    try makeLog(other.path, count: 4, tag: "second")
    try write(try read("\(other.path)/checkpoint"), to: "\(log)/checkpoint")
    let report = try verify(log)
    #expect(!report.verified)
    #expect(report.result(.checkpoint) == .passed)
    #expect(report.result(.root) == .failed)
  }

  @Test func aReplacedKeyDoesNotVerify() throws {
    try makeLog(log, count: 4, seed: 2)
    let report = try verify(log, seed: 1)
    #expect(!report.verified)
    #expect(report.failures.map(\.at) == ["checkpoint"])
    #expect(try verify(log, seed: 2).verified)
    let birch = AuditVerifier.verify(
      logDirectory: log, verifierKey: try Fixed.verifierKey("birch.example", seed: 2))
    #expect(!birch.verified)
  }

  @Test func withoutAKeyNothingIsVerified() throws {
    try makeLog(log, count: 2)
    let report = AuditVerifier.verify(logDirectory: log, verifierKey: nil)
    #expect(!report.verified)
    #expect(report.failures.isEmpty)
    #expect(report.result(.checkpoint) == .notChecked)
    #expect(!AuditVerifier.verify(logDirectory: log, verifierKey: "nonsense").verified)
  }

  @Test func theUnsignedTailIsReported() throws {
    let writer = try openLog(log)
    try writer.append(.init(.serviceStarted))
    try writer.publish()
    for _ in 0..<3 { try writer.append(.init(.connectionClosed)) }
    let report = try verify(log)
    #expect(report.verified)
    #expect(report.unsignedTail == 3)
    #expect(report.checks.first { $0.name == .unsignedTail }?.at == "journal entry 1")
    // The chain protects all but the last of them.
    let original = try read("\(log)/journal")
    let lines = try journalLines(log)
    let signed = lines[0].count + 1
    let last = original.count - lines[3].count - 1
    for place in signed..<last {
      var bytes = original
      bytes[place] ^= 1
      try write(bytes, to: "\(log)/journal")
      let changed = try verify(log)
      #expect(!changed.verified, "byte \(place)")
      #expect(changed.failures.allSatisfy { $0.at.hasPrefix("journal") })
    }
  }

  @Test func strangeFilesAreNamed() throws {
    try makeLog(log, count: 2)
    for name in ["tile/0/note.txt", "tile/0/001", "tile/entries/000.p/7", "tile/9/000", "tile/0/000.p/1.bak"] {
      let path = "\(log)/\(name)"
      let folder = (path as NSString).deletingLastPathComponent
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try write([1, 2, 3], to: path)
      #expect(try verify(log).failures.map(\.at) == [name])
      try FileManager.default.removeItem(atPath: path)
    }
    try FileManager.default.createSymbolicLink(atPath: "\(log)/tile/loop", withDestinationPath: log)
    #expect(try verify(log).failures.map(\.at) == ["tile/loop"])
  }

  @Test func anEmptyOrAbsentDirectoryIsReported() throws {
    for path in [log, "\(log)/absent", "/dev/null"] {
      let report = AuditVerifier.verify(logDirectory: path, verifierKey: try Fixed.verifierKey())
      #expect(!report.verified)
      #expect(report.size == nil)
    }
  }

  @Test func anOrganizationDirectoryIsUnderstood() throws {
    try makeLog("\(log)/log", count: 2)
    try write(Array((try Fixed.verifierKey() + "\n").utf8), to: "\(log)/log.vkey")
    for path in [log, "\(log)/log", "\(log)/log/"] {
      let key = try AuditVerifier.verifierKeyText(logDirectory: path)
      #expect(key == (try Fixed.verifierKey()) + "\n")
      #expect(AuditVerifier.verify(logDirectory: path, verifierKey: key).verified)
    }
    #expect(try AuditVerifier.verifierKeyText(logDirectory: "\(log)/absent/there") == nil)
  }

  @Test func cosignaturesAreCountedAgainstAPolicy() throws {
    try makeLog(log, count: 2)
    let key = try WitnessSigningKey(seed: Fixed.secretSeed(9))
    let name = try OrganizationName("witness.example")
    let witness = NoteVerifierKey(organization: name, key: key.verifyingKey)
    func result(quorum: Int) throws -> VerificationReport.Result? {
      AuditVerifier.verify(
        logDirectory: log, verifierKey: try Fixed.verifierKey(),
        cosigners: CosignerPolicy(witnesses: [witness], quorum: quorum)
      ).result(.cosignatures)
    }
    #expect(try result(quorum: 0) == .notChecked)
    #expect(try result(quorum: 1) == .failed)
    let tiles = TileDirectory(path: log)
    var checkpoint = try #require(try tiles.checkpoint())
    try checkpoint.add(try Cosignature(of: checkpoint.checkpoint, name: name, key: key, time: 1_772_357_401))
    try tiles.write(checkpoint)
    #expect(try result(quorum: 1) == .passed)
    #expect(try verify(log).verified)
    let other = Checkpoint(origin: name, size: 2, root: checkpoint.checkpoint.root)
    try checkpoint.add(try Cosignature(of: other, name: name, key: key, time: 1_772_357_401))
    try tiles.write(checkpoint)
    #expect(try result(quorum: 0) == .failed)
  }

  /// Longer than any entry and than what is read at once, after lines that fill bundles.
  @Test func aTornLineIsMeasuredWhole() throws {
    try makeLog(log, count: 256)
    try write(try read("\(log)/journal") + [UInt8](repeating: 0x61, count: 600_000), to: "\(log)/journal")
    let report = try verify(log)
    #expect(report.verified)
    let tail = try #require(report.checks.first { $0.name == .unsignedTail })
    #expect(tail.detail.contains("; 600000 bytes after the last newline"), "\(tail.detail)")
  }

  @Test func theReportHasItsJSONShape() throws {
    try makeLog(log, count: 1)
    let report = try verify(log)
    let data = Data(report.json.serialized)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(
      object.keys.sorted() == [
        "checks", "log", "origin", "root", "schema", "size", "unsignedTail", "verified",
      ])
    #expect(object["schema"] as? String == "bauta/audit-verify/1")
    #expect(object["verified"] as? Bool == true)
    let checks = try #require(object["checks"] as? [[String: String]])
    #expect(checks.allSatisfy { $0.keys.sorted() == ["at", "detail", "name", "result"] })
  }
}
