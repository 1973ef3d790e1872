import Cryptography
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import MutualTLS

/// Sessions end with their connection: no ticket, no resumption, no pre-shared key, no early data.
@Suite(.timeLimit(.minutes(2)))
struct SessionTests {
  @Test func theServerSendsNothingAfterTheHandshakeOfItsOwnAccord() throws {
    let link = try MemoryLink(try LinkParts())
    var flights: [TLSRole: Int] = [:]
    try link.connect()
    try link.exchange { sender, _, bytes in
      flights[sender, default: 0] += 1
      return bytes
    }
    #expect(link.server.handler.peer != nil)
    // Hello, and certificate with Finished; a ticket would be the server's second flight.
    #expect(flights == [.client: 2, .server: 1])
    link.finish()
  }

  /// A session that another server with the same certificate gave is offered to ours: it must judge the certificate
  /// anew, and refuses who has none.
  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"))
  func aSessionIsNotResumed() async throws {
    let server = try TestServer()
    let own = try server.federation.files(of: server.identity, named: "server")
    let alpha = try server.federation.files(of: server.alpha, named: "alpha")
    let session = server.federation.path("session")
    try await OpenSSLCommand.serving(["-cert", own.certificate, "-key", own.key, "-tls1_3", "-alpn", "h2"]) { port in
      try await OpenSSLCommand.running(["s_client", "-connect", "127.0.0.1:\(port)", "-sess_out", session]) {
        while !FileManager.default.fileExists(atPath: session) { try await Task.sleep(for: .milliseconds(20)) }
      }
    }
    try await server.serving {
      let offer = ["s_client", "-connect", "127.0.0.1:\(server.transport.port)", "-alpn", "h2", "-sess_in", session]
      let text = try await OpenSSLCommand.run(offer + ["-cert", alpha.certificate, "-key", alpha.key]).text
      #expect(text.contains("New, TLSv1.3") && !text.contains("Reused,"), "\(text)")
      #expect(await server.handshakes.next()?.refusal == nil)
      _ = try await OpenSSLCommand.run(offer + ["-ign_eof"])
      #expect(await server.handshakes.nextRefusal() == .noCertificate)
    }
  }

  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"))
  func aPreSharedKeyIsNotAccepted() async throws {
    let server = try TestServer()
    try await server.serving {
      let text = try await OpenSSLCommand.run([
        "s_client", "-connect", "127.0.0.1:\(server.transport.port)", "-alpn", "h2", "-tls1_3", "-ign_eof",
        "-psk_identity", "alpha.example", "-psk", String(repeating: "1a", count: 32),
      ]).text
      #expect(text.contains("alert number 116"), "\(text)")
      #expect(await server.handshakes.nextRefusal() == .noCertificate)
    }
  }
}

/// Secrets for a developer's eyes, only when asked for in code.
@Suite(.timeLimit(.minutes(1)))
struct KeyLogTests {
  @Test func theSecretsOfAConnectionAreWrittenWhenAskedFor() throws {
    let parts = try LinkParts()
    let path = parts.federation.path("keys.log")
    let warnings = Collected()
    let keyLog = try KeyLog(creatingFile: path) { warnings.add($0) }
    #expect(warnings.all.count == 1 && warnings.all[0].contains(path))
    let context = try TLSContext(
      role: .server, identity: parts.server, authorities: [parts.federation.authority.certificate],
      verifier: pins((parts.client, "alpha.example")), keyLog: keyLog)
    let link = try MemoryLink(parts, server: context)
    try link.establish()
    link.finish()
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET"] {
      #expect(lines.contains { $0.hasPrefix("\(label) ") && $0.split(separator: " ").count == 3 })
    }
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let exists = CredentialError.keyLogUnwritable(path: path, reason: "File exists")
    #expect(throws: exists) { try KeyLog(creatingFile: path) { _ in } }
    #expect(!exists.message.contains("private key") && !exists.remedy.contains("key"))
    let nowhere = parts.federation.path("nowhere/keys.log")
    #expect(throws: CredentialError.keyLogUnwritable(path: nowhere, reason: "No such file or directory")) {
      try KeyLog(creatingFile: nowhere) { _ in }
    }
  }

  @Test func theEnvironmentTurnsNothingOn() throws {
    let parts = try LinkParts()
    let path = parts.federation.path("environment.log")
    setenv("SSLKEYLOGFILE", path, 1)
    defer { unsetenv("SSLKEYLOGFILE") }
    let link = try MemoryLink(parts)
    try link.establish()
    link.finish()
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  private final class Collected: Sendable {
    private let list = Mutex<[String]>([])
    var all: [String] { list.withLock { $0 } }
    func add(_ text: String) { list.withLock { $0.append(text) } }
  }
}

/// The scan from outside, against a server in this process.
@Suite(.timeLimit(.minutes(5)))
struct ScanTests {
  static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../.ci/check-scan").standardizedFileURL.path

  private static func scan(_ server: TestServer, port: Int) async throws -> OpenSSLCommand.Output {
    let files = try server.federation.files(of: server.alpha, named: "scan-\(port)")
    let authority = try server.federation.write(server.federation.authority.certificate.pem, to: "authority.crt")
    return try await OpenSSLCommand.run(
      ["127.0.0.1:\(port)", files.certificate, files.key, authority], program: script)
  }

  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"))
  func theServerPassesTheScan() async throws {
    var limits = TransportLimits()
    limits.handshakeBurstPerAddress = 10_000
    let server = try TestServer(limits: limits)
    try await server.serving {
      let result = try await Self.scan(server, port: server.transport.port)
      #expect(result.status == 0, "\(result.text)")
    }
  }

  /// The scan finds what is wrong with a server that is not ours.
  @Test(.enabled(if: OpenSSLCommand.isPresent, "there is no openssl command"))
  func theScanFindsFaults() async throws {
    let server = try TestServer()
    let own = try server.federation.files(of: server.identity, named: "server")
    try await OpenSSLCommand.serving(["-cert", own.certificate, "-key", own.key]) { port in
      let result = try await Self.scan(server, port: port)
      #expect(result.status != 0)
      for fault in [
        "accepts tls1_2", "sends session tickets", "accepts the group P-521", "does not choose HTTP/2",
        "asks for no client certificate", "accepts a client without ALPN", "does not require a client certificate",
      ] { #expect(result.text.contains(fault), "\(fault) not found in \(result.text)") }
      if FileManager.default.isExecutableFile(atPath: "/usr/bin/sslscan") {
        #expect(result.text.contains("sslscan was accepted below TLS 1.3"), "\(result.text)")
      }
    }
  }
}
