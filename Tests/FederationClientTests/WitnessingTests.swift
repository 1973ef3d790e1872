import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import FederationClient
@testable import FederationServer

@Suite("A client that witnesses and is witnessed", .timeLimit(.minutes(1)))
struct WitnessingTests {
  private let federation: TestFederation
  private var alder: Party { federation.parties[0] }
  private var birch: Party { federation.parties[1] }

  init() throws { federation = try TestFederation(isInMemory: true) }

  /// One process of alder's client.
  private func start(
    _ server: WitnessingServer, progress: @escaping @Sendable (ClientEvent) -> Void = { _ in }
  ) async throws -> Result<ClientOutcome, ClientError> {
    try await federation.takePart(
      alder, link: server, patience: .zero, idlePause: .zero, isWitness: true, progress: progress)
  }

  private func conflicts() throws -> [AuditRecord] {
    try federation.records(alder).filter { $0.event == .checkpointConflict }
  }

  /// What every fault comes to: it is on the record, nothing more leaves, and the log verifies.
  private func requireStopped(
    _ result: Result<ClientOutcome, ClientError>, _ code: String, _ server: WitnessingServer,
    kinds: [String] = ["hello", "witness"]
  ) async throws {
    #expect(result.error?.code == code)
    #expect(try conflicts().last?.error?.code == code)
    #expect(await server.kinds == kinds)
    #expect(federation.verify(alder))
  }

  private func evidence() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(federation.directory(alder))/witness/evidence")
  }

  @Test("A log is cosigned by the server, remembered across processes, and the server's is cosigned in turn")
  func honest() async throws {
    let server = try WitnessingServer(federation)
    for process in 1...3 {
      await server.from(alder)
      #expect(try await start(server).value?.state == .stopped)
      // The server's witness is asked where it stands, but for the first time, when there is nothing.
      let witness = process == 1 ? ["witness"] : ["witness", "witness"]
      #expect(await server.kinds == ["hello"] + witness + ["ready"])
    }
    let cosigned = try #require(
      try DurableCheckpoint.read("\(federation.logPath(alder))/checkpoint.cosigned"))
    #expect(cosigned.cosignature(by: federation.server.member.witnessNoteKey) == .valid(time: 1_800_000_000))
    let ingress = try #require(try DurableCheckpoint.read("\(server.log.directory)/checkpoint.cosigned"))
    #expect(ingress.cosignature(by: alder.member.witnessNoteKey) == .valid(time: 1_800_000_000))
    let events = try federation.records(alder).map(\.event)
    #expect(events.count { $0 == .checkpointCosigned } == 3)
    #expect(events.count { $0 == .checkpointWitnessed } >= 3)
    #expect(try conflicts().isEmpty)
    // Greeting, and every message but the last of a process, were proved to be in the server's log.
    let asked = await server.submissions.flatMap(\.receipts)
    #expect(Set(asked).count == asked.count && asked.count >= 4)
    #expect(await server.conflicts.isEmpty)
  }

  @Test("A directory that was restored from a copy is noticed by the client itself")
  func rolledBack() async throws {
    let server = try WitnessingServer(federation)
    _ = try await start(server)
    let path = federation.directory(alder)
    try FileManager.default.copyItem(atPath: path, toPath: path + ".copy")
    for _ in 1...2 {
      await server.from(alder)
      #expect(try await start(server).value != nil)
    }
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.copyItem(atPath: path + ".copy", toPath: path)
    await server.from(alder)
    let result = try await start(server)
    try await requireStopped(result, "own-log-rolled-back", server)
    #expect(result.error?.blame == .local)
    #expect(result.error?.isTemporary == false)
    #expect(await server.conflicts.map(\.kind) == ["rolledBack"])
    #expect(try evidence().count == 1)

    // A history that is longer by then is another one all the same.
    do {
      let log = try federation.writer(alder)
      for _ in 0..<40 { try log.append(AuditRecord.Draft(.serviceStarted)) }
      try log.close()
    }
    await server.from(alder)
    try await requireStopped(try await start(server), "own-log-forked", server)
  }

  @Test("What a server says of this organisation's log counts only with this organisation's signature")
  func claims() async throws {
    let other = LogSigningKey.generate()
    let alder = alder
    func held(_ size: UInt64, by key: borrowing LogSigningKey) throws -> SignedCheckpoint {
      try SignedCheckpoint.signing(origin: alder.name, size: size, root: TreeHash(hashing: [9]), key: key)
    }
    let unsigned = try held(900, by: other)
    for conflict in [WitnessConflict(held: unsigned), WitnessConflict(held: nil)] {
      let server = try WitnessingServer(federation, name: "hub-\(UUID())")
      await server.from(alder) { answer, _ in answer.conflict = conflict }
      let isRepeated = conflict.held == nil
      try await requireStopped(
        try await start(server), "witness-conflict-unproven", server,
        kinds: isRepeated ? ["hello", "witness", "witness"] : ["hello", "witness"])
    }
    // The same size with another root.
    let fork = try WitnessingServer(federation, name: "hub-\(UUID())")
    await fork.from(alder) { answer, submission in
      answer.conflict = WitnessConflict(
        held: try SignedCheckpoint.signing(
          origin: alder.name, size: submission.checkpoint.checkpoint.size, root: TreeHash(hashing: [9]),
          key: alder.logKey()))
    }
    #expect(try await start(fork).error?.code == "own-log-forked")
    #expect(await fork.kinds == ["hello", "witness"])
  }

  @Test("A false cosignature is no cosignature")
  func falseCosignature() async throws {
    let server = try WitnessingServer(federation)
    let hub = federation.server
    await server.from(alder) { answer, submission in
      let other = Checkpoint(
        origin: try OrganizationName("alder.example"), size: submission.checkpoint.checkpoint.size,
        root: TreeHash(hashing: [7]))
      answer.cosignatures = [
        SizedCosignature(
          size: other.size,
          cosignature: try Cosignature(of: other, name: hub.name, key: hub.witnessKey(), time: 1_800_000_000))
      ]
    }
    try await requireStopped(try await start(server), "cosignature-false", server)
    #expect(!FileManager.default.fileExists(atPath: "\(federation.logPath(alder))/checkpoint.cosigned"))
  }

  @Test("A server's log that was put back, forked, proved wrongly or signed by another is left")
  func ingress() async throws {
    let first = try WitnessingServer(federation)
    try await first.grow(by: 5)
    #expect(try await start(first).value != nil)
    // Shorter, and longer, than what was witnessed.
    for count in [0, 40] {
      let fork = try WitnessingServer(federation, name: "fork-\(count)")
      try await fork.grow(by: count)
      try await requireStopped(try await start(fork), "server-log-forked", fork)
    }
    #expect(try evidence().count == 2)

    await first.from(alder) { answer, _ in answer.proof = answer.proof.reversed() + [TreeHash(hashing: [1])] }
    try await requireStopped(try await start(first), "server-log-forked", first)
    let key = LogSigningKey.generate()
    let hub = federation.server.name
    await first.from(alder) { answer, _ in
      let shown = answer.checkpoint.checkpoint
      answer.checkpoint = try SignedCheckpoint.signing(origin: hub, size: shown.size, root: shown.root, key: key)
    }
    try await requireStopped(try await start(first), "server-checkpoint-unsigned", first)
    // Nothing of it is held against the server that goes on honestly.
    await first.from(alder)
    #expect(try await start(first).value != nil)
  }

  @Test("A receipt for what the server's log does not hold is evidence, and the end")
  func receipts() async throws {
    let lied = try WitnessingServer(federation)
    await lied.from(
      alder, receipt: { Receipt(message: $0.message, index: $0.index, leaf: LeafHash(hashing: [1])) })
    try await requireStopped(try await start(lied), "receipt-not-included", lied)
    #expect(try conflicts().last?.receipt?.leaf == LeafHash(hashing: [1]))
    #expect(try evidence().count == 1)

    let silent = try WitnessingServer(federation, name: "silent")
    await silent.from(alder) { answer, _ in answer.inclusions = [] }
    try await requireStopped(try await start(silent), "receipt-not-included", silent)

    let repeating = try WitnessingServer(federation, name: "repeating")
    await repeating.from(alder, receipt: { Receipt(message: $0.message, index: 0, leaf: $0.leaf) })
    try await requireStopped(try await start(repeating), "receipt-repeated", repeating)
  }

  @Test("Where no run comes, receipts are proved as they come in, a message's worth at a time")
  func idle() async throws {
    let server = try WitnessingServer(federation)
    await server.from(alder, waits: 200)
    #expect(try await start(server).value != nil)
    let asked = await server.submissions.map(\.receipts.count)
    #expect(asked.max() == 64 && asked.reduce(0, +) > 200 - 64, "\(asked)")
    #expect(await server.kinds.last == "ready")
  }

  @Test("A run whose log fewer have cosigned than the manifest asks for is told of", arguments: [1, 2])
  func quorum(_ needed: Int) async throws {
    let federation = try TestFederation(isInMemory: true, witnessQuorum: needed)
    let (server, alder) = (try WitnessingServer(federation), federation.parties[0])
    await server.from(alder, run: try HostileRun(federation).agreement)
    let missed = Mutex<[[Int]]>([])
    let result = try await federation.takePart(alder, link: server, patience: .zero, isWitness: true) { event in
      if case .quorumMissed(let found, let needed) = event { missed.withLock { $0.append([found, needed]) } }
    }
    #expect(result.value?.state == .completed)
    // Nobody but the server.
    #expect(missed.withLock { $0 } == (needed == 1 ? [] : [[1, 2]]))
  }

  @Test("More than fits is no answer")
  func tooMany() async throws {
    let server = try WitnessingServer(federation)
    await server.from(alder) { answer, _ in
      answer.inclusions += (0..<64).map { IndexProof(index: 100 + $0, hashes: []) }
    }
    #expect(try await start(server).error?.code == "wire-oversized")
    #expect(await server.kinds == ["hello", "witness"])
    await server.from(alder) { answer, _ in answer.inclusions.append(IndexProof(index: 100, hashes: [])) }
    #expect(try await start(server).error?.code == "server-out-of-order")
  }

  @Test("Another member's two histories are on the record and shown, and no reason to leave")
  func peers() async throws {
    let server = try WitnessingServer(federation)
    let (one, two) = (
      try MemberLog(federation, birch, name: "one"), try MemberLog(federation, birch, name: "two")
    )
    let first = try one.grow(by: 5)
    let shown = PeerCheckpoint(checkpoint: first, proof: [])
    await server.from(alder) { answer, _ in answer.peers = [shown] }
    #expect(try await start(server).value != nil)
    let given = await server.submissions.flatMap(\.given).filter { $0.origin == birch.name }
    // Handed over with the next message of a process; this one had none.
    #expect(given.isEmpty)
    let forked = try two.grow(by: 9)
    let fork = PeerCheckpoint(checkpoint: forked, proof: try two.proof(from: 5, to: forked))
    await server.from(alder) { answer, _ in answer.peers = [fork] }
    let events = Mutex<[ClientEvent]>([])
    #expect(try await start(server) { event in events.withLock { $0.append(event) } }.value != nil)
    let known = await server.submissions.last?.peers
    #expect(known == [KnownSize(origin: birch.name, size: 5)])
    #expect(try conflicts().map(\.source?.name) == [birch.name])
    #expect(
      events.withLock { $0 }.contains {
        if case .logConflict(let name, 5, 9) = $0 { name == birch.name } else { false }
      })
    #expect(try evidence().count == 1)
    // It still vouches for the first history only.
    let next = try one.grow(by: 2)
    let honest = PeerCheckpoint(checkpoint: next, proof: try one.proof(from: 5, to: next))
    await server.from(alder) { answer, asked in answer.peers = asked.peers.map(\.size) == [5] ? [honest] : [] }
    #expect(try await start(server).value != nil)
    #expect(try conflicts().count == 1)

    // What birch has not signed is the server's own doing; so is another checkpoint beside the latest.
    let key = LogSigningKey.generate()
    let unsigned = try SignedCheckpoint.signing(
      origin: birch.name, size: 90, root: TreeHash(hashing: [1]), key: key)
    let text = unsigned.note.text
    let line = NoteSignature(
      name: birch.member.logNoteKey.name, keyID: birch.member.logNoteKey.id,
      bytes: unsigned.note.signatures[0].bytes)
    let claimed = try SignedCheckpoint(parsing: text + [0x0A] + Array(line.line.utf8))
    for shown in [[PeerCheckpoint(checkpoint: claimed, proof: [])], [honest, fork]] {
      await server.from(alder) { answer, _ in answer.peers = shown }
      #expect(try await start(server).error?.code == "server-out-of-order")
    }
    #expect(try conflicts().count == 1)
  }

  @Test("Of each other log so many conflicts are on the record, and cosigners count for what they cover")
  func state() throws {
    var state = WitnessingState()
    func isNew(_ size: UInt64, of name: OrganizationName) -> Bool {
      state.isNewConflict(Checkpoint(origin: name, size: size, root: TreeHash(hashing: [1])))
    }
    #expect([1, 1].map { isNew($0, of: birch.name) } == [true, false])
    #expect((2...40).count { isNew($0, of: birch.name) } == WitnessingState.maximumConflicts - 1)
    #expect(isNew(1, of: federation.parties[2].name))
    for size in [5, 9] as [UInt64] {
      state.submit(
        try SignedCheckpoint.signing(
          origin: alder.name, size: size, root: TreeHash(hashing: [1]), key: alder.logKey()))
    }
    func isNoted(_ key: WitnessVerifyingKey, _ size: UInt64) -> Bool { state.note(cosigner: key, size: size) }
    let (one, two) = (birch.member.witnessNoteKey.key, federation.server.member.witnessNoteKey.key)
    #expect([isNoted(one, 5), isNoted(two, 5), isNoted(one, 9)] == [true, true, true])
    #expect([isNoted(one, 5), isNoted(one, 6)] == [false, false])
    #expect([5, 6, 9, 10].map { state.cosigners(covering: $0) } == [2, 1, 1, 0])
  }
}

enum DurableCheckpoint {
  static func read(_ path: String) throws -> SignedCheckpoint? {
    guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
    return try SignedCheckpoint(parsing: [UInt8](bytes))
  }
}
