import AuditLog
import Cryptography
import Foundation
import Testing
import TransparencyLog

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

  @Test("A cosignature of a kind that we do not know, as long as ML-DSA-44 makes it, leaves the others valid")
  func longSignatures() throws {
    try makeLog(log, count: 3)
    let line = "— somebody.example \(Base64.encode([UInt8](repeating: 7, count: 4 + 8 + 2420)))\n"
    try write(try read("\(log)/checkpoint") + Array(line.utf8), to: "\(log)/checkpoint")
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
  }
}
