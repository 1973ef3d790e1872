import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// The system's OpenSSL configuration, which is read once a process: each test is one of its own.
@Suite(.timeLimit(.minutes(2)))
struct OpenSSLConfigurationTests {
  /// Makes a file with `text` the system's configuration of this process. To be called before OpenSSL is used.
  private static func use(_ text: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("openssl-\(UUID().uuidString).cnf").path
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    setenv("OPENSSL_CONF", path, 1)
    return path
  }

  private static func use(libssl settings: String) throws -> String {
    try use(
      """
      openssl_conf = init
      [init]
      ssl_conf = ssl
      [ssl]
      system_default = defaults
      [defaults]
      \(settings)
      """)
  }

  private static func problem() -> CredentialError? {
    do throws(CredentialError) {
      try OpenSSLConfiguration.check()
      return nil
    } catch { return error }
  }

  @Test func theSystemsConfigurationIsAccepted() throws { try OpenSSLConfiguration.check() }

  /// Level 3 asks for 128 bits: an RSA key of 2048 bits (112) does not do any more, P-256 does.
  @Test(.enabled(if: OpenSSLCommand.isPresent, "needs the openssl command"), arguments: [2, 3])
  func aStricterSecurityLevelIsHonoured(_ level: Int) async {
    await #expect(processExitsWith: .success) { [level] in
      let file = try OpenSSLConfigurationTests.use(libssl: "CipherString = DEFAULT@SECLEVEL=\(level)")
      defer { unlink(file) }
      let federation = try TestFederation()
      let path = federation.path("rsa.key")
      // The command would read this process's configuration too, where it does no harm.
      #expect(
        try await OpenSSLCommand.run(
          ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path]
        ).status == 0)
      let key = try PrivateKey(loading: .file(path))
      let name = try OrganizationName("alpha.example")
      let certificate = try federation.authority.issue(
        CertificateRequest.create(name: name, key: key), name: name, profile: .organization,
        validity: CertificateValidity.days(1))
      let rsa = try TLSIdentity(chain: [certificate], privateKey: key)
      let elliptic = try federation.identity("alpha.example")
      func context(_ identity: TLSIdentity) throws -> TLSContext {
        try TLSContext(
          role: .client, identity: identity, authorities: [federation.authority.certificate], verifier: PinTable([:]))
      }
      _ = try context(elliptic)
      if level == 3 {
        let error = #expect(throws: CredentialError.self) { try context(rsa) }
        #expect(error?.code == "openssl-failure" && error?.message.contains("too small") == true)
      } else {
        _ = try context(rsa)
      }
    }
  }

  /// Ours are the lower bounds: a laxer level, older protocols and other groups in the file change nothing.
  @Test func laxerSettingsAreOverridden() async {
    await #expect(processExitsWith: .success) {
      let file = try OpenSSLConfigurationTests.use(
        libssl: """
          CipherString = DEFAULT@SECLEVEL=0
          MinProtocol = TLSv1
          MaxProtocol = TLSv1.2
          Groups = secp521r1
          Ciphersuites = TLS_CHACHA20_POLY1305_SHA256
          Options = UnsafeLegacyRenegotiation
          """)
      defer { unlink(file) }
      let server = try TestServer()
      try await server.serving {
        let connection = try await server.connect(as: server.alpha)
        let event = try #require(await server.handshakes.next())
        #expect(event.version == "TLSv1.3" && event.cipher == "TLS_AES_256_GCM_SHA384" && event.group == "x25519")
        connection.closeNow()
        await connection.waitForClose()
      }
    }
  }

  @Test func aMalformedFileIsAnError() async {
    await #expect(processExitsWith: .success) {
      let file = try OpenSSLConfigurationTests.use("openssl_conf = init\n[init\nssl_conf = ssl\n")
      defer { unlink(file) }
      let error = try #require(OpenSSLConfigurationTests.problem())
      #expect(error.code == "openssl-configuration-invalid" && error.blame == .local)
      #expect(error.message.contains(file) && error.message.contains("line 2"))
      // Whatever needs OpenSSL says the same.
      #expect(throws: error) { try PrivateKey.generate() }
      #expect(throws: error) { try PrivateKey(loading: .file("/nowhere")) }
    }
  }

  @Test func aMissingFileIsAnError() async {
    await #expect(processExitsWith: .success) {
      setenv("OPENSSL_CONF", "/nowhere/openssl.cnf", 1)
      #expect(
        OpenSSLConfigurationTests.problem()
          == .configuration(path: "/nowhere/openssl.cnf", detail: "there is no such file"))
    }
  }

  @Test func noFileIsAChoice() async {
    await #expect(processExitsWith: .success) {
      setenv("OPENSSL_CONF", "", 1)
      try OpenSSLConfiguration.check()
      _ = try PrivateKey.generate()
    }
    await #expect(processExitsWith: .success) {
      setenv("OPENSSL_CONF", "/dev/null", 1)
      try OpenSSLConfiguration.check()
      _ = try PrivateKey.generate()
    }
  }

  /// OpenSSL by itself would go on without the provider.
  @Test func aProviderThatCannotBeLoadedIsAnError() async {
    await #expect(processExitsWith: .success) {
      let file = try OpenSSLConfigurationTests.use(
        """
        openssl_conf = init
        [init]
        providers = providers
        [providers]
        default = activated
        no-such-provider = activated
        [activated]
        activate = 1
        """)
      defer { unlink(file) }
      #expect(OpenSSLConfigurationTests.problem()?.code == "openssl-configuration-invalid")
    }
  }

  @Test(arguments: ["CipherString = DEFAULT@SECLEVEL=9", "MinProtocol = TLSv9", "NoSuchSetting = 1"])
  func aBadSettingForLibsslIsAnError(_ setting: String) async {
    await #expect(processExitsWith: .success) { [setting] in
      let file = try OpenSSLConfigurationTests.use(libssl: setting)
      defer { unlink(file) }
      #expect(OpenSSLConfigurationTests.problem()?.code == "openssl-configuration-invalid", "\(setting)")
    }
  }

  /// FIPS is asked for, and there is no provider for it: nothing works, and nothing falls back to other implementations.
  @Test func withoutTheProviderFIPSFailsClosed() async {
    await #expect(processExitsWith: .success) {
      let file = try OpenSSLConfigurationTests.use(FIPSProvider.configuration(loading: []))
      defer { unlink(file) }
      try OpenSSLConfiguration.check()
      let error = #expect(throws: CredentialError.self) { try PrivateKey.generate() }
      #expect(error?.code == "openssl-failure")
    }
  }

  @Test(
    .enabled(if: FIPSProvider.isInstalled, "needs a FIPS provider with its fipsmodule.cnf; Debian 12 has none"))
  func withTheProviderFIPSWorks() async {
    await #expect(processExitsWith: .success) {
      let file = try OpenSSLConfigurationTests.use(FIPSProvider.configuration(loading: ["fips", "base"]))
      defer { unlink(file) }
      let server = try TestServer()
      try await server.serving {
        let connection = try await server.connect(as: server.alpha)
        let event = try #require(await server.handshakes.next())
        // X25519 is not among what FIPS 140-3 approves.
        #expect(event.group == "secp256r1" && event.cipher == "TLS_AES_256_GCM_SHA384")
        connection.closeNow()
        await connection.waitForClose()
      }
    }
  }
}

/// OpenSSL's FIPS provider, where somebody has built and installed it.
enum FIPSProvider {
  private static let module = [
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/lib64",
  ]
  .map { "\($0)/ossl-modules/fips.so" }.first { FileManager.default.fileExists(atPath: $0) }
  /// Its checksum and self test, as `openssl fipsinstall` writes them.
  private static let section = ["/etc/ssl", "/usr/lib/ssl", "/usr/local/ssl"]
    .map { "\($0)/fipsmodule.cnf" }.first { FileManager.default.fileExists(atPath: $0) }

  static var isInstalled: Bool { module != nil && section != nil }

  static func configuration(loading providers: [String]) -> String {
    let section = FIPSProvider.section.map { ".include \($0)" } ?? ""
    return """
      config_diagnostics = 1
      openssl_conf = init
      \(providers.contains("fips") ? section : "")
      [init]
      providers = providers
      alg_section = algorithms
      [providers]
      \(providers.map { "\($0) = \($0)_sect" }.joined(separator: "\n"))
      [base_sect]
      activate = 1
      [algorithms]
      default_properties = fips=yes
      """
  }
}
