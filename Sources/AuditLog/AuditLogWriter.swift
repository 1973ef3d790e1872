import Cryptography
import Foundation
import Synchronization
import TransparencyLog

/// Where an appended record stands.
public struct AppendedRecord: Hashable, Sendable {
  public let sequence: UInt64
  public let leaf: LeafHash
  public let time: AuditTime

  /// What the keeper of this log tells the sender of a message.
  public var receipt: AuditRecord.Receipt { AuditRecord.Receipt(index: sequence, leaf: leaf) }
}

/// The one writer of a log on disk.
///
/// An entry is a line of `journal`, brought to disk before an append returns; appends that wait at the same time share
/// one fsync. Tiles and the signed checkpoint follow the journal every 256 entries, on `publish()` and at `close()`.
/// Between two checkpoints the tail is chained by each entry's `previous`, so a change there is noticed as well,
/// except to the very last entry.
///
/// Calls block for the time of a disk write and may come from any thread.
public final class AuditLogWriter: Sendable {
  /// At most this many entries wait for a checkpoint.
  public static let publicationInterval: UInt64 = 256

  public let organization: OrganizationName
  /// The directory that holds `journal`, `checkpoint` and `tile`.
  public let directory: String

  private let logKey: LogSigningKey
  private let clock: @Sendable () -> Date
  let journal: JournalFile
  private let tiles: TileDirectory
  private let state: Mutex<State>
  /// How much of the journal is known to be on disk. Taken before `state`, never while holding it.
  private let synchronizedLength: Mutex<UInt64>

  private struct State {
    var builder: TileBuilder
    var length: UInt64
    var lastLeaf: LeafHash?
    var checkpoint: SignedCheckpoint?
    var isClosed = false
    var hasFailed = false
  }

  /// Opens a log, making it if it does not exist.
  ///
  /// A torn last line is cut off: its append never returned, so nothing left under it. The entries under the
  /// checkpoint must be those that this key signed; those after it must continue them.
  ///
  /// - Parameters:
  ///   - directory: of the log itself (`log/` in an organisation's directory).
  ///   - clock: gives the time of each record; a test passes its own.
  /// - Throws: `locked`, `rolledBack`, `journalAltered`, `malformedEntry`, `foreignCheckpoint`,
  ///   `foreignOrganization`, `storage`.
  public init(
    directory: String, organization: OrganizationName, logKey: consuming LogSigningKey,
    clock: @escaping @Sendable () -> Date = { Date() }
  ) throws(AuditLogError) {
    let directory = LogLayout.withoutTrailingSlash(directory)
    let journal = try JournalFile(directory: directory)
    let tiles = TileDirectory(path: directory)
    let key = NoteVerifierKey(organization: organization, key: logKey.verifyingKey)
    let recovered = try JournalRecovery.recover(journal, tiles: tiles, organization: organization, key: key)
    self.organization = organization
    self.directory = directory
    self.logKey = logKey
    self.clock = clock
    self.journal = journal
    self.tiles = tiles
    state = Mutex(
      State(
        builder: recovered.builder, length: recovered.length, lastLeaf: recovered.lastLeaf,
        checkpoint: recovered.checkpoint))
    synchronizedLength = Mutex(recovered.length)
  }

  /// The number of entries.
  public var size: UInt64 { state.withLock { $0.builder.size } }

  /// The last checkpoint that was published.
  public var checkpoint: SignedCheckpoint? { state.withLock { $0.checkpoint } }

  /// The name and key under which checkpoints are signed: what `log.vkey` holds.
  public var verifierKey: NoteVerifierKey<LogKeyRole> {
    NoteVerifierKey(organization: organization, key: logKey.verifyingKey)
  }

  /// Appends one record.
  ///
  /// - Parameter durable: false leaves the entry to the next fsync: for records that nothing waits for.
  /// - Throws: `invalidField`, `recordTooLong` (the log is as before), `storage`, `writerFailed`, `closed`. After
  ///   `storage` from the publication that falls due every 256 entries, the record itself *is* on disk.
  @discardableResult
  public func append(_ draft: AuditRecord.Draft, durable: Bool = true) throws(AuditLogError) -> AppendedRecord {
    let (records, end) = try write([draft])
    try finishAppend(end: end, durable: durable)
    return records[0]
  }

  /// Appends several records with one fsync: all of them or none.
  @discardableResult
  public func append(
    contentsOf drafts: [AuditRecord.Draft], durable: Bool = true
  ) throws(AuditLogError) -> [AppendedRecord] {
    if drafts.isEmpty { return [] }
    let (records, end) = try write(drafts)
    try finishAppend(end: end, durable: durable)
    return records
  }

  /// Brings to disk what was appended without waiting for it.
  public func synchronize() throws(AuditLogError) {
    try synchronize(to: state.withLock { $0.length })
  }

  /// Writes tiles and a checkpoint over all entries; does nothing if there is one already.
  ///
  /// - Throws: `storage`; then the former checkpoint stands, and the next call tries again.
  @discardableResult
  public func publish() throws(AuditLogError) -> SignedCheckpoint {
    try publish(closing: false)
  }

  /// Publishes and lets the log go. Later calls throw `closed`; closing twice is harmless.
  ///
  /// - Throws: as `publish()`; then the log is still open.
  public func close() throws(AuditLogError) {
    if state.withLock({ $0.isClosed }) { return }
    try publish(closing: true)
    journal.unlock()
  }

  // MARK: - Steps

  @discardableResult
  private func publish(closing: Bool) throws(AuditLogError) -> SignedCheckpoint {
    try synchronizedLength.withLock { (synchronized: inout UInt64) throws(AuditLogError) -> SignedCheckpoint in
      try state.withLock { (state: inout State) throws(AuditLogError) -> SignedCheckpoint in
        try Self.requireUsable(state)
        // The checkpoint may not be ahead of the journal.
        if synchronized < state.length { try synchronizeJournal(&state) }
        synchronized = state.length
        let checkpoint = try publish(&state)
        state.isClosed = closing
        return checkpoint
      }
    }
  }

  private static func requireUsable(_ state: State) throws(AuditLogError) {
    if state.isClosed { throw .closed }
    if state.hasFailed { throw .writerFailed }
  }

  private func write(
    _ drafts: [AuditRecord.Draft]
  ) throws(AuditLogError) -> (records: [AppendedRecord], end: UInt64) {
    try state.withLock { (state: inout State) throws(AuditLogError) -> ([AppendedRecord], UInt64) in
      try Self.requireUsable(state)
      guard let time = AuditTime(clock()) else { throw .invalidField("time") }
      var previous = state.lastLeaf
      var entries: [[UInt8]] = []
      var records: [AppendedRecord] = []
      for draft in drafts {
        let sequence = state.builder.size + UInt64(records.count)
        let record = AuditRecord(
          organization: organization, sequence: sequence, previous: previous, time: time, content: draft)
        let entry = try record.entry()
        let leaf = MerkleHashing.leaf(entry)
        previous = leaf
        entries.append(entry)
        records.append(AppendedRecord(sequence: sequence, leaf: leaf, time: time))
      }
      let lines = Array(entries.joined(separator: [0x0A])) + [0x0A]
      try writeLines(lines, &state)
      for entry in entries {
        do throws(TransparencyLogError) { try state.builder.append(entry) } catch {
          state.hasFailed = true
          throw .storage(error)
        }
      }
      state.length += UInt64(lines.count)
      state.lastLeaf = previous
      return (records, state.length)
    }
  }

  private func writeLines(_ lines: [UInt8], _ state: inout State) throws(AuditLogError) {
    do { try journal.append(lines) } catch {
      // Part of a line may be in the file; without it the log can go on, with it nothing more may follow.
      do { try journal.truncate(to: state.length) } catch { state.hasFailed = true }
      throw .storage(error)
    }
  }

  private func finishAppend(end: UInt64, durable: Bool) throws(AuditLogError) {
    if durable { try synchronize(to: end) }
    let isDue = state.withLock { state in
      state.builder.size - (state.checkpoint?.checkpoint.size ?? 0) >= Self.publicationInterval
    }
    if isDue { try publish() }
  }

  /// Returns when the first `end` bytes of the journal are on disk. Whoever comes while another's fsync runs waits,
  /// and finds that one of the next covers it too.
  private func synchronize(to end: UInt64) throws(AuditLogError) {
    try synchronizedLength.withLock { (synchronized: inout UInt64) throws(AuditLogError) in
      if synchronized >= end { return }
      let target = try state.withLock { (state: inout State) throws(AuditLogError) -> UInt64 in
        if state.hasFailed { throw .writerFailed }
        return state.length
      }
      do throws(TransparencyLogError) { try journal.synchronize() } catch {
        state.withLock { $0.hasFailed = true }
        throw .storage(error)
      }
      synchronized = target
    }
  }

  private func synchronizeJournal(_ state: inout State) throws(AuditLogError) {
    do throws(TransparencyLogError) { try journal.synchronize() } catch {
      state.hasFailed = true
      throw .storage(error)
    }
  }

  private func publish(_ state: inout State) throws(AuditLogError) -> SignedCheckpoint {
    if let checkpoint = state.checkpoint, checkpoint.checkpoint.size == state.builder.size { return checkpoint }
    do throws(TransparencyLogError) {
      let completed = state.builder.completed
      try tiles.write(completed + state.builder.partials)
      let checkpoint = try SignedCheckpoint.signing(
        origin: organization, size: state.builder.size, root: state.builder.root, key: logKey)
      try tiles.write(checkpoint)
      state.checkpoint = checkpoint
      state.builder.discardCompleted()
      try tiles.removePartials(of: completed.map(\.address))
      return checkpoint
    } catch { throw .storage(error) }
  }
}
