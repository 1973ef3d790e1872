import Cryptography
import Foundation
import TransparencyLog

/// Some bundles' worth of lines of a journal, framed as a bundle frames entries.
struct JournalBatch {
  /// A batch ends with the bundle in which it has reached this many bytes.
  private static let bytes = 4 << 20
  private static let maximumBlocks = 32

  struct Line {
    /// Of the entry in `framed`, after its two bytes of length.
    var start: Int
    /// 0 for a line that is no entry, which takes its place all the same, so that those after it keep theirs.
    var count: Int
    var offset: UInt64
    var file: Int
    var defect: AuditLogError.EntryDefect?
  }

  private(set) var framed: [UInt8] = []
  private(set) var lines: [Line] = []
  /// Set if reading failed; the lines before it are whole.
  private(set) var failure: AuditLogError?

  /// Blocks of 256 lines, the last one shorter at the end of the journal.
  var blockCount: Int { (lines.count + TileAddress.fullWidth - 1) / TileAddress.fullWidth }

  func block(_ index: Int) -> Range<Int> {
    let first = index * TileAddress.fullWidth
    return first..<min(first + TileAddress.fullWidth, lines.count)
  }

  /// Reads on; the batch is empty only at the end of the journal.
  mutating func fill(from scanner: JournalScanner) {
    framed.removeAll(keepingCapacity: true)
    lines.removeAll(keepingCapacity: true)
    while lines.count < Self.maximumBlocks * TileAddress.fullWidth {
      if lines.count.isMultiple(of: TileAddress.fullWidth), framed.count >= Self.bytes { return }
      do throws(AuditLogError) {
        guard let line = try scanner.nextRaw() else { return }
        append(line)
      } catch {
        failure = error
        return
      }
    }
  }

  private mutating func append(_ line: JournalScanner.RawLine) {
    let count = line.bytes?.count ?? 0
    framed.append(UInt8(truncatingIfNeeded: count >> 8))
    framed.append(UInt8(truncatingIfNeeded: count))
    lines.append(
      Line(start: framed.count, count: count, offset: line.offset, file: line.file, defect: line.defect))
    if let bytes = line.bytes { framed.append(contentsOf: bytes) }
  }
}

/// What came of the lines of one bundle.
struct JournalBlock {
  /// An entry that is what it should be, as far as its own line shows.
  enum Verdict {
    case scanned(ScannedEntry)
    /// Read by `AuditRecord`, because something about it is unusual.
    case read(AuditRecord)
    case refused(EntryDefectError)
  }

  var hashes: [UInt8] = []
  var verdicts: [Verdict] = []
  /// The root over the hashes, if there are 256.
  var root: TreeHash?
  var tileFailures = FailureList()
  var bundleFailures = FailureList()

  var leaves: Int { hashes.count / LeafHash.byteCount }

  func leaf(_ index: Int) -> LeafHash {
    hashes.withUnsafeBytes { hashes in
      LeafHash(copying: UnsafeRawBufferPointer(rebasing: hashes[(index * LeafHash.byteCount)...]))
    }
  }
}

/// The work on one block that needs nothing of the others; blocks are worked on side by side.
struct JournalBlockWorker: Sendable {
  let comparison: TileComparison
  /// Whose log it is, if a key says so: entries of others are refused.
  let keeper: OrganizationName?
  let scanner: EntryScanner

  init(comparison: TileComparison, keeper: OrganizationName?, origin: OrganizationName?) {
    self.comparison = comparison
    self.keeper = keeper
    // Without a key, entries are quick to check if they are of the keeper that the checkpoint names.
    scanner = EntryScanner(keeper: keeper ?? origin)
  }

  /// - Parameters:
  ///   - first: the sequence of the first line of the batch; a multiple of 256.
  ///   - range: of the block in the batch.
  func work(on batch: borrowing JournalBatch, range: Range<Int>, first: UInt64) -> JournalBlock {
    var block = JournalBlock()
    let lines = batch.lines
    batch.framed.withUnsafeBytes { framed in
      block.hashes = Self.hashes(of: lines[range], in: framed)
      block.verdicts.reserveCapacity(range.count)
      for place in range {
        let line = lines[place]
        let entry = UnsafeRawBufferPointer(rebasing: framed[line.start..<line.start + line.count])
        let previous = place > range.lowerBound ? block.leaf(place - range.lowerBound - 1) : nil
        block.verdicts.append(verdict(line, entry, sequence: first + UInt64(place), previous: previous))
      }
      compare(&block, lines[range], framed, index: (first + UInt64(range.lowerBound)) / UInt64(TileAddress.fullWidth))
    }
    return block
  }

  private static func hashes(of lines: ArraySlice<JournalBatch.Line>, in framed: UnsafeRawBufferPointer) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: lines.count * LeafHash.byteCount) { output, initialized in
      let output = UnsafeMutableRawBufferPointer(output)
      for line in lines {
        let entry = UnsafeRawBufferPointer(rebasing: framed[line.start..<line.start + line.count])
        MerkleHashing.leaf(entry).withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: output[initialized...]).copyMemory(from: $0)
        }
        initialized += LeafHash.byteCount
      }
    }
  }

  /// - Parameter previous: nil for the first of a block: that is checked by the one who knows the block before.
  private func verdict(
    _ line: JournalBatch.Line, _ entry: UnsafeRawBufferPointer, sequence: UInt64, previous: LeafHash?
  ) -> JournalBlock.Verdict {
    if let defect = line.defect { return .refused(EntryDefectError(defect)) }
    if let scanned = scanner.scan(entry), scanned.sequence == sequence {
      guard let previous else { return .scanned(scanned) }
      if scanned.continues(previous, in: entry) { return .scanned(scanned) }
    }
    do throws(EntryDefectError) {
      let record = try AuditRecord(entry: entry)
      let claimed = previous ?? record.previous
      try record.requireContinuing(organization: keeper ?? record.organization, sequence: sequence, previous: claimed)
      return .read(record)
    } catch { return .refused(error) }
  }

  private func compare(
    _ block: inout JournalBlock, _ lines: ArraySlice<JournalBatch.Line>, _ framed: UnsafeRawBufferPointer, index: UInt64
  ) {
    guard let start = lines.first?.start, let end = lines.last.map({ $0.start + $0.count }) else { return }
    let bundle = UnsafeRawBufferPointer(rebasing: framed[(start - 2)..<end])
    let ends = lines.map { $0.start + $0.count - (start - 2) }
    block.hashes.withUnsafeBytes { hashes in
      comparison.check(level: 0, index: index, hashes: hashes, failures: &block.tileFailures)
      comparison.check(bundle: index, framed: bundle, ends: ends, hashes: hashes, failures: &block.bundleFailures)
      if lines.count == TileAddress.fullWidth { block.root = TreeHash(MerkleHashing.root(ofSubtrees: hashes)) }
    }
  }
}

extension ScannedEntry {
  /// Whether the entry names `leaf` as the hash of the one before it.
  func continues(_ leaf: LeafHash?, in entry: UnsafeRawBufferPointer) -> Bool {
    guard let leaf else { return previous < 0 }
    guard previous >= 0 else { return false }
    return leaf.withUnsafeBytes { bytes in
      for (place, byte) in bytes.enumerated() {
        let high = EntryText.digit(entry[previous + 2 * place])
        let low = EntryText.digit(entry[previous + 2 * place + 1])
        if high << 4 | low != byte { return false }
      }
      return true
    }
  }
}
