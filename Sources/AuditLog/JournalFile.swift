import Foundation
import TransparencyLog

/// The names of a log's files, and where the log of an organisation's directory lies.
enum LogLayout {
  static let journal = "journal"
  static let checkpoint = "checkpoint"
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

/// The journal opened for appending by one writer: an advisory lock on the file keeps others out.
final class JournalFile: Sendable {
  let path: String
  let descriptor: Int32

  /// Opens the journal in a log's directory, making both if need be (0700 and 0600).
  ///
  /// - Throws: `locked`, `storage`.
  init(directory: String) throws(AuditLogError) {
    path = "\(directory)/\(LogLayout.journal)"
    do throws(TransparencyLogError) {
      try DurableFile.createDirectories(directory, mode: 0o700)
      let isNew = !DurableFile.exists(path)
      descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o600)
      guard descriptor >= 0 else { throw TransparencyLogError.fileOperation(.open, path: path, code: errno) }
      if isNew { try DurableFile.synchronizeDirectory(directory) }
      _ = try DurableFile.regularFileSize(descriptor, path: path)
    } catch { throw .storage(error) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      if errno == EWOULDBLOCK { throw .locked(path: path) }
      throw .storage(.fileOperation(.lock, path: path, code: errno))
    }
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
}

/// Reads a journal line by line in flat memory: one buffer, and a line of at most an entry's length.
final class JournalScanner {
  struct Line {
    /// Without the newline; nil if the line is longer than an entry can be, and was skipped.
    let bytes: [UInt8]?
    /// From the start of the file.
    let offset: UInt64
  }

  private let path: String
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)
  private var filled = 0
  private var place = 0
  private var isAtEnd = false
  /// Where the next line begins.
  private(set) var offset: UInt64 = 0
  /// Bytes after the last newline, known at the end: a line that a crash cut off.
  private(set) var tornBytes: UInt64 = 0

  /// - Throws: `noJournal`, `storage`.
  init(directory: String) throws(AuditLogError) {
    path = "\(directory)/\(LogLayout.journal)"
    // Non-blocking, so that a named pipe in the journal's place cannot hold us.
    descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { throw .noJournal(path: path) }
      throw .storage(.fileOperation(.open, path: path, code: errno))
    }
    do { _ = try DurableFile.regularFileSize(descriptor, path: path) } catch { throw .storage(error) }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  /// The next whole line, or nil at the end.
  func next() throws(AuditLogError) -> Line? {
    var line: [UInt8] = []
    var length: UInt64 = 0
    while true {
      if place == filled {
        if isAtEnd {
          tornBytes = length
          return nil
        }
        do { filled = try DurableFile.read(descriptor, into: &buffer, path: path) } catch { throw .storage(error) }
        place = 0
        isAtEnd = filled < buffer.count
        continue
      }
      let rest = buffer[place..<filled]
      let end = rest.firstIndex(of: 0x0A) ?? filled
      length += UInt64(end - place)
      if length <= UInt64(AuditRecord.maximumBytes) { line.append(contentsOf: buffer[place..<end]) }
      place = end
      guard end < filled else { continue }
      place += 1
      let start = offset
      offset += length + 1
      return Line(bytes: length <= UInt64(AuditRecord.maximumBytes) ? line : nil, offset: start)
    }
  }
}
