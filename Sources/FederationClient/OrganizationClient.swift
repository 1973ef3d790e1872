import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS

/// The client of one organisation: its directory, its data, and the runs it takes part in.
public struct OrganizationClient: Sendable {
  public struct Settings: Sendable {
    /// How long the server may be out of reach before the client gives up.
    public var patience: Duration
    public var fault: Fault?

    public init(patience: Duration = .seconds(600), fault: Fault? = nil) {
      self.patience = patience
      self.fault = fault
    }
  }

  let directory: OrganizationDirectory
  let manifest: SignedManifest
  let policy: Policy
  let dataPath: String
  let settings: Settings

  /// Checks everything that can be checked before a connection is made.
  ///
  /// - Parameters:
  ///   - path: the organisation's directory.
  ///   - dataPath: its CSV file.
  /// - Throws: ``ClientError``: no manifest, one that this organisation has not approved, a policy that does not parse.
  public init(directory path: String, data dataPath: String, settings: Settings) throws(ClientError) {
    do throws(FederationError) {
      directory = try OrganizationDirectory(opening: path)
      policy = try directory.policy()
      guard let manifest = try directory.manifest() else { throw .manifest(.missingApprovals([directory.name])) }
      guard manifest.isApproved(by: directory.name) else { throw .manifest(.missingApprovals([directory.name])) }
      self.manifest = manifest
    } catch { throw .federation(error) }
    guard FileManager.default.isReadableFile(atPath: dataPath) else { throw .noData(path: dataPath) }
    self.dataPath = dataPath
    self.settings = settings
  }

  public var name: OrganizationName { directory.name }

  /// Takes part in the server's next run, to its end.
  ///
  /// - Throws: ``ClientError``; nothing leaves after it, and the log is closed in order.
  public func takePart(progress: @escaping @Sendable (ClientEvent) -> Void) async throws(ClientError) -> ClientOutcome {
    let log = try openLog()
    let result: Result<ClientOutcome, ClientError>
    do throws(ClientError) {
      result = .success(try await takePart(log: log, progress: progress))
    } catch { result = .failure(error) }
    if case .failure(let error) = result {
      var draft = AuditRecord.Draft(.stopped)
      draft.error = .init(error)
      _ = try? log.append(draft)
    }
    do throws(AuditLogError) { try log.close() } catch { throw .log(error) }
    return try result.get()
  }

  private func takePart(
    log: AuditLogWriter, progress: @escaping @Sendable (ClientEvent) -> Void
  ) async throws(ClientError) -> ClientOutcome {
    let server = manifest.manifest.server
    let link = ServerLink(addresses: server.addresses, context: try makeContext(log), limits: limits)
    let store = try ClientStore(path: directory.statePath, reviewedAgainst: log)
    progress(.connecting(to: server.addresses.map(\.description).joined(separator: ", ")))
    let fault = settings.fault
    let observe: WritingObserver = { point throws(ClientError) in fault?.strike(point) }
    let gate = EgressGate(
      link: link, log: log, backoff: Backoff(total: settings.patience), progress: progress,
      recorded: { store.note($0) }, observe: observe)
    let identity: IdentitySigningKey
    do throws(FederationError) { identity = try directory.identityKey() } catch { throw .federation(error) }
    let session = ClientSession(
      parts: .init(
        name: name, manifest: manifest, policy: policy, dataPath: dataPath, log: log,
        store: store, gate: gate, runsDirectory: "\(directory.path)/runs",
        spoolDirectory: "\(directory.path)/spool", observe: observe),
      identity: identity, progress: progress)
    do throws(ClientError) {
      return try await session.takePart()
    } catch {
      await gate.close()
      throw error
    }
  }

  private func openLog() throws(ClientError) -> AuditLogWriter {
    let key: LogSigningKey
    do throws(FederationError) { key = try directory.logKey() } catch { throw .federation(error) }
    do throws(AuditLogError) {
      return try AuditLogWriter(
        directory: directory.logPath, organization: name, logKey: key, clock: { Date() })
    } catch { throw .log(error) }
  }

  private func makeContext(_ log: AuditLogWriter) throws(ClientError) -> TLSContext {
    let server = manifest.manifest.server
    let pins = Dictionary(uniqueKeysWithValues: server.pins.accepted.map { ($0, server.name) })
    do throws(CredentialError) {
      return try TLSContext(
        role: .client,
        identity: TLSIdentity(
          certificateFile: directory.tlsCertificatePath, privateKey: PrivateKeySource(directory.tlsKeyPath)),
        authorities: [Certificate(contentsOfFile: directory.certificateAuthorityPath)], verifier: PinTable(pins),
        observer: HandshakeRecorder(log: log, federation: manifest.manifest.federation.value))
    } catch { throw .transport(.credential(error)) }
  }

  /// A model and an announcement are the longest that a server sends.
  private var limits: TransportLimits {
    var limits = TransportLimits()
    limits.maximumMessageByteCount = 64 * 1024 * 1024
    return limits
  }
}
