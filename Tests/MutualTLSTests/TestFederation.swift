import Cryptography
import Foundation
import GRPCCore
import Synchronization

@testable import MutualTLS

/// A certificate authority and whatever certificates a test asks for, in a directory that goes with the test.
final class TestFederation: Sendable {
  let directory: URL
  let authority: CertificateAuthority

  init(name: String = "Test federation") throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("mutual-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    authority = try CertificateAuthority.create(
      federation: name, key: PrivateKey.generate(), validity: CertificateValidity.days(30))
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  func path(_ file: String) -> String { directory.appendingPathComponent(file).path }

  func write(_ text: String, to file: String) throws -> String {
    try text.write(toFile: path(file), atomically: true, encoding: .utf8)
    return path(file)
  }

  /// An identity whose certificate says `name`, valid now unless told otherwise.
  func identity(
    _ name: String, profile: CertificateProfile = .organization, validity: CertificateValidity? = nil
  ) throws -> TLSIdentity {
    let key = try PrivateKey.generate()
    let name = try OrganizationName(name)
    let certificate = try authority.issue(
      CertificateRequest.create(name: name, key: key), name: name, profile: profile,
      validity: validity ?? CertificateValidity.days(7))
    return try TLSIdentity(chain: [certificate], privateKey: key)
  }

  /// The files of an identity, for the `openssl` command.
  func files(of identity: TLSIdentity, named name: String) throws -> (certificate: String, key: String) {
    let key = path("\(name).key")
    try identity.privateKey.write(creatingFile: key)
    return (try write(identity.chain[0].pem, to: "\(name).crt"), key)
  }
}

extension TLSIdentity {
  var fingerprint: CertificateKeyHash { chain[0].publicKeyHash }
}

extension CertificateValidity {
  static var past: CertificateValidity {
    get throws { try CertificateValidity(notBefore: Date() - 7200, notAfter: Date() - 3600) }
  }

  static var future: CertificateValidity {
    get throws { try CertificateValidity(notBefore: Date() + 3600, notAfter: Date() + 7200) }
  }
}

/// Pins of identities under the names that a test says.
func pins(_ pairs: (TLSIdentity, String)...) throws -> PinTable {
  var table: [CertificateKeyHash: OrganizationName] = [:]
  for (identity, name) in pairs { table[identity.fingerprint] = try OrganizationName(name) }
  return PinTable(table)
}

/// Keeps what it is told and lets a test wait for it.
final class Recorder<Element: Sendable>: Sendable {
  let stream: AsyncStream<Element>
  private let continuation: AsyncStream<Element>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream() }

  func record(_ element: Element) { continuation.yield(element) }

  func next() async -> Element? {
    var iterator = stream.makeAsyncIterator()
    return await iterator.next()
  }
}

extension Recorder: HandshakeObserver where Element == HandshakeEvent {
  func handshake(_ event: HandshakeEvent) { record(event) }

  func nextRefusal() async -> HandshakeRefusal? {
    guard case .refused(let refusal)? = await next()?.outcome else { return nil }
    return refusal
  }
}

enum ConnectionChange: Sendable, Hashable {
  case connected(PeerIdentity)
  case closing(PeerIdentity, ConnectionClosure)
  case disconnected(PeerIdentity)
}

extension Recorder: ConnectionObserver where Element == ConnectionChange {
  func connected(_ peer: PeerIdentity) { record(.connected(peer)) }
  func closing(_ peer: PeerIdentity, because reason: ConnectionClosure) { record(.closing(peer, reason)) }
  func disconnected(_ peer: PeerIdentity) { record(.disconnected(peer)) }
}

/// Answers every message with itself, and tells a caller who it is.
struct EchoService: RegistrableRPCService {
  static let echo = MethodDescriptor(fullyQualifiedService: "test.Echo", method: "Echo")
  static let whoAmI = MethodDescriptor(fullyQualifiedService: "test.Echo", method: "WhoAmI")

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: EchoService.echo, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { request, _ in
      StreamingServerResponse { writer in
        _ = try PeerIdentity.required()
        for try await message in request.messages { try await writer.write(message) }
        return [:]
      }
    }
    router.registerHandler(
      forMethod: EchoService.whoAmI, deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
    ) { request, _ in
      let outside = try PeerIdentity.required()
      let reserved = request.metadata.filter { PeerIdentityHeaders.isReserved($0.key) }.count
      return StreamingServerResponse { writer in
        let inside = try PeerIdentity.required()
        for try await _ in request.messages {}
        try await writer.write(Array("\(outside.name) \(inside.name) \(inside.exporter) \(reserved)".utf8))
        return [:]
      }
    }
  }
}

extension GRPCClient {
  /// One message, one answer.
  func call(_ method: MethodDescriptor, _ message: [UInt8], metadata: Metadata = [:]) async throws -> [UInt8] {
    try await unary(
      request: ClientRequest(message: message, metadata: metadata), descriptor: method,
      serializer: RawBytesSerializer(), deserializer: RawBytesDeserializer(), options: .defaults
    ) { try $0.message }
  }
}

/// A server with two organisations that it accepts, and the means to connect as one of them.
struct TestServer: Sendable {
  let federation: TestFederation
  let transport: MutualTLSServerTransport
  let identity: TLSIdentity
  let alpha: TLSIdentity
  let beta: TLSIdentity
  let handshakes: Recorder<HandshakeEvent>
  let connections: Recorder<ConnectionChange>
  let table: PinTable
  let context: TLSContext

  /// - Parameter identity: what the server presents instead of its proper certificate.
  init(
    limits: TransportLimits = TransportLimits(), handshakeTimeout: Duration = .seconds(10),
    presenting other: ((TestFederation) throws -> TLSIdentity)? = nil, alsoPinned: [(TLSIdentity, String)] = [],
    federation: TestFederation? = nil
  ) throws {
    let federation = try federation ?? TestFederation()
    self.federation = federation
    identity = try federation.identity("server.example", profile: .server(addresses: ["127.0.0.1"]))
    alpha = try federation.identity("alpha.example")
    beta = try federation.identity("beta.example")
    handshakes = Recorder()
    connections = Recorder()
    var table: [CertificateKeyHash: OrganizationName] = [
      alpha.fingerprint: try OrganizationName("alpha.example"),
      beta.fingerprint: try OrganizationName("beta.example"),
    ]
    for (identity, name) in alsoPinned { table[identity.fingerprint] = try OrganizationName(name) }
    self.table = PinTable(table)
    context = try TLSContext(
      role: .server, identity: other?(federation) ?? identity, authorities: [federation.authority.certificate],
      verifier: self.table, observer: handshakes, handshakeTimeout: handshakeTimeout)
    transport = try MutualTLSServerTransport.make(
      host: "127.0.0.1", port: 0, context: context, limits: limits, observer: connections)
  }

  func clientContext(
    as identity: TLSIdentity, verifier: (any PinVerifier)? = nil,
    observer: any HandshakeObserver = IgnoringHandshakes(),
    handshakeTimeout: Duration = .seconds(10)
  ) throws -> TLSContext {
    try TLSContext(
      role: .client, identity: identity, authorities: [federation.authority.certificate],
      verifier: verifier ?? pins((self.identity, "server.example")), observer: observer,
      handshakeTimeout: handshakeTimeout)
  }

  func connect(as identity: TLSIdentity, limits: TransportLimits = TransportLimits()) async throws
    -> MutualTLSClientTransport
  {
    try await MutualTLSClientTransport.connect(
      host: "127.0.0.1", port: transport.port, context: clientContext(as: identity), limits: limits)
  }

  /// Serves while `body` runs.
  func serving<R: Sendable>(
    with services: [any RegistrableRPCService] = [], _ body: () async throws -> R
  ) async throws -> R {
    try await withGRPCServer(
      transport: transport, services: [EchoService()] + services, interceptors: [transport.identityInterceptor]
    ) { _ in try await body() }
  }

  func withClient<R: Sendable>(
    as identity: TLSIdentity, limits: TransportLimits = TransportLimits(),
    _ body: (GRPCClient<MutualTLSClientTransport>) async throws -> R
  ) async throws -> R {
    try await withGRPCClient(transport: connect(as: identity, limits: limits), handleClient: body)
  }
}

/// Serves echoes on `transport` while `body` runs.
func withEchoServer(_ transport: MutualTLSServerTransport, _ body: () async throws -> Void) async throws {
  try await withGRPCServer(
    transport: transport, services: [EchoService()], interceptors: [transport.identityInterceptor]
  ) { _ in try await body() }
}
