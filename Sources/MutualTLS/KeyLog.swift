import COpenSSL
import Foundation

/// A file that takes the secrets of TLS connections in the format that Wireshark reads (`SSLKEYLOGFILE`).
///
/// For a developer at a machine with invented data: who has this file and a recording of the traffic reads everything.
/// The command line offers no way to it.
public final class KeyLog: Sendable {
  public let path: String
  private let descriptor: Int32

  /// Creates the file for its owner alone (0600) and says so; a file that exists is refused.
  ///
  /// - Parameter warn: is told once, at the start, that traffic can be read by whoever has the file.
  /// - Throws: `keyLogUnwritable`.
  public init(creatingFile path: String, warn: @Sendable (String) -> Void) throws(CredentialError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw .keyLogUnwritable(path: path, reason: OpenSSLSupport.systemReason(errno))
    }
    self.path = path
    self.descriptor = descriptor
    warn("The secrets of TLS connections are written to \(path): whoever has it can read the traffic.")
  }

  deinit { close(descriptor) }

  /// Called by libssl with one line without its end, on the event loop of the connection.
  static let callback: SSL_CTX_keylog_cb_func = { ssl, line in
    guard let line, let keyLog = PeerVerification.of(ssl)?.context.keyLog else { return }
    keyLog.write(line)
  }

  /// One call writes the whole line: appending is atomic, connections share the file.
  private func write(_ line: UnsafePointer<CChar>) {
    var newline: UInt8 = 0x0A
    withUnsafeMutablePointer(to: &newline) { newline in
      let parts = [
        iovec(iov_base: UnsafeMutableRawPointer(mutating: line), iov_len: strlen(line)),
        iovec(iov_base: newline, iov_len: 1),
      ]
      // A line that cannot be written is lost: this is no part of the connection's work.
      _ = writev(descriptor, parts, Int32(parts.count))
    }
  }
}
