import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import LogService
import MutualTLS
import ServiceControl
import Synchronization
import TransparencyLog

/// The client of one organisation: its directory, its data, and the runs it takes part in.
public struct OrganizationClient: Sendable {
  public struct Settings: Sendable {
    /// How long the server may be out of reach before the client gives up; one that stays never does.
    public var patience: Duration
    /// Through which the server is reached; nil for directly.
    public var proxy: ProxySelection?
    /// Of a private key that is encrypted, or the PIN of its token.
    public var passphrase: Passphrase?
    public var fault: Fault?

    public init(
      patience: Duration = .seconds(600), proxy: ProxySelection? = nil, passphrase: Passphrase? = nil,
      fault: Fault? = nil
    ) {
      self.patience = patience
      self.proxy = proxy
      self.passphrase = passphrase
      self.fault = fault
    }
  }

  /// How long what goes on may take to end after the client was told to stop. Training that takes longer is left alone: the
  /// process ends, and nothing of it has left.
  static let grace = ServerLink.grace + .seconds(2)

  let directory: OrganizationDirectory
  let dataPath: String
  let settings: Settings
  private let source: SourceOfRunningClient

  /// Checks everything that can be checked before a connection is made.
  ///
  /// - Parameters:
  ///   - path: the organisation's directory.
  ///   - dataPath: its CSV file.
  /// - Throws: ``ClientError``: no manifest, one that this organisation has not approved, a policy that does not parse.
  public init(directory path: String, data dataPath: String, settings: Settings) throws(ClientError) {
    do throws(FederationError) {
      directory = try OrganizationDirectory(opening: path)
      _ = try directory.policy()
      _ = try Membership(directory)
    } catch { throw .federation(error) }
    guard FileManager.default.isReadableFile(atPath: dataPath) else { throw .noData(path: dataPath) }
    self.dataPath = dataPath
    self.settings = settings
    source = SourceOfRunningClient()
  }

  public var name: OrganizationName { directory.name }

  /// Takes part in the server's next run, to its end.
  ///
  /// - Throws: ``ClientError``; nothing leaves after it, and the log is closed in order.
  public func takePart(progress: @escaping @Sendable (ClientEvent) -> Void) async throws(ClientError) -> ClientOutcome {
    try await process(isService: false, progress: progress) { session in
      do throws(ClientError) { return .success(try await session.takePart()) } catch { return .failure(error) }
    }
  }

  /// Takes part in one run after another, until its task is cancelled.
  ///
  /// - Throws: ``ClientError`` for what a service cannot go on after; not for the cancellation.
  public func stay(progress: @escaping @Sendable (ClientEvent) -> Void) async throws(ClientError) {
    do throws(ClientError) {
      try await process(isService: true, progress: progress) { session in
        Result<Void, ClientError>.failure(await session.stay())
      }
    } catch {
      guard case .cancelled = error else { throw error }
    }
  }

  /// Has certificate, key, authorities, pins and manifest read anew before the next message.
  public func reload() { source.current.withLock { $0 }?.invalidate() }

  // MARK: - One process of the organisation

  private func process<Outcome: Sendable>(
    isService: Bool, progress: @escaping @Sendable (ClientEvent) -> Void,
    _ work: @escaping @Sendable (ClientSession) async -> Result<Outcome, ClientError>
  ) async throws(ClientError) -> Outcome {
    let status = ClientStatus(directory: directory, isService: isService)
    let tell: @Sendable (ClientEvent) -> Void = { event in
      status.note(event)
      progress(event)
    }
    let log = try openLog()
    // A change of keys that was interrupted goes forward.
    do throws(FederationError) { try directory.completeCredentialSwitch() } catch {
      try? log.close()
      throw .federation(error)
    }
    let submissions = WitnessSubmissions(log: log, service: "client")
    let control: ControlListener
    let result: Result<Outcome, ClientError>
    do throws(ClientError) {
      control = try listen(log: log, status: status, submissions: submissions)
    } catch {
      try? log.close()
      throw error
    }
    do throws(ClientError) {
      if isService { try record(.serviceStarted, in: log) }
      let witnesses = ExternalWitnesses(directory, log: log, submissions: submissions, progress: tell)
      let session = try makeSession(
        log: log, status: status, isService: isService, witnesses: witnesses, progress: tell)
      // Also while the server cannot be reached.
      let watching = Task {
        await session.session.sealedSecrets.watch {
          tell(.trouble(code: $0.code, reason: $0.message, remedy: $0.remedy))
        }
      }
      defer { watching.cancel() }
      let tending = isService ? Task { await witnesses.tend() } : nil
      defer { tending?.cancel() }
      let worked = await Self.bounded(grace: Self.grace) { () -> Result<Outcome, ClientError> in
        do throws(ClientError) {
          try witnesses.prune()
          // Before anything leaves: a log that was put back to an earlier state is found out here.
          try await witnesses.submit()
        } catch { return .failure(error) }
        return await work(session.session)
      } onCancel: {
        tell(.stopping)
        // Witnesses that do not answer would be waited for one after another.
        Task { await submissions.end() }
      }
      result = await Self.witnessed(worked, session.session, isService: isService)
      // Also after an error: the server sees an end, and not a loss.
      await session.gate.close()
    } catch { result = .failure(error) }
    control.close()
    // Another process may open the state now.
    source.store.withLock { $0 = nil }
    await submissions.end()
    try close(log, after: result.failure, isService: isService)
    return try result.get()
  }

  /// Waits for the work, but not for ever once the task is cancelled.
  private static func bounded<Outcome: Sendable>(
    grace: Duration, _ work: @escaping @Sendable () async -> Result<Outcome, ClientError>,
    onCancel stop: @escaping @Sendable () -> Void
  ) async -> Result<Outcome, ClientError> {
    let (results, ended) = AsyncStream<Result<Outcome, ClientError>>.makeStream()
    let working = Task { ended.yield(await work()) }
    // Not part of the task that may be cancelled.
    let waiting = Task {
      for await result in results { return result }
      return .failure(ClientError.cancelled)
    }
    return await withTaskCancellationHandler {
      await waiting.value
    } onCancel: {
      stop()
      working.cancel()
      Task {
        try? await Task.sleep(for: grace)
        ended.yield(.failure(.cancelled))
      }
    }
  }

  /// A service that is told to stop shows its log once more; for that it is not kept from stopping.
  private static func witnessed<Outcome: Sendable>(
    _ result: Result<Outcome, ClientError>, _ session: ClientSession, isService: Bool
  ) async -> Result<Outcome, ClientError> {
    guard isService, case .failure(.cancelled) = result else { return result }
    let (ends, ended) = AsyncStream<ClientError?>.makeStream()
    // Not part of the task that was cancelled; and the session may still be busy with what it was told to leave.
    Task { ended.yield(await session.endWitnessing()) }
    Task {
      try? await Task.sleep(for: .seconds(2))
      ended.yield(nil)
    }
    let fault = await Task {
      for await end in ends { return end }
      return nil
    }.value
    return fault.map { .failure($0) } ?? result
  }

  private func makeSession(
    log: AuditLogWriter, status: ClientStatus, isService: Bool, witnesses: ExternalWitnesses,
    progress: @escaping @Sendable (ClientEvent) -> Void
  ) throws(ClientError) -> (session: ClientSession, gate: EgressGate) {
    let membership: Membership
    let identity: IdentitySigningKey
    do throws(FederationError) {
      membership = try Membership(directory)
      identity = try directory.identityKey()
    } catch { throw .federation(error) }
    let federation = membership.approved.manifest.federation.value
    log.preferCheckpoints(cosignedAs: membership.trusted.cosigners(ofLogOf: log.verifierKey.name), by: .federation)
    let source = ConnectionSource(
      directory: directory, observer: HandshakeRecorder(log: log, federation: federation),
      passphrase: settings.passphrase)
    // Before anything else is done: a key or certificate that is of no use ends it here.
    do throws(TransportError) { _ = try source.read() } catch { throw .transport(error) }
    self.source.current.withLock { $0 = source }
    let store = try ClientStore(path: directory.statePath, reviewedAgainst: log)
    self.source.store.withLock { $0 = store }
    progress(.connecting(to: membership.addresses.map(\.description).joined(separator: ", ")))
    let fault = settings.fault
    let observe: WritingObserver = { point throws(ClientError) in
      if point.step == .sent { status.exchanged() }
      fault?.strike(point)
    }
    let link = ServerLink(
      source: source, limits: limits, traffic: TrafficRecorder(log: log, federation: federation), proxy: settings.proxy,
      progress: progress)
    let gate = EgressGate(
      link: link, log: log, backoff: isService ? .endless : Backoff(total: settings.patience), progress: progress,
      recorded: { store.note($0) }, observe: observe,
      barrier: { () throws(ClientError) in try witnesses.requireNoConflict() })
    let witness = try openWitness()
    let directory = directory
    let session = ClientSession(
      parts: .init(
        name: name, policy: { () throws(FederationError) in try directory.policy() }, dataPath: dataPath, log: log,
        store: store, gate: gate, runsDirectory: "\(directory.path)/runs", spoolDirectory: "\(directory.path)/spool",
        sealedDirectory: directory.sealedPath, witnesses: witnesses, observe: observe, witness: witness),
      membership: membership, identity: identity, progress: progress)
    return (session, gate)
  }

  // MARK: - Log and owner

  private func openLog() throws(ClientError) -> AuditLogWriter {
    let key: LogSigningKey
    do throws(FederationError) { key = try directory.logKey() } catch { throw .federation(error) }
    do throws(AuditLogError) {
      return try AuditLogWriter(
        directory: directory.logPath, organization: name, logKey: key, clock: { Date() })
    } catch { throw .log(error) }
  }

  private func openWitness() throws(ClientError) -> Witness {
    let key: WitnessSigningKey
    do throws(FederationError) { key = try directory.witnessKey() } catch { throw .federation(error) }
    do throws(WitnessError) {
      return try Witness(
        directory: directory.witnessPath, name: name, key: key, logs: [], clock: Witness.systemClock)
    } catch { throw .witnessStore(error) }
  }

  private func record(
    _ event: AuditRecord.Event, in log: AuditLogWriter, _ fill: (inout AuditRecord.Draft) -> Void = { _ in }
  ) throws(ClientError) {
    var draft = AuditRecord.Draft(event)
    draft.actor = .init(service: "client")
    fill(&draft)
    do throws(AuditLogError) { try log.append(draft) } catch { throw .log(error) }
  }

  /// Says why nothing more leaves, and puts everything under a checkpoint.
  private func close(_ log: AuditLogWriter, after error: ClientError?, isService: Bool) throws(ClientError) {
    let isOrderly = if case .cancelled? = error { isService } else { error == nil }
    if let error, !isOrderly {
      var draft = AuditRecord.Draft(.stopped)
      draft.error = .init(error)
      _ = try? log.append(draft)
    }
    if isService { try? record(.serviceStopped, in: log) { $0.outcome = isOrderly ? .succeeded : .failed } }
    do throws(AuditLogError) { try log.close() } catch { throw .log(error) }
  }

  /// Answers the owner: what goes on, that files have changed, and what the owner has decided, for the log.
  private func listen(
    log: AuditLogWriter, status: ClientStatus, submissions: WitnessSubmissions
  ) throws(ClientError) -> ControlListener {
    do throws(ControlError) {
      return try ControlListener(directory: directory.path) { [self] request, answer in
        switch request.command {
        case "status": try answer.send(status.line)
        case "reload": reload()
        case "record": try record(request, in: log)
        case "cosign": try await cosign(request, submissions, answer)
        case StoredLedger.request: try sendLedger(answer)
        default: throw ControlError.badRequest("a client takes status, reload, record, cosign and ledger")
        }
      }
    } catch { throw .control(error) }
  }

  /// Submits to the witnesses that the owner names, or to those of the policy.
  private func cosign(_ request: ControlRequest, _ submissions: WitnessSubmissions, _ answer: ControlAnswer)
    async throws
  {
    var witnesses = try directory.policy().log.witnesses
    if let named = request.arguments["witnesses"] {
      guard let parsed = WitnessAddress.parse(list: named) else {
        throw ControlError.badRequest("a witness is KEY@URL")
      }
      witnesses = parsed
    }
    for submission in try await submissions.submit(to: witnesses) { try answer.send(submission.line) }
  }

  /// What was charged, an entry a line: no other process can read the state while this one has it.
  private func sendLedger(_ answer: ControlAnswer) throws {
    guard let store = source.store.withLock({ $0 }) else { throw ControlError.busy }
    for line in try StoredLedger.lines(of: store.ledger()) { try answer.send(line) }
  }

  /// - Throws: `ControlError` for what no owner decides, `AuditLogError`.
  private func record(_ request: ControlRequest, in log: AuditLogWriter) throws {
    guard let record = OwnerRecord(arguments: request.arguments) else {
      throw ControlError.badRequest("it is no record of the owner's")
    }
    let identity = NoteVerifierKey(organization: name, key: try directory.keys().identity)
    try log.append(record.draft(actor: .init(service: "bauta", keyID: identity.id)))
    try log.publish()
    reload()
  }

  /// A model and an announcement are the longest that a server sends.
  private var limits: TransportLimits {
    var limits = TransportLimits()
    limits.maximumMessageByteCount = WireLimits.instructionBytes
    return limits
  }
}

/// Where a client that runs takes its connections from, and its state.
private final class SourceOfRunningClient: Sendable {
  let current = Mutex<ConnectionSource?>(nil)
  let store = Mutex<ClientStore?>(nil)
}

extension Result {
  fileprivate var failure: Failure? {
    if case .failure(let error) = self { return error }
    return nil
  }
}
