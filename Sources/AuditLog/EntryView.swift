import Cryptography
import TransparencyLog

/// An accepted entry as it passes by in a verification: cheap to ask for what most checks look at.
///
/// Valid during the call that it is given to; what is wanted longer is copied out.
struct EntryView {
  let sequence: UInt64
  let event: AuditRecord.Event
  /// The length of the message that the entry is about.
  let messageBytes: UInt64?
  let outcome: AuditRecord.Outcome?
  /// The canonical JSON.
  let bytes: UnsafeRawBufferPointer

  /// The places of the exporters' digits in `bytes`; −1 where there is none.
  private let destination: Int
  private let source: Int
  private let identifier: Range<Int>
  /// Of an entry that the scanner left to `AuditRecord`.
  private let known: AuditRecord?

  /// `bytes` must be what `scanned` was made from.
  init(_ scanned: ScannedEntry, bytes: UnsafeRawBufferPointer) {
    sequence = scanned.sequence
    event = Self.events[scanned.event]
    messageBytes = scanned.messageBytes
    self.bytes = bytes
    destination = scanned.destinationExporter
    source = scanned.sourceExporter
    outcome = scanned.outcome < 0 ? nil : Self.outcomes[scanned.outcome]
    let start = max(0, scanned.messageID)
    identifier = start..<start + scanned.messageIDLength
    known = nil
  }

  init(_ record: AuditRecord, bytes: UnsafeRawBufferPointer) {
    sequence = record.sequence
    event = record.event
    messageBytes = record.message?.bytes
    self.bytes = bytes
    destination = -1
    source = -1
    outcome = record.outcome
    identifier = 0..<0
    known = record
  }

  private static let events = AuditRecord.Event.allCases
  private static let outcomes = AuditRecord.Outcome.allCases

  /// Of the message that the entry is about.
  var messageID: MessageIdentifier? {
    if let known { return known.message?.id ?? known.messageID }
    return MessageIdentifier(String(decoding: UnsafeRawBufferPointer(rebasing: bytes[identifier]), as: UTF8.self))
  }

  /// The connection on which it was sent.
  var destinationExporter: SHA256Digest? { known?.destination?.exporter ?? exporter(at: destination) }
  /// The connection on which it was received.
  var sourceExporter: SHA256Digest? { known?.source?.exporter ?? exporter(at: source) }

  /// The whole record: some ten times the work of everything else about an entry, so only for events that are rare.
  var record: AuditRecord? { known ?? (try? AuditRecord(entry: bytes)) }

  private func exporter(at place: Int) -> SHA256Digest? {
    guard place >= 0 else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: SHA256Digest.byteCount, alignment: 8) { digest in
      for position in 0..<SHA256Digest.byteCount {
        let digits = place + 2 * position
        digest[position] = EntryText.digit(bytes[digits]) << 4 | EntryText.digit(bytes[digits + 1])
      }
      return SHA256Digest(copying: UnsafeRawBufferPointer(digest))
    }
  }
}

/// A check to which a verification offers every entry that it accepts, once and in order.
///
/// Entries that were refused, and those that are no longer kept, are not offered: the check `journal` reports them.
protocol EntryCheck {
  mutating func observe(_ entry: borrowing EntryView)
  /// At the end of the pass, if the journal could be read to it.
  func conclude(in verification: inout LogVerification)
}
