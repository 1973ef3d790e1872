import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import GRPCCore
import LogService
import MutualTLS
import Synchronization
import TransparencyLog

/// What a server of one run and a standing server have in common: the log, the members, the sessions, the socket.
final class ServerCore: Sendable {
  let directory: ServerDirectory
  let log: AuditLogWriter
  let membership: ServerMembership
  let hub: SessionHub
  let lobby: Lobby
  let traffic = Traffic()
  let spools: MaskedInputSpools
  let witnessing: ServerWitnessing
  let transport: MutualTLSServerTransport
  let listenAddress: NetworkAddress
  let submissions: WitnessSubmissions
  private let witnesses: [WitnessAddress]
  private let context: ReloadableTLSContext
  private let observer: HandshakeRecorder
  private let progress: @Sendable (RunEvent) -> Void
  /// Why the directory could not be read when it was read last; nil if it could.
  private let unreadable = Mutex<String?>(nil)
  private let serving: Task<Void, Never>
  private let server: GRPCServer<MutualTLSServerTransport>

  /// Listens from now on.
  ///
  /// - Parameter largestPayload: bytes of the longest message of an honest client; the rest follows from the protocol.
  /// - Throws: ``ServerError``.
  init(
    _ directory: ServerDirectory, membership: ServerMembership, settings: RunServer.Settings,
    largestPayload: Int = WireLimits.segmentBytes, progress: @escaping @Sendable (RunEvent) -> Void
  ) throws(ServerError) {
    self.directory = directory
    self.membership = membership
    self.progress = progress
    let manifest = membership.current.newest.manifest
    guard manifest.server.name == directory.name else {
      throw .otherServer(expected: manifest.server.name, found: directory.name)
    }
    log = try Self.openLog(directory)
    // A change of keys that was interrupted goes forward.
    do throws(FederationError) { try directory.completeCredentialSwitch() } catch { throw .federation(error) }
    submissions = WitnessSubmissions(log: log, service: "bauta server")
    witnesses = settings.witnesses
    hub = SessionHub(hold: settings.hold)
    lobby = Lobby(hub: hub, membership: membership, log: log, progress: progress)
    spools = MaskedInputSpools(directory: directory.runsPath + "/.spool")
    witnessing = try Self.openWitness(directory, log: log, membership: membership, progress: progress)
    observer = HandshakeRecorder(log: log, federation: manifest.federation.value)
    context = ReloadableTLSContext(try Self.makeContext(directory, membership, observer, settings))
    listenAddress = settings.listen ?? manifest.server.addresses[0]
    var limits = TransportLimits()
    limits.maximumMessageByteCount = WireLimits.messageBytes(largestPayload: largestPayload)
    do throws(TransportError) {
      transport = try MutualTLSServerTransport.make(
        host: listenAddress.host, port: listenAddress.port, context: context, limits: limits,
        observer: PresenceObserver(hub: hub, log: log))
    } catch { throw .transport(error) }
    let service = FederationService(
      lobby: lobby, spools: spools, log: log, federation: manifest.federation.value, witnessing: witnessing,
      traffic: traffic, inspect: settings.inspect)
    let server = GRPCServer(
      transport: transport, services: [service], interceptors: [transport.identityInterceptor])
    self.server = server
    serving = Task { _ = try? await server.serve() }
  }

  /// Says where the server listens, once it also answers its operator.
  func announceAddress() { progress(.listening(address: "\(listenAddress.host):\(transport.port)")) }

  /// Answers everybody with a last word, and closes the socket and the log.
  func close(_ reason: FederationWire.Refusal = .shuttingDown) async {
    await hub.close(reason)
    server.beginGracefulShutdown()
    await serving.value
    // What was refused and only counted goes on record before the log closes.
    observer.flush()
    await submissions.end()
    try? log.close()
  }

  /// Submits the log's checkpoint to the witnesses that the operator names; one that cannot be reached is told of, and no
  /// error.
  ///
  /// - Parameters:
  ///   - isRoutine: not if nothing has come since.
  ///   - afterRun: the checkpoint that the members have cosigned instead of the latest: see `WitnessSubmissions.submit`.
  /// - Throws: `ServerError.externalWitness`: no run is begun any more then.
  func submitCheckpoint(isRoutine: Bool = false, afterRun: Bool = false) async throws(ServerError) {
    let cosigned = afterRun ? log.cosignedCheckpoint : nil
    do throws(WitnessSubmissionError) {
      for submission in try await submissions.submit(to: witnesses, isRoutine: isRoutine, joining: cosigned) {
        guard let failure = submission.failure else { continue }
        progress(.witnessSilent(code: failure.code, reason: failure.message))
      }
    } catch { throw .externalWitness(error) }
  }

  /// Submits from time to time, until it is cancelled or a witness has seen another log.
  ///
  /// A log that cannot be written for a while, as when its disk is full, is told of and tried again.
  func submitRoutinely(every interval: Duration) async {
    while !witnesses.isEmpty {
      do { try await Task.sleep(for: interval) } catch { return }
      do throws(ServerError) { try await submitCheckpoint(isRoutine: true) } catch {
        guard submissions.conflict == nil, !Task.isCancelled else { return }
        progress(.witnessSilent(code: error.code, reason: error.message))
      }
    }
  }

  /// Reads manifest, pins, revocations and certificates again. What is new counts from then on; whoever is not let in
  /// any more is disconnected at once.
  ///
  /// - Parameter isAsked: whether somebody asks for it. Otherwise the same failure is told once until it has passed.
  /// - Throws: ``ServerError``; what counted before goes on to count then.
  func reload(settings: RunServer.Settings, isAsked: Bool) async throws(ServerError) {
    let before = membership.current
    do throws(ServerError) {
      try membership.reload()
      // Who is revoked is out, whatever becomes of the certificate.
      await apply(before)
      context.replace(with: try Self.makeContext(directory, membership, observer, settings))
    } catch {
      let reason = "\(error.message) \(error.remedy)"
      let isKnown = unreadable.withLock { known in
        defer { known = reason }
        return known == reason
      }
      if isAsked || !isKnown { progress(.reloadFailed(reason: reason)) }
      throw error
    }
    unreadable.withLock { $0 = nil }
    progress(.reloaded(version: membership.current.newest.manifest.version))
  }

  /// Makes the connections follow what is known of the members now.
  func apply(_ before: ServerMembership.View) async {
    let view = membership.current
    transport.disconnectPeers(refusedBy: membership.verifier)
    for organization in before.organizations.subtracting(view.organizations) {
      await hub.dismiss(organization)
      progress(.revoked(organization))
    }
    await lobby.tellNews()
  }

  func identity() throws(ServerError) -> IdentitySigningKey {
    do throws(FederationError) { return try directory.identityKey() } catch { throw .federation(error) }
  }

  private static func openLog(_ directory: ServerDirectory) throws(ServerError) -> AuditLogWriter {
    let key: LogSigningKey
    do throws(FederationError) { key = try directory.logKey() } catch { throw .federation(error) }
    do throws(AuditLogError) {
      return try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: key, clock: { Date() })
    } catch { throw .log(error) }
  }

  private static func openWitness(
    _ directory: ServerDirectory, log: AuditLogWriter, membership: ServerMembership,
    progress: @escaping @Sendable (RunEvent) -> Void
  ) throws(ServerError) -> ServerWitnessing {
    let key: WitnessSigningKey
    do throws(FederationError) { key = try directory.witnessKey() } catch { throw .federation(error) }
    do throws(WitnessError) {
      let witness = try Witness(
        directory: directory.witnessPath, name: directory.name, key: key, logs: [], clock: Witness.systemClock)
      return try ServerWitnessing(log: log, witness: witness, membership: membership, progress: progress)
    } catch { throw .witness(error) }
  }

  private static func makeContext(
    _ directory: ServerDirectory, _ membership: ServerMembership, _ observer: HandshakeRecorder,
    _ settings: RunServer.Settings
  ) throws(ServerError) -> TLSContext {
    do throws(CredentialError) {
      return try TLSContext(
        role: .server,
        identity: TLSIdentity(
          certificateFile: directory.tlsCertificatePath,
          privateKey: PrivateKeySource.resolve(keyPath: directory.tlsKeyPath), passphrase: settings.passphrase),
        authorities: Certificate.all(inFile: directory.certificateAuthorityPath), verifier: membership.verifier,
        observer: observer)
    } catch { throw .credential(error) }
  }
}

/// Tells the lobby who comes and goes, and puts the end of every connection on the record: it explains messages that were
/// sent and never arrived.
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
    _ = try? log.append(draft, durable: false, publishing: false)
  }
}
