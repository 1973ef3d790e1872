import AuditLog
import Cryptography
import MutualTLS
import Synchronization

/// Puts every handshake on the record: who was at the other end, under which keys, and why it was refused.
///
/// Handshakes finish on event loops, which must not wait for a disk: records are appended without waiting for it, and
/// the next message's record brings them to disk before anything is sent. Refused handshakes beyond
/// ``refusalLimit`` between two accepted ones are counted and not recorded one by one, so that a stranger cannot fill
/// the disk.
public final class HandshakeRecorder: HandshakeObserver {
  /// Refusals recorded one by one before they are only counted.
  public static let refusalLimit = 100

  private let log: AuditLogWriter
  private let federation: String
  private let refusals = Mutex(0)
  private let report: @Sendable (HandshakeEvent) -> Void

  /// - Parameter report: told of every handshake, for the operator's eyes.
  public init(
    log: AuditLogWriter, federation: String, report: @escaping @Sendable (HandshakeEvent) -> Void = { _ in }
  ) {
    self.log = log
    self.federation = federation
    self.report = report
  }

  public func handshake(_ event: HandshakeEvent) {
    report(event)
    var draft: AuditRecord.Draft
    switch event.outcome {
    case .established(let name, let fingerprint, let exporter):
      refusals.withLock { $0 = 0 }
      draft = AuditRecord.Draft(.handshake)
      draft.source = .init(
        name: name, address: event.remoteAddress, tlsPeer: fingerprint,
        exporter: try? SHA256Digest(hexadecimal: exporter))
      draft.outcome = .succeeded
    case .refused(let refusal):
      guard
        refusals.withLock({
          $0 += 1
          return $0 <= Self.refusalLimit
        })
      else { return }
      draft = AuditRecord.Draft(.handshakeRefused)
      draft.source = .init(address: event.remoteAddress, tlsPeer: event.peerFingerprint)
      draft.outcome = .refused
      draft.error = .init(refusal)
    }
    draft.federation = federation
    if let version = event.version { draft.handshake = .init(version: version, cipher: event.cipher) }
    // A log that cannot be written stops the next message, which cannot be recorded either.
    _ = try? log.append(draft, durable: false)
  }
}
