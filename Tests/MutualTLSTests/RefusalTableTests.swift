import Cryptography
import Foundation
import GRPCCore
import NIOCore
import NIOPosix
import Testing

@testable import MutualTLS

/// One thing that is wrong with a peer, and what must come of it on each side.
struct RefusalRow: Sendable, CustomTestStringConvertible {
  enum Wrong: Sendable {
    /// A faulty identity, from the right federation and another one whose authority is not trusted. When it is pinned
    /// nevertheless, only the fault can be the reason.
    case certificate(
      isPinned: Bool, @Sendable (TestFederation, TestFederation, CertificateProfile, String) throws -> TLSIdentity)
    /// Arguments for the `openssl` command as the client and as the server, which presents a good certificate if told
    /// to; `nil` where this cannot be wrong with that side.
    case command(client: [String]?, server: [String]?, presentsCertificate: Bool)
  }

  let testDescription: String
  /// Code of the refusal on the side that judges.
  let code: String
  /// The alert that the other side is sent; `nil` when it only sees the end of the connection.
  let told: TLSAlert?
  let wrong: Wrong

  static let all: [RefusalRow] = certificates + protocols

  private static let certificates: [RefusalRow] = [
    RefusalRow(
      testDescription: "self-signed", code: "tls-untrusted-issuer", told: .unknownAuthority,
      wrong: .certificate(isPinned: true) { _, _, _, name in
        let key = try PrivateKey.generate()
        let authority = try CertificateAuthority.create(
          federation: name, key: key, validity: CertificateValidity.days(1))
        return try TLSIdentity(chain: [authority.certificate], privateKey: key)
      }),
    RefusalRow(
      testDescription: "another authority", code: "tls-untrusted-issuer", told: .unknownAuthority,
      wrong: .certificate(isPinned: true) { _, other, profile, name in try other.identity(name, profile: profile) }),
    RefusalRow(
      testDescription: "right authority and name, unpinned key: the impersonated server or organisation",
      code: "tls-unpinned-key", told: .badCertificate,
      wrong: .certificate(isPinned: false) { federation, _, profile, name in
        try federation.identity(name, profile: profile)
      }),
    RefusalRow(
      testDescription: "pinned key, expired", code: "tls-certificate-expired", told: .certificateExpired,
      wrong: .certificate(isPinned: true) { federation, _, profile, name in
        try federation.identity(name, profile: profile, validity: CertificateValidity.past)
      }),
    RefusalRow(
      testDescription: "pinned key, not yet valid", code: "tls-certificate-not-yet-valid", told: .badCertificate,
      wrong: .certificate(isPinned: true) { federation, _, profile, name in
        try federation.identity(name, profile: profile, validity: CertificateValidity.future)
      }),
    RefusalRow(
      testDescription: "pinned key, wrong subject alternative name", code: "tls-name-mismatch", told: .badCertificate,
      wrong: .certificate(isPinned: true) { federation, _, profile, _ in
        try federation.identity("gamma.example", profile: profile)
      }),
    RefusalRow(
      testDescription: "pinned key, extended key usage of the other side", code: "tls-certificate-invalid",
      told: .unsupportedCertificate,
      wrong: .certificate(isPinned: true) { federation, _, profile, name in
        try federation.identity(name, profile: profile == .organization ? .server() : .organization)
      }),
  ]

  private static let protocols: [RefusalRow] = [
    RefusalRow(
      testDescription: "no certificate", code: "tls-no-certificate", told: .certificateRequired,
      wrong: .command(client: ["-tls1_3", "-alpn", "h2", "-ign_eof"], server: nil, presentsCertificate: false)),
    // A server without a certificate has no way to answer in TLS 1.3, and refuses the version itself.
    RefusalRow(
      testDescription: "no certificate, server", code: "tls-unsupported-version", told: nil,
      wrong: .command(client: nil, server: ["-tls1_3", "-alpn", "h2", "-nocert"], presentsCertificate: false)),
    RefusalRow(
      testDescription: "TLS 1.2 only", code: "tls-unsupported-version", told: .protocolVersion,
      wrong: .command(
        client: ["-tls1_2", "-alpn", "h2"], server: ["-tls1_2", "-alpn", "h2"], presentsCertificate: true)),
    RefusalRow(
      testDescription: "no ALPN", code: "tls-no-application-protocol", told: .noApplicationProtocol,
      wrong: .command(client: ["-tls1_3"], server: ["-tls1_3"], presentsCertificate: true)),
    RefusalRow(
      testDescription: "other ALPN", code: "tls-no-application-protocol", told: .noApplicationProtocol,
      wrong: .command(
        client: ["-tls1_3", "-alpn", "http/1.1"], server: ["-tls1_3", "-alpn", "http/1.1"], presentsCertificate: true)),
  ]
}

@Suite(.timeLimit(.minutes(2)))
struct RefusalTableTests {
  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"), arguments: RefusalRow.all)
  func theServerRefusesTheClient(_ row: RefusalRow) async throws {
    switch row.wrong {
    case .certificate(let isPinned, let make):
      let federation = try TestFederation()
      let faulty = try make(federation, TestFederation(), .organization, "delta.example")
      let server = try TestServer(alsoPinned: isPinned ? [(faulty, "delta.example")] : [], federation: federation)
      try await server.serving {
        let observer = Recorder<HandshakeEvent>()
        let context = try server.clientContext(as: faulty, observer: observer)
        let error = await #expect(throws: TransportError.self) {
          try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
        }
        #expect(error.map { Self.alert(in: $0) } == row.told)
        #expect(error?.message.hasPrefix("The server refused this organisation's certificate: ") == true)
        #expect(await observer.nextRefusal().map { Self.alert(in: .handshake($0)) } == row.told)
        try await Self.expect(row, of: server, from: faulty)
      }
    case .command(let arguments?, _, let presentsCertificate):
      let server = try TestServer()
      let files = try server.federation.files(of: server.alpha, named: "alpha")
      try await server.serving {
        let credentials = presentsCertificate ? ["-cert", files.certificate, "-key", files.key] : []
        let text = try await OpenSSLCommand.run(
          ["s_client", "-connect", "127.0.0.1:\(server.transport.port)"] + arguments + credentials
        ).text
        if let told = row.told { #expect(text.contains("alert number \(told.rawValue)"), "\(text)") }
        try await Self.expect(row, of: server, from: nil)
      }
    case .command(nil, _, _): break
    }
  }

  /// One event with the row's code, nobody entered, and the others served as before.
  private static func expect(_ row: RefusalRow, of server: TestServer, from faulty: TLSIdentity?) async throws {
    let event = try #require(await server.handshakes.next())
    #expect(event.refusal?.code == row.code)
    if let faulty {
      #expect(event.peerFingerprint == faulty.fingerprint && event.peerSerial == faulty.chain[0].serial)
    }
    #expect(server.transport.connectedOrganizations.isEmpty)
    try await server.withClient(as: server.alpha) { client in
      let answer = try await client.call(EchoService.echo, [1])
      #expect(answer == [1])
    }
    #expect(await server.handshakes.next()?.refusal == nil)
  }

  private static func alert(in error: TransportError) -> TLSAlert? {
    guard case .handshake(.refusedByPeer(_, let alert, _)) = error else { return nil }
    return alert
  }

  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"), arguments: RefusalRow.all)
  func theClientRefusesTheServer(_ row: RefusalRow) async throws {
    switch row.wrong {
    case .certificate(let isPinned, let make):
      let federation = try TestFederation()
      let faulty = try make(federation, TestFederation(), .server(), "server.example")
      let server = try TestServer(presenting: { _ in faulty }, federation: federation)
      let verifier = try pins((isPinned ? faulty : server.identity, "server.example"))
      try await server.serving {
        let context = try server.clientContext(as: server.alpha, verifier: verifier)
        let error = await #expect(throws: TransportError.self) {
          try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
        }
        #expect(error?.code == row.code)
        let refusal = try #require(await server.handshakes.nextRefusal())
        #expect(Self.alert(in: .handshake(refusal)) == row.told)
        #expect(refusal.message.hasPrefix("The client refused this server's certificate: "))
      }
    case .command(_, let arguments?, let presentsCertificate):
      let server = try TestServer()
      let files = try server.federation.files(of: server.identity, named: "server")
      let credentials = presentsCertificate ? ["-cert", files.certificate, "-key", files.key] : []
      let context = try server.clientContext(as: server.alpha)
      try await OpenSSLCommand.serving(credentials + arguments) { port in
        let error = await #expect(throws: TransportError.self) {
          try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: port, context: context)
        }
        #expect(error?.code == row.code)
      }
    case .command(_, nil, _): break
    }
  }

  @Test func aRefusalNamesTheKeyThatWasSeen() async throws {
    let server = try TestServer()
    let unknown = try server.federation.identity("alpha.example")
    try await server.serving {
      await #expect(throws: TransportError.self) { try await server.connect(as: unknown) }
      let refusal = try #require(await server.handshakes.nextRefusal())
      #expect(refusal.message.contains(unknown.fingerprint.hexadecimal))
      #expect(refusal.blame == .peer)
    }
  }

  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"))
  func theCommandIsAcceptedWhenNothingIsWrong() async throws {
    let server = try TestServer()
    let files = try server.federation.files(of: server.alpha, named: "alpha")
    try await server.serving {
      let text = try await OpenSSLCommand.run([
        "s_client", "-connect", "127.0.0.1:\(server.transport.port)", "-tls1_3", "-alpn", "h2", "-cert",
        files.certificate, "-key", files.key,
      ]).text
      #expect(text.contains("ALPN protocol: h2") && text.contains("Compression: NONE"))
      #expect(await server.handshakes.next()?.refusal == nil)
    }
  }
}

extension HandshakeEvent {
  var refusal: HandshakeRefusal? {
    guard case .refused(let refusal) = outcome else { return nil }
    return refusal
  }
}

/// Pins that are withdrawn while a connection is open.
@Suite(.timeLimit(.minutes(1)))
struct RevocationTests {
  @Test func theServerClosesAndRefusesAWithdrawnKey() async throws {
    let server = try TestServer()
    try await server.serving {
      let alpha = try await server.connect(as: server.alpha)
      let beta = try await server.connect(as: server.beta)
      server.table.replace(with: [server.beta.fingerprint: try OrganizationName("beta.example")])
      server.transport.disconnectPeers(refusedBy: server.table)
      await alpha.waitForClose()
      var changes: [String] = []
      for await change in server.connections.stream {
        switch change {
        case .connected: continue
        case .closing(let peer, let reason): changes.append("\(peer.name) \(reason.rawValue)")
        case .disconnected(let peer): changes.append("\(peer.name) gone")
        }
        if case .disconnected = change { break }
      }
      #expect(changes == ["alpha.example key-withdrawn", "alpha.example gone"])
      #expect(server.transport.connectedOrganizations == [try OrganizationName("beta.example")])
      let error = await #expect(throws: TransportError.self) { try await server.connect(as: server.alpha) }
      #expect(error?.code == "tls-refused-by-peer")
      beta.closeNow()
    }
  }

  @Test func theClientRefusesAWithdrawnKey() async throws {
    let server = try TestServer()
    let verifier = try pins((server.identity, "server.example"))
    try await server.serving {
      let context = try server.clientContext(as: server.alpha, verifier: verifier)
      let transport = try await MutualTLSClientTransport.connect(
        host: "127.0.0.1", port: server.transport.port, context: context)
      transport.closeNow()
      await transport.waitForClose()
      verifier.replace(with: [:])
      let error = await #expect(throws: TransportError.self) {
        try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
      }
      #expect(error?.code == "tls-unpinned-key")
    }
  }

  /// Between the check of a certificate and the connection's entry in the server's table there is a moment in which a
  /// withdrawal would find no connection to close.
  @Test func aKeyWithdrawnDuringItsHandshakeIsRefusedAtTheEndOfIt() throws {
    let parts = try LinkParts()
    let verifier = try pins((parts.client, "alpha.example"))
    let events = EventList()
    let context = try TLSContext(
      role: .server, identity: parts.server, authorities: [parts.federation.authority.certificate],
      verifier: verifier, observer: events)
    let registry = ConnectionRegistry(
      limits: TransportLimits(), contexts: context, observer: IgnoringConnections())
    let link = try MemoryLink(parts, server: context, registry: registry)
    try link.connect()
    try link.exchange { sender, flight, bytes in
      guard sender == .client, flight == 1 else { return bytes }
      // All but the last bytes: the certificate is judged, the handshake is not over.
      link.server.deliver(bytes.dropLast(8))
      verifier.replace(with: [:])
      return Array(bytes.suffix(8))
    }
    #expect(events.refusals.map(\.code) == ["tls-unpinned-key"])
    #expect(registry.connectedNames.isEmpty && link.server.handler.peer == nil)
    link.finish()
  }
}

/// What ends or never goes on: in memory, on a clock that the test moves.
@Suite struct BrokenHandshakeTests {
  private let parts: LinkParts

  init() throws { parts = try LinkParts() }

  /// Each flight, as its sender and its number among those of that sender.
  static let flights: [(TLSRole, Int)] = [(.client, 0), (.server, 0), (.client, 1)]

  @Test(arguments: flights, [0.0, 0.01, 0.2, 0.5, 0.9, 1.0])
  func aFlightCutOffIsTruncation(_ flight: (sender: TLSRole, number: Int), share: Double) throws {
    let link = try MemoryLink(parts)
    let receiver = link.end(flight.sender == .client ? .server : .client)
    try link.connect()
    try link.exchange { sender, number, bytes in
      guard sender == flight.sender, number == flight.number else { return bytes }
      let count = min(bytes.count - 1, Int(Double(bytes.count) * share))
      receiver.deliver(bytes.prefix(count))
      try receiver.cut()
      return []
    }
    #expect(receiver.events.refusals == [.truncated] && receiver.events.events.count == 1)
    try link.end(flight.sender).cut()
    #expect(link.end(flight.sender).events.refusals == [.truncated])
    link.finish()
  }

  @Test(
    arguments: [TLSRole.client, .server], [Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 0xA5, count: 600)])
  func garbageIsCalledGarbage(_ role: TLSRole, _ bytes: [UInt8]) throws {
    let link = try MemoryLink(parts)
    let end = link.end(role)
    try end.connect()
    end.deliver(bytes)
    #expect(end.events.refusals.map(\.code) == ["tls-not-tls"])
    link.loop.advanceTime(by: .seconds(1))
    #expect(end.isClosed && end.events.events.count == 1)
    link.finish()
  }

  /// Two flights take thousands of seconds so; the limit is ten for all of it, however lively the line.
  @Test(arguments: [TLSRole.client, .server])
  func aByteASecondIsTooSlow(_ role: TLSRole) throws {
    let link = try MemoryLink(parts)
    let end = link.end(role)
    try link.connect()
    var waiting = try link.end(role == .client ? .server : .client).takeSent()
    if role == .client {
      // The server speaks only when it has heard the client.
      link.server.deliver(try link.client.takeSent())
      waiting = try link.server.takeSent()
    }
    for byte in waiting.prefix(9) {
      end.deliver([byte])
      link.loop.advanceTime(by: .seconds(1))
      #expect(end.events.events.isEmpty)
    }
    link.loop.advanceTime(by: .seconds(2))
    #expect(end.events.refusals == [.timedOut] && end.events.events.count == 1 && end.isClosed)
    link.finish()
  }

  @Test(arguments: [TLSRole.client, .server])
  func aSilentPeerIsGivenUp(_ role: TLSRole) throws {
    let link = try MemoryLink(parts)
    let end = link.end(role)
    try end.connect()
    link.loop.advanceTime(by: .seconds(11))
    #expect(end.events.refusals == [.timedOut] && end.isClosed)
    link.finish()
  }
}
