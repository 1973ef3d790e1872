import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// A token of SoftHSM2, in a directory of its own. Environment variables say where, and the engine keeps its state for the
/// life of the process, so this is for processes that do nothing else: exit tests.
struct SoftToken {
  static let pin = "12345678"
  static let label = "bauta"

  private static let tool = "/usr/bin/softhsm2-util"
  private static let module = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"]
    .first { FileManager.default.fileExists(atPath: $0) }
  private static let objectTool = "/usr/bin/pkcs11-tool"

  private static let engine = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
    .map { "/usr/lib/\($0)/engines-3/pkcs11.so" }.first { FileManager.default.fileExists(atPath: $0) }

  static var isPresent: Bool {
    FileManager.default.isExecutableFile(atPath: tool) && module != nil && engine != nil
  }

  static var canDelete: Bool { isPresent && FileManager.default.isExecutableFile(atPath: objectTool) }

  let federation: TestFederation
  /// The public key of what is in the token.
  let publicKeyHash: CertificateKeyHash

  /// A token with one EC P-256 key, called `tls`.
  ///
  /// - Parameter configuringModule: names the module in OpenSSL's configuration instead of the environment.
  init(configuringModule: Bool = false) throws {
    let module = try #require(SoftToken.module)
    if configuringModule {
      let configuration = """
        openssl_conf = init
        [init]
        engines = engines
        [engines]
        pkcs11 = pkcs11
        [pkcs11]
        dynamic_path = \(try #require(SoftToken.engine))
        MODULE_PATH = \(module)
        init = 0
        """
      let path = FileManager.default.temporaryDirectory.appendingPathComponent("openssl-\(UUID().uuidString).cnf").path
      try configuration.write(toFile: path, atomically: true, encoding: .utf8)
      setenv("OPENSSL_CONF", path, 1)
      unsetenv("PKCS11_MODULE_PATH")
    } else {
      setenv("PKCS11_MODULE_PATH", module, 1)
    }
    federation = try TestFederation()
    let store = federation.path("tokens")
    try FileManager.default.createDirectory(atPath: store, withIntermediateDirectories: false)
    let configuration = try federation.write(
      "directories.tokendir = \(store)\nobjectstore.backend = file\nlog.level = ERROR\n", to: "softhsm2.conf")
    setenv("SOFTHSM2_CONF", configuration, 1)
    let file = federation.path("imported.key")
    publicKeyHash = try PrivateKey.generate(creatingFile: file).publicKeyHash
    try SoftToken.run(
      SoftToken.tool,
      ["--init-token", "--free", "--label", SoftToken.label, "--pin", SoftToken.pin, "--so-pin", "87654321"])
    try SoftToken.run(
      SoftToken.tool,
      ["--import", file, "--token", SoftToken.label, "--label", "tls", "--id", "01", "--pin", SoftToken.pin])
    try FileManager.default.removeItem(atPath: file)
  }

  func deleteKey() throws {
    for type in ["privkey", "pubkey"] {
      try SoftToken.run(
        SoftToken.objectTool,
        [
          "--module", try #require(SoftToken.module), "--token-label", SoftToken.label, "--login", "--pin",
          SoftToken.pin, "--delete-object", "--type", type, "--label", "tls",
        ])
    }
  }

  func deleteToken() throws { try SoftToken.run(SoftToken.tool, ["--delete-token", "--token", SoftToken.label]) }

  static func source(token: String = label, object: String = "tls", query: String = "") -> PrivateKeySource {
    PrivateKeySource("pkcs11:token=\(token);object=\(object);type=private\(query)")
  }

  static func key(
    _ source: PrivateKeySource = source(), pin: String? = pin
  ) throws -> PrivateKey {
    try PrivateKey(loading: source, passphrase: pin.map { try PassphraseTests.passphrase($0) })
  }

  /// The problem with which loading a key fails.
  static func problem(_ source: PrivateKeySource = source(), pin: String? = pin) -> KeyAccessProblem? {
    let error = #expect(throws: CredentialError.self) { try key(source, pin: pin) }
    for text in [error?.message ?? "", error?.remedy ?? "", error.map { "\($0)" } ?? ""] {
      #expect(!text.contains(SoftToken.pin))
    }
    guard case .keyAccess(let problem)? = error else { return nil }
    return problem
  }

  private static func run(_ program: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(program) \(arguments.first ?? "")")
  }
}
