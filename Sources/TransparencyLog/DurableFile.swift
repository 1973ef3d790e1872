import Foundation

/// File operations that survive a power failure, and reading of files that others may have put there.
package enum DurableFile {
  package static func explanation(ofCode code: Int32) -> String { String(cString: strerror(code)) }

  /// Whether an operation failed for want of space, or of the right to more of it.
  package static func isLackOfSpace(_ code: Int32) -> Bool { [ENOSPC, EDQUOT, EFBIG].contains(code) }

  package static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// A file's bytes, or nil if there is no such file. Symbolic links and special files are refused.
  package static func read(_ path: String, maximum: Int) throws(TransparencyLogError) -> [UInt8]? {
    // Non-blocking, so that a named pipe in the place of a file cannot hold us.
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      if errno == ELOOP { throw .notARegularFile(path: path) }
      throw .fileOperation(.open, path: path, code: errno)
    }
    defer { close(descriptor) }
    let size = try regularFileSize(descriptor, path: path)
    guard size <= maximum else { throw .fileTooLarge(path: path, limit: maximum) }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try read(descriptor, into: &bytes, path: path)
    bytes.removeLast(size - count)
    return bytes
  }

  package static func regularFileSize(_ descriptor: Int32, path: String) throws(TransparencyLogError) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .fileOperation(.inspect, path: path, code: errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
    return Int(status.st_size)
  }

  /// Fills the buffer from the file's position; returns how much there was.
  package static func read(
    _ descriptor: Int32, into buffer: inout [UInt8], path: String
  ) throws(TransparencyLogError) -> Int {
    // A closure that throws would lose the type of the error.
    let result = buffer.withUnsafeMutableBytes { space in
      Result { () throws(TransparencyLogError) in try read(descriptor, into: space, path: path) }
    }
    return try result.get()
  }

  /// Fills `space` from the file's position; returns how much there was.
  package static func read(
    _ descriptor: Int32, into space: UnsafeMutableRawBufferPointer, path: String
  ) throws(TransparencyLogError) -> Int {
    var filled = 0
    while filled < space.count {
      let count = Foundation.read(descriptor, space.baseAddress?.advanced(by: filled), space.count - filled)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .fileOperation(.read, path: path, code: errno) }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  /// Writes all bytes at the file's position.
  package static func write(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(TransparencyLogError) {
    var failure: Int32 = 0
    bytes.withUnsafeBytes { space in
      var written = 0
      while written < space.count {
        let count = Foundation.write(descriptor, space.baseAddress?.advanced(by: written), space.count - written)
        if count < 0, errno == EINTR { continue }
        if count < 0 {
          failure = errno
          break
        }
        written += count
      }
    }
    guard failure == 0 else { throw .fileOperation(.write, path: path, code: failure) }
  }

  package static func synchronize(_ descriptor: Int32, path: String) throws(TransparencyLogError) {
    // Not repeated: after a failed fsync the kernel may have dropped the very pages that were not written.
    guard fsync(descriptor) == 0 else { throw .fileOperation(.synchronize, path: path, code: errno) }
  }

  package static func synchronizeDirectory(_ path: String) throws(TransparencyLogError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .fileOperation(.open, path: path, code: errno) }
    defer { close(descriptor) }
    try synchronize(descriptor, path: path)
  }

  /// Puts a file in place whole: a temporary file, fsync, rename, fsync of the directory.
  package static func writeAtomically(
    _ bytes: [UInt8], to path: String, mode: mode_t, synchronizingDirectory: Bool = true
  ) throws(TransparencyLogError) {
    // A fixed name: the next attempt overwrites what a crash left. One writer holds the log's lock.
    let temporary = path + temporarySuffix
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw .fileOperation(.open, path: temporary, code: errno) }
    do throws(TransparencyLogError) {
      defer { close(descriptor) }
      try write(bytes, to: descriptor, path: temporary)
      try synchronize(descriptor, path: temporary)
    } catch {
      // On a full disk, what could not be written whole must not take the space that is left.
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else { throw .fileOperation(.rename, path: path, code: errno) }
    if synchronizingDirectory { try synchronizeDirectory(parent(of: path)) }
  }

  package static let temporarySuffix = ".tmp"

  /// Makes a directory and those above it, each made known to its parent's disk.
  package static func createDirectories(_ path: String, mode: mode_t) throws(TransparencyLogError) {
    if isDirectory(path) { return }
    let parent = parent(of: path)
    if parent != path { try createDirectories(parent, mode: mode) }
    guard mkdir(path, mode) == 0 || errno == EEXIST else {
      throw .fileOperation(.createDirectory, path: path, code: errno)
    }
    try synchronizeDirectory(parent)
  }

  package static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether it is a directory itself, not a link to one.
  package static func isRealDirectory(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  package static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The names in a directory, sorted; nil if there is none.
  package static func names(in path: String) throws(TransparencyLogError) -> [String]? {
    guard let stream = opendir(path) else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw .fileOperation(.list, path: path, code: errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a directory that holds only files; does nothing if there is none.
  package static func removeFlatDirectory(_ path: String) throws(TransparencyLogError) {
    guard let names = try names(in: path) else { return }
    for name in names where unlink("\(path)/\(name)") != 0 {
      throw .fileOperation(.remove, path: "\(path)/\(name)", code: errno)
    }
    guard rmdir(path) == 0 else { throw .fileOperation(.remove, path: path, code: errno) }
  }
}
