import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import Learning
import MutualTLS
import SecureAggregation
import Synchronization

/// The server of one run: listens, records, coordinates, and ends with the run.
public struct RunServer: Sendable {
  public struct Settings: Sendable {
    /// Where to listen; by default the port of the manifest's first address, on its host.
    public var listen: NetworkAddress?
    /// How long to wait for enough organisations before giving up.
    public var patience: Duration
    /// How long a question is held open before it is answered with `wait`.
    public var hold: Duration = .seconds(15)

    /// Sees every payload as it came; for tests.
    var inspect: @Sendable (OrganizationName, [UInt8]) -> Void = { _, _ in }

    public init(listen: NetworkAddress? = nil, patience: Duration = .seconds(600)) {
      self.listen = listen
      self.patience = patience
    }
  }

  let directory: ServerDirectory
  let agreement: RunAgreement
  let settings: Settings

  /// Checks everything that can be checked before a socket is opened.
  ///
  /// - Throws: ``ServerError`` naming what is missing or does not fit.
  public init(directory path: String, plan planPath: String, settings: Settings) throws(ServerError) {
    do throws(FederationError) {
      directory = try ServerDirectory(opening: path)
    } catch { throw .federation(error) }
    let plan: RunPlan
    let manifest: SignedManifest?
    do throws(FederationError) {
      plan = try RunPlan(contentsOf: planPath)
      manifest = try directory.manifest()
    } catch { throw .federation(error) }
    guard let manifest else { throw .noManifest(path: directory.manifestPath) }
    guard manifest.manifest.server.name == directory.name else {
      throw .otherServer(expected: manifest.manifest.server.name, found: directory.name)
    }
    self.settings = settings
    agreement = RunAgreement(manifest: manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
    try checkPlan()
  }

  public var run: RunIdentifier { agreement.run }
  /// Where plan, models and report of the run are.
  public var runPath: String { directory.runPath(run) }

  /// Serves until the run has ended and everybody could fetch its end.
  ///
  /// - Throws: ``ServerError`` if it cannot start. Whatever happens later is in the report.
  public func serve(progress: @escaping @Sendable (RunEvent) -> Void) async throws(ServerError) -> RunReport {
    let log = try openLog()
    defer { try? log.close() }
    try RunStore.closeInterruptedRuns(in: directory.runsPath)
    let hub = SessionHub(hold: settings.hold)
    let transport = try listen(log: log, hub: hub)
    let store = try RunStore(
      directory: runPath, plan: agreement.plan, manifest: agreement.signedManifest)
    let traffic = Traffic()
    let spools = MaskedInputSpools(directory: runPath + "/spool")
    let service = FederationService(
      hub: hub, spools: spools, log: log, federation: agreement.manifest.federation.value, traffic: traffic,
      inspect: settings.inspect)
    let server = GRPCServer(
      transport: transport, services: [service], interceptors: [transport.identityInterceptor])
    let serving = Task { try await server.serve() }
    progress(.listening(address: "\(listenAddress.host):\(transport.port)"))
    let identity: IdentitySigningKey
    do throws(FederationError) { identity = try directory.identityKey() } catch { throw .federation(error) }
    let coordinator = RunCoordinator(
      agreement: agreement, hub: hub, log: log, store: store, spools: spools, traffic: traffic, identity: identity,
      settings: .init(patience: settings.patience), progress: progress)
    let report = await withTaskCancellationHandler {
      await coordinator.run()
    } onCancel: {
      Task { await hub.close() }
    }
    await hub.close()
    server.beginGracefulShutdown()
    _ = try? await serving.value
    return report
  }

  private func openLog() throws(ServerError) -> AuditLogWriter {
    let key: LogSigningKey
    do throws(FederationError) { key = try directory.logKey() } catch { throw .federation(error) }
    do throws(AuditLogError) {
      return try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: key, clock: { Date() })
    } catch { throw .log(error) }
  }

  private var listenAddress: NetworkAddress { settings.listen ?? agreement.manifest.server.addresses[0] }

  private func listen(log: AuditLogWriter, hub: SessionHub) throws(ServerError) -> MutualTLSServerTransport {
    let manifest = agreement.manifest
    var pins: [CertificateKeyHash: OrganizationName] = [:]
    for organization in manifest.organizations {
      for pin in organization.pins.accepted { pins[pin] = organization.name }
    }
    let context: TLSContext
    do throws(CredentialError) {
      context = try TLSContext(
        role: .server,
        identity: TLSIdentity(
          certificateFile: directory.tlsCertificatePath, privateKey: PrivateKeySource(directory.tlsKeyPath)),
        authorities: [Certificate(contentsOfFile: directory.certificateAuthorityPath)], verifier: PinTable(pins),
        observer: HandshakeRecorder(log: log, federation: manifest.federation.value))
    } catch { throw .credential(error) }
    var limits = TransportLimits()
    limits.maximumMessageByteCount = WireLimits.messageBytes(largestPayload: largestPayload)
    do throws(TransportError) {
      return try MutualTLSServerTransport.make(
        host: listenAddress.host, port: listenAddress.port, context: context, limits: limits,
        observer: PresenceObserver(hub: hub, log: log))
    } catch { throw .transport(error) }
  }

  /// Bytes of the longest masked input, or segment of one, that an honest client can send in one message under the plan
  /// and any allowed feature count.
  private var largestPayload: Int {
    min(
      8 * (2 * agreement.plan.evaluation.histogramBins + 3 * RunPlan.maximumFeatures + 16), WireLimits.segmentBytes)
  }

  /// Refuses a plan that both sides would have to refuse later.
  private func checkPlan() throws(ServerError) {
    let plan = agreement.plan
    let manifest = agreement.manifest
    let needed = max(plan.strategy.minimumAvailableClients, manifest.minimumCohort)
    guard manifest.organizations.count >= needed else {
      throw .tooFewMembers(present: manifest.organizations.count, needed: needed)
    }
    do throws(FederationError) {
      for task in TaskKind.allCases where plan.performs(task) {
        let names: [String] = if case .named(let names) = plan.task.features { names } else { ["column"] }
        let layout = try TaskLayout(task: task, plan: plan, manifest: manifest, featureNames: names)
        let cohort = try manifest.cohort(of: manifest.organizations.map(\.name))
        try layout.check(cohort: cohort, server: manifest.server.keys.identity)
      }
    } catch { throw .plan(error) }
  }
}

/// Tells the coordinator who comes and goes, and puts the end of every connection on the record: it explains messages
/// that were sent and never arrived.
private struct PresenceObserver: ConnectionObserver {
  let hub: SessionHub
  let log: AuditLogWriter

  func connected(_ peer: PeerIdentity) { hub.notify(.connected(peer.name)) }

  func disconnected(_ peer: PeerIdentity) {
    hub.notify(.disconnected(peer.name))
    var draft = AuditRecord.Draft(.connectionClosed)
    draft.source = .init(
      name: peer.name, address: peer.remoteAddress, tlsPeer: peer.fingerprint,
      exporter: try? SHA256Digest(hexadecimal: peer.exporter))
    // On an event loop: brought to disk with the next record.
    _ = try? log.append(draft, durable: false)
  }
}

/// Payload bytes received since the server started.
final class Traffic: Sendable {
  private let total = Mutex<UInt64>(0)

  func add(_ bytes: Int) { total.withLock { $0 += UInt64(bytes) } }
  var bytes: UInt64 { total.withLock { $0 } }
}
