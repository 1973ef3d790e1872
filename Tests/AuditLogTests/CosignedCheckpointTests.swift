import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

/// Cosignatures of a log's own checkpoints, as the log keeps them.
@Suite struct CosignedCheckpointTests {
  private let directory: TemporaryDirectory
  private var log: String { "\(directory.path)/log" }
  private var file: String { "\(log)/checkpoint.cosigned" }

  init() throws { directory = try TemporaryDirectory() }

  private func cosignatures(_ checkpoint: SignedCheckpoint, _ witnesses: UInt8...) throws -> [Cosignature] {
    try witnesses.map { try FixedWitness.cosignature(of: checkpoint.checkpoint, seed: $0) }
  }

  private func policy(_ quorum: Int, _ witnesses: UInt8...) throws -> CosignerPolicy {
    CosignerPolicy(witnesses: try witnesses.map { try FixedWitness.verifierKey($0) }, quorum: quorum)
  }

  private func kept() throws -> SignedCheckpoint? {
    try FileManager.default.fileExists(atPath: file) ? SignedCheckpoint(parsing: read(file)) : nil
  }

  /// Offers in order, each of a size by witnesses; then which is kept, with how many cosigners.
  struct Row: Sendable, CustomTestStringConvertible {
    let quorum: Int
    let offers: [(size: Int, witnesses: [UInt8])]
    let kept: (size: UInt64, cosigners: Int)

    init(_ quorum: Int, _ offers: [(Int, [UInt8])], _ size: UInt64, _ cosigners: Int) {
      self.quorum = quorum
      self.offers = offers.map { (size: $0.0, witnesses: $0.1) }
      kept = (size, cosigners)
    }

    var testDescription: String { "quorum \(quorum): \(offers)" }
  }

  static let rows: [Row] = [
    Row(1, [(1, [1])], 1, 1),
    Row(1, [(1, [1]), (1, [2])], 1, 2),
    Row(1, [(1, [1]), (1, [1])], 1, 1),
    Row(1, [(1, [1, 2, 3]), (2, [1])], 2, 1),
    Row(1, [(2, [1]), (1, [2, 3])], 2, 1),
    // Two are asked for: an older one with two stands until a newer one has two.
    Row(2, [(1, [1, 2]), (2, [1])], 1, 2),
    Row(2, [(1, [1, 2]), (2, [1]), (2, [2])], 2, 2),
    Row(2, [(1, [1, 2]), (2, [1]), (3, [2]), (2, [3])], 2, 2),
    Row(2, [(1, [1, 2]), (2, [1]), (3, [2]), (2, [3]), (3, [1])], 3, 2),
    Row(2, [(1, [1]), (2, [1])], 2, 1),
    Row(2, [(2, [1]), (1, [2, 3])], 1, 2),
    Row(2, [(2, [1]), (1, [2]), (1, [3])], 1, 2),
    Row(2, [(2, [1]), (1, [2, 3]), (2, [3])], 2, 2),
    // One that was put aside is still known.
    Row(2, [(1, [1]), (2, [1]), (1, [2])], 1, 2),
    Row(2, [(1, [1]), (2, [1]), (1, [2]), (2, [2])], 2, 2),
    // More than are asked for is no reason to keep an older one.
    Row(2, [(1, [1, 2, 3]), (2, [1, 2])], 2, 2),
    Row(3, [(1, [1, 2]), (2, [1]), (3, [3])], 1, 2),
    // Of the same size, another time of the same witness is no second cosigner.
    Row(2, [(1, [1, 2]), (2, [1]), (2, [1])], 1, 2),
  ]

  @Test("Which checkpoint is kept", arguments: rows)
  func rule(_ row: Row) throws {
    let writer = try openLog(log)
    writer.preferCheckpoints(cosignedAs: try policy(row.quorum, 1, 2, 3), by: .federation)
    var checkpoints: [SignedCheckpoint] = []
    for _ in 0..<3 {
      try writer.fill(1)
      checkpoints.append(try writer.publish())
    }
    for offer in row.offers {
      let checkpoint = checkpoints[offer.size - 1]
      try writer.add(
        try offer.witnesses.map { try FixedWitness.cosignature(of: checkpoint.checkpoint, seed: $0) }, to: checkpoint)
      #expect(try kept() == writer.cosignedCheckpoint)
    }
    let found = try #require(try kept())
    #expect(found.checkpoint.size == row.kept.size)
    #expect(found.note.signatures.count == row.kept.cosigners + 1)
    #expect(found.status(of: writer.verifierKey) == .valid)
  }

  @Test("Those whom the keeper names do not push out those whom the federation asks for")
  func sources() throws {
    let writer = try openLog(log)
    let (members, outside) = (try policy(2, 1, 2, 3), try policy(1, 8, 9))
    writer.preferCheckpoints(cosignedAs: members, by: .federation)
    writer.preferCheckpoints(cosignedAs: outside, by: .keeper)
    var checkpoints: [SignedCheckpoint] = []
    for _ in 0..<3 {
      try writer.fill(1)
      checkpoints.append(try writer.publish())
    }
    func kept(_ place: Int, _ witnesses: UInt8...) throws -> UInt64? {
      let checkpoint = checkpoints[place]
      try writer.add(
        try witnesses.map { try FixedWitness.cosignature(of: checkpoint.checkpoint, seed: $0) }, to: checkpoint)
      return writer.cosignedCheckpoint?.checkpoint.size
    }
    #expect(try kept(0, 1, 2) == 1)
    #expect(writer.cosignedSize(as: [members]) == 1 && writer.cosignedSize(as: [members, outside]) == 0)
    #expect(try kept(1, 8, 9) == 1)
    // It waited, and has now what both ask for.
    #expect(try kept(1, 2, 3) == 2)
    #expect(writer.cosignedSize(as: [members, outside]) == 2)
    // The federation's come first, and the keeper's are not given up for a newer one.
    #expect(try kept(2, 1, 3) == 2)
    #expect(try kept(2, 9) == 3)
  }

  @Test func thosesThatWaitAreFew() throws {
    let writer = try openLog(log)
    writer.preferCheckpoints(cosignedAs: try policy(2, 1, 2, 3), by: .federation)
    var checkpoints: [SignedCheckpoint] = []
    for _ in 0..<12 {
      try writer.fill(1)
      checkpoints.append(try writer.publish())
    }
    try writer.add(cosignatures(checkpoints[0], 1, 2), to: checkpoints[0])
    for checkpoint in checkpoints.dropFirst() { try writer.add(cosignatures(checkpoint, 1), to: checkpoint) }
    // The first of the eleven that waited were forgotten, the last were not.
    try writer.add(cosignatures(checkpoints[1], 2), to: checkpoints[1])
    #expect(writer.cosignedCheckpoint?.checkpoint.size == 1)
    try writer.add(cosignatures(checkpoints[11], 2), to: checkpoints[11])
    #expect(writer.cosignedCheckpoint?.checkpoint.size == 12)
  }

  @Test func thePublishedCheckpointGetsTheLinesToo() throws {
    let writer = try openLog(log)
    try writer.fill(3)
    let first = try writer.publish()
    try writer.add(cosignatures(first, 9), to: first)
    let shown = try #require(try TileDirectory(path: log).checkpoint())
    #expect(shown.cosignature(by: try FixedWitness.verifierKey()) == .valid(time: 1_772_357_401))
    #expect(shown == writer.checkpoint)
    try writer.fill(1)
    let second = try writer.publish()
    // Of the first only: the second stands as it is.
    try writer.add(cosignatures(first, 8), to: first)
    #expect(try TileDirectory(path: log).checkpoint() == second)
    #expect(try kept()?.note.signatures.count == 3)
    try writer.close()
    let again = try openLog(log)
    #expect(again.cosignedCheckpoint == (try kept()))
    #expect(again.checkpoint == second)
  }

  @Test func onlyCheckpointsOfThisLogAreKept() throws {
    let writer = try openLog(log)
    try writer.fill(5)
    let published = try writer.publish()
    let root = published.checkpoint.root
    let own = try OrganizationName("alder.example")
    func refusal(_ name: OrganizationName, size: UInt64, root: TreeHash, seed: UInt8 = 1) throws -> AuditLogError? {
      let checkpoint = try SignedCheckpoint.signing(origin: name, size: size, root: root, key: Fixed.key(seed))
      return #expect(throws: AuditLogError.self) { try writer.add(cosignatures(checkpoint, 9), to: checkpoint) }
    }
    #expect(try refusal(own, size: 5, root: TreeHash(hashing: [1])) == .notInThisLog(size: 5, published: 5))
    #expect(try refusal(own, size: 4, root: root) == .notInThisLog(size: 4, published: 5))
    #expect(try refusal(own, size: 6, root: root) == .notInThisLog(size: 6, published: 5))
    #expect(try refusal(own, size: 0, root: root) == .notInThisLog(size: 0, published: 5))
    #expect(try refusal(own, size: 5, root: root, seed: 2)?.code == "audit-checkpoint-foreign")
    #expect(try refusal(OrganizationName("birch.example"), size: 5, root: root)?.code == "audit-log-foreign")
    try writer.add([], to: published)
    #expect(try kept() == nil)
    try writer.close()
    #expect(throws: AuditLogError.closed) { try writer.add(cosignatures(published, 9), to: published) }
  }

  @Test func aLogPutBackBesideWhatWasCosignedDoesNotOpen() throws {
    let writer = try openLog(log)
    try writer.fill(5)
    try writer.publish()
    let (journal, checkpoint) = (try read("\(log)/journal"), try read("\(log)/checkpoint"))
    try writer.fill(5)
    let later = try writer.publish()
    try writer.add(cosignatures(later, 9), to: later)
    try writer.close()
    try write(journal, to: "\(log)/journal")
    try write(checkpoint, to: "\(log)/checkpoint")
    #expect(throws: AuditLogError.rolledBack(path: file, entries: 5, checkpoint: 10)) { _ = try openLog(log) }
    #expect(try !verify(log).verified)
  }

  @Test func whatIsNotACheckpointOfTheLogDoesNotOpen() throws {
    let writer = try openLog(log)
    try writer.fill(5)
    let published = try writer.publish()
    try writer.add(cosignatures(published, 9), to: published)
    try writer.close()
    let good = try read(file)
    try write(Array(good.dropLast()), to: file)
    #expect(throws: AuditLogError.self) { _ = try openLog(log) }
    let fork = try SignedCheckpoint.signing(
      origin: OrganizationName("alder.example"), size: 3, root: TreeHash(hashing: [1]), key: Fixed.key())
    try write(fork.serialized, to: file)
    #expect(throws: AuditLogError.journalAltered(path: file, checkpoint: 3)) { _ = try openLog(log) }
    try write(good, to: file)
    _ = try openLog(log)
    // A tile that was damaged is no reason to stop, here as elsewhere.
    try write([UInt8](repeating: 7, count: 160), to: "\(log)/tile/0/000.p/5")
    #expect(try openLog(log).cosignedCheckpoint?.checkpoint.size == 5)
  }

  @Test func theReportSaysWhoCosignedWhat() throws {
    let writer = try openLog(log)
    try writer.fill(5)
    let early = try writer.publish()
    try writer.add(cosignatures(early, 8, 9, 3), to: early)
    try writer.fill(4)
    try writer.close()
    let witnesses = try [FixedWitness.verifierKey(8), FixedWitness.verifierKey(9), FixedWitness.verifierKey(7)]
    func report(quorum: Int) throws -> VerificationReport.Check? {
      AuditVerifier.verify(
        logDirectory: log, verifierKey: try Fixed.verifierKey(),
        cosigners: CosignerPolicy(witnesses: witnesses, quorum: quorum)
      ).checks.first { $0.name == .cosignatures }
    }
    let enough = try #require(try report(quorum: 2))
    #expect(enough.result == .passed)
    #expect(
      enough.detail == """
        2 of 3 witnesses cosigned; 2 are needed: 5 entries by witness8.example, witness9.example; 4 entries after that not \
        cosigned yet; not counted, because it was not named here: witness3.example
        """)
    let tooFew = try #require(try report(quorum: 3))
    #expect(tooFew.result == .failed && tooFew.at == "checkpoint.cosigned")
    #expect(CosignerPolicy(witnesses: witnesses + witnesses, quorum: 1).witnesses.count == 3)
  }
}
