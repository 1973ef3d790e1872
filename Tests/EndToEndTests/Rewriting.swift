import AuditLog
import Cryptography
import Federation
import Foundation

/// What a dishonest keeper can do to its own log: write another one with its own key.
enum Rewriting {
  /// Replaces the log by one without the n-th message that was sent.
  ///
  /// - Returns: the identifier of the message left out.
  static func rewriteLog(of path: String, omittingSentMessage number: Int) throws -> String {
    let directory = try OrganizationDirectory(opening: path)
    var reader = try AuditLogReader(directory: directory.logPath)
    var drafts: [AuditRecord.Draft] = []
    var omitted = ""
    var sent = 0
    while let entry = try reader.next() {
      if entry.record.content.event == .messageSent {
        sent += 1
        if sent == number {
          omitted = entry.record.content.message?.id.value ?? ""
          continue
        }
      }
      drafts.append(entry.record.content)
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
