// inside: AuditLog
import Cryptography

extension EgressRecorded {
  init(forged message: MessageIdentifier, record: AppendedRecord, payload: [UInt8]) {
    self.message = message
    self.record = record
    self.chunks = [payload]
    // expected-error@+1 {{return from initializer without initializing all stored properties}}
  }
}
