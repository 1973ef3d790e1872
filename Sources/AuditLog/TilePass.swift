import Cryptography
import Foundation
import TransparencyLog

/// A pass over the tiles, for a journal that does not give the signed root: if the tiles do, they are what was signed, and
/// show which entry of the journal, and of the bundles, is not.
struct TilePass {
  /// Whether the tiles give the signed root.
  private(set) var isSigned = false
  /// Where journal and tiles first differ.
  private(set) var difference: String?
  private(set) var tiles = FailureList()
  private(set) var bundles = FailureList()

  private let comparison: TileComparison
  private let signed: Checkpoint

  init(comparison: TileComparison, signed: Checkpoint) {
    self.comparison = comparison
    self.signed = signed
  }

  /// - Parameter size: of the journal.
  mutating func run(size: UInt64) {
    var tree = TileTree()
    // If it cannot be read at all, its first entry is the first that differs.
    let scanner = try? JournalScanner(directory: comparison.tiles.path)
    let full = UInt64(TileAddress.fullWidth)
    var index: UInt64 = 0
    // Tile by tile, so that a size that no file backs ends at the first one missing.
    while index * full < signed.size {
      let width = Int(min(signed.size - index * full, full))
      let address = TileAddress(kind: .hashes(level: 0), index: index, width: width)
      guard let hashes = try? comparison.tiles.hashes(of: address) else { return }
      compare(hashes, first: index * full, with: scanner)
      let bytes = hashes.flatMap(\.bytes)
      bytes.withUnsafeBytes { bytes in
        comparison.check(level: 0, index: index, hashes: bytes, failures: &tiles)
        comparison.check(bundle: index, hashes: bytes, failures: &bundles)
      }
      for hash in hashes { tree.append(LeafHash(hash)) }
      tree.check(upperTilesAgainst: comparison, failures: &tiles)
      index += 1
    }
    tree.check(partialTilesAgainst: comparison, failures: &tiles)
    comparison.inventory.beyond(size: signed.size, tiles: &tiles, bundles: &bundles)
    isSigned = tree.root == signed.root
    if difference == nil { difference = "\(LogLayout.journal) entry \(min(size, signed.size))" }
  }

  private mutating func compare(_ hashes: [TreeHash], first: UInt64, with scanner: JournalScanner?) {
    guard difference == nil, let scanner else { return }
    for (place, hash) in hashes.enumerated() {
      let sequence = first + UInt64(place)
      // Of entries that are no longer kept there is nothing to compare.
      guard sequence >= scanner.position else { continue }
      guard let line = try? scanner.nextRaw() else {
        difference = "\(LogLayout.journal) entry \(sequence)"
        return
      }
      if MerkleHashing.leaf(line.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0)) != LeafHash(hash) {
        difference = "\(scanner.files[line.file]) entry \(sequence)"
        return
      }
    }
  }
}
