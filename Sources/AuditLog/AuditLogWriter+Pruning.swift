import Cryptography
import Foundation
import TransparencyLog

/// What a log no longer keeps.
public struct PrunedEntries: Hashable, Sendable {
  /// The first entry that is kept.
  public let below: UInt64
  /// How many entries went this time.
  public let count: UInt64
  /// The record that says so.
  public let record: AppendedRecord
}

/// Retention. Entries go segment by segment, with their bundles; their hashes stay, so that the tree, every proof and every
/// checkpoint hold as before.
extension AuditLogWriter {
  /// Stops keeping entries older than a time, as far as whole sealed segments are.
  ///
  /// A record of event `entriesPruned` is under a published checkpoint before anything is removed.
  ///
  /// - Parameters:
  ///   - time: no entry of this time or later is removed.
  ///   - limit: nor any from this one on, as that which witnesses have not cosigned yet.
  ///   - draft: who decided, and why; its event and boundary are set here.
  /// - Returns: nil if there is no such segment.
  /// - Throws: as `append` and `publish`; what has not been removed then goes when the log is next opened.
  @discardableResult
  public func prune(
    before time: AuditTime, upTo limit: UInt64 = .max, recording draft: AuditRecord.Draft = .init(.entriesPruned)
  ) throws(AuditLogError) -> PrunedEntries? {
    try prune(below: min(try firstEntry(since: time), limit), recording: draft)
  }

  /// What ``prune(before:upTo:recording:)`` would remove.
  ///
  /// - Returns: nil if there is no such segment.
  public func prunable(before time: AuditTime, upTo limit: UInt64 = .max) throws(AuditLogError) -> Range<UInt64>? {
    let sequence = min(try firstEntry(since: time), limit)
    let segments = try listSegments()
    return segments.sealed.last { $0.last < sequence }.map { segments.first..<$0.last + 1 }
  }

  /// Stops keeping entries below `sequence`, as far as they fill sealed segments.
  ///
  /// - Returns: nil if there is no such segment.
  /// - Throws: as `prune(before:)`.
  @discardableResult
  public func prune(
    below sequence: UInt64, recording draft: AuditRecord.Draft = .init(.entriesPruned)
  ) throws(AuditLogError) -> PrunedEntries? {
    let segments = try listSegments()
    guard let last = segments.sealed.last(where: { $0.last < sequence }) else { return nil }
    let below = last.last + 1
    var draft = draft
    draft.event = .entriesPruned
    draft.pruned = .init(below: below)
    let record = try append(draft, durable: true)
    try publish()
    let marker = PrunedMarker(below: below, record: record.sequence)
    try publication.withLock { (_) throws(AuditLogError) in
      // Another may have removed more meanwhile: a marker below what is kept would be refused at the next opening.
      guard try listSegments().first < below else { return }
      do throws(TransparencyLogError) {
        let path = "\(directory)/\(LogLayout.segments)/\(LogLayout.pruned)"
        try DurableFile.writeAtomically(marker.bytes, to: path, mode: 0o600)
      } catch { throw .storage(error) }
      try options.step(.markerWritten)
      try removePruned(below: below)
    }
    return PrunedEntries(below: below, count: below - segments.first, record: record)
  }

  private func listSegments() throws(AuditLogError) -> JournalSegments {
    do { return try JournalSegments(listing: directory) } catch { throw .storage(error) }
  }

  /// The first entry in a sealed segment that is not older than `time`, or the first that is not in one.
  private func firstEntry(since time: AuditTime) throws(AuditLogError) -> UInt64 {
    let scanner = try JournalScanner(directory: directory)
    let fast = EntryScanner(keeper: organization)
    // Times sort as their texts do.
    let limit = Array(time.description.utf8)
    while scanner.position < scanner.segments.end {
      let sequence = scanner.position
      guard let line = try scanner.nextRaw() else { break }
      guard let bytes = line.bytes else { return sequence }
      if let scanned = fast.scan(bytes) {
        let text = bytes[scanned.time..<scanned.time + limit.count]
        if !text.lexicographicallyPrecedes(limit) { return sequence }
      } else {
        // What cannot be read has no age.
        guard let record = try? AuditRecord(entry: bytes), record.time < time else { return sequence }
      }
    }
    return scanner.segments.end
  }

  /// Removes the bundles and segments below a boundary that is on record, the oldest first.
  func removePruned(below: UInt64) throws(AuditLogError) {
    let full = UInt64(TileAddress.fullWidth)
    for segment in try listSegments().sealed where segment.last < below {
      var folders: Set<String> = []
      for index in (segment.first / full)...(segment.last / full) {
        let bundle = TileAddress(kind: .entries, index: index).path
        try remove(bundle)
        folders.insert(DurableFile.parent(of: "\(directory)/\(bundle)"))
        try options.step(.bundleRemoved)
      }
      // The segment is what the next opening finds them by: after a power failure none may be back without it.
      try synchronize(folders)
      try remove(segment.path)
      try options.step(.segmentRemoved)
    }
    do throws(TransparencyLogError) {
      try DurableFile.synchronizeDirectory("\(directory)/\(LogLayout.segments)")
    } catch { throw .storage(error) }
  }

  /// - Parameter folders: those that went with the last of their files are gone from the ones above.
  private func synchronize(_ folders: Set<String>) throws(AuditLogError) {
    do throws(TransparencyLogError) {
      for folder in folders {
        try DurableFile.synchronizeDirectory(DurableFile.exists(folder) ? folder : DurableFile.parent(of: folder))
      }
    } catch { throw .storage(error) }
  }

  private func remove(_ file: String) throws(AuditLogError) {
    let path = "\(directory)/\(file)"
    guard unlink(path) == 0 || errno == ENOENT else {
      throw .storage(.fileOperation(.remove, path: path, code: errno))
    }
    // The folder of a thousand bundles goes with the last of them; one that still has some stays.
    if file.hasSuffix("/999") { rmdir(DurableFile.parent(of: path)) }
  }
}
