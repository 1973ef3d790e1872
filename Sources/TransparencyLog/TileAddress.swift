/// Which tile or entry bundle, and how full. Implements the paths of C2SP tlog-tiles.
public struct TileAddress: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// Hashes of the tree's level 8 × `level`.
    case hashes(level: Int)
    case entries
  }

  /// Hashes in a full tile; entries in a full bundle.
  public static let fullWidth = 256
  /// 256⁸ = 2⁶⁴ leaves: no tree that fits its size has a level above.
  public static let maximumLevel = 7

  public let kind: Kind
  public let index: UInt64
  /// 1 … 256; below 256 it is a partial tile.
  public let width: Int

  public init(kind: Kind, index: UInt64, width: Int = TileAddress.fullWidth) {
    self.kind = kind
    self.index = index
    self.width = width
  }

  public var isFull: Bool { width == Self.fullWidth }

  /// The tree level of the hashes; 0 for entries.
  var level: Int {
    switch kind {
    case .hashes(let level): level
    case .entries: 0
    }
  }

  /// For instance `tile/0/x001/x234/067` or `tile/entries/000.p/7`.
  public var path: String { isFull ? fullPath : "\(partialDirectory)/\(width)" }

  /// The path of the same tile when it is full.
  public var fullPath: String {
    let folder =
      switch kind {
      case .hashes(let level): String(level)
      case .entries: "entries"
      }
    return "tile/\(folder)/\(Self.encode(index))"
  }

  /// Where the partial versions of the tile lie.
  public var partialDirectory: String { fullPath + ".p" }

  /// Reads a path as `path` writes it; anything else is refused.
  ///
  /// - Throws: `malformedTilePath`.
  public init(path: String) throws(TransparencyLogError) {
    guard path.utf8.count <= 64, path.utf8.allSatisfy({ $0 < 0x80 }) else { throw .malformedTilePath }
    var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 3, parts.removeFirst() == "tile" else { throw .malformedTilePath }
    let folder = parts.removeFirst()
    var width = Self.fullWidth
    if parts.count >= 2, parts[parts.count - 2].hasSuffix(".p") {
      guard let partial = Checkpoint.parseSize(parts.removeLast()), (1..<256).contains(partial) else {
        throw .malformedTilePath
      }
      width = Int(partial)
      parts[parts.count - 1].removeLast(2)
    }
    var index: UInt64 = 0
    for part in parts {
      let digits = part.utf8.suffix(3)
      guard digits.count == 3, let group = UInt64(String(decoding: digits, as: UTF8.self)) else {
        throw .malformedTilePath
      }
      let (scaled, overflow) = index.multipliedReportingOverflow(by: 1000)
      guard !overflow, scaled <= UInt64.max - group else { throw .malformedTilePath }
      index = scaled + group
    }
    let kind: Kind
    if folder == "entries" {
      kind = .entries
    } else {
      guard let level = Checkpoint.parseSize(folder), level <= UInt64(Self.maximumLevel) else {
        throw .malformedTilePath
      }
      kind = .hashes(level: Int(level))
    }
    self.init(kind: kind, index: index, width: width)
    guard self.path == path else { throw .malformedTilePath }
  }

  /// Every tile and bundle of a log of `size` entries, level by level upwards, then the bundles.
  public static func layout(size: UInt64) -> [TileAddress] {
    var addresses: [TileAddress] = []
    for level in 0...maximumLevel {
      let count = size >> UInt64(8 * level)
      if count == 0 { break }
      addresses += run(of: .hashes(level: level), count: count)
    }
    return addresses + run(of: .entries, count: size)
  }

  private static func run(of kind: Kind, count: UInt64) -> [TileAddress] {
    let full = UInt64(fullWidth)
    var addresses = (0..<count / full).map { TileAddress(kind: kind, index: $0) }
    if count % full > 0 { addresses.append(TileAddress(kind: kind, index: count / full, width: Int(count % full))) }
    return addresses
  }

  private static func encode(_ index: UInt64) -> String {
    var rest = index / 1000
    var path = padded(index % 1000)
    while rest > 0 {
      path = "x\(padded(rest % 1000))/\(path)"
      rest /= 1000
    }
    return path
  }

  private static func padded(_ group: UInt64) -> String {
    let digits = String(group)
    return String(repeating: "0", count: 3 - digits.count) + digits
  }
}
