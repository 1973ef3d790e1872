import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import MutualTLS
import Synchronization

@testable import FederationClient

/// A server over mutual TLS that answers every message with `wait`, and an organisation's directory with real files.
final class LiveServer: Sendable {
  /// What the server saw of the connections of organisations.
  struct Seen: Sendable {
    /// Keys of the certificates that connected, in order.
    var connected: [CertificateKeyHash] = []
    var disconnected = 0
    var messages = 0
  }

  let root: TemporaryDirectory
  let place: TestFederation.Place
  let authority: CertificateAuthority
  let manifest: SignedManifest
  let hub: Party
  let alder: Party
  private let pins: PinTable
  private let seen = Mutex(Seen())
  private let delay = Mutex(Duration.zero)
  private let server: GRPCServer<MutualTLSServerTransport>
  private let serving: Task<Void, any Error>

  /// - Parameter addresses: before the server's own in the manifest.
  init(addresses: [String] = []) async throws {
    root = try TemporaryDirectory()
    authority = try CertificateAuthority.create(
      federation: "fraud.example", key: PrivateKey.generate(), validity: CertificateValidity.days(400))
    let hubName = try OrganizationName("hub.example")
    let alderName = try OrganizationName("alder.example")
    let hubKey = try PrivateKey.generate()
    let hubCertificate = try authority.issue(
      CertificateRequest.create(name: hubName, key: hubKey), name: hubName,
      profile: .server(hostNames: [], addresses: ["127.0.0.1"]), validity: CertificateValidity.days(90))
    let path = "\(root.path)/alder"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let alderKey = try PrivateKey.generate(creatingFile: "\(path)/tls.key")
    hub = try Party("hub.example", certificateKey: try hubKey.publicKeyHash)
    alder = try Party("alder.example", certificateKey: try alderKey.publicKeyHash)
    place = TestFederation.Place(path: path, name: alderName)
    pins = PinTable([try alderKey.publicKeyHash: alderName])
    let context = try TLSContext(
      role: .server, identity: TLSIdentity(chain: [hubCertificate], privateKey: hubKey),
      authorities: [authority.certificate], verifier: pins)
    let observer = Observer()
    let transport = try MutualTLSServerTransport.make(host: "127.0.0.1", port: 0, context: context, observer: observer)
    var manifest = try SignedManifest(
      Manifest.founding(
        federation: OrganizationName("fraud.example"),
        server: Manifest.Server(
          member: hub.member,
          addresses: try (addresses + ["127.0.0.1:\(transport.port)"]).map { try NetworkAddress($0) }),
        assumedCorrupt: 1, minimumCohort: 3,
        organizations: [alder.member, try Party("birch.example").member, try Party("cedar.example").member]))
    for party in [hub, alder] { try manifest.approve(as: party.name, with: party.identity()) }
    self.manifest = manifest
    let service = Service()
    server = GRPCServer(transport: transport, services: [service], interceptors: [transport.identityInterceptor])
    let server = server
    serving = Task { try await server.serve() }
    observer.owner.withLock { $0 = self }
    service.owner.withLock { $0 = self }
    try place.store(manifest)
    try install(issue(for: alderKey), authority: authority.certificate)
  }

  deinit { server.beginGracefulShutdown() }

  var now: Seen { seen.withLock { $0 } }
  func slow(by delay: Duration) { self.delay.withLock { $0 = delay } }
  func accept(_ keys: [CertificateKeyHash]) {
    pins.replace(with: Dictionary(uniqueKeysWithValues: keys.map { ($0, alder.name) }))
  }

  func end() async {
    server.beginGracefulShutdown()
    serving.cancel()
    _ = await serving.result
  }

  // MARK: - The organisation's files

  func issue(for key: PrivateKey, days: Int = 90) throws -> Certificate {
    try authority.issue(
      CertificateRequest.create(name: alder.name, key: key), name: alder.name, profile: .organization,
      validity: CertificateValidity.days(days))
  }

  func install(_ certificate: Certificate, authority: Certificate) throws {
    try place.storeCertificate(chain: certificate.pem, authority: authority.pem)
  }

  /// A new key in the place of the one before.
  func exchangeKey() throws -> PrivateKey {
    let new = "\(place.path)/new.key"
    let key = try PrivateKey.generate(creatingFile: new)
    try FileManager.default.removeItem(atPath: place.tlsKeyPath)
    try FileManager.default.moveItem(atPath: new, toPath: place.tlsKeyPath)
    return key
  }

  /// What was written to connections that are gone.
  let counts = TrafficCounts()

  final class TrafficCounts: EgressObserver {
    let last = Mutex<[EgressReport]>([])
    func traffic(_ report: EgressReport) { if report.isFinal { last.withLock { $0.append(report) } } }
  }

  func link(_ progress: @escaping @Sendable (ClientEvent) -> Void = { _ in }) -> ServerLink {
    ServerLink(
      source: ConnectionSource(directory: place, observer: IgnoringHandshakes()), limits: TransportLimits(),
      traffic: counts, progress: progress)
  }

  func writer() throws -> AuditLogWriter {
    try AuditLogWriter(directory: "\(place.path)/log", organization: alder.name, logKey: alder.logKey())
  }

  // MARK: -

  private final class Observer: ConnectionObserver {
    let owner = Mutex<LiveServer?>(nil)
    func connected(_ peer: PeerIdentity) {
      owner.withLock { $0 }?.seen.withLock { $0.connected.append(peer.fingerprint) }
    }
    func disconnected(_ peer: PeerIdentity) { owner.withLock { $0 }?.seen.withLock { $0.disconnected += 1 } }
  }

  private final class Service: RegistrableRPCService {
    let owner = Mutex<LiveServer?>(nil)

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
      router.registerHandler(
        forMethod: MethodDescriptor(
          service: ServiceDescriptor(fullyQualifiedService: WireLimits.service), method: WireLimits.method),
        deserializer: RawBytesDeserializer(), serializer: RawBytesSerializer()
      ) { [self] request, _ in
        let owner = owner.withLock { $0 }
        _ = try await ServerRequest(stream: request)
        owner?.seen.withLock { $0.messages += 1 }
        try await Task.sleep(for: owner?.delay.withLock { $0 } ?? .zero)
        let answer = try ServerMessage(instruction: 1, receipt: nil, body: .wait).encoded()
        return StreamingServerResponse(single: ServerResponse(message: answer))
      }
    }
  }
}
