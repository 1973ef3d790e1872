import AuditLog
import Cryptography
import Federation
import Foundation

/// What a dishonest keeper can do to its own log: write another one with its own key.
enum Rewriting {
  /// Replaces the log by one without the n-th message that was sent.
  ///
  /// - Parameter isConsistent: also takes the message out of the bytes that were counted on its connection.
  /// - Returns: the identifier of the message left out.
  static func rewriteLog(
    of path: String, omittingSentMessage number: Int, isConsistent: Bool = false
  ) throws -> String {
    let directory = try OrganizationDirectory(opening: path)
    var reader = try AuditLogReader(directory: directory.logPath)
    var drafts: [AuditRecord.Draft] = []
    var omitted = ""
    var hidden: (connection: SHA256Digest?, bytes: UInt64) = (nil, 0)
    var sent = 0
    while let entry = try reader.next() {
      if entry.record.content.event == .messageSent {
        sent += 1
        if sent == number {
          omitted = entry.record.content.message?.id.value ?? ""
          hidden = (entry.record.destination?.exporter, 5 + (entry.record.message?.bytes ?? 0))
          continue
        }
      }
      var draft = entry.record.content
      if isConsistent, draft.traffic != nil, draft.destination?.exporter == hidden.connection {
        draft.traffic?.plaintextBytes -= hidden.bytes
        draft.traffic?.frames[.data]?.bytes -= hidden.bytes
      }
      drafts.append(draft)
    }
    try FileManager.default.removeItem(atPath: directory.logPath)
    try FileManager.default.createDirectory(
      atPath: directory.logPath, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let writer = try AuditLogWriter(
      directory: directory.logPath, organization: directory.name, logKey: directory.logKey(), clock: { Date() })
    for draft in drafts { try writer.append(draft, durable: false) }
    try writer.close()
    return omitted
  }
}
