import Cryptography
import TransparencyLog

/// Why a log could not be opened, written or read.
///
/// After `closed` and `writerFailed` nothing more is written by that writer; every other error of an append leaves
/// the log as it was.
public enum AuditLogError: BlamedError, Equatable {
  /// A line of the journal is not an entry. `byte` counts from the start of the file.
  case malformedEntry(EntryDefect, path: String, sequence: UInt64, byte: UInt64)
  /// A field of a draft holds what a record may not: a control character, too many bytes, a number out of range.
  case invalidField(String)
  /// A record that does not fit the 65,535 bytes of an entry.
  case recordTooLong(bytes: Int)
  /// The journal is shorter than the log's own signed checkpoint: entries were removed.
  case rolledBack(path: String, entries: UInt64, checkpoint: UInt64)
  /// The journal's entries are not those that the checkpoint commits to.
  case journalAltered(path: String, checkpoint: UInt64)
  /// The checkpoint is not signed by this log's key.
  case foreignCheckpoint(path: String)
  /// The journal or the checkpoint is another organisation's.
  case foreignOrganization(path: String, expected: OrganizationName)
  /// A checkpoint that this log's key has signed is not the beginning of the log as it is now.
  case notInThisLog(size: UInt64, published: UInt64)
  /// Another process, or another writer in this one, has the log open.
  case locked(path: String)
  case closed
  /// An earlier write could neither be completed nor undone: what is on disk is uncertain until the log is reopened.
  case writerFailed
  case noJournal(path: String)
  /// Entries that ought to be in a sealed segment are in none, and nothing on record says that they are no longer kept.
  case segmentMissing(path: String, sequence: UInt64)
  case storage(TransparencyLogError)

  public enum EntryDefect: Hashable, Sendable {
    case tooLong
    case notCanonical
    case schema
    /// A field is missing, unknown, or of the wrong type.
    case field(String)
    case organization
    case sequence(found: UInt64)
    /// A sealed segment ends within a line.
    case torn
    case previous
  }

  public var code: String {
    switch self {
    case .malformedEntry: "audit-entry-malformed"
    case .invalidField: "audit-field-invalid"
    case .recordTooLong: "audit-record-too-long"
    case .rolledBack: "audit-log-rolled-back"
    case .journalAltered: "audit-journal-altered"
    case .foreignCheckpoint: "audit-checkpoint-foreign"
    case .foreignOrganization: "audit-log-foreign"
    case .notInThisLog: "audit-checkpoint-not-in-log"
    case .locked: "audit-log-locked"
    case .closed: "audit-log-closed"
    case .writerFailed: "audit-log-failed"
    case .noJournal: "audit-journal-missing"
    case .segmentMissing: "audit-segment-missing"
    case .storage(let error): error.code
    }
  }

  public var blame: Blame {
    switch self {
    case .invalidField, .recordTooLong, .closed: .caller
    case .malformedEntry, .rolledBack, .journalAltered, .foreignCheckpoint, .foreignOrganization, .notInThisLog,
      .locked, .writerFailed, .noJournal, .segmentMissing:
      .local
    case .storage(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .malformedEntry(let defect, let path, let sequence, let byte):
      "\(path), entry \(sequence), byte \(byte): \(defect.explanation)"
    case .invalidField(let name): "the field \(name) of the audit record holds a value that may not be recorded"
    case .recordTooLong(let bytes): "the audit record has \(bytes) bytes; an entry holds at most 65535"
    case .rolledBack(let path, let entries, let checkpoint):
      "\(path) has \(counted(entries, "entry", "entries")), but the checkpoint beside it was signed over \(checkpoint)"
    case .journalAltered(let path, let checkpoint):
      "the first \(checkpoint) entries of \(path) are not those that its checkpoint was signed over"
    case .foreignCheckpoint(let path): "\(path) is not signed by this log's key"
    case .foreignOrganization(let path, let expected): "\(path) is not a log of \(expected)"
    case .notInThisLog(let size, let published):
      "a checkpoint over \(size) entries bears this log's signature, and is not one of this log, which has \(published) "
        + "published entries"
    case .locked(let path): "\(path) is open in another process"
    case .closed: "the audit log has been closed"
    case .writerFailed: "the audit log stopped after a failed write"
    case .noJournal(let path): "\(path) is missing"
    case .segmentMissing(let path, let sequence):
      "\(path) has no segment with entry \(sequence), and no record says that it is no longer kept"
    case .storage(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .malformedEntry, .journalAltered, .rolledBack, .segmentMissing, .notInThisLog:
      "Run `bauta audit verify`, restore the log from a copy, and find out who changed it. Nothing is sent meanwhile."
    case .invalidField, .recordTooLong: "Record a shorter, printable value."
    case .foreignCheckpoint, .foreignOrganization: "Use the key and the directory that belong together."
    case .locked: "Stop the other process, or use another directory."
    case .closed: "Open the log again."
    case .writerFailed: "Check the disk, then start again: opening the log recovers it."
    case .noJournal: "Give the directory of a log, or of the organisation that keeps it."
    case .storage(let error): error.remedy
    }
  }
}

extension AuditLogError.EntryDefect {
  public var explanation: String {
    switch self {
    case .tooLong: "the line is longer than an entry can be"
    case .notCanonical: "the line is not one object of canonical JSON"
    case .schema: "the entry is not of schema \(AuditRecord.schema): it was changed, or another version wrote it"
    case .field(let name): "the field \(name) is missing, unknown or not valid"
    case .organization: "the entry names another organisation"
    case .sequence(let found): "the entry says that it is entry \(found)"
    case .torn: "the segment ends within the line"
    case .previous: "the entry does not continue the one before it"
    }
  }
}
