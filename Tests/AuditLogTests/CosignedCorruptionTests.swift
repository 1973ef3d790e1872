import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// `checkpoint.cosigned` with one thing wrong: our verifier and the independent one must both see it.
@Suite(.enabled(if: IndependentVerifier.mayRun, IndependentVerifier.reason))
struct CosignedCorruptionTests {
  private let directory: TemporaryDirectory
  private var log: String { "\(directory.path)/log" }

  init() throws { directory = try TemporaryDirectory() }

  /// 300 entries, of which a checkpoint over 270 is cosigned by witness 9; the checkpoint over all is not.
  private func makeCosigned() throws {
    let writer = try openLog(log)
    try writer.fill(270)
    let early = try writer.publish()
    try writer.add([FixedWitness.cosignature(of: early.checkpoint)], to: early)
    try writer.fill(30)
    try writer.publish()
  }

  @Test("Every byte of checkpoint.cosigned, and what stands in its place")
  func files() throws {
    try makeCosigned()
    let file = "checkpoint.cosigned"
    let bytes = try read("\(log)/\(file)")
    let table = try VerdictTable()
    try table.add("unchanged", to: log, .verified)
    for place in bytes.indices {
      for bit: UInt8 in [1, 0x20] {
        try table.add("byte \(place) bit \(bit)", to: log, .refused, file: file) { $0[place] ^= bit }
      }
    }
    for length in [0, 1, 14, 60, bytes.count - 1] {
      try table.add("cut to \(length)", to: log, .refused, file: file) { $0 = Array($0.prefix(length)) }
    }
    try table.add("missing", to: log, .refused) { try FileManager.default.removeItem(atPath: "\($0)/\(file)") }
    try table.add("linked", to: log, .refused) { copy in
      try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
      try FileManager.default.createSymbolicLink(atPath: "\(copy)/\(file)", withDestinationPath: "\(log)/\(file)")
    }
    try table.add("a pipe", to: log, .refused) { copy in
      try FileManager.default.removeItem(atPath: "\(copy)/\(file)")
      try #require(mkfifo("\(copy)/\(file)", 0o600) == 0)
    }
    try table.add("left by a crash", to: log, .verified) {
      try VerdictTable.replace("\($0)/\(file).tmp", [1, 2, 3])
    }
    try table.compare()
  }

  @Test("Checkpoints that are well formed and are not an earlier one of this log")
  func members() throws {
    try makeCosigned()
    let table = try VerdictTable()
    let cosigned = try SignedCheckpoint(parsing: read("\(log)/checkpoint.cosigned"))
    let published = try #require(try TileDirectory(path: log).checkpoint())
    let root = cosigned.checkpoint.root
    func row(
      _ name: String, _ expected: VerdictTable.Expected, origin: String = "alder.example", size: UInt64,
      root: TreeHash, seed: UInt8 = 1, witness: UInt8? = 9, quorum: Int = 1
    ) throws {
      let policy = VerdictTable.Policy(key: try Fixed.verifierKey(), quorum: quorum)
      try table.add(name, to: log, expected, policy: policy) { copy in
        var made = try SignedCheckpoint.signing(
          origin: OrganizationName(origin), size: size, root: root, key: Fixed.key(seed))
        if let witness { try made.add(FixedWitness.cosignature(of: made.checkpoint, seed: witness)) }
        try VerdictTable.replace("\(copy)/checkpoint.cosigned", made.serialized)
      }
    }
    try row("the same again", .verified, size: 270, root: root)
    try row("that of all entries", .verified, size: 300, root: published.checkpoint.root)
    try row("that of no entries", .verified, size: 0, root: TreeHashing.emptyRoot)
    try row("of no entries, with a root", .refused, size: 0, root: root)
    try row("another size", .refused, size: 269, root: root)
    try row("another root", .refused, size: 270, root: published.checkpoint.root)
    try row("more than there are", .refused, size: 301, root: root)
    try row("another history, with nothing required", .refused, size: 200, root: root, quorum: 0)
    try row("another log's", .refused, origin: "birch.example", size: 270, root: root)
    try row("another key's", .refused, size: 270, root: root, seed: 2)
    try row("a stranger has cosigned", .refused, size: 270, root: root, witness: 7)
    try row("a stranger has cosigned, and nobody need", .verified, size: 270, root: root, witness: 7, quorum: 0)
    try row("nobody has cosigned", .refused, size: 270, root: root, witness: nil)
    try row("one of two", .refused, size: 270, root: root, quorum: 2)
    try table.compare()
  }
}
