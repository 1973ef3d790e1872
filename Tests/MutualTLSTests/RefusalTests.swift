import Cryptography
import Foundation
import GRPCCore
import NIOCore
import NIOPosix
import Testing

@testable import MutualTLS

/// What is wrong with one side's certificate, and what each side must then say.
struct CertificateFault: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// Code of the refusal on the side that judges.
  let code: String
  /// The alert that the other side receives.
  let alert: TLSAlert
  /// The faulty identity, from the right federation and another one whose authority is not trusted.
  let make: @Sendable (TestFederation, TestFederation, CertificateProfile, String) throws -> TLSIdentity
  /// Whether the key is pinned nevertheless, so that only the fault can be the reason.
  var isPinned = true

  static let all: [CertificateFault] = [
    CertificateFault(
      testDescription: "right authority, unpinned key", code: "tls-unpinned-key", alert: .badCertificate,
      make: { federation, _, profile, name in try federation.identity(name, profile: profile) }, isPinned: false),
    CertificateFault(
      testDescription: "another authority", code: "tls-untrusted-issuer", alert: .unknownAuthority,
      make: { _, other, profile, name in try other.identity(name, profile: profile) }),
    CertificateFault(
      testDescription: "self-signed", code: "tls-untrusted-issuer", alert: .unknownAuthority,
      make: { _, _, _, name in
        let key = try PrivateKey.generate()
        let authority = try CertificateAuthority.create(
          federation: name, key: key, validity: CertificateValidity.days(1))
        return try TLSIdentity(chain: [authority.certificate], privateKey: key)
      }),
    CertificateFault(
      testDescription: "expired", code: "tls-certificate-expired", alert: .certificateExpired,
      make: { federation, _, profile, name in
        try federation.identity(name, profile: profile, validity: CertificateValidity.past)
      }),
    CertificateFault(
      testDescription: "not yet valid", code: "tls-certificate-not-yet-valid", alert: .badCertificate,
      make: { federation, _, profile, name in
        try federation.identity(name, profile: profile, validity: CertificateValidity.future)
      }),
    CertificateFault(
      testDescription: "pinned for another name", code: "tls-name-mismatch", alert: .badCertificate,
      make: { federation, _, profile, _ in try federation.identity("gamma.example", profile: profile) }),
    CertificateFault(
      testDescription: "profile of the other side", code: "tls-certificate-invalid", alert: .unsupportedCertificate,
      make: { federation, _, profile, name in
        try federation.identity(name, profile: profile == .organization ? .server() : .organization)
      }),
  ]
}

@Suite(.timeLimit(.minutes(1)))
struct CertificateRefusalTests {
  @Test(arguments: CertificateFault.all)
  func theServerRefusesAndSaysWhy(_ fault: CertificateFault) async throws {
    let federation = try TestFederation()
    let faulty = try fault.make(federation, TestFederation(), .organization, "delta.example")
    let server = try TestServer(
      alsoPinned: fault.isPinned ? [(faulty, "delta.example")] : [], federation: federation)
    let observer = Recorder<HandshakeEvent>()
    try await server.serving {
      let context = try server.clientContext(as: faulty, observer: observer)
      let expected = HandshakeRefusal.refusedByPeer(role: .client, alert: fault.alert)
      await #expect(throws: TransportError.handshake(expected)) {
        try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
      }
      #expect(expected.message.hasPrefix("The server refused this organisation's certificate: "))
      #expect(await observer.nextRefusal() == expected)

      let event = try #require(await server.handshakes.next())
      #expect(event.peerFingerprint == faulty.fingerprint)
      #expect(event.peerSerial == faulty.chain[0].serial)
      guard case .refused(let refusal) = event.outcome else {
        Issue.record("accepted")
        return
      }
      #expect(refusal.code == fault.code)
      #expect(server.transport.connectedOrganizations.isEmpty)
      // And still serves the others.
      try await server.withClient(as: server.alpha) { client in
        let answer = try await client.call(EchoService.echo, [1])
        #expect(answer == [1])
      }
    }
  }

  @Test(arguments: CertificateFault.all)
  func theClientRefusesAnImpostor(_ fault: CertificateFault) async throws {
    let federation = try TestFederation()
    let faulty = try fault.make(federation, TestFederation(), .server(), "server.example")
    let server = try TestServer(presenting: { _ in faulty }, federation: federation)
    let verifier = fault.isPinned ? try pins((faulty, "server.example")) : try pins((server.identity, "server.example"))
    try await server.serving {
      let context = try server.clientContext(as: server.alpha, verifier: verifier)
      let error = await #expect(throws: TransportError.self) {
        try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: server.transport.port, context: context)
      }
      #expect(error?.code == fault.code)
      let expected = HandshakeRefusal.refusedByPeer(role: .server, alert: fault.alert)
      #expect(await server.handshakes.nextRefusal() == expected)
    }
  }

  @Test func refusalsNameTheFact() async throws {
    let server = try TestServer()
    let unknown = try server.federation.identity("alpha.example")
    try await server.serving {
      await #expect(throws: TransportError.self) { try await server.connect(as: unknown) }
      let refusal = try #require(await server.handshakes.nextRefusal())
      #expect(refusal.message.contains(unknown.fingerprint.hexadecimal))
      #expect(refusal.blame == .peer)
    }
  }
}

@Suite(.timeLimit(.minutes(1)))
struct ProtocolRefusalTests {
  /// Sends bytes to a server, then closes if told to; otherwise holds the connection until `body` is done.
  private static func withRawConnection(
    to server: TestServer, sending bytes: [UInt8], thenClose: Bool = false, _ body: () async throws -> Void
  ) async throws {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: server.transport.port).get()
    if !bytes.isEmpty { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }
    if thenClose { try await channel.close() }
    try await body()
    try? await channel.close()
  }

  @Test(arguments: [Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [UInt8](repeating: 0xA5, count: 600)])
  func garbageIsCalledGarbage(_ bytes: [UInt8]) async throws {
    let server = try TestServer()
    try await server.serving {
      try await ProtocolRefusalTests.withRawConnection(to: server, sending: bytes) {
        #expect(await server.handshakes.nextRefusal()?.code == "tls-not-tls")
      }
    }
  }

  @Test func aSilentPeerIsGivenUp() async throws {
    let server = try TestServer(handshakeTimeout: .milliseconds(100))
    try await server.serving {
      try await ProtocolRefusalTests.withRawConnection(to: server, sending: []) {
        #expect(await server.handshakes.nextRefusal() == .timedOut)
      }
    }
  }

  @Test func aHandshakeCutOffIsTruncated() async throws {
    let server = try TestServer()
    let client = try TLSConnection(context: server.clientContext(as: server.alpha), serverName: nil)
    _ = client.handshake()
    let hello = try #require(client.takeOutput(allocator: ByteBufferAllocator()))
    try await server.serving {
      for count in [1, hello.readableBytes / 2, hello.readableBytes] {
        let bytes = Array(hello.readableBytesView.prefix(count))
        try await ProtocolRefusalTests.withRawConnection(to: server, sending: bytes, thenClose: true) {
          #expect(await server.handshakes.nextRefusal() == .truncated)
        }
      }
    }
  }

  @Test func aSilentServerIsGivenUp() async throws {
    let server = try TestServer()
    // Listens, and never accepts.
    let silent = try ListeningSocket(host: "127.0.0.1", port: 0)
    let context = try server.clientContext(as: server.alpha, handshakeTimeout: .milliseconds(100))
    await #expect(throws: TransportError.handshake(.timedOut)) {
      try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: silent.port, context: context)
    }
    withExtendedLifetime(silent) {}
  }

  /// Arguments for `s_client` and what the server must record; the command presents alpha's certificate if told to.
  struct ClientCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let arguments: [String]
    let presentsCertificate: Bool
    let refusal: HandshakeRefusal?
    let alert: String
  }

  @Test(
    .enabled(if: OpenSSLCommand.isPresent),
    arguments: [
      ClientCase(
        testDescription: "no certificate", arguments: ["-tls1_3", "-alpn", "h2", "-ign_eof"],
        presentsCertificate: false,
        refusal: .noCertificate, alert: "alert certificate required"),
      ClientCase(
        testDescription: "TLS 1.2 only", arguments: ["-tls1_2", "-alpn", "h2"], presentsCertificate: true,
        refusal: .unsupportedVersion, alert: "alert protocol version"),
      ClientCase(
        testDescription: "no ALPN", arguments: ["-tls1_3"], presentsCertificate: true,
        refusal: .noApplicationProtocol, alert: "alert number 120"),
      ClientCase(
        testDescription: "another ALPN", arguments: ["-tls1_3", "-alpn", "http/1.1"], presentsCertificate: true,
        refusal: .noApplicationProtocol, alert: "alert number 120"),
      ClientCase(
        testDescription: "proper", arguments: ["-tls1_3", "-alpn", "h2"], presentsCertificate: true, refusal: nil,
        alert: "ALPN protocol: h2"),
    ])
  func theServerAgainstTheCommand(_ example: ClientCase) async throws {
    let server = try TestServer()
    let files = try server.federation.files(of: server.alpha, named: "alpha")
    try await server.serving {
      var arguments = ["s_client", "-connect", "127.0.0.1:\(server.transport.port)"] + example.arguments
      if example.presentsCertificate { arguments += ["-cert", files.certificate, "-key", files.key] }
      let text = try await OpenSSLCommand.run(arguments).text
      #expect(text.contains(example.alert), "\(text)")
      let event = try #require(await server.handshakes.next())
      if let refusal = example.refusal {
        #expect(event.outcome == .refused(refusal))
      } else {
        guard case .established(let name, _, _) = event.outcome else {
          Issue.record("\(event.outcome)")
          return
        }
        #expect(name.value == "alpha.example")
        #expect(text.contains("Compression: NONE"))
        // No ticket: a resumed session would skip the pin check.
        #expect(!text.contains("New Session Ticket"))
      }
    }
  }

  @Test(
    .enabled(if: OpenSSLCommand.isPresent),
    arguments: [
      (["-tls1_2"], HandshakeRefusal.unsupportedVersion), (["-tls1_3"], .noApplicationProtocol),
      (["-tls1_3", "-alpn", "http/1.1"], .noApplicationProtocol),
    ])
  func theClientAgainstTheCommand(_ arguments: [String], _ refusal: HandshakeRefusal) async throws {
    let server = try TestServer()
    let files = try server.federation.files(of: server.identity, named: "server")
    let context = try server.clientContext(as: server.alpha)
    try await OpenSSLCommand.serving(["-cert", files.certificate, "-key", files.key] + arguments) { port in
      await #expect(throws: TransportError.handshake(refusal)) {
        try await MutualTLSClientTransport.connect(host: "127.0.0.1", port: port, context: context)
      }
    }
  }
}
