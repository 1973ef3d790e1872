import Cryptography
import TransparencyLog

/// What opening a log finds out before anything may be appended.
struct JournalRecovery {
  var builder = TileBuilder()
  var length: UInt64 = 0
  var lastLeaf: LeafHash?
  var checkpoint: SignedCheckpoint?

  /// Reads the whole journal against its checkpoint and cuts a torn last line off.
  static func recover(
    _ journal: JournalFile, tiles: TileDirectory, organization: OrganizationName, key: NoteVerifierKey<LogKeyRole>
  ) throws(AuditLogError) -> JournalRecovery {
    var recovery = JournalRecovery()
    recovery.checkpoint = try ownCheckpoint(tiles, organization: organization, key: key)
    let scanner = try JournalScanner(directory: tiles.path)
    while let line = try scanner.next() {
      try recovery.replay(line, path: journal.path, organization: organization)
    }
    let size = recovery.builder.size
    if let signed = recovery.checkpoint?.checkpoint, size < signed.size {
      throw .rolledBack(path: journal.path, entries: size, checkpoint: signed.size)
    }
    recovery.length = scanner.offset
    if scanner.tornBytes > 0 {
      do { try journal.truncate(to: scanner.offset) } catch { throw .storage(error) }
    }
    return recovery
  }

  private static func ownCheckpoint(
    _ tiles: TileDirectory, organization: OrganizationName, key: NoteVerifierKey<LogKeyRole>
  ) throws(AuditLogError) -> SignedCheckpoint? {
    let path = "\(tiles.path)/\(LogLayout.checkpoint)"
    let found: SignedCheckpoint?
    do { found = try tiles.checkpoint() } catch { throw .storage(error) }
    guard let checkpoint = found else { return nil }
    guard checkpoint.checkpoint.origin == organization.value else {
      throw .foreignOrganization(path: path, expected: organization)
    }
    guard checkpoint.status(of: key) == .valid else { throw .foreignCheckpoint(path: path) }
    if checkpoint.checkpoint.size == 0, checkpoint.checkpoint.root != TreeHashing.emptyRoot {
      throw .journalAltered(path: path, checkpoint: 0)
    }
    return checkpoint
  }

  /// Entries under the checkpoint are vouched for by its root; those after it are read in full.
  private mutating func replay(
    _ line: JournalScanner.Line, path: String, organization: OrganizationName
  ) throws(AuditLogError) {
    let sequence = builder.size
    let signedSize = checkpoint?.checkpoint.size ?? 0
    guard let entry = line.bytes else {
      throw .malformedEntry(line.defect ?? .tooLong, path: path, sequence: sequence, byte: line.offset)
    }
    if sequence >= signedSize {
      do {
        let record = try AuditRecord(entry: entry)
        try record.requireContinuing(organization: organization, sequence: sequence, previous: lastLeaf)
      } catch {
        let byte = line.offset + UInt64(error.byte)
        throw .malformedEntry(error.defect, path: path, sequence: sequence, byte: byte)
      }
    }
    do { lastLeaf = try builder.append(entry) } catch { throw .storage(error) }
    guard let signed = checkpoint?.checkpoint, builder.size <= signed.size else { return }
    // Tiles up to the checkpoint are on disk already; those after it may not be, and are written again.
    builder.discardCompleted()
    if builder.size == signed.size, builder.root != signed.root {
      throw .journalAltered(path: path, checkpoint: signed.size)
    }
  }
}

extension AuditRecord {
  /// Checks that this entry follows one with leaf hash `previous` at `sequence` − 1.
  func requireContinuing(
    organization: OrganizationName, sequence: UInt64, previous: LeafHash?
  ) throws(EntryDefectError) {
    guard self.organization == organization else { throw EntryDefectError(.organization) }
    guard self.sequence == sequence else { throw EntryDefectError(.sequence(found: self.sequence)) }
    guard self.previous == previous else { throw EntryDefectError(.previous) }
  }
}
