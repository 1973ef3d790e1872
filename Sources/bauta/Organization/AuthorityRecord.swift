import AuditLog
import Cryptography
import Federation
import ServiceControl
import TransparencyLog

/// Records what was decided outside a run (keys made, manifests made and approved) in the log of whoever decided.
enum AuthorityRecord {
  /// Appends one record and publishes a checkpoint over it; through the service that runs in the directory, if one
  /// does, because it holds the log.
  ///
  /// - Throws: `AuditLogError`, `ControlError`; what was decided must not be done then.
  static func append(
    _ event: AuditRecord.Event, to directory: some ParticipantDirectory, manifest: SignedManifest? = nil,
    reason: String? = nil
  ) throws {
    let record = OwnerRecord(
      event, federation: manifest?.manifest.federation.value, manifest: manifest?.hash,
      approver: event == .approval ? directory.name.value : nil, reason: reason)
    let identity = NoteVerifierKey(organization: directory.name, key: try directory.keys().identity)
    let writer: AuditLogWriter
    do {
      writer = try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: directory.logKey())
    } catch AuditLogError.locked where ControlClient.isRunning(in: directory.path) {
      _ = try ControlClient.ask(ControlRequest("record", record.arguments), of: directory.path)
      return
    }
    do {
      try writer.append(record.draft(actor: AuditRecord.Actor(service: "bauta", keyID: identity.id)))
    } catch {
      try? writer.close()
      throw error
    }
    try writer.close()
  }
}
