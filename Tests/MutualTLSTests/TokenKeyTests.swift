import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// Keys in a token, through the engine `pkcs11`. Every test is a process of its own: a token's login and the engine belong
/// to the process. That it also ends well is part of each test: engines are taken down at its end.
@Suite(
  .enabled(if: SoftToken.isPresent, "needs the packages softhsm2 and libengine-pkcs11-openssl"),
  .timeLimit(.minutes(2)))
struct TokenKeyTests {
  @Test func aKeyInATokenSignsAndServesBothSides() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let key = try SoftToken.key()
        #expect(try key.publicKeyHash == token.publicKeyHash)

        let name = try OrganizationName("alpha.example")
        let request = try CertificateRequest.create(name: name, key: key)
        #expect(request.publicKeyHash == token.publicKeyHash)
        let certificate = try token.federation.authority.issue(
          request, name: name, profile: .organization, validity: CertificateValidity.days(1))
        try certificate.check(
          issuedFor: request, name: name, profile: .organization,
          authorities: [token.federation.authority.certificate])
        let authorities = [token.federation.authority.certificate]
        let server = try token.federation.identity("server.example", profile: .server(addresses: ["127.0.0.1"]))
        try await requireConnection(
          client: TLSIdentity(chain: [certificate], privateKey: key), named: "alpha.example", server: server,
          authorities: authorities)

        // The same key as a server's, and loaded a second time.
        let serverName = try OrganizationName("server.example")
        let again = try SoftToken.key()
        let serverCertificate = try token.federation.authority.issue(
          CertificateRequest.create(name: serverName, key: again), name: serverName,
          profile: .server(addresses: ["127.0.0.1"]), validity: CertificateValidity.days(1))
        let alpha = try token.federation.identity("alpha.example")
        try await requireConnection(
          client: alpha, named: "alpha.example",
          server: TLSIdentity(chain: [serverCertificate], privateKey: again), authorities: authorities)
      }
    }
  }

  /// Event loops sign on threads of their own.
  @Test func manyHandshakesAtOnceUseOneToken() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let key = try SoftToken.key()
        let name = try OrganizationName("server.example")
        let authorities = [token.federation.authority.certificate]
        let certificate = try token.federation.authority.issue(
          CertificateRequest.create(name: name, key: key), name: name, profile: .server(addresses: ["127.0.0.1"]),
          validity: CertificateValidity.days(1))
        let server = try TLSIdentity(chain: [certificate], privateKey: key)
        let alpha = try token.federation.identity("alpha.example")
        let transport = try MutualTLSServerTransport.make(
          host: "127.0.0.1", port: 0,
          context: TLSContext(
            role: .server, identity: server, authorities: authorities, verifier: pins((alpha, "alpha.example"))))
        let context = try TLSContext(
          role: .client, identity: alpha, authorities: authorities, verifier: pins((server, "server.example")))
        try await withEchoServer(transport) {
          let exporters = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<32 {
              group.addTask {
                let connection = try await MutualTLSClientTransport.connect(
                  host: "127.0.0.1", port: transport.port, context: context)
                connection.closeNow()
                await connection.waitForClose()
                return connection.peer.exporter
              }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
          }
          #expect(exporters.count == 32)
        }
      }
    }
  }

  @Test func anAuthoritysKeyMayBeInAToken() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let authority = try CertificateAuthority.create(
          federation: "In a token", key: SoftToken.key(), validity: CertificateValidity.days(30))
        #expect(authority.certificate.publicKeyHash == token.publicKeyHash)
        let name = try OrganizationName("alpha.example")
        let request = try CertificateRequest.create(name: name, key: PrivateKey.generate())
        let certificate = try authority.issue(
          request, name: name, profile: .organization, validity: CertificateValidity.days(1))
        let renewed = try authority.renew(certificate, validity: CertificateValidity.days(2))
        for issued in [certificate, renewed] {
          try issued.check(
            issuedFor: request, name: name, profile: .organization, authorities: [authority.certificate])
        }
      }
    }
  }

  @Test func aWrongPINIsToldFromNone() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let source = "pkcs11:token=bauta;object=tls"
        #expect(SoftToken.problem(pin: nil) == .pinMissing(source: source))
        #expect(SoftToken.problem(pin: "87654321") == .pinWrong(source: source))
        // Shorter and longer than any token's; the token is not even asked.
        for pin in ["123", String(repeating: "1", count: 33), String(repeating: "1", count: 1024)] {
          #expect(SoftToken.problem(pin: pin) == .pinWrong(source: source), "\(pin.count)")
        }
        // None of it stands in the way of the right one.
        #expect(try SoftToken.key().publicKeyHash == token.publicKeyHash)
      }
    }
  }

  @Test func anAbsentTokenIsToldFromAnAbsentKey() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (_) async throws in
        #expect(
          SoftToken.problem(SoftToken.source(token: "other")) == .tokenAbsent(source: "pkcs11:token=other;object=tls"))
        let absent = KeyAccessProblem.keyNotInToken(source: "pkcs11:token=bauta;object=other")
        #expect(SoftToken.problem(SoftToken.source(object: "other")) == absent)
        #expect(SoftToken.problem(SoftToken.source(object: "other"), pin: nil) == absent)
        _ = try SoftToken.key()
      }
    }
  }

  @Test(.enabled(if: SoftToken.canDelete, "needs the package opensc"))
  func aKeyTakenOutOfTheTokenIsSaid() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        try token.deleteKey()
        #expect(SoftToken.problem() == .keyNotInToken(source: "pkcs11:token=bauta;object=tls"))
      }
    }
  }

  /// A token that is pulled out while the program runs: signing fails as an error, and the handshake with it.
  @Test(.enabled(if: SoftToken.canDelete, "needs the package opensc"))
  func aKeyTakenOutWhileInUseFailsTheHandshake() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let key = try SoftToken.key()
        let name = try OrganizationName("alpha.example")
        let certificate = try token.federation.authority.issue(
          CertificateRequest.create(name: name, key: key), name: name, profile: .organization,
          validity: CertificateValidity.days(1))
        let alpha = try TLSIdentity(chain: [certificate], privateKey: key)
        let server = try token.federation.identity("server.example", profile: .server(addresses: ["127.0.0.1"]))
        try token.deleteKey()
        let refusal = await #expect(throws: TransportError.self) {
          try await requireConnection(
            client: alpha, named: "alpha.example", server: server,
            authorities: [token.federation.authority.certificate])
        }
        #expect(refusal?.code == "tls-protocol-failure" && refusal?.message.contains("Object handle invalid") == true)
        let error = #expect(throws: CredentialError.self) { try CertificateRequest.create(name: name, key: key) }
        #expect(error?.code == "openssl-failure")
      }
    }
  }

  @Test func aTokenTakenOutIsSaid() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        try token.deleteToken()
        #expect(SoftToken.problem() == .tokenAbsent(source: "pkcs11:token=bauta;object=tls"))
      }
    }
  }

  @Test func thePINMayComeFromAPrivateFile() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        let file = try token.federation.write("\(SoftToken.pin)\n", to: "pin")
        let source = SoftToken.source(query: "?pin-source=file:\(file)")
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: file)
        #expect(SoftToken.problem(source, pin: nil) == .passphraseExposed(path: file, mode: 0o640))
        try FileManager.default.setAttributes([.posixPermissions: 0o400], ofItemAtPath: file)
        #expect(try SoftToken.key(source, pin: nil).publicKeyHash == token.publicKeyHash)
      }
    }
  }

  @Test func aDirectoryNamesItsKeyInTheToken() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        _ = try token.federation.write("pkcs11:token=bauta;id=%01;type=private\n", to: "tls.key.uri")
        let source = try PrivateKeySource.resolve(keyPath: token.federation.path("tls.key"))
        #expect(try SoftToken.key(source).publicKeyHash == token.publicKeyHash)
      }
    }
  }

  /// As `certs/README.md` shows it.
  @Test func theModuleMayBeNamedInTheConfiguration() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run(configuringModule: true) { (token) async throws in
        try OpenSSLConfiguration.check()
        #expect(try SoftToken.key().publicKeyHash == token.publicKeyHash)
      }
    }
  }

  @Test func withoutTheEngineTheErrorSaysWhatToInstall() async {
    await #expect(processExitsWith: .success) {
      try await SoftToken.run { (token) async throws in
        setenv("OPENSSL_ENGINES", token.federation.directory.path, 1)
        let problem = SoftToken.problem()
        // Where a provider has a store for such keys, no engine is needed.
        #expect(problem == .noLoader(scheme: "pkcs11"))
        #expect(problem?.remedy.contains("libengine-pkcs11-openssl") == true)
      }
    }
  }
}
