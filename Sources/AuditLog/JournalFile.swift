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
