import Cryptography
import Foundation
import GRPCCore
import Testing

@testable import MutualTLS

/// An authority run with the `openssl` command and `certs/openssl.cnf`, as an operator with a PKI of their own would.
struct OwnAuthority: Sendable {
  static let certs = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("certs")

  let federation: TestFederation
  /// `openssl.cnf` followed by the sections that a test adds.
  let configuration: String

  var certificate: Certificate { get throws { try Certificate(contentsOfFile: federation.path("ca.crt")) } }

  /// - Parameter sections: further profiles, in the configuration's format.
  init(sections: String = "") async throws {
    federation = try TestFederation()
    let given = try String(contentsOf: OwnAuthority.certs.appendingPathComponent("openssl.cnf"), encoding: .utf8)
    configuration = try federation.write(given + "\n" + sections, to: "openssl.cnf")
    try await makeAuthority("ca")
  }

  func makeAuthority(_ file: String, name: String = "Own authority") async throws {
    try await run(
      [
        "req", "-x509", "-config", configuration, "-section", "authority", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-noenc", "-days", "365", "-sha256",
        "-keyout", federation.path("\(file).key"), "-out", federation.path("\(file).crt"),
      ], name: name)
  }

  func run(_ arguments: [String], name: String) async throws {
    let output = try await OpenSSLCommand.run(
      arguments, environment: ["NAME": name, "ADDRESSES": "IP:127.0.0.1", "FEDERATION": name])
    guard output.status == 0 else { throw OpenSSLCommand.CommandFailed(text: output.text) }
  }

  /// Makes a key and a request for `name` in files called `file`.
  func request(
    _ name: String, file: String, key: [String] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
  ) async throws {
    let base = federation.path(file)
    try await run(
      ["req", "-new", "-config", configuration] + key + ["-noenc", "-keyout", "\(base).key", "-out", "\(base).csr"],
      name: name)
  }

  /// Issues for the request in `file`, with a profile of the configuration.
  func issue(
    _ name: String, file: String, profile: String, authority: String = "ca", options: [String] = ["-sha256"],
    to certificate: String? = nil
  ) async throws {
    try await run(
      [
        "x509", "-req", "-in", federation.path("\(file).csr"), "-CA", federation.path("\(authority).crt"),
        "-CAkey", federation.path("\(authority).key"), "-days", "30", "-extfile", configuration,
        "-extensions", profile, "-out", federation.path("\(certificate ?? file).crt"),
      ] + options, name: name)
  }

  /// Key, request and certificate.
  func leaf(_ name: String, profile: String, authority: String = "ca") async throws -> TLSIdentity {
    try await request(name, file: name)
    try await issue(name, file: name, profile: profile, authority: authority)
    return try TLSIdentity(
      certificateFile: federation.path("\(name).crt"), privateKey: .file(federation.path("\(name).key")))
  }

  func request(in file: String) throws -> CertificateRequest {
    try CertificateRequest(pem: String(contentsOfFile: federation.path("\(file).csr"), encoding: .utf8))
  }

  func certificate(in file: String) throws -> Certificate {
    try Certificate(contentsOfFile: federation.path("\(file).crt"))
  }
}

/// One connection between two identities, and a call over it.
func requireConnection(
  client: TLSIdentity, named clientName: String, server: TLSIdentity, authorities: [Certificate]
) async throws {
  let transport = try MutualTLSServerTransport.make(
    host: "127.0.0.1", port: 0,
    context: TLSContext(
      role: .server, identity: server, authorities: authorities, verifier: pins((client, clientName))))
  try await withEchoServer(transport) {
    let connection = try await MutualTLSClientTransport.connect(
      host: "127.0.0.1", port: transport.port,
      context: TLSContext(
        role: .client, identity: client, authorities: authorities, verifier: pins((server, "server.example"))))
    #expect(connection.peer.name.value == "server.example")
    try await withGRPCClient(transport: connection) { caller in
      let answer = try await caller.call(EchoService.echo, Array("hello".utf8))
      #expect(answer == Array("hello".utf8))
    }
  }
}
