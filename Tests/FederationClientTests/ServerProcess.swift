import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import SecureAggregation
import Synchronization
import Testing

@testable import FederationClient
@testable import FederationServer
@testable import MutualTLS

/// One process of the server, without a network: sessions, coordinator, and the service that answers messages.
final class ServerProcess: Sendable {
  let hub: SessionHub
  let lobby: Lobby
  let service: FederationService
  let control = RunControl()
  let log: AuditLogWriter
  let events = Mutex<[RunEvent]>([])

  init(
    _ federation: TestFederation, membership: ServerMembership? = nil, hold: Duration = .seconds(5),
    onEvent: @escaping @Sendable (RunEvent, ServerProcess) -> Void = { _, _ in }
  ) throws {
    hub = SessionHub(hold: hold)
    log = try federation.writer(federation.server)
    let relay = Relay()
    lobby = Lobby(
      hub: hub, membership: membership ?? ServerMembership(federation.manifest), log: log,
      progress: { relay.pass($0) })
    service = FederationService(
      lobby: lobby, spools: MaskedInputSpools(directory: federation.root.path + "/spool"), log: log,
      federation: "fraud.example",
      witnessing: try ServerWitnessing(
        log: log, witness: federation.server.witness(directory: "\(federation.root.path)/witness-\(UUID())"),
        membership: lobby.membership, progress: { relay.pass($0) }), traffic: Traffic(), inspect: { _, _ in })
    self.relay = relay
    let pass: @Sendable (RunEvent) -> Void = { [weak self] event in
      guard let self else { return }
      self.events.withLock { $0.append(event) }
      onEvent(event, self)
    }
    relay.target.withLock { $0 = pass }
  }

  private final class Relay: Sendable {
    let target = Mutex<(@Sendable (RunEvent) -> Void)?>(nil)
    func pass(_ event: RunEvent) { target.withLock { $0 }?(event) }
  }

  private let relay: Relay

  func conduct(
    _ agreement: RunAgreement, _ federation: TestFederation, resuming: RunResumption? = nil, report: RunReport? = nil
  ) async throws -> RunReport {
    let path = "\(federation.root.path)/runs/\(agreement.run)"
    let store =
      resuming == nil
      ? try RunStore(directory: path, plan: agreement.plan, manifest: agreement.signedManifest)
      : RunStore(existing: path)
    let relay = relay
    return await RunCoordinator(
      agreement: agreement, lobby: lobby, log: log, store: store, spools: service.spools, traffic: Traffic(),
      identity: try federation.server.identity(),
      settings: .init(patience: .seconds(20), farewell: .milliseconds(500)), control: control, resuming: resuming,
      report: report, progress: { relay.pass($0) }
    ).run()
  }

  func end(_ reason: FederationWire.Refusal) async throws {
    await hub.close(reason)
    try log.close()
  }
}

/// The server's address: a process at a time, or none.
final class ServerAddress: Sendable {
  let current = Mutex<ServerProcess?>(nil)
}

/// The way from one organisation's client to whatever server process there is.
actor AddressLink: ServerExchange {
  private let address: ServerAddress
  private let name: OrganizationName
  private var connected: ServerProcess?

  init(_ address: ServerAddress, _ name: OrganizationName) {
    self.address = address
    self.name = name
  }

  var destination: AuditRecord.Peer? { nil }

  func connect() async throws(TransportError) {
    guard connected == nil else { return }
    guard let server = address.current.withLock({ $0 }) else {
      throw .connectionRefused(host: "127.0.0.1", port: 7443)
    }
    connected = server
    server.hub.notify(.connected(name))
  }

  func close() async {
    connected?.hub.notify(.disconnected(name))
    connected = nil
  }

  func exchange(_ recorded: consuming EgressRecorded) async throws -> [UInt8] {
    guard let server = connected else { throw RPCError(code: .unavailable, message: "not connected") }
    guard address.current.withLock({ $0 === server }) else {
      await close()
      throw RPCError(code: .unavailable, message: "gone")
    }
    let peer = PeerIdentity(
      name: name, fingerprint: CertificateKeyHash(hashing: [1]), remoteAddress: "127.0.0.1:1",
      exporter: String(repeating: "0", count: 64), connection: 1)
    do { return try await server.service.exchange(recorded.bytes, from: peer) } catch is AuditLogError {
      // Its log is closed: a real one would not be there any more.
      await close()
      throw RPCError(code: .unavailable, message: "gone")
    }
  }
}
