import Cryptography
import Foundation

/// Reading of regular files within a bound, for files whose access rights matter and for others.
enum RegularFile {
  /// Opens a regular file of at most `maximum` bytes. Rights are those of the open file, so that it cannot be exchanged
  /// between check and use. The caller closes the descriptor.
  static func open(
    _ path: String, maximum: Int
  ) throws(CredentialError) -> (descriptor: Int32, mode: UInt16) {
    // Not blocking, or a pipe that somebody put there would be waited for; it has no effect on regular files.
    let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .fileUnreadable(path: path, reason: OpenSSLSupport.systemReason(errno)) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      let reason = OpenSSLSupport.systemReason(errno)
      close(descriptor)
      throw .fileUnreadable(path: path, reason: reason)
    }
    guard information.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw .fileUnreadable(path: path, reason: "not a regular file")
    }
    guard information.st_size <= maximum else {
      close(descriptor)
      throw .fileTooLarge(path: path, maximum: maximum)
    }
    return (descriptor, UInt16(truncatingIfNeeded: information.st_mode & 0o7777))
  }

  /// Everything up to the end; `path` is for errors.
  static func read(_ descriptor: Int32, path: String, maximum: Int) throws(CredentialError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: maximum + 1)
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes { buffer -> Int in
        guard let address = buffer.baseAddress else { return 0 }
        return Foundation.read(descriptor, address + filled, buffer.count - filled)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .fileUnreadable(path: path, reason: OpenSSLSupport.systemReason(errno)) }
      if count == 0 { break }
      filled += count
    }
    guard filled <= maximum else { throw .fileTooLarge(path: path, maximum: maximum) }
    bytes.removeSubrange(filled...)
    return bytes
  }
}

/// Creation of a private file that appears complete or not at all.
enum NewFile {
  /// Writes to an exclusive temporary file beside `path`, syncs it, and links it into place.
  static func create(_ path: String, contents: UnsafeRawBufferPointer) throws(CredentialError) {
    let suffix = randomBytes(8).map { String($0, radix: 16) }.joined()
    let temporary = "\(path).\(suffix).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw unwritable(path) }
    defer { unlink(temporary) }
    var written = 0
    while written < contents.count {
      let count = write(descriptor, contents.baseAddress! + written, contents.count - written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let error = unwritable(path)
        close(descriptor)
        throw error
      }
      written += count
    }
    let synced = fsync(descriptor) == 0
    guard close(descriptor) == 0, synced else { throw unwritable(path) }
    // Unlike rename, link fails when the name is taken.
    guard link(temporary, path) == 0 else {
      throw errno == EEXIST ? .keyFileExists(path: path) : unwritable(path)
    }
    let directory = open((path as NSString).deletingLastPathComponent.nonEmpty ?? ".", O_RDONLY | O_DIRECTORY)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  private static func unwritable(_ path: String) -> CredentialError {
    .keyFileUnwritable(path: path, reason: OpenSSLSupport.systemReason(errno))
  }
}

extension String {
  fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
