import Cryptography
import Federation
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
      logs: [WitnessedLog(log)])
  }

  /// - Parameter times: of the entries that it holds from the beginning.
  private func openLog(_ time: Date) throws -> AuditLogWriter {
    try AuditLogWriter(
      directory: directory.logPath, organization: directory.name, logKey: directory.logKey(),
      options: .init(segmentEntries: 256), clock: { time })
  }

  /// Witnesses of the policy, tended every few milliseconds.
  private func external(
    _ log: AuditLogWriter, at url: String, rules: String = ""
  ) throws -> (witnesses: ExternalWitnesses, submissions: WitnessSubmissions) {
    let policy = """
      \(Policy.template)
      audit:
        witnesses:
          - {key: "\(witness.verifierKey)", url: "\(url)"}
      \(rules)
      """
    _ = try Policy(parsing: policy)
    try AtomicFile.replace(directory.policyPath, bytes: Array(policy.utf8))
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
    let (witnesses, submissions) = try external(log, at: server.url, rules: "  quorum: 1\n  retention: 30d")
    for _ in 0..<600 { try log.append(.init(.roundStarted), durable: false) }
    try log.publish()
    // Old enough, and nobody has cosigned it.
    try witnesses.prune()
    #expect(try JournalSegments(listing: log.directory).first == 0)

    // Where tiles should be, nothing can be written.
    let (tiles, away) = ("\(log.directory)/tile", "\(log.directory)/tile.away")
    try log.append(.init(.roundStarted))
    try FileManager.default.moveItem(atPath: tiles, toPath: away)
    try AtomicFile.replace(tiles, bytes: [1])
    let tending = Task { await witnesses.tend() }
    try await wait { events.codes.withLock { $0.count > 1 } }
    #expect(witness.latest(origin: directory.name.value) == nil)
    try FileManager.default.removeItem(atPath: tiles)
    try FileManager.default.moveItem(atPath: away, toPath: tiles)

    try await wait { try JournalSegments(listing: log.directory).first == 512 }
    #expect(witness.latest(origin: directory.name.value)?.checkpoint.size ?? 0 > 600)
    #expect(submissions.conflict == nil)
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
    let (witnesses, _) = try external(log, at: server.url)
    try witnesses.requireNoConflict()
    let later = try SignedCheckpoint.signing(
      origin: directory.name, size: 1000, root: TreeHash(hashing: [1]), key: directory.logKey())
    _ = try witness.answer(try WitnessRequest(oldSize: 0, hashes: [], checkpoint: later))
    // Comes to an end by itself.
    await witnesses.tend()
    #expect(events.codes.withLock { $0 } == ["witness-log-rolled-back"])
    var refused: ClientError?
    do throws(ClientError) { try witnesses.requireNoConflict() } catch { refused = error }
    #expect(refused?.code == "witness-log-rolled-back" && refused?.isTemporary == false)
    try log.close()
    await server.stop()
  }
}
