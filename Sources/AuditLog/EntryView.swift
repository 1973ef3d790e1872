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
  /// The canonical JSON.
  let bytes: UnsafeRawBufferPointer

  /// The places of the exporters' digits in `bytes`; −1 where there is none.
  private let destination: Int
  private let source: Int

  /// `bytes` must be what `scanned` was made from.
  init(_ scanned: ScannedEntry, bytes: UnsafeRawBufferPointer) {
    sequence = scanned.sequence
    event = AuditRecord.Event.allCases[scanned.event]
    messageBytes = scanned.messageBytes
    self.bytes = bytes
    destination = scanned.destinationExporter
    source = scanned.sourceExporter
  }

  /// The connection on which it was sent.
  var destinationExporter: SHA256Digest? { exporter(at: destination) }
  /// The connection on which it was received.
  var sourceExporter: SHA256Digest? { exporter(at: source) }

  /// The whole record: some ten times the work of everything else about an entry, so only for events that are rare.
  var record: AuditRecord? { try? AuditRecord(entry: bytes) }

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
