import Foundation

/// Whether files are still those that were read: by where they lie, how long they are, and when they changed.
///
/// Shows that something may have changed, not what: whoever reads anew compares.
struct FileStamp: Hashable, Sendable {
  private struct Mark: Hashable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    let modified: Int64
    let changed: Int64
  }

  /// Nil for a file that is not there.
  private let marks: [Mark?]

  init(_ paths: [String]) { marks = paths.map(Self.mark) }

  private static func mark(_ path: String) -> Mark? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }
    return Mark(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
      modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim))
  }
}
