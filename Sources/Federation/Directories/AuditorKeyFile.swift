public import Cryptography

/// The file of an auditor's secret key: a single line `bauta/auditor-key/1 SECRET`, the 32 bytes in base64, mode 0600.
///
/// The secret passes between file and locked memory and nowhere else. The auditor keeps the file; an organisation never
/// has it, except while a controlled session lasts.
public enum AuditorKeyFile {
  private static let header = "bauta/auditor-key/1 "
  private static let maximumBytes = 512

  /// Writes a new file.
  ///
  /// - Throws: ``FederationError/file(_:)``; an existing file is not overwritten.
  public static func create(_ path: String, key: borrowing AuditorKeyPair) throws(FederationError) {
    try key.withSecret { (secret) throws(FederationError) in
      try SecretLineFile.create(path, prefix: header, secret: secret)
    }
  }

  /// - Throws: ``FederationError/file(_:)`` if the file is missing, malformed, or can be read by others.
  public static func load(_ path: String) throws(FederationError) -> AuditorKeyPair {
    guard let secret = try SecretLineFile.load(path, prefix: header, maximum: maximumBytes) else {
      throw .file(.auditorKey(path: path))
    }
    do { return try AuditorKeyPair(secret: secret) } catch { throw .file(.auditorKey(path: path)) }
  }
}
