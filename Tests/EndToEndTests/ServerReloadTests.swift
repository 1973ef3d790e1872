import Cryptography
import Federation
import Foundation
import MutualTLS
import Synchronization
import Testing

@testable import FederationServer
@testable import bauta

@Suite("A server whose directory cannot be read", .timeLimit(.minutes(2)))
struct ServerReloadTests {
  private final class Seen: Sendable {
    let events = Mutex<[RunEvent]>([])
    let attempts = Mutex(0)

    func append(_ event: RunEvent) { events.withLock { $0.append(event) } }

    var failures: [String] {
      events.withLock { $0.compactMap { if case .reloadFailed(let reason) = $0 { reason } else { nil } } }
    }
    var reloads: Int { events.withLock { $0.count { if case .reloaded = $0 { true } else { false } } } }
    func warnings(of owner: String) -> Int {
      events.withLock { $0.count { if case .certificateDates(owner, _, _) = $0 { true } else { false } } }
    }
  }

  /// Until the suite's time limit.
  private func wait(until isSo: () -> Bool) async throws {
    while !isSo() { try await Task.sleep(for: .milliseconds(2)) }
  }

  /// One that has five days left of three hundred.
  private func endingCertificate(of name: OrganizationName) throws -> Certificate {
    func validity(from start: Double, to end: Double) throws -> CertificateValidity {
      try CertificateValidity(notBefore: Date() + start * 86_400, notAfter: Date() + end * 86_400)
    }
    let authority = try CertificateAuthority.create(
      federation: "other.example", key: PrivateKey.generate(), validity: validity(from: -300, to: 400))
    return try authority.issue(
      CertificateRequest.create(name: name, key: PrivateKey.generate()), name: name, profile: .organization,
      validity: validity(from: -295, to: 5))
  }

  @Test("It goes on with what it knew, says so once, tries again, and takes up what has changed when it can")
  func damagedRevocation() async throws {
    let federation = try LifecycleFederation()
    defer { federation.remove() }
    let directory = federation.server
    let (alder, birch) = (federation.organizations[0].name, federation.organizations[1])
    try AtomicFile.replace(
      "\(directory.authorityPath)/\(alder).crt", bytes: Array(endingCertificate(of: alder).pem.utf8))
    let seen = Seen()
    let settings = RunServer.Settings(listen: try NetworkAddress("127.0.0.1:\(LoopbackPort.free())"))
    let core = try ServerCore(
      directory, membership: ServerMembership(directory), settings: settings, progress: { seen.append($0) })
    let watching = Task {
      await core.watchFiles(every: .milliseconds(5), { seen.append($0) }) {
        defer { seen.attempts.withLock { $0 += 1 } }
        try await core.reload(settings: settings, isAsked: false)
      }
    }
    func waitForAttempts(_ count: Int) async throws {
      let before = seen.attempts.withLock { $0 }
      try await wait { seen.attempts.withLock { $0 } >= before + count }
    }
    let owner = "the certificate of \(alder)"
    try await wait { seen.warnings(of: owner) == 1 }

    // A record that is damaged, and a further one that is whole.
    let damaged = "\(directory.revokedPath)/\(alder).json"
    try FileManager.default.createDirectory(atPath: directory.revokedPath, withIntermediateDirectories: true)
    try AtomicFile.replace(damaged, bytes: Array("{".utf8))
    try await waitForAttempts(5)
    #expect(seen.failures.count == 1 && seen.failures[0].contains("goes on with the members"), "\(seen.failures)")
    #expect(seen.warnings(of: owner) == 1)
    let whole = "\(directory.revokedPath)/\(birch.name).json"
    try FileManager.default.moveItem(atPath: damaged, toPath: damaged + ".kept")
    try directory.store(
      Revocation(name: birch.name, identity: birch.keys().identity, reason: "left", time: "now"))
    // Not only a reading in between, that found neither record.
    try await wait { seen.reloads > 0 && !core.membership.current.organizations.contains(birch.name) }
    try FileManager.default.moveItem(atPath: damaged + ".kept", toPath: damaged)
    try FileManager.default.removeItem(atPath: whole)
    // Told again, since it had passed; whoever is out stays out, and whoever was in stays in.
    try await wait { seen.failures.count == 2 }
    try await waitForAttempts(3)
    #expect(seen.failures.count == 2)
    #expect(!core.membership.current.organizations.contains(birch.name))
    #expect(core.membership.current.organizations.contains(alder))
    #expect(throws: ServerError.self) { try ServerMembership(directory) }

    // Another failure is told, and who asks is told in any case.
    let other = "\(directory.revokedPath)/aaa.json"
    try AtomicFile.replace(other, bytes: Array("{".utf8))
    try await wait { seen.failures.count == 3 }
    #expect(seen.failures[2].contains("aaa.json"))
    try await waitForAttempts(3)
    #expect(seen.failures.count == 3)
    await #expect(throws: ServerError.self) { try await core.reload(settings: settings, isAsked: true) }
    #expect(seen.failures.count == 4)
    let before = seen.reloads
    let warnings = seen.warnings(of: owner)
    for path in [other, damaged] { try FileManager.default.removeItem(atPath: path) }
    try await wait { seen.reloads > before && seen.warnings(of: owner) > warnings }
    watching.cancel()
    await watching.value
    await core.close()
  }
}
