import Cryptography
import TransparencyLog

/// Only this file can make one, and so a value that holds one: an extension elsewhere in the module cannot.
private struct Seal: Sendable {}

/// Proof that a message is on the record: what the transport asks for before it sends a byte.
///
/// Only `AuditLogWriter.recordEgress` makes one, after the entry is on disk, and it holds the very bytes that were
/// hashed: what is sent from it is what was recorded. It can be used once, being consumed by the sending.
public struct EgressRecorded: ~Copyable, Sendable {
  public let message: MessageIdentifier
  public let record: AppendedRecord
  /// The exporter value of the connection that the record names: over no other may it be sent.
  public let connection: SHA256Digest?
  /// The message in the pieces in which it is sent; one for a message that is not streamed.
  public let chunks: [[UInt8]]
  private let seal: Seal

  fileprivate init(
    message: MessageIdentifier, record: AppendedRecord, connection: SHA256Digest?, chunks: [[UInt8]]
  ) {
    seal = Seal()
    self.message = message
    self.record = record
    self.connection = connection
    self.chunks = chunks
  }

  /// The whole message.
  public var bytes: [UInt8] { chunks.count == 1 ? chunks[0] : Array(chunks.joined()) }
}

extension AuditLogWriter {
  /// Records a message that is about to be sent. Write-ahead and fail-closed: without the result nothing can be sent.
  ///
  /// - Parameters:
  ///   - draft: to whom and under what authority; its event and message are set here.
  ///   - payload: the exact bytes that will be sent.
  /// - Throws: as `append`.
  public func recordEgress(
    _ draft: AuditRecord.Draft, message label: MessageLabel, payload: [UInt8]
  ) throws(AuditLogError) -> EgressRecorded {
    try record(draft, AuditRecord.Message(label: label, payload: payload), chunks: [payload])
  }

  /// Records a streamed message: one entry, whose hash is the RFC 6962 root over the chunks.
  public func recordEgress(
    _ draft: AuditRecord.Draft, message label: MessageLabel, chunks: [[UInt8]]
  ) throws(AuditLogError) -> EgressRecorded {
    try record(draft, AuditRecord.Message(label: label, chunks: chunks), chunks: chunks)
  }

  private func record(
    _ draft: AuditRecord.Draft, _ message: AuditRecord.Message, chunks: [[UInt8]]
  ) throws(AuditLogError) -> EgressRecorded {
    var draft = draft
    draft.event = .messageSent
    draft.message = message
    let record = try append(draft, durable: true)
    return EgressRecorded(
      message: message.id, record: record, connection: draft.destination?.exporter, chunks: chunks)
  }

  /// Records a message that was received, in the server's ingress log. `draft.source` names the sender.
  ///
  /// - Throws: as `append`.
  @discardableResult
  public func recordIngress(
    _ draft: AuditRecord.Draft, message: AuditRecord.Message
  ) throws(AuditLogError) -> AppendedRecord {
    var draft = draft
    draft.event = .messageReceived
    draft.message = message
    return try append(draft, durable: true)
  }
}
