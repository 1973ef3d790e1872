import AuditLog
import Cryptography
import Dispatch
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS
import Synchronization
import Testing

@testable import FederationClient

private final class Arrivals: Sendable {
  private let number = Mutex(0)
  func add() { number.withLock { $0 += 1 } }
  var count: Int { number.withLock { $0 } }
}

@Suite("A client that stays", .timeLimit(.minutes(1)))
struct StayingTests {
  private let federation: TestFederation
  private let run: HostileRun
  private var alder: Party { federation.parties[0] }

  init() throws {
    federation = try TestFederation()
    run = try HostileRun(federation)
  }

  private func session(
    _ server: any ServerExchange, _ log: AuditLogWriter,
    progress: @escaping @Sendable (ClientEvent) -> Void = { _ in }
  ) throws -> ClientSession {
    let party = alder
    let policy = try Policy(parsing: Policy.template)
    let store = try ClientStore(path: federation.statePath(party), reviewedAgainst: log)
    let gate = EgressGate(
      link: server, log: log, backoff: .endless, progress: progress, recorded: { store.note($0) })
    return ClientSession(
      parts: .init(
        name: party.name, policy: { () throws(FederationError) in policy }, dataPath: federation.dataPath(party),
        log: log, store: store, gate: gate, runsDirectory: "\(federation.directory(party))/runs",
        spoolDirectory: "\(federation.directory(party))/spool",
        sealedDirectory: "\(federation.directory(party))/sealed", idlePause: .milliseconds(1)),
      membership: try Membership(federation.place(party)), identity: try party.identity(), progress: progress)
  }

  private func end(_ run: String, _ state: RunEnd.State) throws -> ScriptedServer.Reply {
    .body(.end(RunEnd(run: try RunIdentifier(run), state: state, reason: "so it is", model: [])))
  }

  @Test("Runs that end, stop or are refused, and a server that refuses or fails, end nothing; one out of order does")
  func goesOn() async throws {
    let log = try federation.writer(alder)
    let refused = FederationWire.Refusal(code: "shutting-down", message: "later", remedy: "later")
    let server = ScriptedServer(
      logPath: federation.logPath(alder),
      [
        try end("run-1", .completed), .body(.wait),
        try end("run-2", .stopped), .lost,
        run.announcement(plan: "rounds: -1"), try end("run-1", .failed), .body(.wait),
        .body(.refused(refused)),
        .failure(.internalError),
        .body(.stored(StoredBytes(count: 1, isOpen: true))),
      ])
    let troubles = Mutex<[String]>([])
    let session = try session(server, log) { event in
      switch event {
      case .refusedByServer(let code, _, _): troubles.withLock { $0.append("refused: \(code)") }
      case .trouble(let code, _, _): troubles.withLock { $0.append(code) }
      case _: break
      }
    }
    let error = await session.stay()
    #expect(error.code == "server-out-of-order")
    #expect(
      await server.kinds == [
        "hello", "ready", "hello", "ready", "hello", "refusal", "ready", "hello", "hello", "hello",
      ])
    #expect(troubles.withLock { $0 } == ["refused: shutting-down", "call-failed"])
    try log.close()
    #expect(federation.verify(alder))
  }

  @Test("What a service goes on after, and what ends it")
  func temporary() throws {
    let opening = run.opening(.fit, round: 1)
    let goesOn: [ClientError] = [
      .transport(.connectionRefused(host: "h", port: 1)), .transport(.handshake(.closedLocally)),
      .transport(.handshake(.refusedByPeer(role: .client, alert: .certificateExpired))), .call("no"),
      .refused(.init(code: "other-manifest", message: "", remedy: "")), .noData(path: "x"),
    ]
    let ends: [ClientError] = [
      .log(.closed), .log(.writerFailed), .transport(.credential(.keyDoesNotMatchCertificate)),
      .state(.closed(opening)), .storage(.init(path: "x", reason: "full")), .unexpected("this"),
      .wire(.version(theirs: [2])), .unimplemented, .cancelled, .progression(.modelOfAnotherRun),
    ]
    for error in goesOn { #expect(error.isTemporary, "\(error)") }
    for error in ends { #expect(!error.isTemporary, "\(error)") }
  }

  @Test("Waits double up to a minute, with jitter, and never end")
  func backoff() {
    var waits = Backoff.endless.makeIterator()
    var bound = Duration.milliseconds(250)
    for _ in 0..<1000 {
      guard let wait = waits.next() else {
        Issue.record("the waits have ended")
        return
      }
      #expect(wait <= bound && wait >= bound * 0.5)
      bound = min(bound * 2, .seconds(60))
    }
    #expect(bound == .seconds(60))
  }

  @Test("A server of another version, or of none, is told which side is older, and ends even a service")
  func versions() async throws {
    func play(_ reply: ScriptedServer.Reply) async throws -> ClientError {
      let log = try federation.writer(alder)
      defer { try? log.close() }
      let server = ScriptedServer(logPath: federation.logPath(alder), [reply, .body(.wait)])
      let error = try await session(server, log).stay()
      #expect(await server.kinds == ["hello"])
      return error
    }
    let theirs = WireLimits.protocolVersions.upperBound + 1
    func refusal(_ version: UInt32) throws -> [UInt8] {
      // A refusal has one form in all versions; its envelope says the server's.
      var bytes = try ServerMessage(
        instruction: 0, receipt: nil,
        body: .refused(.init(code: "wire-version", message: "I speak another", remedy: "look"))
      ).encoded()
      #expect(bytes[0] == 0x08)
      bytes[1] = UInt8(version)
      return bytes
    }
    let newer = try await play(.bytes(refusal(theirs)))
    #expect(newer.code == "wire-version")
    #expect(newer.remedy.contains("this program is the older one"))
    var other = try ServerMessage(instruction: 1, receipt: nil, body: .wait).encoded()
    other[1] = UInt8(theirs)
    #expect(try await play(.bytes(other)).code == "wire-version")
    let none = try await play(.failure(.unimplemented))
    #expect(none.code == "wire-version")
    #expect(none.remedy.contains("the server's program is older"))
  }

  @Test("Training keeps no thread of the common pool busy: with more sessions at work than cores, all else goes on")
  func threads() async throws {
    let count = ProcessInfo.processInfo.activeProcessorCount + 2
    let crowd = try TestFederation(count: count)
    let many = try HostileRun(crowd)
    let gate = DispatchSemaphore(value: 0)
    let arrived = Arrivals()
    // In the middle of the session's own work, as training is.
    let hold: @Sendable (ClientEvent) -> Void = { event in
      guard case .accepted = event else { return }
      arrived.add()
      gate.wait()
    }
    var sessions: [Task<Result<ClientOutcome, ClientError>, any Error>] = []
    for party in crowd.parties.prefix(count) {
      let server = ScriptedServer(
        logPath: crowd.logPath(party), [many.announcement(), many.end(), many.end()])
      sessions.append(
        Task { try await crowd.takePart(party, link: server, idlePause: .milliseconds(1), progress: hold) })
    }
    while arrived.count < count { try await Task.sleep(for: .milliseconds(5)) }
    // Every session holds its thread now. What follows runs on the common pool.
    let sum = await withTaskGroup(of: Int.self) { group in
      for value in 1...100 {
        group.addTask {
          await Task.yield()
          return value
        }
      }
      return await group.reduce(0, +)
    }
    #expect(sum == 5050)
    for _ in 0..<count { gate.signal() }
    for session in sessions { #expect(try await session.value.value != nil) }
  }
}
