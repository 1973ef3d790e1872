import Cryptography
import Foundation
import TransparencyLog

/// Follows a log that grows: first what is there, then what comes, across the sealing of a journal and the beginning of
/// a new one.
///
/// Every entry is held against the hash of the one before, so that a history that is exchanged under the reader's eyes
/// is noticed; signatures are not checked. Torn lines wait for their end.
public final class LogFollower {
  public enum Item: Sendable {
    case entry(AuditLogReader.Entry)
    /// A line that is not an entry.
    case unreadable(AuditLogError)
    /// An entry that does not continue the one before it: it follows as an `entry` all the same.
    case broken(sequence: UInt64)
    /// Entries that are nowhere: the first one, and the one after the last.
    case missing(from: UInt64, to: UInt64)
    /// The journal became shorter than what was read of it: entries were removed.
    case shortened(path: String)
  }

  private let directory: String
  private let path: String
  private var journal: Journal?
  private var expected: UInt64 = 0
  private var last: LeafHash?
  private var hasReadHistory = false
  /// True while the lines of a journal are read that the history had already.
  private var isSkipping = true

  /// - Parameter directory: of the log, or of the organisation that keeps it.
  public init(directory: String) {
    self.directory = LogLayout.logDirectory(of: directory)
    path = "\(self.directory)/\(LogLayout.journal)"
  }

  /// Hands over what has come since the last call; the first call, everything that is there.
  ///
  /// - Throws: `noJournal` if there was never a log, `storage`.
  public func poll(_ take: (Item) -> Void) throws(AuditLogError) {
    if !hasReadHistory {
      try readHistory(upTo: nil, take)
      hasReadHistory = true
    }
    while true {
      if journal == nil { journal = try Journal(path: path) }
      guard let open = journal else { return }
      // Asked before reading: a journal is sealed when nothing is appended any more.
      let isSealed = !open.isAt(path)
      try read(open, take)
      isSkipping = false
      guard isSealed else { return }
      journal = nil
    }
  }

  private func read(_ open: Journal, _ take: (Item) -> Void) throws(AuditLogError) {
    if try open.hasShrunk() {
      take(.shortened(path: path))
      open.rewind()
      isSkipping = true
    }
    while let line = try open.nextLine() { try consume(line, take) }
  }

  private func consume(_ line: Journal.Line, _ take: (Item) -> Void) throws(AuditLogError) {
    do throws(EntryDefectError) {
      guard let bytes = line.bytes else { throw EntryDefectError(.tooLong) }
      let record = try AuditRecord(entry: bytes)
      let entry = AuditLogReader.Entry(record: record, bytes: bytes)
      if record.sequence < expected {
        // Seen before, unless it is another entry in the place of the last one.
        if record.sequence + 1 == expected, let last, entry.leaf != last { take(.broken(sequence: record.sequence)) }
        return
      }
      isSkipping = false
      hand(entry, take)
    } catch {
      guard !isSkipping else { return }
      let byte = line.offset + UInt64(error.byte)
      take(.unreadable(.malformedEntry(error.defect, path: path, sequence: expected, byte: byte)))
      expected += 1
      last = nil
    }
  }

  /// An entry at or past the expected place; what lies between may be in journals that were sealed meanwhile.
  private func hand(_ entry: AuditLogReader.Entry, _ take: (Item) -> Void) {
    if entry.record.sequence > expected, hasReadHistory {
      try? readHistory(upTo: entry.record.sequence, take)
    }
    follow(entry, take)
  }

  /// The next entry; what lies before it and was not seen is nowhere.
  private func follow(_ entry: AuditLogReader.Entry, _ take: (Item) -> Void) {
    let sequence = entry.record.sequence
    // A log that begins later when it is first looked at no longer keeps what was before.
    if sequence > expected, expected > 0 || hasReadHistory {
      take(.missing(from: expected, to: sequence))
      last = nil
    }
    if let last, entry.record.previous != last { take(.broken(sequence: sequence)) }
    take(.entry(entry))
    expected = sequence + 1
    last = entry.leaf
  }

  /// Everything that a reader finds from the expected entry on, up to but without `end`.
  private func readHistory(upTo end: UInt64?, _ take: (Item) -> Void) throws(AuditLogError) {
    var reader = try AuditLogReader(directory: directory)
    while true {
      do throws(AuditLogError) {
        guard let entry = try reader.next() else { return }
        if let end, entry.record.sequence >= end { return }
        guard entry.record.sequence >= expected else { continue }
        follow(entry, take)
      } catch {
        guard error.isSkipped else { throw error }
        // Of a missing segment, the entry after it says which entries are nowhere.
        guard end == nil, case .malformedEntry = error else { continue }
        take(.unreadable(error))
        expected += 1
        last = nil
      }
    }
  }
}

/// A journal that is open for reading and may be renamed meanwhile.
private final class Journal {
  struct Line {
    /// Nil if it is longer than an entry can be.
    let bytes: [UInt8]?
    let offset: UInt64
  }

  private static let bufferSize = 1 << 17

  private let path: String
  private let descriptor: Int32
  /// What was read and not handed out; begins at `offset`.
  private var pending: [UInt8] = []
  private var place = 0
  /// Of the next line.
  private var offset: UInt64 = 0
  private var isInLongLine = false

  /// Nil if there is no such file at the moment.
  init?(path: String) throws(AuditLogError) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw .storage(.fileOperation(.open, path: path, code: errno))
    }
    do { _ = try DurableFile.regularFileSize(descriptor, path: path) } catch { throw .storage(error) }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  func isAt(_ path: String) -> Bool {
    var mine = stat()
    var theirs = stat()
    return fstat(descriptor, &mine) == 0 && lstat(path, &theirs) == 0 && mine.st_ino == theirs.st_ino
      && mine.st_dev == theirs.st_dev
  }

  /// Whether lines that were handed out are no longer there. A torn line may go: its writer takes it back.
  func hasShrunk() throws(AuditLogError) -> Bool {
    do { return UInt64(try DurableFile.regularFileSize(descriptor, path: path)) < offset } catch {
      throw .storage(error)
    }
  }

  func rewind() {
    offset = 0
    pending = []
    place = 0
    isInLongLine = false
  }

  /// The next whole line, or nil if there is none yet. What has no end yet is read again by the next call.
  func nextLine() throws(AuditLogError) -> Line? {
    while true {
      if let end = pending[place...].firstIndex(of: 0x0A) {
        let line = Array(pending[place..<end])
        let start = offset
        offset += UInt64(end - place) + 1
        place = end + 1
        let isTooLong = isInLongLine || line.count > AuditRecord.maximumBytes
        isInLongLine = false
        return Line(bytes: isTooLong ? nil : line, offset: start)
      }
      if pending.count - place > AuditRecord.maximumBytes {
        offset += UInt64(pending.count - place)
        place = pending.count
        isInLongLine = true
      }
      let known = pending.count - place
      try fill()
      guard pending.count > known else {
        pending = []
        place = 0
        return nil
      }
    }
  }

  /// Reads the file from `offset` on, so that a torn line that was taken back is not joined to what took its place.
  private func fill() throws(AuditLogError) {
    var buffer = [UInt8](repeating: 0, count: Self.bufferSize)
    var filled = 0
    while filled < buffer.count {
      let start = off_t(offset) + off_t(filled)
      let count = buffer.withUnsafeMutableBytes { space in
        pread(descriptor, space.baseAddress?.advanced(by: filled), space.count - filled, start)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .storage(.fileOperation(.read, path: path, code: errno)) }
      if count == 0 { break }
      filled += count
    }
    buffer.removeLast(buffer.count - filled)
    pending = buffer
    place = 0
  }
}
