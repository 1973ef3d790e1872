import AuditLog
import Cryptography
import Federation
import Foundation
import MutualTLS
import Testing

@testable import FederationClient

/// What `bauta client doctor` finds where a session in the shell cannot make it happen: dates, names, a server that refuses.
@Suite("A client that is examined", .serialized, .timeLimit(.minutes(1)))
struct ExaminationTests {
  private let server: LiveServer

  init() async throws { server = try await LiveServer() }

  private func credentials(inDays days: Double = 0) -> [String: Finding] {
    let checks = CredentialChecks(directory: server.place, now: Date() + days * 86_400)
    return Dictionary(uniqueKeysWithValues: checks.findings.map { ($0.check, $0) })
  }

  private func handshake() async throws -> Finding {
    let log = try server.writer()
    defer { try? log.close() }
    return await NetworkChecks(directory: server.place, proxy: nil, log: log, isRunning: false)
      .handshake(isPossible: true)
  }

  /// Everything on record: handshakes, and what was written to the connections by their end.
  private func handshakes() throws -> [AuditRecord.Event] {
    var reader = try AuditLogReader(directory: server.place.logPath)
    var events: [AuditRecord.Event] = []
    while let entry = try reader.next() { events.append(entry.record.event) }
    return events
  }

  @Test("Dates: valid, ending within thirty days, ended, not begun, each with what to do")
  func dates() async throws {
    let cases: [(Double, Finding.Verdict, String)] = [
      (0, .ok, "another 89 days"), (59, .ok, "another 30 days"), (61, .warning, "expires in 28 days"),
      (91, .failed, "expired on"), (-2, .failed, "is not valid before"),
    ]
    for (days, verdict, text) in cases {
      let finding = credentials(inDays: days)["certificate-dates"]
      #expect(finding?.verdict == verdict, "\(days)")
      #expect(finding?.message.contains(text) == true, "\(finding?.message ?? "")")
      #expect((finding?.remedy == nil) == (verdict == .ok))
    }
    #expect(credentials(inDays: 380)["authority-dates"]?.verdict == .warning)
    #expect(credentials(inDays: 401)["authority-dates"]?.verdict == .failed)
    #expect(credentials(inDays: -2)["certificate-dates"]?.remedy?.contains("clock") == true)
    await server.end()
  }

  @Test("The connections that only try the way carry no byte")
  func emptyConnections() async throws {
    let listener = try SilentListener()
    let other = try await LiveServer(addresses: ["127.0.0.1:\(listener.port)"])
    let received = Task.detached { listener.receiveOne() }
    let findings = await NetworkChecks(directory: other.place, proxy: nil, log: nil, isRunning: true).reachability()
    #expect(findings.map(\.verdict) == [.ok, .ok])
    #expect(await received.value == 0)
    #expect(other.now.connected.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: other.place.logPath))
    await other.end()
    await server.end()
  }

  @Test("A certificate of another key, another name, another authority, or of a key that nobody knows")
  func certificates() async throws {
    #expect(credentials().values.allSatisfy { $0.verdict == .ok })
    let kept = try Certificate(contentsOfFile: server.place.tlsCertificatePath)
    // Another authority under its own name.
    let other = try CertificateAuthority.create(
      federation: "other.example", key: PrivateKey.generate(), validity: CertificateValidity.days(10))
    try server.install(kept, authority: other.certificate)
    #expect(credentials()["certificate-authority"]?.verdict == .failed)
    try server.install(kept, authority: kept)
    #expect(credentials()["certificate-authority"]?.verdict == .failed)

    let key = try server.exchangeKey()
    try server.install(kept, authority: server.authority.certificate)
    #expect(credentials()["certificate"]?.message == "tls.crt does not belong to tls.key")
    try server.install(server.issue(for: key), authority: server.authority.certificate)
    #expect(credentials()["certificate"]?.verdict == .ok)
    #expect(credentials()["certificate-pins"]?.verdict == .failed)
    // Its own statement makes the key known.
    let statement = try SignedPins(
      federation: server.manifest.manifest.federation, name: server.alder.name, sequence: 1,
      pins: .init(current: server.alder.member.pins.current, next: try key.publicKeyHash),
      signedWith: server.alder.identity())
    try server.place.store(statement, under: server.manifest.manifest)
    #expect(credentials()["certificate-pins"]?.verdict == .ok)

    let birch = try OrganizationName("birch.example")
    let foreign = try server.authority.issue(
      CertificateRequest.create(name: birch, key: key), name: birch, profile: .organization,
      validity: CertificateValidity.days(9))
    try server.install(foreign, authority: server.authority.certificate)
    #expect(credentials()["certificate"]?.message == "tls.crt names birch.example and not alder.example")

    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: server.place.tlsKeyPath)
    #expect(credentials()["certificate-key"]?.verdict == .failed)
    #expect(credentials()["certificate-key"]?.remedy?.contains("chmod 600") == true)
    await server.end()
  }

  @Test("The handshake is made with both sides' pins, is on the record, and nothing else is sent")
  func handshakeWithBothSides() async throws {
    let good = try await handshake()
    #expect(good.verdict == .ok)
    #expect(good.message.contains("hub.example and alder.example accept each other's certificates"))
    #expect(server.now.messages == 0)
    server.accept([CertificateKeyHash(hashing: [1])])
    let refused = try await handshake()
    #expect(refused.verdict == .failed)
    #expect(refused.message.contains("refused this organisation's certificate"))
    #expect(refused.remedy != nil)
    #expect(try handshakes() == [.handshake, .connectionClosed, .handshakeRefused, .connectionClosed])
    await server.end()
    let gone = try await handshake()
    #expect(gone.verdict == .failed)
    #expect(try handshakes().count == 4)
  }

  @Test("Without the log nothing is sent, and it is said why")
  func withoutLog() async throws {
    let skipped = await NetworkChecks(directory: server.place, proxy: nil, log: nil, isRunning: false)
      .handshake(isPossible: true)
    #expect(skipped.verdict == .skipped)
    #expect(server.now.connected.isEmpty)
    await server.end()
  }

  @Test("Names that are not found, ports that nobody listens on, and proxies, one by one")
  func reachability() async throws {
    let other = try await LiveServer(addresses: ["no-such-host.invalid:1", "127.0.0.1:1"])
    func look(_ proxy: ProxySelection? = nil) async -> [Finding] {
      await NetworkChecks(directory: other.place, proxy: proxy, log: nil, isRunning: false).reachability()
    }
    let direct = await look()
    #expect(direct.map(\.check) == ["address-name", "address-connection", "address-connection"])
    #expect(direct.map(\.verdict) == [.failed, .failed, .ok])
    #expect(direct[0].remedy?.contains("name servers") == true)
    #expect(direct[1].message.contains("Connection refused"))
    let through = await look(try ProxySelection(address: "127.0.0.1:1", origin: "HTTPS_PROXY"))
    #expect(through.map(\.check) == ["proxy-connection"])
    #expect(through[0].message.contains("proxy 127.0.0.1:1 (named by HTTPS_PROXY)"))
    await other.end()
    await server.end()
  }

  @Test("A clock that is behind the log's last entry is found")
  func clock() async throws {
    let root = try TemporaryDirectory()
    let directory = try OrganizationDirectory.create(at: "\(root.path)/elm", name: OrganizationName("elm.example"))
    let log = try AuditLogWriter(
      directory: directory.logPath, organization: directory.name, logKey: directory.logKey())
    try log.append(AuditRecord.Draft(.serviceStarted))
    try log.close()
    func verdicts(_ offset: TimeInterval) -> [String: Finding.Verdict] {
      var checks = RecordChecks(directory: directory, now: Date() + offset)
      let findings = checks.examine()
      _ = checks.close()
      return Dictionary(uniqueKeysWithValues: findings.map { ($0.check, $0.verdict) })
    }
    #expect(verdicts(0) == ["log": .ok, "state": .ok, "clock": .ok])
    #expect(verdicts(-3600) == ["log": .ok, "state": .ok, "clock": .failed])
    // Nothing was made that was not there.
    #expect(!FileManager.default.fileExists(atPath: directory.statePath))
    await server.end()
  }
}

/// A socket that takes one connection and counts what arrives over it.
private final class SilentListener: Sendable {
  let port: Int
  private let descriptor: Int32

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let (descriptor, isBound) = withUnsafeMutablePointer(to: &address) { [descriptor] pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        (descriptor, bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0)
      }
    }
    guard isBound, listen(descriptor, 1) == 0 else { throw CocoaError(.fileReadUnknown) }
    port = Int(in_port_t(bigEndian: address.sin_port))
  }

  deinit { close(descriptor) }

  /// Bytes until the other side closes; nil if the connection ended in another way.
  func receiveOne() -> Int? {
    let connection = accept(descriptor, nil, nil)
    guard connection >= 0 else { return nil }
    defer { close(connection) }
    var count = 0
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let read = recv(connection, &buffer, buffer.count, 0)
      if read < 0, errno == EINTR { continue }
      guard read > 0 else { return read == 0 ? count : nil }
      count += read
    }
  }
}
