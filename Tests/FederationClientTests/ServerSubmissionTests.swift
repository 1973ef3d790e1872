import Cryptography
import Federation
import Foundation
import LogService
import Synchronization
import Testing
import TransparencyLog

@testable import AuditLog
@testable import FederationServer
@testable import MutualTLS

@Suite("What a server does for its log while it stays", .timeLimit(.minutes(1)))
struct ServerSubmissionTests {
  private let root: TemporaryDirectory
  private let directory: ServerDirectory
  private let witness: Witness

  init() throws {
    root = try TemporaryDirectory(isInMemory: true)
    directory = try ServerDirectory.create(at: "\(root.path)/hub", name: OrganizationName("hub.example"))
    let key = try PrivateKey.generate(creatingFile: directory.tlsKeyPath)
    let authority = try CertificateAuthority.create(
      federation: "fraud.example", key: PrivateKey.generate(), validity: CertificateValidity.days(400))
    let certificate = try authority.issue(
      CertificateRequest.create(name: directory.name, key: key), name: directory.name,
      profile: .server(hostNames: [], addresses: ["127.0.0.1"]), validity: CertificateValidity.days(90))
    try directory.storeCertificate(chain: certificate.pem, authority: authority.certificate.pem)
    let keys = Manifest.Keys(
      identity: try directory.identityKey().verifyingKey, log: try directory.logKey().verifyingKey,
      witness: try directory.witnessKey().verifyingKey)
    let member = Manifest.Member(name: directory.name, keys: keys, pins: .init(current: try key.publicKeyHash))
    var manifest = try SignedManifest(
      Manifest.founding(
        federation: OrganizationName("fraud.example"),
        server: Manifest.Server(member: member, addresses: [NetworkAddress("127.0.0.1:7443")]),
        assumedCorrupt: 1, minimumCohort: 3,
        organizations: ["alder", "birch", "cedar"].map { try Party("\($0).example").member }))
    try manifest.approve(as: directory.name, with: directory.identityKey())
    try directory.store(manifest)
    witness = try Witness(
      directory: "\(root.path)/watch", name: OrganizationName("watch.example"), key: WitnessSigningKey.generate(),
      logs: [WitnessedLog(member.logNoteKey)], clock: Witness.systemClock)
  }

  /// Listens where nobody else does.
  private func start(
    _ site: LogServer, progress: @escaping @Sendable (RunEvent) -> Void
  ) throws -> ServerCore {
    var failure: ServerError?
    for _ in 0..<20 {
      let port = try ListeningSocket(host: "127.0.0.1", port: 0).port
      var settings = RunServer.Settings(listen: try NetworkAddress("127.0.0.1:\(port)"))
      settings.witnesses = [WitnessAddress(key: witness.verifierKey, url: try WitnessURL(site.url))]
      do throws(ServerError) {
        return try ServerCore(
          directory, membership: ServerMembership(directory), settings: settings, progress: progress)
      } catch { failure = error }
    }
    throw try #require(failure)
  }

  private func wait(for condition: () throws -> Bool) async throws {
    while try !condition() { try await Task.sleep(for: .milliseconds(5)) }
  }

  @Test("It submits by itself, and goes on after its log could not be written")
  func submitting() async throws {
    let site = try await LogServer.start(LogSite(witness: witness), port: 0)
    let silences = Mutex<[String]>([])
    let core = try start(site) { event in
      if case .witnessSilent(let code, _) = event { silences.withLock { $0.append(code) } }
    }
    // No checkpoint can be written where a directory stands.
    let obstacle = "\(directory.logPath)/checkpoint.tmp"
    try core.log.append(.init(.serviceStarted))
    try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: false)
    let submitting = Task { await core.submitRoutinely(every: .milliseconds(5)) }
    try await wait { silences.withLock { $0.count > 1 } }
    #expect(witness.latest(origin: directory.name.value) == nil)
    #expect(rmdir(obstacle) == 0)
    try await wait { witness.latest(origin: directory.name.value) != nil }
    #expect(core.submissions.conflict == nil)
    submitting.cancel()
    await submitting.value
    await core.close()
    await site.stop()
  }

  @Test("Once a witness has seen more of its log it submits no more, and no run is begun")
  func conflict() async throws {
    let later = try SignedCheckpoint.signing(
      origin: directory.name, size: 1000, root: TreeHash(hashing: [1]), key: directory.logKey())
    _ = try witness.answer(try WitnessRequest(oldSize: 0, hashes: [], checkpoint: later))
    let site = try await LogServer.start(LogSite(witness: witness), port: 0)
    let core = try start(site) { _ in }
    try core.log.append(.init(.serviceStarted))
    // Comes to an end by itself.
    await core.submitRoutinely(every: .milliseconds(5))
    #expect(core.submissions.conflict?.code == "witness-log-rolled-back")
    var refused: ServerError?
    do throws(ServerError) { try await core.submitCheckpoint() } catch { refused = error }
    #expect(refused?.code == "witness-log-rolled-back")
    await core.close()
    await site.stop()
  }
}
