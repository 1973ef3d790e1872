import Cryptography
import TransparencyLog

/// A sealed part of a journal: a file of whole lines that is never written again.
struct JournalSegment: Hashable, Sendable {
  static let digits = 16

  let first: UInt64
  /// Inclusive.
  let last: UInt64

  var count: UInt64 { last - first + 1 }

  /// For instance `0000000000000000-0000000000065535`, so that the names sort as the entries do.
  var name: String { "\(Self.padded(first))-\(Self.padded(last))" }

  /// Within the log's directory.
  var path: String { "\(LogLayout.segments)/\(name)" }

  /// Whole bundles only, so that a bundle never belongs to two segments.
  init?(first: UInt64, last: UInt64) {
    let full = UInt64(TileAddress.fullWidth)
    guard first <= last, last < UInt64(CanonicalJSON.integerRange.upperBound), first.isMultiple(of: full),
      (last + 1).isMultiple(of: full)
    else { return nil }
    self.first = first
    self.last = last
  }

  /// Reads a name exactly as `name` writes it.
  init?(name: String) {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let first = UInt64(parts[0]), let last = UInt64(parts[1]) else { return nil }
    self.init(first: first, last: last)
    guard self.name == name else { return nil }
  }

  private static func padded(_ number: UInt64) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}

/// What `journal.d/pruned` says: a hint where to look, believed only after the entry that it names was checked.
struct PrunedMarker: Hashable, Sendable {
  static let maximumBytes = 128

  /// The first entry that is kept.
  let below: UInt64
  /// The entry of event `entriesPruned` that says so.
  let record: UInt64

  var bytes: [UInt8] {
    CanonicalJSON.object(["below": .integer(Int64(below)), "record": .integer(Int64(record))]).serialized
  }

  init(below: UInt64, record: UInt64) {
    self.below = below
    self.record = record
  }

  init?(_ bytes: [UInt8]) {
    guard case .object(let members)? = try? CanonicalJSON(parsing: bytes), members.count == 2,
      case .integer(let below)? = members["below"], case .integer(let record)? = members["record"], below >= 0,
      record >= below
    else { return nil }
    self.init(below: UInt64(below), record: UInt64(record))
  }
}

/// The files that hold a journal, as they were when they were listed.
struct JournalSegments: Sendable {
  /// By the entries that they hold.
  private(set) var sealed: [JournalSegment] = []
  private(set) var marker: PrunedMarker?
  /// Names in `journal.d` that no writer of ours makes.
  private(set) var strange: [String] = []
  /// `journal.d` is a link, or no directory.
  let isForeign: Bool

  /// - Parameter directory: of the log.
  init(listing directory: String) throws(TransparencyLogError) {
    let folder = "\(directory)/\(LogLayout.segments)"
    // A link could lead to another log's segments today and to this one's when somebody looks.
    isForeign = DurableFile.exists(folder) && !DurableFile.isRealDirectory(folder)
    for name in try DurableFile.names(in: folder) ?? [] {
      if let segment = JournalSegment(name: name) {
        sealed.append(segment)
      } else if name == LogLayout.pruned {
        let bytes = try DurableFile.read("\(folder)/\(name)", maximum: PrunedMarker.maximumBytes)
        marker = bytes.flatMap { PrunedMarker($0) }
        if marker == nil { strange.append(name) }
      } else if !Self.isUnfinished(name) {
        strange.append(name)
      }
    }
    sealed.sort { $0.first < $1.first }
  }

  private static func isUnfinished(_ name: String) -> Bool {
    guard name.hasSuffix(DurableFile.temporarySuffix) else { return false }
    let whole = String(name.dropLast(DurableFile.temporarySuffix.count))
    return whole == LogLayout.pruned || JournalSegment(name: whole) != nil
  }

  /// The first entry that is there; 0 unless entries are no longer kept, or missing.
  var first: UInt64 { sealed.first?.first ?? marker?.below ?? 0 }

  /// The entry with which the active journal begins.
  var end: UInt64 { sealed.last.map { $0.last + 1 } ?? first }

  /// The first entry after `first` that no segment holds although a later one does.
  var gap: UInt64? {
    for (segment, next) in zip(sealed, sealed.dropFirst()) where next.first != segment.last + 1 {
      return min(segment.last + 1, next.first)
    }
    return nil
  }
}
