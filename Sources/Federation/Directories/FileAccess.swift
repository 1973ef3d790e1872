import Foundation

/// Reading files that others may have put there, and writing files that must survive a power failure.
enum FileAccess {
  /// A file's bytes. Symbolic links are followed for what a user names; special files are refused.
  static func bytes(of path: String, maximum: Int) throws(FederationError) -> [UInt8] {
    // Non-blocking, so that a named pipe in the place of a file cannot hold us.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure(.open, path) }
    defer { close(descriptor) }
    let size = try regularFileStatus(descriptor, path).st_size
    guard size <= maximum else { throw .file(.tooLarge(path: path, limit: maximum)) }
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let count = try bytes.withMutableBytes { (space) throws(FederationError) in
      try read(descriptor, into: space, path)
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  static func text(of path: String, maximum: Int) throws(FederationError) -> String {
    guard let text = String(validating: try bytes(of: path, maximum: maximum), as: UTF8.self) else {
      throw .file(.notUTF8(path: path))
    }
    return text
  }

  static func regularFileStatus(_ descriptor: Int32, _ path: String) throws(FederationError) -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(.inspect, path) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .file(.notRegular(path: path)) }
    return status
  }

  /// Fills the space from the file's position; returns how much there was.
  static func read(
    _ descriptor: Int32, into space: UnsafeMutableRawBufferPointer, _ path: String
  ) throws(FederationError) -> Int {
    var filled = 0
    while filled < space.count {
      let count = Foundation.read(descriptor, space.baseAddress?.advanced(by: filled), space.count - filled)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure(.read, path) }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  /// Makes a file that must not exist yet, with its bytes on the disk.
  static func create(
    _ path: String, mode: mode_t, contents: UnsafeRawBufferPointer
  ) throws(FederationError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure(.open, path) }
    defer { close(descriptor) }
    try write(contents, to: descriptor, path)
  }

  static func create(_ path: String, mode: mode_t, text: String) throws(FederationError) {
    try Array(text.utf8).withBytes { (bytes) throws(FederationError) in
      try create(path, mode: mode, contents: bytes)
    }
  }

  /// Replaces a file as a whole, or makes it.
  static func replace(_ path: String, mode: mode_t, bytes: [UInt8]) throws(FederationError) {
    let temporary = "\(path).\(getpid()).tmp"
    unlink(temporary)
    do throws(FederationError) {
      try bytes.withBytes { (bytes) throws(FederationError) in
        try create(temporary, mode: mode, contents: bytes)
      }
      guard Foundation.rename(temporary, path) == 0 else { throw failure(.rename, path) }
    } catch {
      unlink(temporary)
      throw error
    }
    try synchronizeDirectory(parent(of: path))
  }

  static func synchronizeDirectory(_ path: String) throws(FederationError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(.open, path) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(.synchronize, path) }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Whether there is anything at the path, a dangling link included.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// Makes a directory that only its owner can enter, unless it is there.
  static func makeDirectory(_ path: String) throws(FederationError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure(.createDirectory, path) }
  }

  /// Removes a file, if it is there, and brings that to disk.
  static func remove(_ path: String) throws(FederationError) {
    guard unlink(path) == 0 else {
      if errno == ENOENT { return }
      throw failure(.remove, path)
    }
    try synchronizeDirectory(parent(of: path))
  }

  /// Puts a file in the place of another, and brings that to disk.
  static func rename(_ path: String, to target: String) throws(FederationError) {
    guard Foundation.rename(path, target) == 0 else { throw failure(.rename, target) }
    try synchronizeDirectory(parent(of: target))
  }

  /// Runs something while nobody else does so under the same directory.
  static func locking<Value>(
    _ path: String, _ body: () throws(FederationError) -> Value
  ) throws(FederationError) -> Value {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(.open, path) }
    // Closing gives the lock up.
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX) != 0 {
      guard errno == EINTR else { throw failure(.open, path) }
    }
    return try body()
  }

  /// Sorted names in a directory with a suffix; none where there is no directory.
  static func names(in path: String, suffix: String, maximum: Int) throws(FederationError) -> [String] {
    guard exists(path) else { return [] }
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { throw failure(.list, path) }
    let chosen = names.filter { $0.hasSuffix(suffix) }.sorted()
    guard chosen.count <= maximum else { throw .file(.tooLarge(path: path, limit: maximum)) }
    return chosen
  }

  static func failure(_ operation: FileFault.Operation, _ path: String) -> FederationError {
    let code = errno
    switch code {
    case ENOENT, ENOTDIR: return .file(.missing(path: path))
    case EEXIST: return .file(.exists(path: path))
    default: return .file(.operation(operation, path: path, code: code))
    }
  }

  private static func write(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String
  ) throws(FederationError) {
    var written = 0
    while written < bytes.count {
      let count = Foundation.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure(.write, path) }
      written += count
    }
    guard fsync(descriptor) == 0 else { throw failure(.synchronize, path) }
  }
}

/// The standard library's accessors do not carry a typed error through.
extension [UInt8] {
  fileprivate func withBytes(
    _ body: (UnsafeRawBufferPointer) throws(FederationError) -> Void
  ) throws(FederationError) {
    let result: Result<Void, FederationError> = withUnsafeBytes { bytes in
      do throws(FederationError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    try result.get()
  }

  fileprivate mutating func withMutableBytes(
    _ body: (UnsafeMutableRawBufferPointer) throws(FederationError) -> Int
  ) throws(FederationError) -> Int {
    let result: Result<Int, FederationError> = withUnsafeMutableBytes { bytes in
      do throws(FederationError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
