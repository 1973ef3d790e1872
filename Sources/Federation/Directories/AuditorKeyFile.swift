public import Cryptography
import Foundation

/// The file of an auditor's secret key: a single line `bauta/auditor-key/1 SECRET`, the 32 bytes in base64, mode 0600.
///
/// The secret passes between file and locked memory and nowhere else. The auditor keeps the file; an organisation never
/// has it, except while a controlled session lasts.
public enum AuditorKeyFile {
  private static let header = "bauta/auditor-key/1 "
  private static let encodedSecretBytes = 44

  /// Writes a new file.
  ///
  /// - Throws: ``FederationError/file(_:)``; an existing file is not overwritten.
  public static func create(_ path: String, key: borrowing AuditorKeyPair) throws(FederationError) {
    let prefix = Array(header.utf8)
    var line = SecretBytes(count: prefix.count + encodedSecretBytes + 1)
    line.withUnsafeMutableBytes { line in
      line.copyBytes(from: prefix)
      key.withSecret { secret in
        SecretBase64.encode(secret, into: UnsafeMutableRawBufferPointer(rebasing: line[prefix.count...]))
      }
      line[line.count - 1] = 0x0A
    }
    try line.withUnsafeBytes { (bytes) throws(FederationError) in
      try FileAccess.create(path, mode: 0o600, contents: bytes)
    }
  }

  /// - Throws: ``FederationError/file(_:)`` if the file is missing, malformed, or can be read by others.
  public static func load(_ path: String) throws(FederationError) -> AuditorKeyPair {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ELOOP { throw .file(.notRegular(path: path)) }
      throw FileAccess.failure(.open, path)
    }
    defer { close(descriptor) }
    let status = try FileAccess.regularFileStatus(descriptor, path)
    guard status.st_mode & 0o077 == 0 else {
      throw .file(.exposed(path: path, mode: UInt16(truncatingIfNeeded: status.st_mode & 0o7777)))
    }
    let expected = header.utf8.count + encodedSecretBytes
    guard status.st_size == expected || status.st_size == expected + 1 else {
      throw .file(.auditorKey(path: path))
    }
    var line = SecretBytes(count: expected)
    let count = try line.withUnsafeMutableBytes { (space) throws(FederationError) in
      try FileAccess.read(descriptor, into: space, path)
    }
    var secret = SecretBytes(count: AuditorKeyPair.secretByteCount)
    let isValid = line.withUnsafeBytes { line in
      // Only the header is compared, and it is not secret.
      count == expected && line[..<header.utf8.count].elementsEqual(header.utf8)
        && secret.withUnsafeMutableBytes { secret in
          SecretBase64.decode(UnsafeRawBufferPointer(rebasing: line[header.utf8.count...]), into: secret)
        }
    }
    guard isValid else { throw .file(.auditorKey(path: path)) }
    do { return try AuditorKeyPair(secret: secret) } catch { throw .file(.auditorKey(path: path)) }
  }
}
