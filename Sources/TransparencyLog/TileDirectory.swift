import Cryptography

/// A tiled log on disk: `checkpoint` and `tile/…` as any static web server can serve them.
///
/// Writing is for one writer at a time; the caller holds the lock. Reading trusts nothing.
public struct TileDirectory: Sendable {
  /// A full bundle of entries of the greatest length.
  static let maximumBundleBytes = TileAddress.fullWidth * (TileBuilder.maximumEntryBytes + 2)

  public let path: String

  public init(path: String) {
    self.path = path
  }

  /// Writes tiles so that each is there in full or not at all, also after a power failure.
  public func write(_ tiles: [TileContents]) throws(TransparencyLogError) {
    var known: Set<String> = []
    for tile in tiles {
      let file = "\(path)/\(tile.address.path)"
      let folder = DurableFile.parent(of: file)
      if known.insert(folder).inserted { try DurableFile.createDirectories(folder, mode: 0o755) }
      try DurableFile.writeAtomically(tile.bytes, to: file, mode: 0o644, synchronizingDirectory: false)
    }
    for folder in known { try DurableFile.synchronizeDirectory(folder) }
  }

  /// Replaces the checkpoint. Its tiles must be written before.
  public func write(_ checkpoint: SignedCheckpoint) throws(TransparencyLogError) {
    try DurableFile.writeAtomically(checkpoint.serialized, to: "\(path)/checkpoint", mode: 0o644)
  }

  /// Removes the partial versions of tiles that are full now.
  public func removePartials(of addresses: [TileAddress]) throws(TransparencyLogError) {
    for address in addresses { try DurableFile.removeFlatDirectory("\(path)/\(address.partialDirectory)") }
  }

  /// The checkpoint, or nil if nothing has been published. Its signature is not checked.
  public func checkpoint() throws(TransparencyLogError) -> SignedCheckpoint? { try checkpoint(named: "checkpoint") }

  /// The same of another file beside it.
  package func checkpoint(named name: String) throws(TransparencyLogError) -> SignedCheckpoint? {
    guard let bytes = try DurableFile.read("\(path)/\(name)", maximum: SignedCheckpoint.maximumBytes) else {
      return nil
    }
    return try SignedCheckpoint(parsing: bytes)
  }

  /// The bytes of exactly this tile file, or nil if there is none.
  public func bytes(of address: TileAddress) throws(TransparencyLogError) -> [UInt8]? {
    let maximum =
      switch address.kind {
      case .hashes: TileAddress.fullWidth * TreeHash.byteCount
      case .entries: Self.maximumBundleBytes
      }
    return try DurableFile.read("\(path)/\(address.path)", maximum: maximum)
  }

  /// The hashes of a tile; a missing partial tile is read from the full one, as tlog-tiles asks.
  ///
  /// - Throws: `missingFile`, `malformedTile`, file errors.
  public func hashes(of address: TileAddress) throws(TransparencyLogError) -> [TreeHash] {
    guard let found = try bytesOrFull(of: address) else { throw .missingFile(path: "\(path)/\(address.path)") }
    guard found.bytes.count == found.width * TreeHash.byteCount, let hashes = TreeHash.list(found.bytes) else {
      throw .malformedTile(path: "\(path)/\(address.path)")
    }
    return Array(hashes.prefix(address.width))
  }

  /// The entries of a bundle; a missing partial one is read from the full one.
  ///
  /// - Throws: `missingFile`, `malformedTile`, file errors.
  public func entries(of address: TileAddress) throws(TransparencyLogError) -> [ArraySlice<UInt8>] {
    guard let found = try bytesOrFull(of: address) else { throw .missingFile(path: "\(path)/\(address.path)") }
    guard let entries = EntryBundle.entries(of: found.bytes, count: found.width) else {
      throw .malformedTile(path: "\(path)/\(address.path)")
    }
    return Array(entries.prefix(address.width))
  }

  private func bytesOrFull(
    of address: TileAddress
  ) throws(TransparencyLogError) -> (bytes: [UInt8], width: Int)? {
    if let bytes = try bytes(of: address) { return (bytes, address.width) }
    guard !address.isFull else { return nil }
    let full = TileAddress(kind: address.kind, index: address.index)
    return try bytes(of: full).map { ($0, full.width) }
  }
}

extension Digest {
  /// The digests in a run of 32-byte pieces; nil if the last is cut.
  static func list(_ bytes: [UInt8]) -> [Digest]? {
    guard bytes.count.isMultiple(of: byteCount) else { return nil }
    var digests: [Digest] = []
    digests.reserveCapacity(bytes.count / byteCount)
    bytes.withUnsafeBytes { buffer in
      for start in stride(from: 0, to: buffer.count, by: byteCount) {
        digests.append(Digest(copying: UnsafeRawBufferPointer(rebasing: buffer[start..<start + byteCount])))
      }
    }
    return digests
  }
}

/// A tree whose nodes are read from tiles: the source of proofs for a log on disk.
///
/// It believes the tiles; what comes out must be checked against a signed root.
public struct TileReader: MerkleNodeSource, Sendable {
  public let directory: TileDirectory
  public let size: UInt64

  /// - Parameter size: that of the checkpoint whose tiles are read.
  public init(directory: TileDirectory, size: UInt64) {
    self.directory = directory
    self.size = size
  }

  public func node(level: Int, index: UInt64) throws(TransparencyLogError) -> TreeHash {
    guard level >= 0, index < size >> UInt64(level) else { throw .outOfRange(requested: index, size: size) }
    let tileLevel = level / 8
    let first = index << UInt64(level % 8)
    let count = 1 << (level % 8)
    let tile = first / UInt64(TileAddress.fullWidth)
    let available = (size >> UInt64(8 * tileLevel)) - tile * UInt64(TileAddress.fullWidth)
    let address = TileAddress(
      kind: .hashes(level: tileLevel), index: tile, width: Int(min(available, UInt64(TileAddress.fullWidth))))
    let hashes = try directory.hashes(of: address)
    let start = Int(first % UInt64(TileAddress.fullWidth))
    guard start + count <= hashes.count else { throw .outOfRange(requested: index, size: size) }
    return TileBuilder.root(of: hashes[start..<start + count])
  }

  /// The leaf hash of an entry, from the level-0 tile.
  ///
  /// - Throws: `outOfRange` and file errors.
  public func leaf(at index: UInt64) throws(TransparencyLogError) -> LeafHash {
    guard index < size else { throw .outOfRange(requested: index, size: size) }
    return LeafHash(try node(level: 0, index: index))
  }

  /// One entry, from its bundle.
  ///
  /// - Throws: `outOfRange` and file errors.
  public func entry(at index: UInt64) throws(TransparencyLogError) -> [UInt8] {
    guard index < size else { throw .outOfRange(requested: index, size: size) }
    let full = UInt64(TileAddress.fullWidth)
    let bundle = index / full
    let address = TileAddress(kind: .entries, index: bundle, width: Int(min(size - bundle * full, full)))
    return Array(try directory.entries(of: address)[Int(index % full)])
  }

  /// The right edge of the tree of the first `size` leaves, to go on from there.
  ///
  /// - Parameter size: a multiple of 256, at most this reader's size.
  /// - Throws: `missingFile`, `malformedTile`, file errors.
  package func edge(at size: UInt64) throws(TransparencyLogError) -> TileTree {
    guard size <= self.size, size.isMultiple(of: UInt64(TileAddress.fullWidth)) else {
      throw .outOfRange(requested: size, size: self.size)
    }
    let full = UInt64(TileAddress.fullWidth)
    var edge: [[TreeHash]] = []
    var level = 1
    while level <= TileAddress.maximumLevel, size >> UInt64(8 * level) > 0 {
      let count = size >> UInt64(8 * level)
      let index = count / full
      let width = Int(count % full)
      if width == 0 {
        edge.append([])
      } else {
        let available = Int(min((self.size >> UInt64(8 * level)) - index * full, full))
        let address = TileAddress(kind: .hashes(level: level), index: index, width: available)
        edge.append(Array(try directory.hashes(of: address).prefix(width)))
      }
      level += 1
    }
    return TileTree(resumingAt: size, edge: edge)
  }

  /// The root computed from the leaf hashes of every level-0 tile; upper tiles are not used.
  public func recomputedRoot() throws(TransparencyLogError) -> TreeHash {
    var frontier = MerkleFrontier()
    for address in TileAddress.layout(size: size) where address.kind == .hashes(level: 0) {
      for hash in try directory.hashes(of: address) { frontier.append(node: hash) }
    }
    return frontier.root
  }
}
