import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS
import Synchronization
import Testing

@testable import AuditLog
@testable import FederationClient

@Suite("The one door through which anything leaves", .timeLimit(.minutes(1)))
struct EgressGateTests {
  private let federation: TestFederation
  private let party: Party

  init() throws {
    federation = try TestFederation()
    party = federation.parties[0]
  }

  private func gate(
    _ server: any ServerExchange, _ log: AuditLogWriter, patience: Duration = .seconds(10)
  ) -> EgressGate {
    EgressGate(link: server, log: log, backoff: Backoff(total: patience), progress: { _ in })
  }

  private func send(
    _ gate: EgressGate, _ message: ClientMessage? = nil, isLast: Bool = false
  ) async -> Result<[UInt8], ClientError> {
    let message = message ?? ClientMessage(identifier: .random(), run: nil, answers: 0, body: .poll)
    do throws(ClientError) {
      return .success(
        try await gate.send(
          OutboundMessage(message, draft: AuditRecord.Draft(.messageSent)), decision: .protocolControl(.poll),
          charge: .notPrivate(), isLast: isLast))
    } catch { return .failure(error) }
  }

  /// From now on the disk is full, as far as the log can tell.
  private static func fillDisk(under log: AuditLogWriter) {
    let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
    precondition(full >= 0 && dup2(full, log.journal.descriptor) >= 0)
    close(full)
  }

  @Test("A log that is closed lets nothing out")
  func closedLog() async throws {
    let log = try federation.writer(party)
    try log.close()
    let server = ScriptedServer(logPath: federation.logPath(party), [.body(.wait)])
    #expect(await send(gate(server, log)).error?.code == "audit-log-closed")
    #expect(await server.arrivals.isEmpty)
  }

  @Test("Once a witness has seen another log, nothing is recorded or sent")
  func conflictWithAWitness() async throws {
    let log = try federation.writer(party)
    let server = ScriptedServer(logPath: federation.logPath(party), [.body(.wait), .body(.wait)])
    let hasConflict = Mutex(false)
    let gate = EgressGate(
      link: server, log: log, backoff: Backoff(total: .seconds(10)), progress: { _ in },
      barrier: { () throws(ClientError) in
        guard hasConflict.withLock({ $0 }) else { return }
        throw .externalWitness(.conflict(.rolledBack(witness: "watch.example", size: 9)))
      })
    #expect(await send(gate).value != nil)
    hasConflict.withLock { $0 = true }
    let size = log.size
    let error = await send(gate).error
    #expect(error?.code == "witness-log-rolled-back" && error?.isTemporary == false)
    #expect(log.size == size)
    #expect(await server.arrivals.count == 1)
  }

  @Test("A log that cannot be written lets nothing out, then or later")
  func fullDisk() async throws {
    let log = try federation.writer(party)
    let server = ScriptedServer(logPath: federation.logPath(party), [.body(.wait), .body(.wait)])
    let gate = gate(server, log)
    #expect(await send(gate).value != nil)
    Self.fillDisk(under: log)
    guard case .log(.storage)? = await send(gate).error else {
      Issue.record("a message left without a record")
      return
    }
    #expect(await send(gate).error?.code == "audit-log-failed")
    #expect(await server.arrivals.count == 1)
  }

  @Test("A disk that fills up in the middle of a run stops the client before it sends", arguments: 1...3)
  func fullDiskInARun(after count: Int) async throws {
    let run = try HostileRun(federation)
    let log = try federation.writer(party)
    let server = ScriptedServer(
      logPath: federation.logPath(party),
      [run.announcement(), run.task(run.opening(.statistics)), run.task(run.opening(.statistics, attempt: 2))]
    ) { if $0 == count { Self.fillDisk(under: log) } }
    let result = try await federation.takePart(party, link: server, log: log)
    guard case .log? = result.error else {
      Issue.record("\(result)")
      return
    }
    #expect(await server.arrivals.count == count)
  }

  @Test("Copies after a lost connection carry the same identifier and bytes, and say of what they are copies")
  func copies() async throws {
    let log = try federation.writer(party)
    let server = ScriptedServer(logPath: federation.logPath(party), [.lost, .lost, .body(.wait)])
    #expect(await send(gate(server, log)).value != nil)
    let arrivals = await server.arrivals
    #expect(arrivals.count == 3)
    #expect(Set(arrivals.map(\.bytes)).count == 1)
    #expect(arrivals.map(\.records) == [1, 2, 3])
    try log.close()
    let records = try federation.records(party)
    let sent = records.filter { $0.event == .messageSent }
    #expect(Set(sent.map { $0.message?.id }) == [arrivals[0].message.identifier])
    #expect(sent.map { $0.message?.label.resendOf } == [nil, sent[0].sequence, sent[0].sequence])
    let unknown = records.filter { $0.event == .delivery && $0.outcome == .unknown }
    #expect(unknown.count == 2)
    #expect(
      unknown.allSatisfy { $0.messageID == arrivals[0].message.identifier && $0.error?.code == "connection-lost" })
    #expect(federation.verify(party))
  }

  @Test("Patience has an end, and a last message none")
  func patience() async throws {
    let log = try federation.writer(party)
    let impatient = ScriptedServer(logPath: federation.logPath(party), [.lost, .lost, .lost])
    #expect(await send(gate(impatient, log, patience: .milliseconds(1))).error?.code == "call-failed")
    #expect(await impatient.arrivals.count == 2)
    let leaving = ScriptedServer(logPath: federation.logPath(party), [.lost, .lost])
    #expect(await send(gate(leaving, log), isLast: true).error?.code == "call-failed")
    #expect(await leaving.arrivals.count == 1)
  }

  @Test("A refusal by the transport or by the call is not tried again")
  func refusals() async throws {
    let log = try federation.writer(party)
    let closed = UnreachableServer(.system(operation: "connect", reason: "no"))
    #expect(await send(gate(closed, log)).error?.code == "transport-failure")
    #expect(closed.attempts.withLock { $0 } == 1)
    let away = UnreachableServer(.connectionRefused(host: "127.0.0.1", port: 1))
    #expect(await send(gate(away, log, patience: .milliseconds(1))).error?.code == "connection-refused")
    #expect(away.attempts.withLock { $0 } == 2)
    let failing = ScriptedServer(logPath: federation.logPath(party), [.failure(.permissionDenied), .body(.wait)])
    #expect(await send(gate(failing, log)).error?.code == "call-failed")
    #expect(await failing.arrivals.count == 1)
    // Nothing was recorded as sent to a server that was never reached.
    #expect(try federation.records(party).filter { $0.event == .messageSent }.count == 1)
  }

  @Test("A client that is told to stop stops waiting for a server")
  func cancellation() async throws {
    let log = try federation.writer(party)
    let away = UnreachableServer(.connectionRefused(host: "127.0.0.1", port: 1))
    let gate = gate(away, log, patience: .seconds(3600))
    let sending = Task { await send(gate) }
    while away.attempts.withLock({ $0 }) == 0 { await Task.yield() }
    sending.cancel()
    #expect(await sending.value.error?.code == "cancelled")
  }
}

/// A server to which no connection can be made.
private final class UnreachableServer: ServerExchange {
  let attempts = Mutex(0)
  private let error: TransportError

  init(_ error: TransportError) { self.error = error }

  var destination: AuditRecord.Peer? { get async { nil } }

  func connect() async throws(TransportError) {
    attempts.withLock { $0 += 1 }
    throw error
  }

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    throw RPCError(code: .unavailable, message: "not connected")
  }

  func close() async {}
}
