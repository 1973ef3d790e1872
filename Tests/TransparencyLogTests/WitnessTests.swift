import Cryptography
import Foundation
import Testing

@testable import TransparencyLog

@Suite struct WitnessTests {
  private let folder: TemporaryDirectory
  private let log: TestLog
  private let forked: TestLog
  private let name: OrganizationName

  init() throws {
    folder = try TemporaryDirectory()
    log = try TestLog(40)
    forked = try TestLog(40, salt: "!", changedFrom: 5)
    name = try OrganizationName("w9.example")
  }

  private func witness(_ logs: [WitnessedLog]? = nil, time: UInt64 = 1_700_000_000, seed: UInt8 = 9) throws -> Witness {
    try Witness(
      directory: "\(folder.path)/witness", name: name, key: signingKey(WitnessKeyRole.self, seed: seed),
      logs: logs ?? [WitnessedLog(log.verifier)], clock: { time })
  }

  private func statePath(_ origin: String) -> String {
    "\(folder.path)/witness/logs/\(SHA256Digest(hashing: Array(origin.utf8)).hexadecimal)"
  }

  /// Adds what a witness answered to the checkpoint and asks its key.
  private func cosigned(_ request: WitnessRequest, _ response: WitnessResponse) throws -> CosignatureStatus {
    guard case .cosigned(let signatures) = response, let signature = signatures.first else { return .absent }
    var checkpoint = request.checkpoint
    try checkpoint.add(Cosignature(signature))
    return checkpoint.cosignature(by: try TestLog.witness(9))
  }

  @Test func cosignsWhatContinues() throws {
    let witness = try witness()
    for (old, size) in [(0, 3), (3, 3), (3, 17), (17, 40)] {
      let request = try log.request(from: old, to: size)
      let outcome = try witness.answer(body: request.serialized)
      #expect(try cosigned(request, outcome.response) == .valid(time: 1_700_000_000))
      let previous = UInt64(old)
      #expect(outcome.event == .cosigned(origin: "alder.example", size: UInt64(size), previous: previous))
      #expect(witness.latest(origin: "alder.example")?.checkpoint == request.checkpoint.checkpoint)
    }
  }

  @Test func remembersAcrossRestarts() throws {
    do {
      let witness = try witness()
      _ = try witness.answer(log.request(from: 0, to: 8))
    }
    do {
      let witness = try witness()
      #expect(witness.latest(origin: "alder.example")?.checkpoint.size == 8)
      #expect(try witness.answer(log.request(from: 0, to: 12)).response == .conflict(size: 8))
      #expect(try witness.answer(forked.request(from: 8, to: 12)).response == .refused(.notConsistent))
      _ = try witness.answer(log.request(from: 8, to: 12))
    }
    #expect(try witness().latest(origin: "alder.example")?.checkpoint.size == 12)
  }

  /// What is on disk is what was cosigned, with the log's signature and ours and nobody else's.
  @Test func recordsOnlyCheckedSignatures() throws {
    let witness = try witness()
    var checkpoint = try log.checkpoint(8)
    let stranger = try OrganizationName("stranger.example")
    try checkpoint.add(
      Cosignature(
        of: checkpoint.checkpoint, name: stranger, key: signingKey(WitnessKeyRole.self, seed: 50), time: 3))
    _ = try witness.answer(WitnessRequest(oldSize: 0, hashes: [], checkpoint: checkpoint))
    let bytes = try #require(FileManager.default.contents(atPath: statePath("alder.example")))
    let held = try SignedCheckpoint(parsing: Array(bytes))
    #expect(held.note.signatures.map(\.name.value) == ["alder.example", "w9.example"])
    #expect(held.status(of: log.verifier) == .valid)
    #expect(held == witness.latest(origin: "alder.example"))
  }

  @Test func twoHistoriesRaiseAnAlarmWithEvidence() throws {
    let witness = try witness()
    _ = try witness.answer(log.request(from: 0, to: 8))
    let request = try forked.request(from: 8, to: 8)
    let outcome = try witness.answer(request)
    #expect(outcome.response == .conflict(size: 8))
    guard case .alarm(let evidence, let file) = outcome.event else {
      Issue.record("no alarm: \(outcome.event)")
      return
    }
    #expect(evidence.suspicion == .splitView)
    let path = try #require(file)
    let bytes = try #require(FileManager.default.contents(atPath: path))
    let read = try #require(WitnessEvidence(parsing: Array(bytes)))
    #expect(read == evidence)
    // Anyone can check it with the log's key alone.
    #expect(read.held.status(of: log.verifier) == .valid && read.offered.status(of: log.verifier) == .valid)
    #expect(read.held.checkpoint.size == read.offered.checkpoint.size)
    #expect(read.held.checkpoint.root != read.offered.checkpoint.root)
    // Nothing has changed, and the same pair is kept once.
    #expect(witness.latest(origin: "alder.example")?.checkpoint == (try log.checkpoint(8).checkpoint))
    #expect(try witness.answer(request).response == .conflict(size: 8))
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/witness/evidence").count == 1)
    #expect(WitnessEvidence(parsing: Array(bytes.dropLast())) == nil)
    #expect(WitnessEvidence(parsing: Array(bytes) + [0x0A]) == nil)
    #expect(WitnessEvidence(parsing: []) == nil)
  }

  @Test func evidenceIsBounded() throws {
    let witness = try witness()
    _ = try witness.answer(log.request(from: 0, to: 8))
    var kept = 0
    for number in 0..<20 {
      let root = TreeHash(hashing: [UInt8(number)])
      let request = try WitnessRequest(oldSize: 8, hashes: [], checkpoint: log.checkpoint(8, root: root))
      guard case .alarm(_, let file) = try witness.answer(request).event else {
        Issue.record("no alarm")
        return
      }
      if file != nil { kept += 1 }
    }
    #expect(kept == WitnessStore.maximumEvidence)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/witness/evidence").count
        == WitnessStore.maximumEvidence)
    // Those of the other kind are not crowded out.
    guard case .alarm(let evidence, let file) = try witness.answer(forked.request(from: 8, to: 12)).event else {
      Issue.record("no alarm")
      return
    }
    #expect(evidence.suspicion == .notConsistent && file != nil)
  }

  @Test func oneProcessUsesADirectory() throws {
    var first: Witness? = try witness()
    #expect(throws: WitnessError.locked(path: "\(folder.path)/witness")) { try witness() }
    #expect(first?.origins == ["alder.example"])
    first = nil
    _ = try witness()
  }

  @Test func logsAreNamedOnce() throws {
    let watched = WitnessedLog(log.verifier)
    #expect(throws: WitnessError.duplicateLog(origin: "alder.example")) { try witness([watched, watched]) }
    let many = (0...Witness.maximumLogs).map { WitnessedLog(origin: "log\($0)", keys: []) }
    #expect(throws: WitnessError.tooManyLogs(limit: Witness.maximumLogs)) { try witness(many) }
  }

  @Test func unknownAndMalformedAreRefused() throws {
    let witness = try witness()
    let other = try TestLog(3, name: "birch.example")
    let unknown = try witness.answer(other.request(from: 0))
    #expect(unknown == WitnessOutcome(.refused(.unknownLog), .refused(.unknownLog, origin: nil)))
    let malformed = try witness.answer(body: Array("old x\n".utf8))
    #expect(malformed == WitnessOutcome(.refused(.badRequest), .refused(.badRequest, origin: nil)))
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/witness/logs").isEmpty)
  }

  /// A state file that this witness did not write is not believed, nor passed over as if nothing had been cosigned.
  @Test func damagedStateStopsTheWitness() throws {
    do { _ = try witness().answer(log.request(from: 0, to: 8)) }
    let path = statePath("alder.example")
    let good = try #require(FileManager.default.contents(atPath: path))
    let other = try TestLog(8, name: "birch.example")
    var foreign = try other.checkpoint()
    try foreign.add(
      Cosignature(of: foreign.checkpoint, name: name, key: signingKey(WitnessKeyRole.self, seed: 9), time: 1))
    for bytes in [
      Data(), good.dropLast(10), Data(try log.checkpoint(3).serialized), Data(foreign.serialized),
    ] {
      try bytes.write(to: URL(fileURLWithPath: path))
      #expect(throws: WitnessError.damagedState(path: path)) { try witness() }
    }
    try good.write(to: URL(fileURLWithPath: path))
    #expect(throws: WitnessError.damagedState(path: path)) { try witness(seed: 10) }
    #expect(try witness().latest(origin: "alder.example")?.checkpoint.size == 8)
  }

  /// A crash after the checkpoint is on disk and before the answer: the log asks again and gets on.
  @Test func aLostAnswerCanBeAskedForAgain() throws {
    do { _ = try witness().answer(log.request(from: 0, to: 8)) }
    let witness = try witness(time: 1_700_000_100)
    #expect(try witness.answer(log.request(from: 0, to: 8)).response == .conflict(size: 8))
    let again = try log.request(from: 8, to: 8)
    #expect(try cosigned(again, witness.answer(again).response) == .valid(time: 1_700_000_100))
  }

  /// What a crash leaves half written is not read.
  @Test func anUnfinishedFileIsNoState() throws {
    do { _ = try witness().answer(log.request(from: 0, to: 8)) }
    try Data("half".utf8).write(to: URL(fileURLWithPath: statePath("alder.example") + ".tmp"))
    let witness = try witness()
    #expect(witness.latest(origin: "alder.example")?.checkpoint.size == 8)
    #expect(try witness.answer(log.request(from: 8, to: 9)).response.status == 200)
  }

  /// No cosignature leaves for what cannot be brought to disk, and the next request finds the state as it was.
  @Test func withoutDiskNothingIsCosigned() throws {
    let witness = try witness()
    _ = try witness.answer(log.request(from: 0, to: 8))
    // A directory in the place of the temporary file: the write fails, whoever runs the test.
    let obstacle = statePath("alder.example") + ".tmp"
    try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: false)
    #expect(throws: WitnessError.self) { try witness.answer(log.request(from: 8, to: 12)) }
    #expect(witness.latest(origin: "alder.example")?.checkpoint.size == 8)
    try FileManager.default.removeItem(atPath: obstacle)
    #expect(try witness.answer(log.request(from: 8, to: 12)).response.status == 200)
  }

  /// Two histories that race: only checkpoints of one are ever cosigned.
  @Test func concurrentRequestsAreSerialised() async throws {
    let witness = try witness()
    _ = try witness.answer(log.request(from: 0, to: 5))
    var made: [(size: UInt64, isForked: Bool)] = []
    try await withThrowingTaskGroup(of: (sizes: [UInt64], isForked: Bool).self) { group in
      for task in 0..<8 {
        let isForked = task.isMultiple(of: 2)
        let source = isForked ? forked : log
        group.addTask { (try Self.submitAll(of: source, to: witness), isForked) }
      }
      for try await (sizes, isForked) in group { made += sizes.map { ($0, isForked) } }
    }
    #expect(Set(made.map(\.isForked)).count == 1, "two histories were cosigned")
    #expect(witness.latest(origin: "alder.example")?.checkpoint.size == made.map(\.size).max())
  }

  /// One size after the other, from what the witness says; the sizes that it cosigned.
  private static func submitAll(of log: TestLog, to witness: Witness) throws -> [UInt64] {
    var old = 5
    var cosigned: [UInt64] = []
    for size in 6...40 {
      let next = max(size, old)
      switch try witness.answer(log.request(from: old, to: next)).response {
      case .cosigned:
        old = next
        cosigned.append(UInt64(next))
      case .conflict(let held): old = Int(held)
      case .refused: break
      }
    }
    return cosigned
  }
}
