import Foundation
import TransparencyLog

/// The names of a log's files, and where the log of an organisation's directory lies.
enum LogLayout {
  /// The entries that are not in a sealed segment yet.
  static let journal = "journal"
  /// Sealed segments, by the entries that they hold.
  static let segments = "journal.d"
  /// Within `segments`: from where on entries are kept, and which entry says so.
  static let pruned = "pruned"
  static let checkpoint = "checkpoint"
  /// The checkpoint that witnesses have cosigned, with all their cosignatures.
  static let cosignedCheckpoint = "checkpoint.cosigned"
  static let tiles = "tile"
  static let verifierKey = "log.vkey"

  /// `directory` itself if it holds a journal, else its `log` folder if that does, else `directory`.
  static func logDirectory(of directory: String) -> String {
    let directory = withoutTrailingSlash(directory)
    if DurableFile.exists("\(directory)/\(journal)") { return directory }
    let nested = "\(directory)/log"
    return DurableFile.exists("\(nested)/\(journal)") ? nested : directory
  }

  static func withoutTrailingSlash(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}

/// The active journal opened for appending by one writer: an advisory lock on the file keeps others out.
final class JournalFile: Sendable {
  let path: String
  /// Stays the same number when the file is replaced.
  let descriptor: Int32

  /// Opens the journal in a log's directory, making both if need be (0700 and 0600).
  ///
  /// - Throws: `locked`, `storage`.
  init(directory: String) throws(AuditLogError) {
    let path = "\(directory)/\(LogLayout.journal)"
    self.path = path
    do throws(TransparencyLogError) {
      try DurableFile.createDirectories(directory, mode: 0o700)
    } catch { throw .storage(error) }
    var opened = try Self.openLocked(path, directory: directory)
    // Between opening and locking, another writer may have put a new file in its place, and let go of the old one.
    while !Self.isStillThere(opened, path: path) {
      close(opened)
      opened = try Self.openLocked(path, directory: directory)
    }
    descriptor = opened
  }

  private static func openLocked(_ path: String, directory: String) throws(AuditLogError) -> Int32 {
    let isNew = !DurableFile.exists(path)
    let descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { throw .storage(.fileOperation(.open, path: path, code: errno)) }
    do throws(TransparencyLogError) {
      if isNew { try DurableFile.synchronizeDirectory(directory) }
      _ = try DurableFile.regularFileSize(descriptor, path: path)
    } catch {
      close(descriptor)
      throw .storage(error)
    }
    do { try lock(descriptor, path: path) } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }

  private static func lock(_ descriptor: Int32, path: String) throws(AuditLogError) {
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      if errno == EWOULDBLOCK { throw .locked(path: path) }
      throw .storage(.fileOperation(.lock, path: path, code: errno))
    }
  }

  private static func isStillThere(_ descriptor: Int32, path: String) -> Bool {
    var opened = stat()
    var named = stat()
    return fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino
      && opened.st_dev == named.st_dev
  }

  deinit {
    guard descriptor >= 0 else { return }
    // Closing alone leaves the lock with a process that is being started and has the descriptor for a moment too.
    unlock()
    close(descriptor)
  }

  /// Lets the next writer in; nothing may be written afterwards.
  func unlock() {
    flock(descriptor, LOCK_UN)
  }

  func append(_ bytes: [UInt8]) throws(TransparencyLogError) {
    try DurableFile.write(bytes, to: descriptor, path: path)
  }

  func synchronize() throws(TransparencyLogError) {
    try DurableFile.synchronize(descriptor, path: path)
  }

  func truncate(to length: UInt64) throws(TransparencyLogError) {
    guard ftruncate(descriptor, off_t(length)) == 0 else {
      throw .fileOperation(.truncate, path: path, code: errno)
    }
    try synchronize()
  }

  /// Puts a file with the bytes from `start` on in the journal's place, under the same lock. No one may write meanwhile.
  ///
  /// - Parameter step: called after each operation that a crash may follow.
  /// - Throws: `storage`; then the journal is as it was. `writerFailed` if that is not certain.
  func dropBeginning(
    upTo start: UInt64, length: UInt64, step: (JournalStep) throws(AuditLogError) -> Void
  ) throws(AuditLogError) {
    let temporary = path + DurableFile.temporarySuffix
    let new = open(temporary, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard new >= 0 else { throw .storage(.fileOperation(.open, path: temporary, code: errno)) }
    defer { close(new) }
    do throws(TransparencyLogError) {
      try JournalCopy.copy(start..<length, of: descriptor, path: path, to: new, path: temporary)
      try DurableFile.synchronize(new, path: temporary)
    } catch {
      unlink(temporary)
      throw .storage(error)
    }
    try Self.lock(new, path: temporary)
    try step(.restWritten)
    guard rename(temporary, path) == 0 else { throw .storage(.fileOperation(.rename, path: path, code: errno)) }
    // From here on the old file is nobody's journal: whatever fails, nothing may be written to it.
    try step(.restRenamed)
    // A process that is started must inherit neither the journal nor its lock, and a copy does not have the mark.
    guard dup2(new, descriptor) >= 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw .writerFailed }
    do { try DurableFile.synchronizeDirectory(DurableFile.parent(of: path)) } catch { throw .writerFailed }
  }
}

/// What can be on disk when a process ends while it rearranges a log.
enum JournalStep: CaseIterable {
  case segmentWritten, segmentRenamed, segmentsSealed
  case restWritten, restRenamed
  case markerWritten, bundleRemoved, segmentRemoved
}

/// Copies runs of a file, and finds where lines end, through one small buffer.
enum JournalCopy {
  private static let bufferBytes = 1 << 18

  static func copy(
    _ range: Range<UInt64>, of source: Int32, path: String, to target: Int32, path targetPath: String
  ) throws(TransparencyLogError) {
    var place = range.lowerBound
    while place < range.upperBound {
      let bytes = try read(source, at: place, count: min(UInt64(bufferBytes), range.upperBound - place), path: path)
      guard !bytes.isEmpty else { throw .fileOperation(.read, path: path, code: EIO) }
      try DurableFile.write(bytes, to: target, path: targetPath)
      place += UInt64(bytes.count)
    }
  }

  /// Where the line ends that is `count` lines after `start`, its newline included; nil if there are fewer.
  static func end(
    ofLines count: UInt64, from start: UInt64, in source: Int32, path: String
  ) throws(TransparencyLogError) -> UInt64? {
    var place = start
    var rest = count
    while rest > 0 {
      let bytes = try read(source, at: place, count: UInt64(bufferBytes), path: path)
      guard !bytes.isEmpty else { return nil }
      for (index, byte) in bytes.enumerated() where byte == 0x0A {
        rest -= 1
        if rest == 0 { return place + UInt64(index) + 1 }
      }
      place += UInt64(bytes.count)
    }
    return place
  }

  /// Whether the first bytes of `source`, from `start` on, are those of a whole file.
  ///
  /// - Returns: where they end in `source`, or nil if they differ.
  static func end(
    ofContentsOf file: String, from start: UInt64, in source: Int32, path: String
  ) throws(TransparencyLogError) -> UInt64? {
    let other = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard other >= 0 else { throw .fileOperation(.open, path: file, code: errno) }
    defer { close(other) }
    _ = try DurableFile.regularFileSize(other, path: file)
    var place: UInt64 = 0
    while true {
      let expected = try read(other, at: place, count: UInt64(bufferBytes), path: file)
      if expected.isEmpty { return start + place }
      guard try read(source, at: start + place, count: UInt64(expected.count), path: path) == expected else {
        return nil
      }
      place += UInt64(expected.count)
    }
  }

  /// Fewer bytes than asked for only at the end of the file.
  private static func read(
    _ source: Int32, at place: UInt64, count: UInt64, path: String
  ) throws(TransparencyLogError) -> [UInt8] {
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(count)) { space, initialized in
      while initialized < Int(count) {
        let read = pread(
          source, space.baseAddress?.advanced(by: initialized), Int(count) - initialized,
          off_t(place) + off_t(initialized))
        if read < 0, errno == EINTR { continue }
        if read < 0 { failure = errno }
        if read <= 0 { break }
        initialized += read
      }
    }
    guard failure == 0 else { throw .fileOperation(.read, path: path, code: failure) }
    return bytes
  }
}
