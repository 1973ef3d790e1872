import Foundation
import TransparencyLog

/// Moves whole segments from the beginning of the active journal into files of their own.
///
/// First the segment is written beside the journal, then the journal is shortened; until then both have its entries, which
/// readers know and the next opening finishes.
struct JournalSealer {
  let directory: String
  let journal: JournalFile
  let step: @Sendable (JournalStep) throws(AuditLogError) -> Void

  /// Writes segments of `entries` entries each from what lies under the checkpoint. The journal is only read.
  ///
  /// - Parameters:
  ///   - first: the entry with which the journal begins.
  ///   - signed: the size of the checkpoint.
  /// - Returns: the segments, and how many bytes of the journal they hold.
  func writeSegments(
    of entries: UInt64, first: UInt64, signed: UInt64
  ) throws(AuditLogError) -> (segments: [JournalSegment], bytes: UInt64) {
    var segments: [JournalSegment] = []
    var start: UInt64 = 0
    var next = first
    do throws(TransparencyLogError) {
      try DurableFile.createDirectories("\(directory)/\(LogLayout.segments)", mode: 0o700)
    } catch { throw .storage(error) }
    while signed >= next, signed - next >= entries, let segment = JournalSegment(first: next, last: next + entries - 1)
    {
      start = try write(segment, from: start)
      segments.append(segment)
      next += entries
    }
    return (segments, start)
  }

  private func write(_ segment: JournalSegment, from start: UInt64) throws(AuditLogError) -> UInt64 {
    let path = "\(directory)/\(segment.path)"
    let temporary = path + DurableFile.temporarySuffix
    let end: UInt64
    do throws(TransparencyLogError) {
      guard
        let found = try JournalCopy.end(
          ofLines: segment.count, from: start, in: journal.descriptor, path: journal.path)
      else { throw .fileOperation(.read, path: journal.path, code: EIO) }
      end = found
      try copy(start..<end, to: temporary)
    } catch {
      unlink(temporary)
      throw .storage(error)
    }
    try step(.segmentWritten)
    guard rename(temporary, path) == 0 else { throw .storage(.fileOperation(.rename, path: path, code: errno)) }
    try step(.segmentRenamed)
    do { try DurableFile.synchronizeDirectory(DurableFile.parent(of: path)) } catch { throw .storage(error) }
    try step(.segmentsSealed)
    return end
  }

  private func copy(_ range: Range<UInt64>, to temporary: String) throws(TransparencyLogError) {
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .fileOperation(.open, path: temporary, code: errno) }
    defer { close(descriptor) }
    try JournalCopy.copy(range, of: journal.descriptor, path: journal.path, to: descriptor, path: temporary)
    try DurableFile.synchronize(descriptor, path: temporary)
  }

  /// Shortens a journal whose first lines a sealed segment has as well, after comparing them.
  ///
  /// - Parameters:
  ///   - repeated: how many lines.
  ///   - length: of the journal.
  /// - Returns: how many bytes were dropped.
  /// - Throws: `journalAltered` if segment and journal differ; then nothing was changed. `storage`, `writerFailed`.
  func finish(
    _ segments: JournalSegments, repeated: UInt64, length: UInt64
  ) throws(AuditLogError) -> UInt64 {
    let first = segments.end - repeated
    let doubled = segments.sealed.filter { $0.first >= first }
    let end: UInt64?
    do { end = try self.end(of: doubled, repeated: repeated) } catch { throw .storage(error) }
    guard let end, doubled.first?.first == first else {
      throw .journalAltered(path: journal.path, checkpoint: segments.end)
    }
    try journal.dropBeginning(upTo: end, length: length, step: step)
    return end
  }

  /// Where the repeated lines end in the journal, or nil if they are not those of the segments.
  private func end(of segments: [JournalSegment], repeated: UInt64) throws(TransparencyLogError) -> UInt64? {
    var end: UInt64 = 0
    for segment in segments {
      let path = "\(directory)/\(segment.path)"
      guard
        let next = try JournalCopy.end(ofContentsOf: path, from: end, in: journal.descriptor, path: journal.path)
      else { return nil }
      end = next
    }
    let lines = try JournalCopy.end(ofLines: repeated, from: 0, in: journal.descriptor, path: journal.path)
    return lines == end ? end : nil
  }
}
