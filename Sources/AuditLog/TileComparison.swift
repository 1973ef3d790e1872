import Cryptography
import Foundation
import TransparencyLog

/// Compares the files of a tiled log with hashes and entries that are known.
struct TileComparison: Sendable {
  let tiles: TileDirectory
  let inventory: TileInventory

  /// Compares the versions of one tile that are there, as far as the known hashes reach.
  ///
  /// - Parameter hashes: those of the tile, one after the other; fewer than 256 at the end of the log.
  func check(level: Int, index: UInt64, hashes: UnsafeRawBufferPointer, failures: inout FailureList) {
    let known = hashes.count / TreeHash.byteCount
    for address in found(.hashes(level: level), index, known: known) {
      if let failure = tile(address, UnsafeRawBufferPointer(rebasing: hashes[..<(address.width * TreeHash.byteCount)]))
      {
        failures.append(failure)
      }
    }
  }

  /// Compares the versions of one bundle that are there with its entries, framed as a bundle frames them.
  ///
  /// - Parameters:
  ///   - ends: where each entry ends in `framed`.
  ///   - hashes: the leaf hashes.
  func check(
    bundle index: UInt64, framed: UnsafeRawBufferPointer, ends: [Int], hashes: UnsafeRawBufferPointer,
    failures: inout FailureList
  ) {
    for address in found(.entries, index, known: ends.count) {
      let expected = UnsafeRawBufferPointer(rebasing: framed[..<ends[address.width - 1]])
      if let failure = bundle(address, hashes: hashes, framed: expected) { failures.append(failure) }
    }
  }

  /// Compares the versions of one bundle that are there with the leaf hashes.
  func check(bundle index: UInt64, hashes: UnsafeRawBufferPointer, failures: inout FailureList) {
    for address in found(.entries, index, known: hashes.count / TreeHash.byteCount) {
      if let failure = bundle(address, hashes: hashes, framed: nil) { failures.append(failure) }
    }
  }

  /// Those that reach further than what is known are reported as such, all at once.
  private func found(_ series: TileSeries, _ index: UInt64, known: Int) -> [TileAddress] {
    var found = inventory.partialWidths(series, index).sorted().filter { $0 <= known }
      .map { TileAddress(kind: series.kind, index: index, width: $0) }
    if known == TileAddress.fullWidth, inventory.hasFull(series, index) {
      found.insert(TileAddress(kind: series.kind, index: index), at: 0)
    }
    return found
  }

  /// The bytes of a file that was listed; nil without a failure if it went because the full one came.
  private func bytes(of address: TileAddress) throws(TransparencyLogError) -> [UInt8]? {
    if let bytes = try tiles.bytes(of: address) { return bytes }
    let full = TileAddress(kind: address.kind, index: address.index)
    if !address.isFull, DurableFile.exists("\(tiles.path)/\(full.path)") { return nil }
    throw .missingFile(path: address.path)
  }

  private func tile(_ address: TileAddress, _ expected: UnsafeRawBufferPointer) -> VerificationFailure? {
    do {
      guard let bytes = try bytes(of: address) else { return nil }
      guard bytes.count == expected.count else {
        return .init(address.path, "has \(counted(bytes.count, "byte")) instead of \(expected.count)")
      }
      guard let byte = Self.difference(bytes, expected) else { return nil }
      let place = byte / TreeHash.byteCount
      return .init("\(address.path) byte \(byte)", "hash \(place) of the tile is not that of the entries")
    } catch { return Self.failure(address, error) }
  }

  private func bundle(
    _ address: TileAddress, hashes: UnsafeRawBufferPointer, framed: UnsafeRawBufferPointer?
  ) -> VerificationFailure? {
    do {
      guard let bytes = try bytes(of: address) else { return nil }
      if let framed, bytes.count == framed.count, Self.difference(bytes, framed) == nil { return nil }
      guard let entries = EntryBundle.entries(of: bytes, count: address.width) else {
        return .init(address.path, "is not \(address.width) length-prefixed entries")
      }
      for (place, entry) in entries.enumerated() {
        let start = place * LeafHash.byteCount
        let known = LeafHash(copying: UnsafeRawBufferPointer(rebasing: hashes[start..<start + LeafHash.byteCount]))
        guard MerkleHashing.leaf(entry) != known else { continue }
        let sequence = address.index * UInt64(TileAddress.fullWidth) + UInt64(place)
        return .init("\(address.path) entry \(sequence) byte \(entry.startIndex)", "the entry is not the journal's")
      }
      return nil
    } catch { return Self.failure(address, error) }
  }

  private static func failure(_ address: TileAddress, _ error: TransparencyLogError) -> VerificationFailure {
    guard case .missingFile = error else { return .init(address.path, error.message) }
    return .init(address.path, "missing")
  }

  /// The first byte at which two runs of the same length differ.
  private static func difference(_ bytes: [UInt8], _ expected: UnsafeRawBufferPointer) -> Int? {
    bytes.withUnsafeBytes { bytes in
      guard let left = bytes.baseAddress, let right = expected.baseAddress, memcmp(left, right, bytes.count) != 0 else {
        return nil
      }
      return bytes.indices.first { bytes[$0] != expected[$0] }
    }
  }
}
