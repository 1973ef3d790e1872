import Cryptography
import Dispatch
import Foundation
import TransparencyLog

/// One pass over a journal: every line is checked, the tree is built, and each file of tiles and bundles is compared
/// with what it should be as soon as that is known.
///
/// Flat memory: some bundles at a time, worked on by all cores, and the right edge of the tree.
struct JournalPass {
  /// Of the journal: those that are no longer kept count.
  private(set) var size: UInt64 = 0
  /// The first entry that is there.
  private(set) var first: UInt64 = 0
  /// From where on entries are kept according to a record under the checkpoint; 0 without one.
  private(set) var prunedBelow: UInt64 = 0
  private(set) var prunedBy: UInt64?
  /// Bundles below it need not be there.
  var keptSince: UInt64 { first <= prunedBelow ? prunedBelow : 0 }
  private(set) var tornBytes: UInt64 = 0
  private(set) var repeatedLines: UInt64 = 0
  /// The names of the journal's files, the active one last.
  private(set) var files: [String] = []
  private var segments: JournalSegments?
  /// The root over the entries that the checkpoint was signed over; nil if the journal does not reach so far.
  private(set) var signedRoot: TreeHash?
  /// The same of an earlier size that was asked for.
  private(set) var earlierRoot: TreeHash?

  private(set) var journal = FailureList()
  private(set) var tiles = FailureList()
  private(set) var bundles = FailureList()
  var checks: [any EntryCheck]

  private let directory: String
  private let comparison: TileComparison
  private let worker: JournalBlockWorker
  private let signedSize: UInt64?
  private let earlierSize: UInt64?
  private var tree = TileTree()
  private var last: LeafHash?

  init(
    directory: String, comparison: TileComparison, worker: JournalBlockWorker, signedSize: UInt64?,
    earlierSize: UInt64? = nil, checks: [any EntryCheck]
  ) {
    self.directory = directory
    self.comparison = comparison
    self.worker = worker
    self.signedSize = signedSize
    self.earlierSize = earlierSize
    self.checks = checks
    if signedSize == 0 { signedRoot = TreeHashing.emptyRoot }
    if earlierSize == 0 { earlierRoot = TreeHashing.emptyRoot }
  }

  mutating func run() {
    let scanner: JournalScanner
    do { scanner = try JournalScanner(directory: directory) } catch {
      journal.append(.init(LogLayout.journal, error.message))
      return
    }
    files = scanner.files
    segments = scanner.segments
    if scanner.segments.isForeign { journal.append(.init(LogLayout.segments, "not a directory")) }
    for name in scanner.segments.strange {
      journal.append(.init("\(LogLayout.segments)/\(name)", "not a segment of a journal"))
    }
    first = scanner.position
    guard takePruned() else { return }
    var batch = JournalBatch()
    while true {
      batch.fill(from: scanner)
      for block in blocks(of: batch) { stitch(block.0, block.1, batch) }
      if let failure = batch.failure {
        journal.append(.init(Self.place(of: failure), failure.message))
        break
      }
      // The end; what is appended from now on is not looked at.
      if batch.lines.isEmpty || batch.lines.count % TileAddress.fullWidth != 0 { break }
    }
    tornBytes = scanner.tornBytes
    repeatedLines = scanner.repeatedLines
    finish()
  }

  private static func place(of failure: AuditLogError) -> String {
    guard case .segmentMissing(_, let sequence) = failure else { return LogLayout.journal }
    return "\(LogLayout.segments) entry \(sequence)"
  }

  /// All blocks of a batch, worked on side by side.
  private func blocks(of batch: JournalBatch) -> [(Range<Int>, JournalBlock)] {
    let first = size
    var blocks = [JournalBlock](repeating: JournalBlock(), count: batch.blockCount)
    let worker = worker
    blocks.withUnsafeMutableBufferPointer { buffer in
      // Every block is written by one thread, and read only after all have ended.
      nonisolated(unsafe) let blocks = buffer
      DispatchQueue.concurrentPerform(iterations: blocks.count) { index in
        blocks[index] = worker.work(on: batch, range: batch.block(index), first: first)
      }
    }
    return blocks.enumerated().map { (batch.block($0.offset), $0.element) }
  }

  /// What needs the blocks before: the chain between them, the tree, and whatever looks at entries one by one.
  private mutating func stitch(_ range: Range<Int>, _ block: JournalBlock, _ batch: JournalBatch) {
    batch.framed.withUnsafeBytes { framed in
      for (place, verdict) in block.verdicts.enumerated() {
        let line = batch.lines[range.lowerBound + place]
        let entry = UnsafeRawBufferPointer(rebasing: framed[line.start..<line.start + line.count])
        let sequence = size + UInt64(place)
        checkPlace(line, sequence)
        switch verdict {
        case .refused(let defect): refuse(line, sequence, defect)
        case .scanned(let scanned):
          if place == 0, !scanned.continues(last, in: entry) {
            refuse(line, sequence, EntryDefectError(.previous))
          } else {
            offer(EntryView(scanned, bytes: entry))
          }
        case .read(let record):
          if place == 0, record.previous != last {
            refuse(line, sequence, EntryDefectError(.previous))
          } else {
            offer(EntryView(record, bytes: entry))
          }
        }
      }
    }
    add(block)
  }

  /// Every entry is in the file whose name says so, and after the sealed ones only in the active journal.
  private mutating func checkPlace(_ line: JournalBatch.Line, _ sequence: UInt64) {
    guard let segments else { return }
    if line.file < segments.sealed.count {
      let segment = segments.sealed[line.file]
      guard sequence < segment.first || sequence > segment.last else { return }
      journal.append(.init("\(segment.path) entry \(sequence)", "not one of those that the name of the file says"))
    } else if sequence < segments.end {
      journal.append(.init("\(LogLayout.journal) entry \(sequence)", "not in the segment whose name says that it is"))
    }
  }

  private mutating func refuse(_ line: JournalBatch.Line, _ sequence: UInt64, _ defect: EntryDefectError) {
    let file = files[line.file]
    let byte = line.offset + UInt64(defect.byte)
    journal.append(.init("\(file) entry \(sequence) byte \(byte)", defect.defect.explanation))
  }

  private mutating func offer(_ entry: EntryView) {
    if entry.event == .entriesPruned, let below = entry.record?.pruned?.below, entry.sequence < signedSize ?? 0 {
      if below >= prunedBelow { prunedBy = entry.sequence }
      prunedBelow = max(prunedBelow, below)
    }
    for index in checks.indices { checks[index].observe(entry) }
  }

  private mutating func add(_ block: JournalBlock) {
    tiles.append(block.tileFailures)
    bundles.append(block.bundleFailures)
    if let root = root(at: signedSize, within: block) { signedRoot = root }
    if let root = root(at: earlierSize, within: block) { earlierRoot = root }
    if let root = block.root {
      tree.append(tile: block.hashes, root: root)
      tree.check(upperTilesAgainst: comparison, failures: &tiles)
    } else {
      for index in 0..<block.leaves { tree.append(block.leaf(index)) }
    }
    if block.leaves > 0 { last = block.leaf(block.leaves - 1) }
    size += UInt64(block.leaves)
  }

  /// The root at a size, if that lies within the leaves that come next.
  private func root(at wanted: UInt64?, within block: JournalBlock) -> TreeHash? {
    guard let wanted, wanted > size, wanted <= size + UInt64(block.leaves) else { return nil }
    var tail = MerkleFrontier()
    for index in 0..<Int(wanted - size) { tail.append(block.leaf(index)) }
    return tree.root(adding: tail)
  }

  /// The hashes of the entries that are no longer kept, which only the tiles have.
  private mutating func takePruned() -> Bool {
    for index in 0..<(first / UInt64(TileAddress.fullWidth)) {
      let address = TileAddress(kind: .hashes(level: 0), index: index)
      do {
        guard let hashes = try comparison.tiles.bytes(of: address),
          hashes.count == TileAddress.fullWidth * TreeHash.byteCount
        else {
          journal.append(
            .init(address.path, "missing or cut, and the entries that it stands for are not in the journal"))
          return false
        }
        var block = JournalBlock()
        block.hashes = hashes
        hashes.withUnsafeBytes { hashes in
          comparison.check(bundle: index, hashes: hashes, failures: &block.bundleFailures)
          block.root = TreeHash(MerkleHashing.root(ofSubtrees: hashes))
        }
        add(block)
      } catch {
        journal.append(.init(address.path, error.message))
        return false
      }
    }
    return true
  }

  private mutating func finish() {
    tree.check(partialTilesAgainst: comparison, failures: &tiles)
    comparison.inventory.beyond(size: size, tiles: &tiles, bundles: &bundles)
    if first > prunedBelow {
      journal.append(
        .init(
          "journal entry \(prunedBelow)",
          "entries \(prunedBelow) to \(first - 1) are missing, and no record under the checkpoint says that they are "
            + "no longer kept"))
    }
  }
}

extension TileTree {
  /// Compares the tiles above level 0 that became full, and forgets them.
  mutating func check(upperTilesAgainst comparison: TileComparison, failures: inout FailureList) {
    for tile in completed { tile.check(against: comparison, failures: &failures) }
    discardCompleted()
  }

  /// Compares what stands in for tiles above level 0 that are not full.
  func check(partialTilesAgainst comparison: TileComparison, failures: inout FailureList) {
    for tile in partials(fromLevel: 1) { tile.check(against: comparison, failures: &failures) }
  }
}

extension TileContents {
  fileprivate func check(against comparison: TileComparison, failures: inout FailureList) {
    guard case .hashes(let level) = address.kind, level > 0 else { return }
    bytes.withUnsafeBytes {
      comparison.check(level: level, index: address.index, hashes: $0, failures: &failures)
    }
  }
}
