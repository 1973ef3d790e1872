/// Files of results, written whole or not at all.
public enum AtomicFile {
  /// Puts a file in the place of the one before: written beside it, brought to disk, renamed.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public static func replace(_ path: String, bytes: [UInt8], mode: UInt32 = 0o644) throws(FederationError) {
    try FileAccess.replace(path, mode: mode, bytes: bytes)
  }
}
