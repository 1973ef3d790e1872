import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import FederationServer

@Suite("A server that witnesses its members' logs", .timeLimit(.minutes(1)))
struct ServerWitnessingTests {
  private let federation: TestFederation
  private let log: AuditLogWriter
  private let alder: MemberLog
  private let birch: MemberLog

  init() throws {
    federation = try TestFederation(isInMemory: true)
    log = try federation.writer(federation.server)
    try log.append(AuditRecord.Draft(.serviceStarted))
    alder = try MemberLog(federation, federation.parties[0], name: "alder-log")
    birch = try MemberLog(federation, federation.parties[1], name: "birch-log")
  }

  /// One process of the server; the one before must be gone.
  private func server() throws -> ServerWitnessing {
    try ServerWitnessing(
      log: log, witness: federation.server.witness(directory: "\(federation.root.path)/hub-witness"),
      membership: ServerMembership(federation.manifest), progress: { _ in })
  }

  private func given(_ party: Party, _ checkpoint: SignedCheckpoint) throws -> GivenCosignature {
    GivenCosignature(
      origin: try OrganizationName(checkpoint.checkpoint.origin), size: checkpoint.checkpoint.size,
      cosignature: try Cosignature(
        of: checkpoint.checkpoint, name: party.name, key: party.witnessKey(), time: 1_800_000_000))
  }

  private func records(_ event: AuditRecord.Event) throws -> [AuditRecord] {
    try federation.records(federation.server).filter { $0.event == event }
  }

  @Test("Two histories and a history put back are conflicts, on the record once and in the status; asking is none")
  func conflicts() throws {
    let server = try server()
    let first = try alder.grow(by: 5)
    let second = try alder.grow(by: 4)
    #expect(try alder.submit(first, from: 0, to: server).conflict == nil)
    let cosigned = try alder.submit(second, from: 5, to: server)
    let line = try #require(cosigned.cosignatures.first)
    #expect(line.size == 9)
    #expect(
      line.cosignature.verifies(text: second.note.text, witness: federation.server.member.witnessNoteKey))
    // Who does not know where the witness stands is told, with the evidence.
    let third = try alder.grow(by: 1)
    let asked = try alder.submit(third, from: 0, to: server)
    #expect(asked.conflict?.held?.checkpoint == second.checkpoint)
    #expect(asked.conflict?.held?.status(of: alder.party.member.logNoteKey) == .valid)
    #expect(server.conflicts.isEmpty)

    for _ in 0..<2 {
      #expect(try alder.submit(first, from: 0, to: server).conflict?.held?.checkpoint == second.checkpoint)
    }
    #expect(server.conflicts == [LogConflict(organization: "alder.example", held: 9, offered: 5, kind: "rolledBack")])
    let fork = try MemberLog(federation, alder.party, name: "fork")
    let forked = try fork.grow(by: 12)
    #expect(try fork.submit(forked, from: 9, to: server).conflict != nil)
    #expect(server.conflicts.map(\.kind) == ["notConsistent"])
    let split = try MemberLog(federation, alder.party, name: "split").grow(by: 9)
    #expect(
      try fork.submit(forked, from: 9, to: server) { $0 = WitnessSubmission(checkpoint: split, oldSize: 9) }.conflict
        != nil)
    #expect(server.conflicts.map(\.kind) == ["splitView"])
    #expect(
      try records(.checkpointConflict).compactMap(\.error?.code) == [
        "log-rolledBack", "log-notConsistent", "log-splitView",
      ])
    // The history that was cosigned goes on.
    #expect(try alder.submit(third, from: 9, to: server).conflict == nil)
    #expect(try records(.checkpointWitnessed).count == 3)
  }

  @Test("A checkpoint of another's log, and one that the log's key has not signed, are refused")
  func strangers() throws {
    let server = try server()
    let checkpoint = try birch.grow(by: 2)
    let foreign = try server.answer(WitnessSubmission(checkpoint: checkpoint), .random(), from: alder.party.name)
    guard case .refused(let refusal) = foreign else {
      Issue.record("\(foreign)")
      return
    }
    #expect(refusal.code == "witness-foreign-log")
    let unsigned = try SignedCheckpoint.signing(
      origin: alder.party.name, size: 1, root: TreeHash(hashing: [1]), key: LogSigningKey.generate())
    let answer = try server.answer(WitnessSubmission(checkpoint: unsigned), .random(), from: alder.party.name)
    guard case .refused(let unusable) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(unusable.code == "witness-refused")
  }

  @Test(
    "Members' checkpoints reach the others with a proof; one that is not at hand is asked for; also after a restart")
  func wanted() throws {
    var running: ServerWitnessing? = try self.server()
    let early = try birch.grow(by: 3)
    _ = try birch.submit(early, from: 0, to: #require(running))
    let checkpoint = try alder.grow(by: 2)
    let first = try alder.submit(checkpoint, from: 0, to: #require(running))
    #expect(first.peers.map(\.checkpoint.checkpoint) == [early.checkpoint])
    // Alder has seen 3; birch has proved 3 to 5 and then 5 to 8 only.
    _ = try birch.submit(try birch.grow(by: 2), from: 3, to: #require(running))
    let late = try birch.grow(by: 3)
    _ = try birch.submit(late, from: 5, to: #require(running))
    func ask() throws -> WitnessAnswer {
      try alder.submit(checkpoint, from: 2, to: #require(running)) {
        $0.peers = [KnownSize(origin: birch.party.name, size: 3)]
      }
    }
    #expect(try ask().peers.isEmpty)
    #expect(try birch.submit(late, from: 8, to: #require(running)).wanted == [3])
    #expect(
      try birch.submit(late, from: 8, to: #require(running)) {
        $0.proofs = [SizeProof(size: 3, hashes: try birch.proof(from: 3, to: late))]
      }.wanted == [])
    let shown = try #require(try ask().peers.first)
    #expect(
      ConsistencyProof(from: 3, to: 8, hashes: shown.proof).verifies(
        oldRoot: early.checkpoint.root, newRoot: shown.checkpoint.checkpoint.root))

    // Another process knows the checkpoint, and asks for the proof again.
    running = nil
    running = try self.server()
    #expect(try ask().peers.isEmpty)
    #expect(try birch.submit(late, from: 8, to: #require(running)).wanted == [3])
    // From nothing, none is needed.
    #expect(try alder.submit(checkpoint, from: 2, to: #require(running)).peers.map(\.checkpoint.checkpoint.size) == [8])
  }

  @Test("Cosignatures reach the log's keeper once, a copy of a message the same again, and false ones nobody")
  func carrying() throws {
    let server = try server()
    let checkpoint = try alder.grow(by: 3)
    _ = try alder.submit(checkpoint, from: 0, to: server)
    let own = try birch.grow(by: 1)
    let wrong = try alder.grow(by: 1)
    let seen = try birch.submit(own, from: 0, to: server) {
      $0.given = [try given(birch.party, checkpoint)]
    }
    // One of a checkpoint that nobody has shown, and one under another's name.
    _ = try birch.submit(own, from: 1, to: server) {
      $0.given = [try given(birch.party, wrong), try given(federation.parties[2], checkpoint)]
    }
    let copy = MessageIdentifier.random()
    for _ in 0..<2 {
      let answer = try alder.submit(checkpoint, from: 3, to: server, identifier: copy)
      #expect(answer.cosignatures.map(\.cosignature.name.value) == ["hub.example", "birch.example"])
      #expect(answer.cosignatures.map(\.size) == [3, 3])
    }
    #expect(
      try alder.submit(checkpoint, from: 3, to: server).cosignatures.map(\.cosignature.name.value) == ["hub.example"])

    // Of the server's own log they are kept beside it.
    _ = try birch.submit(own, from: 1, to: server) {
      $0.given = [try given(birch.party, seen.checkpoint), try given(federation.parties[2], seen.checkpoint)]
    }
    let kept = try #require(try DurableCheckpoint.read("\(log.directory)/checkpoint.cosigned"))
    #expect(kept.cosignature(by: birch.party.member.witnessNoteKey) == .valid(time: 1_800_000_000))
    #expect(kept.cosignature(by: federation.parties[2].member.witnessNoteKey) == .absent)
    #expect(try records(.checkpointCosigned).map(\.checkpoint?.witness) == ["birch.example"])
  }

  @Test("Receipts are proved in a checkpoint that covers them; those that were never given are not")
  func receipts() throws {
    let server = try server()
    let checkpoint = try alder.grow(by: 1)
    for _ in 0..<10 { try log.append(AuditRecord.Draft(.serviceStarted)) }
    let record = try log.append(AuditRecord.Draft(.serviceStarted))
    let answer = try alder.submit(checkpoint, from: 0, to: server) { $0.receipts = [record.sequence] }
    let proof = try #require(answer.inclusions.first)
    let shown = answer.checkpoint.checkpoint
    #expect(
      InclusionProof(index: proof.index, size: shown.size, hashes: proof.hashes).verifies(
        leaf: record.leaf, root: shown.root))
    let size = log.checkpoint?.checkpoint.size
    #expect(try alder.submit(checkpoint, from: 1, to: server) { $0.receipts = [1 << 40] }.inclusions.isEmpty)
    #expect(log.checkpoint?.checkpoint.size == size)
  }
}
