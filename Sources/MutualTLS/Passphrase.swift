import COpenSSL
import Cryptography
import Foundation

/// The passphrase of an encrypted key file, or the PIN of a token.
///
/// It comes from a file descriptor or a private file, never from an argument or the environment, which other processes
/// can read. It cannot be compared, encoded or printed.
public final class Passphrase: Sendable, CustomStringConvertible {
  /// Longest passphrase, in bytes. Tokens take 4 to 32.
  public static let maximumByteCount = 1024

  private let bytes: SecretBytes

  private init(_ bytes: consuming SecretBytes) { self.bytes = bytes }

  public var description: String { "Passphrase(redacted)" }

  /// Reads the first line (1…1024 bytes, without its newline) and closes the descriptor.
  ///
  /// What follows the first line is not kept. A terminal is read like any other file, with the echo as it is set.
  /// Descriptor 0 becomes `/dev/null` instead of being closed, so that no file opened later takes its place; 1 and 2, which
  /// are for output, are refused.
  ///
  /// - Throws: ``CredentialError/keyAccess(_:)`` with `passphraseUnreadable`, `passphraseEmpty` or `passphraseTooLong`.
  public static func read(fromDescriptor descriptor: Int32) throws(CredentialError) -> Passphrase {
    guard descriptor >= 0, descriptor != STDOUT_FILENO, descriptor != STDERR_FILENO else {
      throw unreadable("descriptor \(descriptor)", "it is not one that can be read")
    }
    let flags = fcntl(descriptor, F_GETFD)
    guard flags >= 0 else { throw unreadable("descriptor \(descriptor)", OpenSSLSupport.systemReason(errno)) }
    // No process started meanwhile inherits it.
    _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC)
    defer { retire(descriptor) }
    return try readLine(descriptor, source: "descriptor \(descriptor)")
  }

  /// Reads the first line of a file that nobody but its owner may access.
  static func read(fromFile path: String) throws(CredentialError) -> Passphrase {
    let (descriptor, mode) = try RegularFile.open(path, maximum: PrivateKey.maximumFileByteCount)
    defer { close(descriptor) }
    guard mode & 0o077 == 0 else { throw .keyAccess(.passphraseExposed(path: path, mode: mode)) }
    return try readLine(descriptor, source: path)
  }

  private static func readLine(_ descriptor: Int32, source: String) throws(CredentialError) -> Passphrase {
    // One byte for the newline after the longest.
    var buffer = SecretBytes(count: maximumByteCount + 1)
    var filled = 0
    var length: Int?
    while length == nil && filled < buffer.count {
      let count = buffer.withUnsafeMutableBytes { bytes -> Int in
        guard let address = bytes.baseAddress else { return 0 }
        return Foundation.read(descriptor, address + filled, bytes.count - filled)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw unreadable(source, OpenSSLSupport.systemReason(errno)) }
      if count == 0 { break }
      length = buffer.withUnsafeBytes { $0[filled..<(filled + count)].firstIndex(of: UInt8(ascii: "\n")) }
      filled += count
    }
    let count = length ?? filled
    guard count <= maximumByteCount else { throw .keyAccess(.passphraseTooLong(maximum: maximumByteCount)) }
    guard count > 0 else { throw .keyAccess(.passphraseEmpty(source: source)) }
    return Passphrase(buffer.withUnsafeBytes { SecretBytes.copying(UnsafeRawBufferPointer(rebasing: $0[..<count])) })
  }

  private static func retire(_ descriptor: Int32) {
    guard descriptor == STDIN_FILENO else {
      close(descriptor)
      return
    }
    let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
    guard null >= 0 else { return }
    dup2(null, descriptor)
    close(null)
  }

  private static func unreadable(_ source: String, _ reason: String) -> CredentialError {
    .keyAccess(.passphraseUnreadable(source: source, reason: reason))
  }

  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { bytes.withUnsafeBytes(body) }
}

/// What OpenSSL's passphrase callback works with during one load of a key.
final class PassphrasePrompt {
  private let passphrase: Passphrase?
  /// Whether a passphrase was wanted.
  private(set) var wasAsked = false
  /// Whether there was one that the asker has no room for.
  private(set) var didNotFit = false

  init(_ passphrase: Passphrase?) { self.passphrase = passphrase }

  /// The number of bytes written, or -1 to decline: a service has nobody to ask.
  fileprivate func answer(into buffer: UnsafeMutableRawBufferPointer) -> Int32 {
    wasAsked = true
    guard let passphrase else { return -1 }
    return passphrase.withUnsafeBytes { bytes in
      guard bytes.count <= buffer.count else {
        didNotFit = true
        return -1
      }
      buffer.copyMemory(from: bytes)
      return Int32(bytes.count)
    }
  }

  /// Runs `body` with a user interface method and the data that belongs to it.
  func withMethod<R>(
    _ body: (OpaquePointer, UnsafeMutableRawPointer) throws(CredentialError) -> R
  ) throws(CredentialError) -> R {
    let wrapped = UI_UTIL_wrap_read_pem_callback(
      { buffer, size, _, data in
        guard let buffer, let data, size > 0 else { return -1 }
        let prompt = Unmanaged<PassphrasePrompt>.fromOpaque(data).takeUnretainedValue()
        return prompt.answer(into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(size)))
      }, 0)
    guard let wrapped else {
      throw .library(operation: "prepare loading a key", detail: OpenSSLSupport.takeErrorDetail())
    }
    defer { UI_destroy_method(wrapped) }
    let data = Unmanaged.passRetained(self)
    defer { data.release() }
    return try body(wrapped, data.toOpaque())
  }
}
