import Cryptography
import Foundation
import TransparencyLog

@testable import AuditLog

/// A directory that disappears with its owner.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

enum Fixed {
  static let clock: @Sendable () -> Date = { Date(timeIntervalSince1970: 1_772_357_400.5) }

  static func secretSeed(_ byte: UInt8) -> SecretBytes {
    var seed = SecretBytes(count: 32)
    seed.withUnsafeMutableBytes { $0.copyBytes(from: [UInt8](repeating: byte, count: 32)) }
    return seed
  }

  static func key(_ seed: UInt8 = 1) throws -> LogSigningKey {
    try LogSigningKey(seed: secretSeed(seed))
  }

  static func verifierKey(_ name: String = "alder.example", seed: UInt8 = 1) throws -> String {
    NoteVerifierKey(organization: try OrganizationName(name), key: try key(seed).verifyingKey).text
  }

  static func label(_ id: String, kind: String = "maskedInput") throws -> MessageLabel {
    guard let id = MessageIdentifier(id) else { throw TestFailure("not a message id") }
    return MessageLabel(id: id, kind: kind)
  }
}

struct TestFailure: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

func openLog(
  _ directory: String, name: String = "alder.example", seed: UInt8 = 1,
  clock: @escaping @Sendable () -> Date = Fixed.clock
) throws -> AuditLogWriter {
  try AuditLogWriter(
    directory: directory, organization: try OrganizationName(name), logKey: try Fixed.key(seed), clock: clock)
}

/// One short record for each round.
func roundDrafts(_ count: Int, tag: String) -> [AuditRecord.Draft] {
  (0..<count).map { round in
    var draft = AuditRecord.Draft(.roundCompleted)
    draft.run = tag
    draft.round = round
    return draft
  }
}

/// A published log of `count` entries in `directory`.
func makeLog(_ directory: String, count: Int, tag: String = "r", seed: UInt8 = 1) throws {
  let writer = try openLog(directory, seed: seed)
  try writer.append(contentsOf: roundDrafts(count, tag: tag))
  try writer.close()
}

func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

func journalLines(_ directory: String) throws -> [[UInt8]] {
  try read("\(directory)/journal").split(separator: 0x0A).map { Array($0) }
}

func writeJournal(_ lines: [[UInt8]], _ directory: String) throws {
  try write(lines.flatMap { $0 + [0x0A] }, to: "\(directory)/journal")
}

func verify(_ directory: String, seed: UInt8 = 1) throws -> VerificationReport {
  AuditVerifier.verify(logDirectory: directory, verifierKey: try Fixed.verifierKey(seed: seed))
}

extension VerificationReport {
  var failures: [Check] { checks.filter { $0.result == .failed } }

  func result(_ name: CheckName) -> Result? { checks.first { $0.name == name }?.result }
}

/// A log whose segments are short enough for a test to fill.
func openSegmented(
  _ directory: String, entries: UInt64 = 256, clock: @escaping @Sendable () -> Date = Fixed.clock,
  step: @escaping @Sendable (JournalStep) throws(AuditLogError) -> Void = { _ in }
) throws -> AuditLogWriter {
  try AuditLogWriter(
    directory: directory, organization: try OrganizationName("alder.example"), logKey: try Fixed.key(),
    options: .init(segmentEntries: entries, step: step), clock: clock)
}

extension AuditLogWriter {
  /// Appends `count` records, one by one, whose round is their sequence.
  func fill(_ count: Int, durable: Bool = false) throws {
    for _ in 0..<count {
      var draft = AuditRecord.Draft(.roundCompleted)
      draft.round = Int(size)
      try append(draft, durable: durable)
    }
  }
}

/// Every record, which must be in sequence from `first`.
func sequences(_ directory: String) throws -> [UInt64] {
  var reader = try AuditLogReader(directory: directory)
  var found: [UInt64] = []
  while let entry = try reader.next() { found.append(entry.record.sequence) }
  return found
}

func names(_ directory: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
}
