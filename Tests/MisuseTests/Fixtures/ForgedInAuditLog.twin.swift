// inside: AuditLog
import Cryptography

extension EgressRecorded {
  static func made(
    by log: AuditLogWriter, _ draft: AuditRecord.Draft, _ label: MessageLabel, payload: [UInt8]
  ) throws(AuditLogError) -> EgressRecorded {
    try log.recordEgress(draft, message: label, payload: payload)
  }
}
