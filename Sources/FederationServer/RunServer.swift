import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS
import SecureAggregation
import Synchronization
public import TransparencyLog

/// The server of one run: listens, records, coordinates, and ends with the run.
public struct RunServer: Sendable {
  public struct Settings: Sendable {
    /// Where to listen; by default the port of the manifest's first address, on its host.
    public var listen: NetworkAddress?
    /// How long to wait for enough organisations before giving up.
    public var patience: Duration
    /// How long a question is held open before it is answered with `wait`.
    public var hold: Duration = .seconds(15)
    /// For a private key that is encrypted, or in a token.
    public var passphrase: Passphrase?

    /// Witnesses outside the federation, to which checkpoints of the server's log are submitted.
    public var witnesses: [WitnessAddress] = []

    /// Sees every payload as it came; for tests.
    var inspect: @Sendable (OrganizationName, [UInt8]) -> Void = { _, _ in }

    public init(listen: NetworkAddress? = nil, patience: Duration = .seconds(600), passphrase: Passphrase? = nil) {
      self.listen = listen
      self.patience = patience
      self.passphrase = passphrase
    }
  }

  let directory: ServerDirectory
  let membership: ServerMembership
  let agreement: RunAgreement
  let settings: Settings

  /// Checks everything that can be checked before a socket is opened.
  ///
  /// - Throws: ``ServerError`` naming what is missing or does not fit.
  public init(directory path: String, plan planPath: String, settings: Settings) throws(ServerError) {
    let plan: RunPlan
    do throws(FederationError) {
      directory = try ServerDirectory(opening: path)
      plan = try RunPlan(contentsOf: planPath)
    } catch { throw .federation(error) }
    membership = try ServerMembership(directory)
    let manifest = membership.current.current
    guard manifest.manifest.server.name == directory.name else {
      throw .otherServer(expected: manifest.manifest.server.name, found: directory.name)
    }
    self.settings = settings
    agreement = RunAgreement(manifest: manifest, plan: plan, run: RunIdentifier.generate(at: Date()))
    try agreement.check()
  }

  public var run: RunIdentifier { agreement.run }
  /// Where plan, models and report of the run are.
  public var runPath: String { directory.runPath(run) }

  /// Serves until the run has ended and everybody could fetch its end.
  ///
  /// - Throws: ``ServerError`` if it cannot start. Whatever happens later is in the report.
  public func serve(progress: @escaping @Sendable (RunEvent) -> Void) async throws(ServerError) -> RunReport {
    let core = try ServerCore(
      directory, membership: membership, settings: settings, largestPayload: agreement.largestPayload,
      progress: progress)
    core.announceAddress()
    let coordinator: RunCoordinator
    do throws(ServerError) {
      try await core.submitCheckpoint()
      try RunArchive(path: directory.runsPath).settleInterruptedRuns(resuming: false)
      coordinator = RunCoordinator(
        agreement: agreement, lobby: core.lobby, log: core.log,
        store: try RunStore(directory: runPath, plan: agreement.plan, manifest: agreement.signedManifest),
        spools: core.spools, traffic: core.traffic, identity: try core.identity(),
        settings: .init(patience: settings.patience), progress: progress)
    } catch {
      await core.close()
      throw error
    }
    let settings = settings
    let watching = Task {
      await core.watchFiles(every: .seconds(2), progress) { try await core.reload(settings: settings, isAsked: false) }
    }
    defer { watching.cancel() }
    let report = await withTaskCancellationHandler {
      await coordinator.run()
    } onCancel: {
      Task { await core.hub.close() }
    }
    let submission: Result<Void, ServerError>
    do throws(ServerError) { submission = .success(try await core.submitCheckpoint(afterRun: true)) } catch {
      submission = .failure(error)
    }
    await core.close()
    try submission.get()
    return report
  }
}

extension RunAgreement {
  /// Bytes of the longest masked input, or segment of one, that an honest client can send in one message under the plan
  /// and any allowed feature count.
  var largestPayload: Int {
    min(8 * (2 * plan.evaluation.histogramBins + 3 * RunPlan.maximumFeatures + 16), WireLimits.segmentBytes)
  }

  /// Refuses a plan that both sides would have to refuse later.
  ///
  /// - Throws: ``ServerError``.
  func check() throws(ServerError) {
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

/// Payload bytes received since the server started.
final class Traffic: Sendable {
  private let total = Mutex<UInt64>(0)

  func add(_ bytes: Int) { total.withLock { $0 += UInt64(bytes) } }
  var bytes: UInt64 { total.withLock { $0 } }
}
