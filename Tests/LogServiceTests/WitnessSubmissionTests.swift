import AuditLog
import Cryptography
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import LogService

/// A log and its witnesses outside the federation: what is sent is on record, and what they say is believed.
@Suite(.timeLimit(.minutes(1))) struct WitnessSubmissionTests {
  private let folder: TemporaryDirectory
  private let origin: OrganizationName
  private var path: String { "\(folder.path)/log" }

  init() throws {
    folder = try TemporaryDirectory()
    origin = try OrganizationName("alder.example")
  }

  private func open(_ path: String? = nil) throws -> AuditLogWriter {
    try AuditLogWriter(
      directory: path ?? self.path, organization: origin, logKey: signingKey(LogKeyRole.self, seed: 1))
  }

  private func serve(_ name: String, seed: UInt8, time: UInt64 = 1_700_000_000) async throws -> (
    server: LogServer, witness: Witness, address: WitnessAddress
  ) {
    let key = NoteVerifierKey(organization: origin, key: try signingKey(LogKeyRole.self, seed: 1).verifyingKey)
    let witness = try Witness(
      directory: "\(folder.path)/\(name)", name: OrganizationName(name),
      key: signingKey(WitnessKeyRole.self, seed: seed),
      logs: [WitnessedLog(key)], clock: { time })
    let server = try await LogServer.start(LogSite(witness: witness), port: 0)
    return (server, witness, WitnessAddress(key: witness.verifierKey, url: try WitnessURL(server.url)))
  }

  private func records(_ path: String? = nil) throws -> [AuditRecord] {
    var reader = try AuditLogReader(directory: path ?? self.path)
    var records: [AuditRecord] = []
    while let entry = try reader.next() { records.append(entry.record) }
    return records
  }

  /// As a backup made earlier would.
  private func copy(to name: String) throws -> String {
    let copy = "\(folder.path)/\(name)"
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    return copy
  }

  @Test func whatIsSentIsOnRecordAndWhatComesIsKept() async throws {
    let one = try await serve("one.example", seed: 11)
    let log = try open()
    try log.append(.init(.serviceStarted))
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    let first = try await submissions.submit(to: [one.address])
    #expect(first.map(\.size) == [1] && first.map(\.time) == [1_700_000_000])
    #expect(log.cosignedCheckpoint?.cosignature(by: one.address.key) == .valid(time: 1_700_000_000))
    #expect(one.witness.latest(origin: "alder.example")?.checkpoint.size == 1)
    let records = try records()
    #expect(records.map(\.event) == [.serviceStarted, .messageSent, .delivery, .checkpointCosigned])
    let sent = try #require(records[1].message)
    #expect(sent.label.kind == "checkpoint")
    #expect(
      records[1].destination == .init(name: one.witness.verifierKey.organization, address: one.address.url.authority))
    #expect(records[1].isCheckpointForWitness)
    // The very bytes that a request from nothing to this checkpoint has.
    let bare = try #require(one.witness.latest(origin: "alder.example")).note.signatures.filter { $0.bytes.count == 64 }
    var note = try SignedNote(text: try #require(log.cosignedCheckpoint).note.text)
    for signature in bare { try note.add(signature) }
    let request = try WitnessRequest(oldSize: 0, hashes: [], checkpoint: SignedCheckpoint(parsing: note.serialized))
    #expect(sent.bytes == UInt64(request.serialized.count))
    #expect(sent.sha256 == MessageHash(hashing: request.serialized))
    #expect(records[2].messageID == sent.id && records[2].outcome == .succeeded)
    #expect(records[3].checkpoint?.size == 1 && records[3].checkpoint?.witness == "one.example")

    // Nothing has come since but what this itself wrote.
    #expect(try await submissions.submit(to: [one.address], isRoutine: true).isEmpty)
    try log.append(.init(.roundCompleted))
    #expect(try await submissions.submit(to: [one.address], isRoutine: true).map(\.size) == [5])
    try log.close()
    // The next process knows from the file what the witness has.
    let again = try open()
    let next = WitnessSubmissions(log: again, service: "client", timeout: .seconds(30))
    let before = again.size
    #expect(try await next.submit(to: [one.address]).allSatisfy { $0.failure == nil })
    #expect(again.size == before + 3)
    await one.server.stop()
  }

  /// What members cosign at the end of a run and what is submitted after it is one checkpoint, and stays for both.
  @Test func witnessesJoinWhatOthersHaveCosigned() async throws {
    let one = try await serve("one.example", seed: 11)
    let log = try open()
    try log.append(.init(.serviceStarted))
    let member = try signingKey(WitnessKeyRole.self, seed: 21)
    let name = try OrganizationName("hub.example")
    let key = NoteVerifierKey<WitnessKeyRole>(organization: name, key: member.verifyingKey)
    log.preferCheckpoints(cosignedAs: CosignerPolicy(witnesses: [key], quorum: 1), by: .federation)
    log.preferCheckpoints(cosignedAs: CosignerPolicy(witnesses: [one.address.key], quorum: 1), by: .keeper)
    let settled = try log.publish()
    try log.add(
      [Cosignature(of: settled.checkpoint, name: name, key: member, time: 1_700_000_000)], to: settled)
    try log.append(.init(.runEnded))
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    let joined = try await submissions.submit(to: [one.address], joining: log.cosignedCheckpoint)
    #expect(joined.map(\.size) == [1] && joined.allSatisfy { $0.failure == nil })
    func requireBoth() throws {
      let kept = try #require(log.cosignedCheckpoint)
      #expect(kept.checkpoint.size == 1)
      for cosigner in [key, one.address.key] { #expect(kept.cosignature(by: cosigner) == .valid(time: 1_700_000_000)) }
    }
    try requireBoth()
    // The witness is not told who else has cosigned.
    let seen = try #require(one.witness.latest(origin: "alder.example"))
    #expect(seen.cosignature(by: key) == .absent)
    // What came after it is not forgotten, and does not push out what the federation asks for.
    let rest = try await submissions.submit(to: [one.address], isRoutine: true, joining: nil)
    #expect(rest.map(\.size) == [5])
    try requireBoth()
    // One that is behind what the witness has seen is not submitted again.
    let again = try await submissions.submit(to: [one.address], joining: log.cosignedCheckpoint)
    #expect(again.map(\.size) == [8] && again.allSatisfy { $0.failure == nil })
    await one.server.stop()
  }

  @Test func aWitnessThatIsSilentStopsNothing() async throws {
    let (one, two) = (try await serve("one.example", seed: 11), try await serve("two.example", seed: 12))
    await one.server.stop()
    let log = try open()
    try log.append(.init(.serviceStarted))
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    let made = try await submissions.submit(to: [one.address, two.address])
    #expect(made.map { $0.failure == nil } == [false, true])
    #expect(submissions.conflict == nil)
    #expect(log.cosignedCheckpoint?.cosignature(by: two.address.key) == .valid(time: 1_700_000_000))
    let delivery = try #require(try records().first { $0.event == .delivery })
    #expect(delivery.outcome == .unknown && delivery.error?.code == "witness-unreachable")
    await two.server.stop()
  }

  @Test("A log that was put back, shorter or grown again, is found out; nothing more is submitted", arguments: [0, 30])
  func restored(grown: Int) async throws {
    let (one, two) = (try await serve("one.example", seed: 11), try await serve("two.example", seed: 12))
    let log = try open()
    for _ in 0..<5 { try log.append(.init(.roundStarted)) }
    try log.publish()
    let backup = try copy(to: "backup")
    for _ in 0..<10 { try log.append(.init(.roundCompleted)) }
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    try await submissions.submit(to: [one.address])

    let restored = try open(backup)
    for _ in 0..<grown { try restored.append(.init(.roundStarted)) }
    let later = WitnessSubmissions(log: restored, service: "client", timeout: .seconds(30))
    let error = await #expect(throws: WitnessSubmissionError.self) {
      try await later.submit(to: [one.address, two.address])
    }
    #expect(
      error
        == .conflict(
          grown == 0
            ? .rolledBack(witness: "one.example", size: 15) : .notConsistent(witness: "one.example", size: 15)))
    #expect(later.conflict == error)
    let last = try #require(try records(backup).last)
    #expect(last.event == .checkpointConflict && last.checkpoint?.witness == "one.example")
    #expect(last.error?.code == error?.code)
    #expect(restored.checkpoint?.checkpoint.size == last.sequence + 1)
    // The other witness was not asked, nor is anybody from now on.
    let size = restored.size
    await #expect(throws: WitnessSubmissionError.self) { try await later.submit(to: [two.address]) }
    #expect(restored.size == size)
    #expect(two.witness.latest(origin: "alder.example") == nil)
    await one.server.stop()
    await two.server.stop()
  }

  @Test func aWitnessAheadOfTheCheckpointAndNotOfTheLogIsNoConflict() async throws {
    let one = try await serve("one.example", seed: 11)
    let log = try open()
    for _ in 0..<5 { try log.append(.init(.roundStarted)) }
    // Two that do not know of each other, as a command and a service that has just ended.
    let first = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    let second = WitnessSubmissions(log: log, service: "bauta", timeout: .seconds(30))
    async let left = first.submit(to: [one.address])
    async let right = second.submit(to: [one.address])
    _ = try await (left, right)
    #expect(first.conflict == nil && second.conflict == nil)
    await one.server.stop()
  }

  @Test func withoutARecordNothingIsSent() async throws {
    let one = try await serve("one.example", seed: 11)
    let log = try open()
    try log.append(.init(.serviceStarted))
    try log.close()
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    await #expect(throws: WitnessSubmissionError.log(.closed)) { try await submissions.submit(to: [one.address]) }
    #expect(one.witness.latest(origin: "alder.example") == nil)
    await one.server.stop()
  }

  @Test func cosignersCountForAsLongAsIsSaid() async throws {
    let (one, two) = (
      try await serve("one.example", seed: 11), try await serve("two.example", seed: 12, time: 1_700_010_000)
    )
    let log = try open()
    try log.append(.init(.serviceStarted))
    let witnesses = [one.address, two.address]
    func count(_ submissions: WitnessSubmissions, at time: Double) -> Int {
      submissions.cosigners(among: witnesses, within: .seconds(3600), of: Date(timeIntervalSince1970: time)).count
    }
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    #expect(count(submissions, at: 1_700_000_000) == 0)
    try await submissions.submit(to: witnesses)
    for process in [submissions, WitnessSubmissions(log: log, service: "client")] {
      for (time, expected) in [
        (1_699_996_399, 0), (1_699_996_400, 1), (1_700_003_600, 1), (1_700_003_601, 0), (1_700_006_400, 1),
        (1_700_013_600, 1), (1_700_013_601, 0),
      ] as [(Double, Int)] {
        #expect(count(process, at: time) == expected, "at \(time)")
      }
    }
    await one.server.stop()
    await two.server.stop()
  }

  @Test func afterTheEndNobodyIsAsked() async throws {
    let one = try await serve("one.example", seed: 11)
    let log = try open()
    try log.append(.init(.serviceStarted))
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    await submissions.end()
    #expect(try await submissions.submit(to: [one.address]).isEmpty)
    #expect(log.size == 1)
    await one.server.stop()
  }

  @Test func addressesAreReadAsTheyAreWritten() async throws {
    let key = NoteVerifierKey(
      organization: origin, key: try signingKey(WitnessKeyRole.self, seed: 3).verifyingKey)
    for url in ["http://watch.example:7481", "http://[::1]:80/a/b", "http://10.0.0.7:7481"] {
      let address = try #require(WitnessAddress(parsing: "\(key)@\(url)"))
      #expect(address.key == key && address.url.description == url)
      #expect(WitnessAddress.parse(list: WitnessAddress.list([address, address])) == [address, address])
    }
    for text in ["", "\(key)", "@http://x", "\(key)@https://x", "\(key)@http://x@y", "\(key) @http://x", "x@http://x"] {
      #expect(WitnessAddress(parsing: text) == nil, "\(text)")
      if !text.isEmpty { #expect(WitnessAddress.parse(list: text) == nil) }
    }
    #expect(WitnessAddress.parse(list: "") == [])
  }
}
