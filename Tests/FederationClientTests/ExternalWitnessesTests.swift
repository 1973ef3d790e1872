import Cryptography
import Federation
import FederationWire
import Foundation
import Synchronization
import Testing
import TransparencyLog

@testable import AuditLog
@testable import FederationClient
@testable import LogService

@Suite("What a client does for its log while it stays", .timeLimit(.minutes(1)))
struct ExternalWitnessesTests {
  private let root: TemporaryDirectory
  private let directory: OrganizationDirectory
  private let witness: Witness
  private let events = EventList()

  private final class EventList: Sendable {
    let codes = Mutex<[String]>([])

    func add(_ event: ClientEvent) {
      if case .trouble(let code, _, _) = event { codes.withLock { $0.append(code) } }
    }
  }

  init() throws {
    root = try TemporaryDirectory(isInMemory: true)
    directory = try OrganizationDirectory.create(at: "\(root.path)/alder", name: OrganizationName("alder.example"))
    let log = NoteVerifierKey<LogKeyRole>(
      organization: directory.name, key: try directory.logKey().verifyingKey)
    witness = try Witness(
      directory: "\(root.path)/watch", name: OrganizationName("watch.example"), key: WitnessSigningKey.generate(),
      logs: [WitnessedLog(log)], clock: Witness.systemClock)
  }

  /// - Parameter time: of every entry.
  private func openLog(_ time: Date) throws -> AuditLogWriter {
    try AuditLogWriter(
      directory: directory.logPath, organization: directory.name, logKey: directory.logKey(),
      options: .init(segmentEntries: 256), clock: { time })
  }

  /// One witness, named in the policy, and tended every few milliseconds.
  private func external(
    _ log: AuditLogWriter, at url: String, quorum: Int = 0, retention: String = "forever"
  ) throws -> (witnesses: ExternalWitnesses, submissions: WitnessSubmissions) {
    let text = Policy.template
      .replacingOccurrences(
        of: "witnesses: []", with: "witnesses: [{key: \"\(witness.verifierKey)\", url: \"\(url)\"}]"
      )
      .replacingOccurrences(of: "quorum: 0", with: "quorum: \(quorum)")
      .replacingOccurrences(of: "retention: forever", with: "retention: \(retention)")
    let rules = try Policy(parsing: text).log
    try #require(rules.witnesses.count == 1 && rules.quorum == quorum && rules.retentionText == retention)
    try AtomicFile.replace(directory.policyPath, bytes: Array(text.utf8))
    let submissions = WitnessSubmissions(log: log, service: "client", timeout: .seconds(30))
    let events = events
    let witnesses = ExternalWitnesses(
      directory, log: log, submissions: submissions,
      intervals: .init(submitting: .milliseconds(5), pruning: .milliseconds(5)), progress: { events.add($0) })
    return (witnesses, submissions)
  }

  private func wait(for condition: () throws -> Bool) async throws {
    while try !condition() { try await Task.sleep(for: .milliseconds(5)) }
  }

  @Test("It submits by itself, goes on after its log could not be written, and prunes what is old and cosigned")
  func tending() async throws {
    let log = try openLog(Date(timeIntervalSince1970: 1_600_000_000))
    let server = try await LogServer.start(LogSite(witness: witness), port: 0)
    let (witnesses, submissions) = try external(log, at: server.url, quorum: 1, retention: "30d")
    for _ in 0..<600 { try log.append(.init(.roundStarted), durable: false) }
    try log.publish()
    // Old enough, and nobody has cosigned it.
    try witnesses.prune()
    #expect(try JournalSegments(listing: log.directory).first == 0)
    let rules = try directory.policy().log
    #expect(witnesses.shortage(rules, at: Date()) == WitnessShortage(found: 0, needed: 1, within: "1d"))

    // No checkpoint can be written where a directory stands.
    let obstacle = "\(log.directory)/checkpoint.tmp"
    try log.append(.init(.roundStarted))
    try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: false)
    let tending = Task { await witnesses.tend() }
    try await wait { events.codes.withLock { $0.count > 1 } }
    #expect(witness.latest(origin: directory.name.value) == nil)
    #expect(rmdir(obstacle) == 0)

    try await wait { try JournalSegments(listing: log.directory).first == 512 }
    #expect(witness.latest(origin: directory.name.value)?.checkpoint.size ?? 0 > 600)
    #expect(submissions.conflict == nil)
    #expect(witnesses.shortage(rules, at: Date()) == nil)
    #expect(witnesses.shortage(rules, at: Date() + 2 * 86_400)?.found == 0)
    tending.cancel()
    await tending.value
    await submissions.end()
    try log.close()
    await server.stop()
  }

  @Test("A witness that has seen more of the log ends it, and the gate is shut")
  func conflict() async throws {
    let log = try openLog(Date())
    try log.append(.init(.serviceStarted))
    let server = try await LogServer.start(LogSite(witness: witness), port: 0)
    let (witnesses, submissions) = try external(log, at: server.url)
    let link = ScriptedServer(logPath: log.directory, [.body(.wait), .body(.wait)])
    let gate = EgressGate(
      link: link, log: log, backoff: Backoff(total: .zero), progress: { _ in },
      barrier: { () throws(ClientError) in try witnesses.requireNoConflict() })
    func poll() async throws(ClientError) {
      let message = ClientMessage(identifier: .random(), run: nil, answers: 0, body: .poll)
      _ = try await gate.send(
        OutboundMessage(message, draft: .init(.messageSent)), decision: .protocolControl(.poll), charge: .notPrivate())
    }
    try await poll()
    let later = try SignedCheckpoint.signing(
      origin: directory.name, size: 1000, root: TreeHash(hashing: [1]), key: directory.logKey())
    _ = try witness.answer(try WitnessRequest(oldSize: 0, hashes: [], checkpoint: later))
    // Comes to an end by itself.
    await witnesses.tend()
    #expect(events.codes.withLock { $0 } == ["witness-log-rolled-back"])
    var refused: ClientError?
    do throws(ClientError) { try await poll() } catch { refused = error }
    #expect(refused?.code == "witness-log-rolled-back" && refused?.isTemporary == false)
    #expect(await link.arrivals.count == 1)
    await submissions.end()
    try log.close()
    await server.stop()
  }
}
