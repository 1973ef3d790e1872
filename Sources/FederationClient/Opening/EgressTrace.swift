import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import SecureAggregation
import TransparencyLog

/// A masked input that was recomputed, in a file without a name: the server was sent these bytes, so they are no secret.
///
/// Where the term cannot be read, what is recomputed is masks without it: with what the server was sent they give the term,
/// so they never come to the disk.
final class RecomputedInput {
  private let term: UnsealedTerm
  private let descriptor: Int32
  private(set) var byteCount = 0

  /// - Throws: ``OpeningError/unreadable(path:reason:)``.
  init(of term: UnsealedTerm, in directory: String) throws(OpeningError) {
    self.term = term
    let path = "\(directory)/bauta-\(UUID().uuidString)"
    descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .unreadable(path: path, reason: String(cString: strerror(errno))) }
    unlink(path)
  }

  deinit { close(descriptor) }

  /// - Throws: what the term could not be read for; ``OpeningError/unreadable(path:reason:)``.
  func append(_ bytes: UnsafeRawBufferPointer) throws(OpeningError) {
    try term.requireRead()
    var written = 0
    while written < bytes.count {
      let count = Foundation.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw .unreadable(path: "a temporary file", reason: String(cString: strerror(errno)))
      }
      written += count
    }
    byteCount += bytes.count
  }

  /// At most `count` bytes from an offset.
  func read(from offset: Int, count: Int) throws(OpeningError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(0, min(count, byteCount - offset)))
    guard lseek(descriptor, off_t(offset), SEEK_SET) == off_t(offset) else {
      throw .unreadable(path: "a temporary file", reason: String(cString: strerror(errno)))
    }
    do throws(TransparencyLogError) {
      let found = try DurableFile.read(descriptor, into: &bytes, path: "a temporary file")
      bytes.removeLast(bytes.count - found)
    } catch { throw .unreadable(path: "a temporary file", reason: error.message) }
    return bytes
  }
}

/// What the records say left of one masked input, held byte for byte against what was recomputed.
struct EgressTrace {
  private static let kind = MessageKind.maskedInput.rawValue
  private static let segmentKind = "\(kind)-segment"

  private let message: AuditRecord
  /// Of a long masked input: the parts that were uploaded before its message, in order, without repetitions.
  private let segments: [AuditRecord]
  private let evidence: MaskedInputEvidence
  private let answers: UInt64
  private let opening: OpeningIdentifier

  /// - Parameters:
  ///   - records: of messages that left in the context, all under the checkpoint.
  ///   - answers: the number of the instruction that the message answers.
  /// - Throws: ``OpeningError/egressMissing``, `egressRepeated`, `egressDiffers`.
  init(
    records: [AuditRecord], evidence: MaskedInputEvidence, commitment: TermCommitment, answers: UInt64,
    opening: OpeningIdentifier
  ) throws(OpeningError) {
    let inputs = records.filter { $0.message?.label.kind == Self.kind }
    guard let first = inputs.first, let sent = first.message else { throw .egressMissing }
    // Copies that were sent again after a lost connection carry the same bytes under the same name.
    for other in inputs where other.message?.id != sent.id || other.message?.sha256 != sent.sha256 {
      throw .egressRepeated(sequence: other.sequence)
    }
    guard first.maskedInput?.commitment == commitment, first.transcript == evidence.message.transcript else {
      throw .egressDiffers(sequence: first.sequence)
    }
    message = first
    var seen: Set<MessageIdentifier> = []
    segments = records.filter { record in
      guard let message = record.message, message.label.kind == Self.segmentKind else { return false }
      return seen.insert(message.id).inserted
    }
    self.evidence = evidence
    self.answers = answers
    self.opening = opening
  }

  var description: String {
    let parts = segments.isEmpty ? "" : " after \(segments.count) segments"
    return "entry \(message.sequence)\(parts), byte for byte"
  }

  /// - Throws: ``OpeningError/egressDiffers(sequence:)`` with the first entry that differs, ``OpeningError/egressMissing``
  ///   where parts are not on the record.
  func compare(_ recomputed: RecomputedInput) throws(OpeningError) {
    let isLong = recomputed.byteCount > WireLimits.segmentBytes
    let body = isLong ? [] : try recomputed.read(from: 0, count: recomputed.byteCount)
    let payload = RoundPayload(
      opening: opening, kind: Self.kind, payload: ClientRoundMessage.maskedInput(evidence.message).encoded(), body: body
    )
    guard try matches(message, .round(payload)) else { throw .egressDiffers(sequence: message.sequence) }
    guard isLong else {
      if let extra = segments.first { throw .egressDiffers(sequence: extra.sequence) }
      return
    }
    var offset = 0
    for segment in segments {
      let bytes = try recomputed.read(from: offset, count: WireLimits.segmentBytes)
      guard !bytes.isEmpty,
        try matches(segment, .segment(MaskedInputSegment(opening: opening, offset: UInt64(offset), bytes: bytes)))
      else { throw .egressDiffers(sequence: segment.sequence) }
      offset += bytes.count
    }
    guard offset == recomputed.byteCount else { throw .egressMissing }
  }

  /// That the server's log holds the same messages with the same bytes, and of the attempt no other masked input.
  ///
  /// - Throws: ``OpeningError/ingressMissing(message:)``, `ingressDiffers`.
  func compare(ingress directory: String, sender: OrganizationName, size: UInt64) throws(OpeningError) {
    var expected: [MessageIdentifier: MessageHash] = [:]
    for record in segments + [message] {
      if let message = record.message { expected[message.id] = message.sha256 }
    }
    var missing = Set(expected.keys)
    do {
      var filter = AuditFilter()
      filter.events = [.messageReceived]
      filter.source = sender
      var reader = try AuditLogReader(directory: directory, filter: filter)
      while let entry = try reader.next(), entry.record.sequence < size {
        guard let message = entry.record.message else { continue }
        // Another that was sent off the record may be the one in the sum.
        guard message.sha256 == expected[message.id] else {
          guard expected[message.id] != nil || isInput(entry.record) else { continue }
          throw OpeningError.ingressDiffers(sequence: entry.record.sequence)
        }
        missing.remove(message.id)
      }
    } catch { throw OpeningError(error) }
    if let message = missing.map(\.value).min() { throw .ingressMissing(message: message) }
  }

  /// Whether it is of a masked input of this attempt, or of a part of one.
  private func isInput(_ record: AuditRecord) -> Bool {
    guard let kind = record.message?.label.kind, kind == Self.kind || kind == Self.segmentKind else { return false }
    return record.run == opening.run.text && record.task == opening.task.rawValue && record.round == opening.round
      && record.attempt == opening.attempt
  }

  private func matches(_ record: AuditRecord, _ body: ClientMessage.Body) throws(OpeningError) -> Bool {
    guard let sent = record.message else { return false }
    do throws(WireError) {
      let bytes = try ClientMessage(identifier: sent.id, run: opening.run, answers: answers, body: body).encoded()
      return sent.bytes == UInt64(bytes.count) && sent.sha256 == MessageHash(hashing: bytes)
    } catch { return false }
  }
}
