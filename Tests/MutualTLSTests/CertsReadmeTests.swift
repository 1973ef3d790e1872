import Cryptography
import Foundation
import Testing

@testable import MutualTLS

/// The commands of `certs/README.md`, run as they stand there.
@Suite(.enabled(if: OpenSSLCommand.isPresent, "needs the openssl command"), .timeLimit(.minutes(2)))
struct CertsReadmeTests {
  /// The README's shell blocks.
  private static func blocks() throws -> [String] {
    let text = try String(contentsOf: OwnAuthority.certs.appendingPathComponent("README.md"), encoding: .utf8)
    let parts = text.components(separatedBy: "```")
    return parts.enumerated().filter { $0.offset % 2 == 1 && $0.element.hasPrefix("sh\n") }
      .map { String($0.element.dropFirst(3)) }
  }

  /// The one block that holds all of `parts`.
  private static func block(_ parts: String...) throws -> String {
    let found = try blocks().filter { block in parts.allSatisfy { block.contains($0) } }
    try #require(found.count == 1, "\(parts)")
    return found[0]
  }

  private static func run(_ script: String, in federation: TestFederation) async throws -> String {
    let file = try federation.write("set -e\ncd '\(federation.directory.path)'\n\(script)", to: "script.sh")
    let output = try await OpenSSLCommand.run(["/bin/sh", file], program: "/usr/bin/env")
    try #require(output.status == 0, "\(script)\n\(output.text)")
    return output.text
  }

  @Test func theCommandsMakeCertificatesThatServe() async throws {
    let federation = try TestFederation()
    let configuration = try String(
      contentsOf: OwnAuthority.certs.appendingPathComponent("openssl.cnf"), encoding: .utf8)
    _ = try federation.write(configuration, to: "openssl.cnf")
    func run(_ script: String) async throws -> String { try await CertsReadmeTests.run(script, in: federation) }

    _ = try await run(CertsReadmeTests.block("-section authority"))
    _ = try await run(CertsReadmeTests.block("-keyout tls.key", "req -new"))
    _ = try await run(CertsReadmeTests.block("-extensions organization"))
    let checks = [
      try await run(CertsReadmeTests.block("-noout -pubkey")), try await run(CertsReadmeTests.block("openssl verify")),
    ]
    // Three times the same hash, and that is the one that is pinned.
    let hashes = checks[0].split(separator: "\n").map { $0.split(separator: " ").last.map(String.init) ?? "" }
    let authority = try Certificate(contentsOfFile: federation.path("ca.crt"))
    let alpha = try TLSIdentity(
      certificateFile: federation.path("tls.crt"), privateKey: .file(federation.path("tls.key")))
    #expect(hashes == [String](repeating: alpha.fingerprint.hexadecimal, count: 3))
    #expect(checks[1].contains("tls.crt: OK") && checks[1].contains("DNS:hospital-a.example"))
    let request = try CertificateRequest(pem: String(contentsOfFile: federation.path("tls.csr"), encoding: .utf8))
    try alpha.chain[0].check(
      issuedFor: request, name: OrganizationName("hospital-a.example"), profile: .organization,
      authorities: [authority])

    // The same file names, so the organisation's are overwritten.
    try FileManager.default.removeItem(atPath: federation.path("tls.key"))
    _ = try PrivateKey.generate(creatingFile: federation.path("tls.key"))
    _ = try await run(CertsReadmeTests.block("-key tls.key", "NAME=server.example"))
    _ = try await run(CertsReadmeTests.block("-extensions server"))
    let server = try TLSIdentity(
      certificateFile: federation.path("tls.crt"), privateKey: .file(federation.path("tls.key")))
    #expect(server.chain[0].names == ["server.example", "fl.example.org"])
    try server.chain[0].check(
      issuedFor: CertificateRequest(pem: String(contentsOfFile: federation.path("tls.csr"), encoding: .utf8)),
      name: OrganizationName("server.example"),
      profile: .server(hostNames: ["fl.example.org"], addresses: ["192.0.2.7"]), authorities: [authority])
    try await requireConnection(
      client: alpha, named: "hospital-a.example", server: server, authorities: [authority])
  }

  /// The codes that the README tells of are those of the errors.
  @Test func theCodesExist() throws {
    let text = try String(contentsOf: OwnAuthority.certs.appendingPathComponent("README.md"), encoding: .utf8)
    let name = try OrganizationName("alpha.example")
    let hash = try PrivateKey.generate().publicKeyHash
    let errors: [CredentialError] =
      [
        CertificateDefect.isAuthority, .keyUsageLacksSignature, .extendedKeyUsageLacks(wanted: ""),
        .nameMissing(expected: name, found: []), .otherKey(expected: hash, found: hash),
        .tooWeak(subject: "", detail: ""),
        .unknownIssuer(issuer: ""), .issuerOutOfDate(subject: "", detail: ""), .chain(subject: "", detail: ""),
        .expired(since: Date()), .notYetValid(until: Date()),
      ].map { CredentialError.defect($0) } + [
        .keyTooWeak(securityBits: 80), .configuration(path: "", detail: ""), .keyAccess(.pinWrong(source: "")),
      ]
    for error in errors { #expect(text.contains("`\(error.code)`"), "\(error.code)") }
  }
}
