import Cryptography
import Foundation
import Testing
import TransparencyLog

@Suite struct TileTests {
  @Test(arguments: [
    ("tile/0/x001/x234/067", TileAddress(kind: .hashes(level: 0), index: 1_234_067)),
    ("tile/entries/x001/x234/067.p/8", TileAddress(kind: .entries, index: 1_234_067, width: 8)),
    ("tile/0/000.p/1", TileAddress(kind: .hashes(level: 0), index: 0, width: 1)),
    ("tile/7/999", TileAddress(kind: .hashes(level: 7), index: 999)),
    ("tile/1/x001/000.p/255", TileAddress(kind: .hashes(level: 1), index: 1000, width: 255)),
  ])
  func paths(path: String, address: TileAddress) throws {
    #expect(address.path == path)
    #expect(try TileAddress(path: path) == address)
  }

  @Test(arguments: [
    "", "tile", "tile/0", "tile/8/000", "tile/00/000", "tile/0/00", "tile/0/0000", "tile/0/000.p/0",
    "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/x000/001", "tile/0/001/002", "tile/0/x001/x002", "tile/data/000",
    "tile/0/000/", "/tile/0/000", "tile/0/../000", "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/-1/000",
    "tile/0/+01",
  ])
  func otherPathsAreRefused(path: String) {
    #expect(throws: TransparencyLogError.malformedTilePath) { try TileAddress(path: path) }
  }

  @Test func layoutOfSeventyThousand() throws {
    let layout = TileAddress.layout(size: 70_000)
    func widths(_ kind: TileAddress.Kind) -> [Int] { layout.filter { $0.kind == kind }.map(\.width) }
    #expect(widths(.hashes(level: 0)) == [Int](repeating: 256, count: 273) + [112])
    #expect(widths(.hashes(level: 1)) == [256, 17])
    #expect(widths(.hashes(level: 2)) == [1])
    #expect(widths(.hashes(level: 3)) == [])
    #expect(widths(.entries) == [Int](repeating: 256, count: 273) + [112])
    #expect(TileAddress.layout(size: 0).isEmpty)
  }

  @Test func builderMakesTheLayout() throws {
    var builder = TileBuilder()
    var tree = MerkleTree()
    for number in 0..<70_000 { tree.append(try builder.append(Array(String(number).utf8))) }
    let tiles = builder.completed + builder.partials
    #expect(Set(tiles.map(\.address)) == Set(TileAddress.layout(size: 70_000)))
    #expect(tiles.count == TileAddress.layout(size: 70_000).count)
    #expect(builder.root == tree.root())
    let top = try #require(tiles.first { $0.address.kind == .hashes(level: 2) })
    #expect(top.bytes == tree.node(level: 16, index: 0).bytes)
    let last = try #require(tiles.first { $0.address.kind == .entries && $0.address.width == 112 })
    let entries = try #require(EntryBundle.entries(of: last.bytes, count: 112))
    #expect(entries.last.map { Array($0) } == Array("69999".utf8))
  }

  @Test func bundlesAreReadStrictly() throws {
    var builder = TileBuilder()
    try builder.append(Array("one".utf8))
    try builder.append([])
    let bundle = try #require(builder.partials.last).bytes
    #expect(bundle == [0, 3] + Array("one".utf8) + [0, 0])
    #expect(EntryBundle.entries(of: bundle, count: 2)?.map { Array($0) } == [Array("one".utf8), []])
    #expect(EntryBundle.entries(of: bundle, count: 1) == nil)
    #expect(EntryBundle.entries(of: bundle, count: 3) == nil)
    #expect(EntryBundle.entries(of: Array(bundle.dropLast()), count: 2) == nil)
    #expect(EntryBundle.entries(of: bundle + [0], count: 2) == nil)
  }

  @Test func longestEntryFitsAndOneMoreByteDoesNot() throws {
    var builder = TileBuilder()
    try builder.append([UInt8](repeating: 1, count: 65_535))
    #expect(throws: TransparencyLogError.entryTooLong(bytes: 65_536)) {
      try builder.append([UInt8](repeating: 1, count: 65_536))
    }
    #expect(builder.size == 1)
  }

  @Test func proofsComeFromTiles() throws {
    let directory = try TemporaryDirectory()
    let tiles = TileDirectory(path: directory.path)
    var builder = TileBuilder()
    var tree = MerkleTree()
    for number in 0..<600 { tree.append(try builder.append(Array("entry \(number)".utf8))) }
    try tiles.write(builder.completed + builder.partials)
    let reader = TileReader(directory: tiles, size: 600)
    #expect(try reader.recomputedRoot() == tree.root())
    #expect(try reader.root() == tree.root())
    for index: UInt64 in [0, 1, 255, 256, 511, 512, 599] {
      #expect(try reader.inclusionProof(index: index) == tree.inclusionProof(index: index))
      #expect(try reader.leaf(at: index) == tree.leaf(at: index))
      #expect(try reader.entry(at: index) == Array("entry \(index)".utf8))
    }
    for from: UInt64 in [1, 255, 256, 300, 512, 599, 600] {
      #expect(try reader.consistencyProof(from: from) == tree.consistencyProof(from: from))
    }
    #expect(throws: TransparencyLogError.outOfRange(requested: 600, size: 600)) { try reader.leaf(at: 600) }
    #expect(throws: TransparencyLogError.outOfRange(requested: 1, size: 600)) { try reader.node(level: 9, index: 1) }

    // A reader with an older checkpoint finds its partial tile gone, and reads the full one.
    let older = TileReader(directory: tiles, size: 200)
    #expect(try older.recomputedRoot() == tree.root(size: 200))
    #expect(try older.inclusionProof(index: 7) == tree.inclusionProof(index: 7, size: 200))
    #expect(try older.entry(at: 199) == Array("entry 199".utf8))
    // But a partial tile of another width does not serve.
    let between = TileReader(directory: tiles, size: 550)
    #expect(throws: TransparencyLogError.self) { try between.recomputedRoot() }
  }

  @Test func damagedTilesAreRefused() throws {
    let directory = try TemporaryDirectory()
    let tiles = TileDirectory(path: directory.path)
    var builder = TileBuilder()
    for number in 0..<3 { try builder.append(Array("entry \(number)".utf8)) }
    try tiles.write(builder.partials)
    let path = "\(directory.path)/tile/0/000.p/3"
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
    let reader = TileReader(directory: tiles, size: 3)
    #expect(throws: TransparencyLogError.malformedTile(path: path)) { try reader.recomputedRoot() }
    try Data(count: 256 * 32 + 1).write(to: URL(fileURLWithPath: path))
    #expect(throws: TransparencyLogError.fileTooLarge(path: path, limit: 256 * 32)) { try reader.recomputedRoot() }
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/etc/hostname")
    #expect(throws: TransparencyLogError.notARegularFile(path: path)) { try reader.recomputedRoot() }
    try FileManager.default.removeItem(atPath: path)
    #expect(throws: TransparencyLogError.missingFile(path: path)) { try reader.recomputedRoot() }
    #expect(try tiles.checkpoint() == nil)
  }
}
