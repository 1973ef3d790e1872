import Cryptography
import TransparencyLog

/// Which records an auditor wants to see; an absent criterion lets every record pass.
public struct AuditFilter: Hashable, Sendable {
  public var from: AuditTime?
  /// Exclusive.
  public var to: AuditTime?
  public var run: String?
  public var round: Int?
  /// The kind of the message.
  public var kind: String?
  public var destination: OrganizationName?
  public var source: OrganizationName?
  public var events: Set<AuditRecord.Event>?

  public init() {}

  public func matches(_ record: AuditRecord) -> Bool {
    if let from, record.time < from { return false }
    if let to, record.time >= to { return false }
    if let run, record.run != run { return false }
    if let round, record.round != round { return false }
    if let kind, record.message?.label.kind != kind { return false }
    if let destination, record.destination?.name != destination { return false }
    if let source, record.source?.name != source { return false }
    if let events, !events.contains(record.event) { return false }
    return true
  }
}

/// Reads the records of a log one after the other, in flat memory, whatever its length.
///
/// It parses; it does not verify: signatures and chain are `AuditVerifier`'s. A torn last line is left out, as it is
/// while another process appends.
public struct AuditLogReader {
  /// A record and its place.
  public struct Entry: Sendable {
    public let record: AuditRecord
    /// The canonical JSON as it stands in the journal.
    public let bytes: [UInt8]
    public var leaf: LeafHash { MerkleHashing.leaf(bytes) }
  }

  private let scanner: JournalScanner
  private let directory: String
  private let filter: AuditFilter

  /// The sequence of the first entry that is there: above 0 if those before it are no longer kept.
  public var firstSequence: UInt64 { scanner.segments.first }

  /// The sequence of the entry that `next` reads next, by its place: at the end, of the one that is not there yet.
  public var position: UInt64 { scanner.position }

  /// - Parameters:
  ///   - directory: of the log, or of the organisation that keeps it.
  ///   - start: begins with the file that holds this entry; earlier entries of the same file come first.
  /// - Throws: `noJournal`, `storage`.
  public init(
    directory: String, filter: AuditFilter = AuditFilter(), from start: UInt64 = 0
  ) throws(AuditLogError) {
    let directory = LogLayout.logDirectory(of: directory)
    self.directory = directory
    scanner = try JournalScanner(directory: directory, from: start)
    self.filter = filter
  }

  /// The next record that the filter lets pass, or nil at the end.
  ///
  /// - Throws: `malformedEntry` for a line that is not a record, `segmentMissing` where entries are gone: the following call
  ///   goes on after it. `storage`.
  public mutating func next() throws(AuditLogError) -> Entry? {
    while true {
      let sequence = scanner.position
      guard let read = try scanner.next() else { return nil }
      do throws(EntryDefectError) {
        guard let bytes = read.bytes else { throw EntryDefectError(read.defect ?? .tooLong) }
        let record = try AuditRecord(entry: bytes)
        if filter.matches(record) { return Entry(record: record, bytes: bytes) }
      } catch {
        let byte = read.offset + UInt64(error.byte)
        throw .malformedEntry(error.defect, path: "\(directory)/\(read.file)", sequence: sequence, byte: byte)
      }
    }
  }
}

extension AuditLogReader {
  /// Whose log it says it is: by its first entry that can be read, else by its checkpoint; nil if neither says so.
  ///
  /// - Throws: `storage`.
  public static func keeper(of directory: String) throws(AuditLogError) -> OrganizationName? {
    do throws(AuditLogError) {
      var reader = try AuditLogReader(directory: directory)
      while true {
        do throws(AuditLogError) {
          guard let entry = try reader.next() else { break }
          return entry.record.organization
        } catch {
          guard error.isSkipped else { throw error }
        }
      }
    } catch {
      guard case .noJournal = error else { throw error }
    }
    return checkpointKeeper(of: directory)
  }

  /// Whose log it is by its checkpoint, signed or not.
  static func checkpointKeeper(of directory: String) -> OrganizationName? {
    let checkpoint = try? TileDirectory(path: LogLayout.logDirectory(of: directory)).checkpoint()
    return checkpoint.flatMap { try? OrganizationName($0.checkpoint.origin) }
  }
}

extension AuditLogError {
  /// Whether a reader that goes on with its next call leaves out what the error names, and nothing else.
  public var isSkipped: Bool {
    switch self {
    case .malformedEntry, .segmentMissing: true
    case .invalidField, .recordTooLong, .rolledBack, .journalAltered, .foreignCheckpoint, .foreignOrganization,
      .notInThisLog, .locked, .closed, .writerFailed, .noJournal, .storage:
      false
    }
  }
}
