import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS
import Synchronization
import Testing

@testable import FederationClient

/// Over real connections: what changes in the directory counts for the next message, and costs none.
@Suite("A client whose files change while it runs", .serialized, .timeLimit(.minutes(1)))
struct ConnectionReloadTests {
  private let server: LiveServer
  private let log: AuditLogWriter
  private let link: ServerLink
  private let gate: EgressGate
  private let events = Events()

  final class Events: Sendable {
    private let list = Mutex<[ClientEvent]>([])
    func add(_ event: ClientEvent) { list.withLock { $0.append(event) } }
    func count(_ isMeant: (ClientEvent) -> Bool) -> Int { list.withLock { $0.count(where: isMeant) } }
    var changes: Int { count { if case .credentialsChanged = $0 { true } else { false } } }
    var complaints: Int { count { if case .credentialsUnusable = $0 { true } else { false } } }
    var losses: Int { count { if case .connectionLost = $0 { true } else { false } } }
  }

  init() async throws {
    server = try await LiveServer()
    log = try server.writer()
    let events = events
    link = server.link { events.add($0) }
    gate = EgressGate(
      link: link, log: log, backoff: Backoff(total: .seconds(5)), progress: { events.add($0) })
  }

  private func send() async -> Result<[UInt8], ClientError> {
    let message = ClientMessage(identifier: .random(), run: nil, answers: 0, body: .poll)
    do throws(ClientError) {
      return .success(
        try await gate.send(
          OutboundMessage(message, draft: AuditRecord.Draft(.messageSent)), decision: .protocolControl(.poll),
          charge: .notPrivate()))
    } catch { return .failure(error) }
  }

  private func close() async throws {
    await gate.close()
    await server.end()
    try log.close()
  }

  /// The manifest's server with a statement of its keys beside it.
  private func state(_ pins: Manifest.Pins, sequence: Int = 1, of party: Party? = nil) throws {
    let party = party ?? server.hub
    let statement = try SignedPins(
      federation: server.manifest.manifest.federation, name: party.name, sequence: sequence, pins: pins,
      signedWith: party.identity())
    try server.place.store(statement, under: server.manifest.manifest)
  }

  @Test("Nothing changes: one connection")
  func unchanged() async throws {
    for _ in 0..<3 { #expect(await send().value != nil) }
    #expect(server.now.connected.count == 1)
    try await close()
  }

  @Test("A renewed certificate of the same key is used for the next message; none is lost or sent twice")
  func renewed() async throws {
    #expect(await send().value != nil)
    let key = try PrivateKey(loading: .file(server.place.tlsKeyPath))
    try server.install(server.issue(for: key, days: 200), authority: server.authority.certificate)
    for _ in 0..<2 { #expect(await send().value != nil) }
    #expect(server.now.connected.count == 2)
    #expect(server.now.messages == 3)
    #expect(events.changes == 1)
    #expect(events.losses == 0)
    try await close()
  }

  @Test("A new key is used once the server has been told of it, and the connection before it serves until then")
  func rotated() async throws {
    #expect(await send().value != nil)
    let old = server.alder.member.pins.current
    let key = try server.exchangeKey()
    try server.install(server.issue(for: key), authority: server.authority.certificate)
    #expect(await send().value != nil)
    #expect(server.now.connected == [old])

    let new = try key.publicKeyHash
    server.accept([old, new])
    await gate.announced(.init(current: old, next: new))
    #expect(await send().value != nil)
    #expect(server.now.connected == [old, new])
    #expect(server.now.messages == 3)
    #expect(events.losses == 0)
    try await close()
  }

  @Test("A server that knows the new key already, and not the old one any more, is reached with the new one")
  func rotatedElsewhere() async throws {
    #expect(await send().value != nil)
    let key = try server.exchangeKey()
    try server.install(server.issue(for: key), authority: server.authority.certificate)
    #expect(await send().value != nil)
    server.accept([try key.publicKeyHash])
    await link.drop()
    #expect(await send().value != nil)
    #expect(server.now.connected.last == (try key.publicKeyHash))
    try await close()
  }

  @Test("Files that do not fit each other yet are complained of once, and those of before are used until they do")
  func halfway() async throws {
    #expect(await send().value != nil)
    let kept = try String(contentsOfFile: server.place.tlsCertificatePath, encoding: .utf8)
    let key = try server.exchangeKey()
    for _ in 0..<2 { #expect(await send().value != nil) }
    #expect(events.complaints == 1)
    // Also for a connection made meanwhile.
    await link.drop()
    #expect(await send().value != nil)
    #expect(events.complaints == 1)
    #expect(try String(contentsOfFile: server.place.tlsCertificatePath, encoding: .utf8) == kept)
    server.accept([try key.publicKeyHash, server.alder.member.pins.current])
    await gate.announced(.init(current: try key.publicKeyHash, next: nil))
    try server.install(server.issue(for: key), authority: server.authority.certificate)
    #expect(await send().value != nil)
    #expect(server.now.connected.last == (try key.publicKeyHash))
    try await close()
  }

  @Test("A server whose key does not count any more is not sent another message, on any connection")
  func unpinned() async throws {
    #expect(await send().value != nil)
    try state(.init(current: CertificateKeyHash(hashing: [1])))
    guard case .transport(.handshake(.unpinnedKey))? = await send().error else {
      Issue.record("a message went to a server whose key does not count")
      return
    }
    #expect(server.now.messages == 1)
    try await close()
  }

  @Test("A statement that still names the server's key changes nothing")
  func restated() async throws {
    #expect(await send().value != nil)
    try state(.init(current: CertificateKeyHash(hashing: [1]), next: server.hub.member.pins.current))
    #expect(await send().value != nil)
    #expect(server.now.connected.count == 1)
    try await close()
  }

  @Test("The owner can have everything read again, whatever the file system says of changes")
  func forced() async throws {
    let source = ConnectionSource(directory: server.place, observer: IgnoringHandshakes())
    let access = try source.read()
    #expect(!source.isOutdated(access))
    source.invalidate()
    #expect(source.isOutdated(access))
    #expect(!source.isOutdated(try source.read()))
    try await close()
  }

  /// `tls.key.uri` in place of `tls.key`, naming a key outside of the directory, as it would one in a token.
  private func moveKeyElsewhere() throws -> (elsewhere: String, uriPath: String) {
    let elsewhere = "\(server.root.path)/elsewhere.key"
    try FileManager.default.moveItem(atPath: server.place.tlsKeyPath, toPath: elsewhere)
    let uriPath = server.place.tlsKeyPath + ".uri"
    try "file:\(elsewhere)\n".write(toFile: uriPath, atomically: true, encoding: .utf8)
    return (elsewhere, uriPath)
  }

  @Test("A key that failed is not touched again before a file of the directory has changed")
  func failedKeyIsLeftAlone() async throws {
    #expect(await send().value != nil)
    let (elsewhere, uriPath) = try moveKeyElsewhere()
    try server.install(
      server.issue(for: PrivateKey(loading: .file(elsewhere)), days: 200), authority: server.authority.certificate)
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: elsewhere)
    #expect(await send().value != nil)
    #expect(events.complaints == 1)
    // Sound again, which nobody finds out who does not open it.
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: elsewhere)
    for _ in 0..<3 { #expect(await send().value != nil) }
    #expect(server.now.connected.count == 1)
    #expect(events.changes == 0)
    #expect(events.complaints == 1)

    let text = try String(contentsOfFile: uriPath, encoding: .utf8)
    try text.write(toFile: uriPath, atomically: true, encoding: .utf8)
    #expect(await send().value != nil)
    #expect(events.changes == 1)
    #expect(server.now.connected.count == 2)
    try await close()
  }

  @Test("A key that failed is tried again when its owner asks, who is told each time what came of it")
  func failedKeyIsTriedWhenAsked() async throws {
    let (elsewhere, _) = try moveKeyElsewhere()
    let source = ConnectionSource(directory: server.place, observer: IgnoringHandshakes())
    let link = ServerLink(source: source, limits: TransportLimits(), traffic: server.counts) { [events] in
      events.add($0)
    }
    try await link.connect()
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: elsewhere)
    for asked in 1...2 {
      source.invalidate()
      for _ in 0..<2 { try await link.connect() }
      #expect(events.complaints == asked)
    }
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: elsewhere)
    #expect(throws: TransportError.self) { try source.read() }
    source.invalidate()
    #expect(throws: Never.self) { try source.read() }
    await link.close()
    try await close()
  }

  @Test("Another place of the key, and a version that is in force from now on, are noticed")
  func watchedFiles() async throws {
    let (_, uriPath) = try moveKeyElsewhere()
    let source = ConnectionSource(directory: server.place, observer: IgnoringHandshakes())
    for path in [uriPath, server.place.inForceManifestPath] {
      let access = try source.read()
      #expect(!source.isOutdated(access))
      let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      #expect(source.isOutdated(access), "\(path)")
    }
    try await close()
  }

  @Test("A message on the record is answered although its sender is told to stop; what comes after is not sent")
  func stopped() async throws {
    #expect(await send().value != nil)
    server.slow(by: .milliseconds(500))
    let sending = Task { await send() }
    while server.now.messages < 2 { try await Task.sleep(for: .milliseconds(5)) }
    sending.cancel()
    #expect(await sending.value.value != nil)
    let after = Task { () -> ClientError? in
      withUnsafeCurrentTask { $0?.cancel() }
      return await send().error
    }
    #expect(await after.value?.code == "cancelled")
    #expect(server.now.messages == 2)
    try await close()
  }

  @Test("Of several addresses the last that answered is tried first")
  func addresses() async throws {
    let other = try await LiveServer(addresses: ["127.0.0.1:1"])
    let connected = Mutex<[NetworkAddress]>([])
    let link = other.link { if case .connected(let address, _) = $0 { connected.withLock { $0.append(address) } } }
    try await link.connect()
    await link.drop()
    try await link.connect()
    #expect(
      connected.withLock { $0 } == [
        other.manifest.manifest.server.addresses[1], other.manifest.manifest.server.addresses[1],
      ])
    await link.close()
    await other.end()
    try await close()
  }

  @Test("Certificates that end soon are warned of, once a day and again when they change")
  func expiry() async throws {
    var watch = ExpiryWatch()
    let key = try PrivateKey.generate()
    let soon = try server.issue(for: key, days: 60)
    let later = try server.issue(for: key, days: 90)
    var warned: [String] = []
    func look(_ certificates: [Certificate], in days: Double = 0) {
      watch.look(at: certificates, now: Date() + days * 86_400) { event in
        if case .certificateDates(let owner, _, _) = event { warned.append(owner) }
      }
    }
    look([later, server.authority.certificate])
    #expect(warned.isEmpty)
    look([soon, server.authority.certificate], in: 45)
    look([soon, server.authority.certificate], in: 45)
    #expect(warned == ["this organisation's certificate"])
    var another = ExpiryWatch()
    another.look(at: [later, server.authority.certificate], now: Date() + 380 * 86_400) { event in
      if case .certificateDates(let owner, _, _) = event { warned.append(owner) }
    }
    #expect(warned.count == 3)
    var early = ExpiryWatch()
    early.look(at: [later], now: Date() - 2 * 86_400) {
      if case .certificateDates(let owner, _, _) = $0 { warned.append(owner) }
    }
    #expect(warned.count == 4)
    try await close()
  }
}
