import Cryptography
import TransparencyLog

/// What opening a log finds out before anything may be appended.
///
/// Sealed segments are not read: the tiles of their entries, which the signed root vouches for, stand for them. Only when
/// the tiles do not give that root, is the whole journal read.
struct JournalRecovery {
  var builder = TileBuilder()
  /// Of the active journal, in bytes.
  var length: UInt64 = 0
  /// The entry with which the active journal begins.
  var segmentStart: UInt64 = 0
  var lastLeaf: LeafHash?
  var checkpoint: SignedCheckpoint?
  /// The one with cosignatures, which is not larger.
  var cosigned: SignedCheckpoint?
  /// What is not to be kept any more and may still be there: an earlier process ended while it was removed.
  var unfinishedPruning: UInt64?
  /// How many lines of the active journal a sealed segment has as well.
  private var repeatedLines: UInt64 = 0

  /// Reads the journal against its checkpoint, cuts a torn last line off, and finishes what a crash interrupted.
  static func recover(
    _ journal: JournalFile, tiles: TileDirectory, organization: OrganizationName, key: NoteVerifierKey<LogKeyRole>,
    step: @escaping @Sendable (JournalStep) throws(AuditLogError) -> Void
  ) throws(AuditLogError) -> JournalRecovery {
    let checkpoint = try ownCheckpoint(tiles, organization: organization, key: key)
    let segments: JournalSegments
    do { segments = try JournalSegments(listing: tiles.path) } catch { throw .storage(error) }
    let folder = "\(tiles.path)/\(LogLayout.segments)"
    if let gap = segments.gap { throw .segmentMissing(path: folder, sequence: gap) }
    if segments.first > 0, !PrunedProof.holds(segments, tiles: tiles, checkpoint: checkpoint?.checkpoint) {
      throw .segmentMissing(path: folder, sequence: 0)
    }
    var recovery = try replay(journal, tiles: tiles, organization: organization, checkpoint: checkpoint, segments)
    recovery.cosigned = try cosigned(tiles, organization: organization, key: key, checkpoint: checkpoint?.checkpoint)
    if let below = segments.marker?.below, segments.sealed.first.map({ $0.first < below }) ?? false,
      PrunedProof.holds(segments, tiles: tiles, checkpoint: checkpoint?.checkpoint)
    {
      recovery.unfinishedPruning = below
    }
    if recovery.repeatedLines > 0 {
      recovery.length -= try JournalSealer(directory: tiles.path, journal: journal, step: step)
        .finish(segments, repeated: recovery.repeatedLines, length: recovery.length)
    }
    return recovery
  }

  private static func replay(
    _ journal: JournalFile, tiles: TileDirectory, organization: OrganizationName, checkpoint: SignedCheckpoint?,
    _ segments: JournalSegments
  ) throws(AuditLogError) -> JournalRecovery {
    let sealed = segments.end
    if sealed > 0, let checkpoint, sealed <= checkpoint.checkpoint.size {
      do throws(AuditLogError) {
        return try JournalRecovery(after: sealed, tiles: tiles, checkpoint: checkpoint)
          .replayed(journal, tiles: tiles, organization: organization)
      } catch {
        // Tiles that were changed, or a journal: reading all of it tells which.
        guard segments.first == 0 else { throw error }
      }
    } else if segments.first > 0 {
      throw .segmentMissing(path: "\(tiles.path)/\(LogLayout.segments)", sequence: 0)
    }
    var recovery = JournalRecovery()
    recovery.checkpoint = checkpoint
    return try recovery.replayed(journal, tiles: tiles, organization: organization)
  }

  private init() {}

  /// Goes on after sealed segments, from what the tiles hold of them.
  private init(after sealed: UInt64, tiles: TileDirectory, checkpoint: SignedCheckpoint) throws(AuditLogError) {
    let full = UInt64(TileAddress.fullWidth)
    do throws(TransparencyLogError) {
      let reader = TileReader(directory: tiles, size: checkpoint.checkpoint.size)
      builder = TileBuilder(resuming: try reader.edge(at: sealed))
      let address = TileAddress(kind: .hashes(level: 0), index: sealed / full - 1)
      let hashes = try tiles.hashes(of: address)
      // The chain goes on from the last hash of a tile whose root the edge has, and with it the signed root.
      var tile = TileTree()
      for hash in hashes { tile.append(LeafHash(hash)) }
      guard try reader.node(level: 8, index: sealed / full - 1) == tile.root, let last = hashes.last else {
        throw .malformedTile(path: "\(tiles.path)/\(address.path)")
      }
      lastLeaf = LeafHash(last)
    } catch { throw .storage(error) }
    segmentStart = sealed
    self.checkpoint = checkpoint
  }

  private consuming func replayed(
    _ journal: JournalFile, tiles: TileDirectory, organization: OrganizationName
  ) throws(AuditLogError) -> JournalRecovery {
    let scanner = try JournalScanner(directory: tiles.path, from: segmentStart > 0 ? .max : 0)
    segmentStart = scanner.segments.end
    try requireSigned(path: journal.path)
    while let line = try scanner.next() {
      try replay(line, path: "\(tiles.path)/\(line.file)", organization: organization)
      try requireSigned(path: journal.path)
    }
    let size = builder.size
    if let signed = checkpoint?.checkpoint, size < signed.size {
      throw .rolledBack(path: journal.path, entries: size, checkpoint: signed.size)
    }
    length = scanner.offset
    repeatedLines = scanner.repeatedLines
    if scanner.tornBytes > 0 {
      do { try journal.truncate(to: scanner.offset) } catch { throw .storage(error) }
    }
    return self
  }

  /// What witnesses have cosigned must be the beginning of what there is: files put back to an earlier state, all but this
  /// one, are noticed here.
  private static func cosigned(
    _ tiles: TileDirectory, organization: OrganizationName, key: NoteVerifierKey<LogKeyRole>, checkpoint: Checkpoint?
  ) throws(AuditLogError) -> SignedCheckpoint? {
    let name = LogLayout.cosignedCheckpoint
    guard let cosigned = try ownCheckpoint(tiles, organization: organization, key: key, name: name) else { return nil }
    let path = "\(tiles.path)/\(name)"
    let (size, published) = (cosigned.checkpoint.size, checkpoint?.size ?? 0)
    guard size <= published else { throw .rolledBack(path: path, entries: published, checkpoint: size) }
    let reader = TileReader(directory: tiles, size: published)
    // Damaged tiles say nothing of the entries, and are no reason to stop.
    guard let whole = try? reader.root(), whole == checkpoint?.root, let root = try? reader.root(size: size) else {
      return cosigned
    }
    guard root == cosigned.checkpoint.root else { throw .journalAltered(path: path, checkpoint: size) }
    return cosigned
  }

  private static func ownCheckpoint(
    _ tiles: TileDirectory, organization: OrganizationName, key: NoteVerifierKey<LogKeyRole>,
    name: String = LogLayout.checkpoint
  ) throws(AuditLogError) -> SignedCheckpoint? {
    let path = "\(tiles.path)/\(name)"
    let found: SignedCheckpoint?
    do { found = try tiles.checkpoint(named: name) } catch { throw .storage(error) }
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
    guard let entry = line.bytes else {
      throw .malformedEntry(line.defect ?? .tooLong, path: path, sequence: sequence, byte: line.offset)
    }
    if sequence >= checkpoint?.checkpoint.size ?? 0 {
      do {
        let record = try AuditRecord(entry: entry)
        try record.requireContinuing(organization: organization, sequence: sequence, previous: lastLeaf)
      } catch {
        let byte = line.offset + UInt64(error.byte)
        throw .malformedEntry(error.defect, path: path, sequence: sequence, byte: byte)
      }
    }
    do { lastLeaf = try builder.append(entry) } catch { throw .storage(error) }
    // Tiles up to the checkpoint are on disk already; those after it may not be, and are written again.
    if builder.size <= checkpoint?.checkpoint.size ?? 0 { builder.discardCompleted() }
  }

  private func requireSigned(path: String) throws(AuditLogError) {
    guard let signed = checkpoint?.checkpoint, builder.size == signed.size, builder.root != signed.root else { return }
    throw .journalAltered(path: path, checkpoint: signed.size)
  }
}

/// Whether the log itself says that its first entries are no longer kept.
enum PrunedProof {
  /// True if the entry that the marker names says so and is in the signed tree, as far as the tiles show.
  static func holds(_ segments: JournalSegments, tiles: TileDirectory, checkpoint: Checkpoint?) -> Bool {
    guard let marker = segments.marker, let checkpoint, marker.record < checkpoint.size,
      segments.first <= marker.below
    else { return false }
    let reader = TileReader(directory: tiles, size: checkpoint.size)
    guard let entry = try? reader.entry(at: marker.record),
      let proof = try? reader.inclusionProof(index: marker.record),
      proof.verifies(leaf: MerkleHashing.leaf(entry), root: checkpoint.root),
      let record = try? AuditRecord(entry: entry)
    else { return false }
    return record.event == .entriesPruned && record.pruned?.below == marker.below
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
