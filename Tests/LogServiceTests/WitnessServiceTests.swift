import Cryptography
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import LogService

/// A witness of alder.example that is served, and what it told.
private final class ServedWitness: Sendable {
  let server: LogServer
  let witness: Witness
  let client: WitnessClient
  private let told: Told

  final class Told: Sendable {
    let events = Mutex<[LogServiceEvent]>([])
  }

  init(_ folder: TemporaryDirectory, time: UInt64 = 1_700_000_000) async throws {
    let name = try OrganizationName("w.example")
    let log = try TestLog(0).verifier
    witness = try Witness(
      directory: "\(folder.path)/witness", name: name, key: signingKey(WitnessKeyRole.self, seed: 9),
      logs: [WitnessedLog(log)], clock: { time })
    let told = Told()
    self.told = told
    server = try await LogServer.start(
      LogSite(witness: witness) { event in told.events.withLock { $0.append(event) } }, port: 0)
    client = WitnessClient(url: try WitnessURL(server.url), key: witness.verifierKey, timeout: .seconds(30))
  }

  var alarms: [WitnessSuspicion] {
    told.events.withLock { events in
      events.compactMap { if case .witness(.alarm(let evidence, _)) = $0 { evidence.suspicion } else { nil } }
    }
  }

  var latest: UInt64? { witness.latest(origin: "alder.example")?.checkpoint.size }
}

@Suite struct WitnessServiceTests {
  private let folder: TemporaryDirectory
  private let log: TestLog
  private let forked: TestLog

  init() throws {
    folder = try TemporaryDirectory()
    log = try TestLog(320)
    forked = try TestLog(320, fork: 100)
  }

  @Test func checkpointsAreCosigned() async throws {
    let served = try await ServedWitness(folder)
    for (size, known) in [(5, 0), (5, 5), (300, 5), (300, 0), (320, 7)] as [(UInt64, UInt64)] {
      let cosignature = try await log.submit(size, to: served.client, knownSize: known)
      var checkpoint = try log.checkpoint(size)
      try checkpoint.add(cosignature)
      #expect(checkpoint.cosignature(by: served.witness.verifierKey) == .valid(time: 1_700_000_000))
      #expect(served.latest == size)
    }
    #expect(served.alarms.isEmpty)
    await served.server.stop()
  }

  @Test func answersFollowTheSpecification() async throws {
    let served = try await ServedWitness(folder)
    let port = served.server.port
    let first = try #require(try await RawAnswer.post(log.request(from: 0, to: 8), port: port))
    #expect(first.status == 200)
    let line = String(decoding: first.body, as: UTF8.self)
    #expect(line.hasPrefix("— w.example ") && line.hasSuffix("\n") && line.split(separator: "\n").count == 1)
    let conflict = try #require(try await RawAnswer.post(log.request(from: 0, to: 9), port: port))
    #expect(conflict.status == 409)
    #expect(conflict.headers["content-type"] == "text/x.tlog.size")
    #expect(conflict.body == Array("8\n".utf8))
    #expect(try await RawAnswer.post(TestLog(9, fork: 3).request(from: 8, to: 9), port: port)?.status == 422)
    #expect(try await RawAnswer.post(TestLog(9, name: "b.example").request(from: 0, to: 9), port: port)?.status == 404)
    let above = try WitnessRequest(oldSize: 9, hashes: [], checkpoint: log.checkpoint(8))
    #expect(try await RawAnswer.post(above, port: port)?.status == 400)
    let unsigned = try SignedCheckpoint.signing(
      origin: log.origin, size: 9, root: log.tree.root(size: 9), key: signingKey(LogKeyRole.self, seed: 2))
    let stranger = try WitnessRequest(oldSize: 8, hashes: [], checkpoint: unsigned)
    #expect(try await RawAnswer.post(stranger, port: port)?.status == 403)
    for body in ["", "old x\n\n", String(repeating: "x", count: 60_000)] {
      let text =
        "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
      #expect(try await RawAnswer.of(text, port: port)?.status == 400)
    }
    let get = try #require(try await RawAnswer.get("/add-checkpoint", port: port))
    #expect(get.status == 405 && get.headers["allow"] == "POST")
    #expect(try await RawAnswer.get("/checkpoint", port: port)?.status == 404)
    #expect(served.latest == 8)
    await served.server.stop()
  }

  @Test func bodiesAreBounded() async throws {
    let served = try await ServedWitness(folder)
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n"
    let said = try await RawAnswer.of("\(head)Content-Length: 70000\r\n\r\n", port: served.server.port)
    #expect(said?.status == 413)
    let chunk = String(repeating: "x", count: 0x8000)
    let chunks = String(repeating: "8000\r\n\(chunk)\r\n", count: 3)
    let sent = try await RawAnswer.of(
      "\(head)Transfer-Encoding: chunked\r\n\r\n\(chunks)0\r\n\r\n", port: served.server.port)
    #expect(sent?.status == 413)
    await served.server.stop()
  }

  @Test func aRolledBackLogIsToldSo() async throws {
    let served = try await ServedWitness(folder)
    try await log.submit(300, to: served.client)
    for known in [0, 200, 300] as [UInt64] {
      await #expect(throws: WitnessClientError.rolledBack(witness: "w.example", size: 300)) {
        try await log.submit(200, to: served.client, knownSize: known)
      }
    }
    #expect(served.latest == 300)
    await served.server.stop()
  }

  @Test func twoHistoriesAreFoundOut() async throws {
    let served = try await ServedWitness(folder)
    try await log.submit(300, to: served.client)
    await #expect(throws: WitnessClientError.otherHistory(witness: "w.example", size: 300)) {
      try await forked.submit(300, to: served.client)
    }
    await #expect(throws: WitnessClientError.notConsistent(witness: "w.example", size: 300)) {
      try await forked.submit(320, to: served.client)
    }
    // Seen in the first request already, and in the second; then the one that does not continue.
    #expect(served.alarms == [.splitView, .splitView, .notConsistent])
    // The common beginning of both is no excuse.
    #expect(served.latest == 300)
    try await log.submit(320, to: served.client)
    await served.server.stop()
  }

  @Test func aRestartForgetsNothing() async throws {
    do {
      let served = try await ServedWitness(folder)
      try await log.submit(300, to: served.client)
      await served.server.stop()
    }
    let served = try await Self.reopen(folder)
    await #expect(throws: WitnessClientError.otherHistory(witness: "w.example", size: 300)) {
      try await forked.submit(300, to: served.client)
    }
    try await log.submit(310, to: served.client)
    #expect(served.latest == 310)
    await served.server.stop()
  }

  /// The channel's handlers let go of the witness a moment after the server has stopped.
  private static func reopen(_ folder: TemporaryDirectory) async throws -> ServedWitness {
    for _ in 0..<500 {
      do { return try await ServedWitness(folder) } catch WitnessError.locked {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    return try await ServedWitness(folder)
  }

  /// The checkpoint was recorded and the answer never came: the log asks again.
  @Test func aLostAnswerCostsOneRequest() async throws {
    let served = try await ServedWitness(folder)
    do {
      let body = try log.request(from: 0, to: 200).serialized
      let connection = try RawConnection(port: served.server.port)
      connection.send(
        Array("POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
      // And gone, before any answer is read.
    }
    for _ in 0..<1000 where served.latest == nil { try await Task.sleep(for: .milliseconds(10)) }
    #expect(served.latest == 200)
    try await log.submit(200, to: served.client)
    try await log.submit(250, to: served.client, knownSize: 0)
    #expect(served.latest == 250)
    await served.server.stop()
  }

  /// Many at once, of two histories: one of them is cosigned, and never the other.
  @Test func concurrentSubmissionsHaveOneHistory() async throws {
    let served = try await ServedWitness(folder)
    try await log.submit(100, to: served.client)
    let (log, forked, client) = (log, forked, served.client)
    var made: [(size: UInt64, isForked: Bool)] = []
    await withTaskGroup(of: (UInt64, Bool)?.self) { group in
      for size in stride(from: 101, through: 116, by: 1) as StrideThrough<UInt64> {
        for isForked in [false, true] {
          group.addTask {
            let source = isForked ? forked : log
            return (try? await source.submit(size, to: client)).map { _ in (size, isForked) }
          }
        }
      }
      for await result in group { if let result { made.append(result) } }
    }
    #expect(!made.isEmpty)
    #expect(Set(made.map(\.isForked)).count == 1)
    #expect(served.latest == made.map(\.size).max())
    await served.server.stop()
  }

  @Test func refusalsAreTyped() async throws {
    let served = try await ServedWitness(folder)
    let other = try TestLog(5, name: "birch.example")
    await #expect(throws: WitnessClientError.refused(witness: "w.example", .unknownLog)) {
      try await other.submit(5, to: served.client)
    }
    // Another witness than the one whose key we have.
    let stranger = NoteVerifierKey<WitnessKeyRole>(
      organization: try OrganizationName("w.example"), key: try signingKey(WitnessKeyRole.self, seed: 8).verifyingKey)
    let deceived = WitnessClient(url: served.client.url, key: stranger)
    await #expect(throws: WitnessClientError.notCosigned(witness: "w.example")) {
      try await log.submit(5, to: deceived)
    }
    let elsewhere = WitnessClient(url: try WitnessURL(served.server.url + "/w"), key: served.client.key)
    await #expect(throws: WitnessClientError.refused(witness: "w.example", .unknownLog)) {
      try await log.submit(5, to: elsewhere)
    }
    await served.server.stop()
    await #expect(throws: WitnessClientError.self) { try await log.submit(5, to: served.client) }
  }

  @Test func aProofThatOurLogCannotGiveIsOurFault() async throws {
    let served = try await ServedWitness(folder)
    let checkpoint = try log.checkpoint(8)
    await #expect(throws: WitnessClientError.log(.outOfRange(requested: 0, size: 8))) {
      try await served.client.submitForTest(checkpoint) { _ in nil }
    }
    await #expect(throws: WitnessClientError.log(.missingFile(path: "x"))) {
      try await served.client.submitForTest(checkpoint) { (_) throws(TransparencyLogError) in
        throw .missingFile(path: "x")
      }
    }
    await served.server.stop()
  }
}
