import Foundation

/// Files of the user's own, read whole with a bound and written whole or not at all.
enum LocalFile {
  /// - Throws: ``CommandError/missing(path:what:)``, `unreadable`, `tooLarge`.
  static func read(_ path: String, maximum: Int) throws(CommandError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { throw .missing(path: path, what: "file") }
      throw .unreadable(path: path, reason: systemReason())
    }
    defer { close(descriptor) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else { throw .unreadable(path: path, reason: systemReason()) }
    guard information.st_mode & S_IFMT != S_IFDIR else { throw .unreadable(path: path, reason: "it is a directory") }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    // Not by the file's size: a pipe has none.
    while true {
      let count = Foundation.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .unreadable(path: path, reason: systemReason()) }
      if count == 0 { return bytes }
      guard bytes.count + count <= maximum else { throw .tooLarge(path: path, limit: maximum) }
      bytes += buffer[..<count]
    }
  }

  /// Writes a new file, whole or not at all; an existing one is refused.
  ///
  /// - Throws: ``CommandError/exists(path:)``, `unwritable`.
  static func create(_ path: String, _ bytes: [UInt8]) throws(CommandError) {
    let temporary = "\(path).\(UInt32.random(in: .min ... .max)).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .unwritable(path: path, reason: systemReason()) }
    defer { unlink(temporary) }
    try finish(descriptor, bytes, path: path)
    // Unlike rename, link fails when the name is taken.
    guard link(temporary, path) == 0 else {
      throw errno == EEXIST ? .exists(path: path) : .unwritable(path: path, reason: systemReason())
    }
  }

  static func requireDirectory(_ path: String) throws(CommandError) {
    var information = stat()
    guard stat(path, &information) == 0 else {
      if errno == ENOENT { throw .missing(path: path, what: "directory") }
      throw .unreadable(path: path, reason: systemReason())
    }
    guard information.st_mode & S_IFMT == S_IFDIR else {
      throw .unsuitable(path: path, problem: "it is not a directory", remedy: "Give a directory.")
    }
  }

  /// A directory with a log in it or below it, which this user may read: a file that may not be seen is not a missing one.
  static func requireLogDirectory(_ path: String) throws(CommandError) {
    try requireDirectory(path)
    try require(X_OK, path)
    let log = exists("\(path)/journal") || !exists("\(path)/log") ? path : "\(path)/log"
    try require(R_OK | X_OK, log)
    if exists("\(log)/journal") { try require(R_OK, "\(log)/journal") }
  }

  private static func require(_ access: Int32, _ path: String) throws(CommandError) {
    guard Foundation.access(path, access) == 0 else { throw .unreadable(path: path, reason: systemReason()) }
  }

  /// What two paths of the log of one keeper have in common: the resolved path of the directory with the journal.
  static func identity(_ directory: String) -> String {
    let nested = "\(directory)/log"
    let place = exists("\(nested)/journal") ? nested : directory
    return URL(fileURLWithPath: place).resolvingSymlinksInPath().path
  }

  /// The directory that holds a file, by its path.
  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes a directory that only its owner can enter, unless it is there.
  static func makeDirectory(_ path: String) throws(CommandError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .unwritable(path: path, reason: systemReason()) }
  }

  static func exists(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0
  }

  private static func finish(_ descriptor: Int32, _ bytes: [UInt8], path: String) throws(CommandError) {
    defer { close(descriptor) }
    try write(bytes, to: descriptor, path: path)
    guard fsync(descriptor) == 0 else { throw .unwritable(path: path, reason: systemReason()) }
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(CommandError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { space in
        Foundation.write(descriptor, space.baseAddress?.advanced(by: written), space.count - written)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .unwritable(path: path, reason: systemReason()) }
      written += count
    }
  }

  private static func systemReason() -> String { String(cString: strerror(errno)) }
}
