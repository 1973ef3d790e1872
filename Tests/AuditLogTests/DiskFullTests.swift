import Cryptography
import Foundation
import Glibc
import Testing
import TransparencyLog

@testable import AuditLog

/// A small file system in memory, for a disk that is really full.
private final class SmallDisk {
  let path: String

  /// Nil where the user may not mount one.
  init?(kibibytes: Int, in directory: TemporaryDirectory) throws {
    path = "\(directory.path)/disk"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    guard mount("bauta-test", path, "tmpfs", 0, "size=\(kibibytes)k,nr_inodes=4096") == 0 else { return nil }
  }

  deinit { umount2(path, Int32(MNT_DETACH)) }

  /// Leaves room for `bytes` and no more.
  func fill(except bytes: Int) throws {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { throw TestFailure("no such disk") }
    let free = Int(status.f_bavail) * Int(status.f_bsize)
    try write([UInt8](repeating: 0, count: max(0, free - bytes)), to: "\(path)/filler")
  }

  func empty() throws { try FileManager.default.removeItem(atPath: "\(path)/filler") }

  static var isPossible: Bool {
    guard let directory = try? TemporaryDirectory() else { return false }
    return (try? SmallDisk(kibibytes: 64, in: directory)) != nil
  }
}

@Suite(.enabled(if: SmallDisk.isPossible, "a file system in memory needs the right to mount one"))
struct DiskFullTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func nothingLeavesOnAFullDiskAndTheLogRecoversByItself() throws {
    let disk = try #require(try SmallDisk(kibibytes: 1024, in: directory))
    let log = "\(disk.path)/log"
    let writer = try openLog(log)
    let payload = Array("payload".utf8)
    func send(_ id: Int) throws {
      _ = try writer.recordEgress(.init(.messageSent), message: try Fixed.label("m-\(id)"), payload: payload)
    }
    for id in 0..<10 { try send(id) }
    try disk.fill(except: 8192)
    var sent = 10
    let error = #expect(throws: AuditLogError.self) {
      while true {
        try send(sent)
        sent += 1
      }
    }
    guard case .storage(.fileOperation(.write, _, let code)) = error else { throw TestFailure("\(error as Any)") }
    #expect(code == ENOSPC)
    #expect(error?.remedy.contains("Free space") == true)
    // Again and again, and never part of a line.
    for _ in 0..<5 { #expect(throws: AuditLogError.self) { try send(sent) } }
    #expect(writer.size == UInt64(sent))
    #expect(try read("\(log)/journal").last == 0x0A)
    #expect(try sequences(log).count == sent)
    #expect(throws: AuditLogError.self) { try writer.publish() }

    try disk.empty()
    try send(sent)
    try writer.close()
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == UInt64(sent + 1))
    #expect(report.unsignedTail == 0)
  }

  @Test func aCheckpointThatFindsNoSpaceLosesNoRecord() throws {
    let disk = try #require(try SmallDisk(kibibytes: 4096, in: directory))
    let log = "\(disk.path)/log"
    let writer = try openSegmented(log, entries: 512)
    try writer.fill(250)
    // The journal is open and has a whole page left; tiles need more.
    try disk.fill(except: 4096)
    try writer.fill(8)
    #expect(writer.size == 258)
    #expect(writer.checkpoint == nil)
    guard case .storage(.fileOperation)? = writer.publicationFailure else {
      throw TestFailure("\(writer.publicationFailure as Any)")
    }
    #expect(try sequences(log) == Array(0..<258))
    try disk.empty()
    try writer.fill(40)
    #expect(writer.publicationFailure == nil)
    #expect(writer.checkpoint?.checkpoint.size == 256)
    try writer.close()
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(report.size == 298)
  }

  @Test func sealingThatFindsNoSpaceIsTriedAgain() throws {
    let disk = try #require(try SmallDisk(kibibytes: 4096, in: directory))
    let log = "\(disk.path)/log"
    let writer = try openSegmented(log, entries: 256)
    try writer.fill(255)
    // Enough for a bundle and a tile, not for a segment beside them.
    try disk.fill(except: 96 * 1024)
    try writer.fill(1)
    #expect(writer.checkpoint?.checkpoint.size == 256)
    #expect(writer.publicationFailure != nil)
    #expect(!FileManager.default.fileExists(atPath: "\(log)/journal.d/0000000000000000-0000000000000255"))
    try disk.empty()
    try writer.fill(256)
    try writer.close()
    #expect(try names("\(log)/journal.d").count == 2)
    let report = try verify(log)
    #expect(report.verified, "\(report.failures)")
    #expect(try sequences(log) == Array(0..<512))
  }
}
