import AuditLog
import Cryptography
import Federation
import TransparencyLog

/// Records what was decided outside a run (keys made, manifests made and approved) in the log of whoever decided.
enum AuthorityRecord {
  /// Appends one record and publishes a checkpoint over it.
  ///
  /// - Throws: `AuditLogError`: in particular `locked` while the server or client of this directory runs.
  static func append(
    _ event: AuditRecord.Event, to directory: some ParticipantDirectory, logDirectory: String? = nil,
    manifest: SignedManifest? = nil
  ) throws {
    let writer = try AuditLogWriter(
      directory: logDirectory ?? directory.logPath, organization: directory.name, logKey: directory.logKey())
    let identity = NoteVerifierKey(organization: directory.name, key: try directory.keys().identity)
    var draft = AuditRecord.Draft(event)
    draft.actor = AuditRecord.Actor(service: "bauta", keyID: identity.id)
    draft.federation = manifest?.manifest.federation.value
    draft.manifest = manifest?.hash
    if event == .approval { draft.approver = directory.name.value }
    draft.outcome = .succeeded
    do { try writer.append(draft) } catch {
      try? writer.close()
      throw error
    }
    try writer.close()
  }
}
