/// Files of results, written whole or not at all, and read within bounds.
public enum AtomicFile {
  /// Puts a file in the place of the one before: written beside it, brought to disk, renamed.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public static func replace(_ path: String, bytes: [UInt8], mode: UInt32 = 0o644) throws(FederationError) {
    try FileAccess.replace(path, mode: mode, bytes: bytes)
  }

  /// A file's bytes; nil where there is no file. Nothing is read of one that is longer than `maximum` bytes.
  ///
  /// - Throws: ``FederationError/file(_:)`` also for what is no regular file.
  public static func bytes(of path: String, maximum: Int) throws(FederationError) -> [UInt8]? {
    guard FileAccess.exists(path) else { return nil }
    return try FileAccess.bytes(of: path, maximum: maximum)
  }
}
