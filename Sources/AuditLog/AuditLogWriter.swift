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
/// one fsync. Tiles and the signed checkpoint follow the journal whenever 256 entries wait for them, on `publish()` and at
/// `close()`. Between two checkpoints the tail is chained by each entry's `previous`, so a change there is noticed as well,
/// except to the very last entry. Entries under a checkpoint move on to sealed segments in `journal.d`.
///
/// A full disk is an error of the append that meets it, and leaves the log as it was: once there is space, the next append
/// succeeds, without the log being opened again.
///
/// Calls block for the time of a disk write and may come from any thread.
public final class AuditLogWriter: Sendable {
  /// A checkpoint is due when so many entries wait for one.
  public static let publicationInterval: UInt64 = 256
  /// If publishing fails, or cannot keep up, so many entries may wait before appends have to.
  public static let maximumUnpublished: UInt64 = 16 * publicationInterval

  /// What only tests change.
  struct Options: Sendable {
    /// In a sealed segment: whole bundles.
    var segmentEntries: UInt64 = 65_536
    /// Called after each step of a rearrangement of files; what it throws ends the rearrangement there, as a crash would.
    var step: @Sendable (JournalStep) throws(AuditLogError) -> Void = { _ in }
  }

  public let organization: OrganizationName
  /// The directory that holds `journal`, `journal.d`, `checkpoint`, `checkpoint.cosigned` and `tile`.
  public let directory: String

  let logKey: LogSigningKey
  let clock: @Sendable () -> Date
  let options: Options
  let journal: JournalFile
  let tiles: TileDirectory
  // Taken in this order: publication, commit, state.
  /// Held by the one that publishes, seals or prunes.
  let publication = Mutex(())
  let commit: GroupCommit
  let state: Guarded<State>

  struct State {
    var builder: TileBuilder
    /// Of the active journal, in bytes.
    var length: UInt64
    /// The entry with which the active journal begins.
    var segmentStart: UInt64
    var lastLeaf: LeafHash?
    var checkpoint: SignedCheckpoint?
    var cosigned: CosignedCheckpoints
    /// Why the last publication that fell due was not made, and at which size it is tried again.
    var publicationFailure: AuditLogError?
    var nextPublication: UInt64 = 0
    /// The last time, as a record writes it.
    var time: (value: AuditTime, text: [UInt8])?
    var isClosed = false
    var hasFailed = false

    var signedSize: UInt64 { checkpoint?.checkpoint.size ?? 0 }
    var unpublished: UInt64 { builder.size - signedSize }
    var isPublicationDue: Bool {
      unpublished >= AuditLogWriter.publicationInterval && builder.size >= nextPublication
    }
  }

  /// Opens a log, making it if it does not exist.
  ///
  /// A torn last line is cut off: its append never returned, so nothing left under it. The entries under the
  /// checkpoint must be those that this key signed; those after it must continue them. Sealed segments must be there, but
  /// are not read.
  ///
  /// - Parameters:
  ///   - directory: of the log itself (`log/` in an organisation's directory).
  ///   - clock: gives the time of each record; a test passes its own.
  /// - Throws: `locked`, `rolledBack`, `journalAltered`, `segmentMissing`, `malformedEntry`, `foreignCheckpoint`,
  ///   `foreignOrganization`, `storage`.
  public convenience init(
    directory: String, organization: OrganizationName, logKey: consuming LogSigningKey,
    clock: @escaping @Sendable () -> Date = { Date() }
  ) throws(AuditLogError) {
    try self.init(
      directory: directory, organization: organization, logKey: logKey, options: Options(), clock: clock)
  }

  init(
    directory: String, organization: OrganizationName, logKey: consuming LogSigningKey, options: Options,
    clock: @escaping @Sendable () -> Date
  ) throws(AuditLogError) {
    precondition(
      options.segmentEntries > 0 && options.segmentEntries.isMultiple(of: UInt64(TileAddress.fullWidth)),
      "a segment holds whole bundles")
    let directory = LogLayout.withoutTrailingSlash(directory)
    let journal = try JournalFile(directory: directory)
    let tiles = TileDirectory(path: directory)
    let key = NoteVerifierKey(organization: organization, key: logKey.verifyingKey)
    let recovered = try JournalRecovery.recover(
      journal, tiles: tiles, organization: organization, key: key, step: options.step)
    self.organization = organization
    self.directory = directory
    self.logKey = logKey
    self.clock = clock
    self.options = options
    self.journal = journal
    self.tiles = tiles
    state = Guarded(
      State(
        builder: recovered.builder, length: recovered.length, segmentStart: recovered.segmentStart,
        lastLeaf: recovered.lastLeaf, checkpoint: recovered.checkpoint,
        cosigned: CosignedCheckpoints(kept: recovered.cosigned)))
    // What a process before wrote without waiting may be in the file and not on disk: only what is signed is known to be.
    commit = GroupCommit(synchronized: recovered.checkpoint?.checkpoint.size ?? 0)
    if let below = recovered.unfinishedPruning { try removePruned(below: below) }
  }

  /// The number of entries, kept or not.
  public var size: UInt64 { state.withLock { $0.builder.size } }

  /// The last checkpoint that was published.
  public var checkpoint: SignedCheckpoint? { state.withLock { $0.checkpoint } }

  /// Why the last checkpoint that fell due could not be published; nil if it could. Meanwhile entries are on disk, but
  /// not signed; appends go on until too many wait.
  public var publicationFailure: AuditLogError? { state.withLock { $0.publicationFailure } }

  /// The name and key under which checkpoints are signed: what `log.vkey` holds.
  public var verifierKey: NoteVerifierKey<LogKeyRole> {
    NoteVerifierKey(organization: organization, key: logKey.verifyingKey)
  }

  /// Appends one record.
  ///
  /// - Parameters:
  ///   - durable: false leaves the entry to the next fsync: for records that nothing waits for.
  ///   - publishing: false leaves a checkpoint that falls due to the next append: for callers that may not wait for a
  ///     disk, such as event loops. Only when `maximumUnpublished` entries wait is it made all the same.
  /// - Throws: `invalidField`, `recordTooLong`, `storage` (the log is as before), `writerFailed`, `closed`. A checkpoint
  ///   that falls due and cannot be published is no error of the record, which is on disk: see `publicationFailure`.
  @discardableResult
  public func append(
    _ draft: AuditRecord.Draft, durable: Bool = true, publishing: Bool = true
  ) throws(AuditLogError) -> AppendedRecord {
    try append(contentsOf: [draft], durable: durable, publishing: publishing)[0]
  }

  /// Appends several records with one fsync: all of them or none.
  @discardableResult
  public func append(
    contentsOf drafts: [AuditRecord.Draft], durable: Bool = true, publishing: Bool = true
  ) throws(AuditLogError) -> [AppendedRecord] {
    if drafts.isEmpty { return [] }
    var prepared: [PreparedEntry] = []
    for draft in drafts { prepared.append(try PreparedEntry(draft, organization: organization)) }
    var written = try write(prepared)
    while written == nil {
      try publishWhatIsDue()
      written = try write(prepared)
    }
    guard let written else { return [] }
    if durable { try synchronize(to: written.size) }
    if publishing, written.isPublicationDue { publishIfDue() }
    return written.records
  }

  /// Brings to disk what was appended without waiting for it.
  public func synchronize() throws(AuditLogError) {
    try synchronize(to: state.withLock { $0.builder.size })
  }

  // MARK: - Steps

  static func requireUsable(_ state: State) throws(AuditLogError) {
    if state.isClosed { throw .closed }
    if state.hasFailed { throw .writerFailed }
  }

  private struct Written {
    let records: [AppendedRecord]
    /// Of the log.
    let size: UInt64
    let isPublicationDue: Bool
  }

  /// - Returns: nil if nothing was written, because too many entries wait for a checkpoint.
  private func write(_ prepared: [PreparedEntry]) throws(AuditLogError) -> Written? {
    try state.withLock { (state: inout State) throws(AuditLogError) -> Written? in
      try Self.requireUsable(state)
      if state.unpublished >= Self.maximumUnpublished { return nil }
      let time = try now(&state)
      var previous = state.lastLeaf
      var entries: [(bytes: [UInt8], leaf: LeafHash)] = []
      var records: [AppendedRecord] = []
      var lines: [UInt8] = []
      for prepared in prepared {
        let sequence = state.builder.size + UInt64(records.count)
        let entry = try prepared.entry(sequence: sequence, previous: previous, time: time.text)
        let leaf = MerkleHashing.leaf(entry)
        previous = leaf
        lines.append(contentsOf: entry)
        lines.append(0x0A)
        entries.append((entry, leaf))
        records.append(AppendedRecord(sequence: sequence, leaf: leaf, time: time.value))
      }
      try writeLines(lines, &state)
      for entry in entries {
        do throws(TransparencyLogError) { try state.builder.append(entry.bytes, leaf: entry.leaf) } catch {
          state.hasFailed = true
          throw .storage(error)
        }
      }
      state.length += UInt64(lines.count)
      state.lastLeaf = previous
      return Written(records: records, size: state.builder.size, isPublicationDue: state.isPublicationDue)
    }
  }

  private func now(_ state: inout State) throws(AuditLogError) -> (value: AuditTime, text: [UInt8]) {
    guard let time = AuditTime(clock()) else { throw .invalidField("time") }
    if let known = state.time, known.value == time { return known }
    let known = (value: time, text: Array(time.description.utf8))
    state.time = known
    return known
  }

  private func writeLines(_ lines: [UInt8], _ state: inout State) throws(AuditLogError) {
    do { try journal.append(lines) } catch {
      // Part of a line may be in the file; without it the log can go on, with it nothing more may follow.
      do { try journal.truncate(to: state.length) } catch { state.hasFailed = true }
      throw .storage(error)
    }
  }

  /// Returns when the first `size` entries are on disk.
  func synchronize(to size: UInt64) throws(AuditLogError) {
    try commit.wait(for: size) { () throws(AuditLogError) -> UInt64 in
      let target = try state.withLock { (state: inout State) throws(AuditLogError) -> UInt64 in
        if state.hasFailed { throw .writerFailed }
        return state.builder.size
      }
      do throws(TransparencyLogError) { try journal.synchronize() } catch {
        state.withLock { $0.hasFailed = true }
        throw .storage(error)
      }
      return target
    }
  }
}
