import Cryptography
import TransparencyLog

extension LogVerification {
  /// Compares every file under `tile/` with the reference tree, and the set of files with what the size demands.
  mutating func checkFiles() {
    var layout: [VerificationFailure] = []
    var found: Set<TileAddress> = []
    let tiles = "\(directory)/\(LogLayout.tiles)"
    if DurableFile.isRealDirectory(tiles) || !DurableFile.exists(tiles) {
      collect(LogLayout.tiles, depth: 0, into: &found, failures: &layout)
    } else {
      // A link could lead to another log's tiles today and to this one's when somebody looks.
      layout.append(.init(LogLayout.tiles, "not a directory"))
    }
    if let size = checkpoint?.checkpoint.size, isAuthentic {
      layout += missing(from: found, size: size)
    }
    conclude(.layout, layout, passed: "the files are those of a log of this size")

    var hashes: [VerificationFailure] = []
    var bundles: [VerificationFailure] = []
    for address in found.sorted(by: { $0.path < $1.path }) {
      switch address.kind {
      case .hashes(let level): if let failure = checkTile(address, level: level) { hashes.append(failure) }
      case .entries: if let failure = checkBundle(address) { bundles.append(failure) }
      }
    }
    let bundleCount = found.count { $0.kind == .entries }
    conclude(.tiles, hashes, passed: "\(found.count - bundleCount) tiles agree with the entries")
    conclude(.entryBundles, bundles, passed: "\(bundleCount) entry bundles agree with the entries")
  }

  /// Walks the files under `folder`. Names that no writer of ours makes are failures; an unfinished temporary file is
  /// what a crash leaves, is not served, and is overwritten by the next publication.
  private func collect(
    _ folder: String, depth: Int, into found: inout Set<TileAddress>, failures: inout [VerificationFailure]
  ) {
    let names: [String]
    do {
      guard let listed = try DurableFile.names(in: "\(directory)/\(folder)") else { return }
      names = listed
    } catch {
      failures.append(.init(folder, error.message))
      return
    }
    for name in names {
      let path = "\(folder)/\(name)"
      if DurableFile.isRealDirectory("\(directory)/\(path)") {
        // tile/LEVEL, seven groups of an index, and the folder of partial tiles.
        if depth < 10 {
          collect(path, depth: depth + 1, into: &found, failures: &failures)
        } else {
          failures.append(.init(path, "not a folder of a tiled log"))
        }
      } else if let address = try? TileAddress(path: path) {
        found.insert(address)
      } else if !Self.isUnfinished(path) {
        failures.append(.init(path, "not a file of a tiled log"))
      }
    }
  }

  private static func isUnfinished(_ path: String) -> Bool {
    guard path.hasSuffix(DurableFile.temporarySuffix) else { return false }
    return (try? TileAddress(path: String(path.dropLast(DurableFile.temporarySuffix.count)))) != nil
  }

  private func missing(from found: Set<TileAddress>, size: UInt64) -> [VerificationFailure] {
    // A checkpoint can claim any size; only one that journal or tiles back is worth a list.
    guard size <= reference.size else { return [] }
    return TileAddress.layout(size: size).compactMap { address in
      let full = TileAddress(kind: address.kind, index: address.index)
      return found.contains(address) || found.contains(full) ? nil : .init(address.path, "missing")
    }
  }

  private func checkTile(_ address: TileAddress, level: Int) -> VerificationFailure? {
    let treeLevel = 8 * level
    let (first, overflow) = address.index.multipliedReportingOverflow(by: UInt64(TileAddress.fullWidth))
    let available = reference.size >> UInt64(treeLevel)
    guard !overflow, first < available, available - first >= UInt64(address.width) else {
      return .init(address.path, "covers entries that the log does not have")
    }
    do {
      guard let bytes = try tiles.bytes(of: address) else { return .init(address.path, "missing") }
      guard bytes.count == address.width * TreeHash.byteCount else {
        return .init(address.path, "has \(bytes.count) bytes instead of \(address.width * TreeHash.byteCount)")
      }
      for place in 0..<address.width {
        let expected = reference.node(level: treeLevel, index: first + UInt64(place)).bytes
        let start = place * TreeHash.byteCount
        guard let byte = (0..<TreeHash.byteCount).first(where: { bytes[start + $0] != expected[$0] }) else { continue }
        return .init("\(address.path) byte \(start + byte)", "hash \(place) of the tile is not that of the entries")
      }
      return nil
    } catch { return .init(address.path, error.message) }
  }

  private func checkBundle(_ address: TileAddress) -> VerificationFailure? {
    let (first, overflow) = address.index.multipliedReportingOverflow(by: UInt64(TileAddress.fullWidth))
    guard !overflow, first < reference.size, reference.size - first >= UInt64(address.width) else {
      return .init(address.path, "covers entries that the log does not have")
    }
    do {
      guard let bytes = try tiles.bytes(of: address) else { return .init(address.path, "missing") }
      guard let entries = EntryBundle.entries(of: bytes, count: address.width) else {
        return .init(address.path, "is not \(address.width) length-prefixed entries")
      }
      for (place, entry) in entries.enumerated()
      where MerkleHashing.leaf(entry) != reference.leaf(at: first + UInt64(place)) {
        let sequence = first + UInt64(place)
        return .init("\(address.path) entry \(sequence) byte \(entry.startIndex)", "the entry is not the journal's")
      }
      return nil
    } catch { return .init(address.path, error.message) }
  }
}
