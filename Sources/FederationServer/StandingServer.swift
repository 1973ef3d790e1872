import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import MutualTLS
import ServiceControl
import Synchronization

/// A server that stays: conducts one run after another as its operator asks, goes on with runs that an earlier process
/// has left, and takes changes of members and certificates without a restart.
public final class StandingServer: Sendable {
  public struct Settings: Sendable {
    public var server: RunServer.Settings
    /// How long a sum that is going on may take to its end when the server is stopped.
    public var stopGrace: Duration = .seconds(60)
    /// Turns an event into one JSON object, and into a line for people where it is one for people.
    public var render: @Sendable (RunEvent) -> (json: String, text: String?)
    /// How often files are looked at for changes.
    var watchInterval: Duration = .seconds(2)

    public init(
      server: RunServer.Settings, render: @escaping @Sendable (RunEvent) -> (json: String, text: String?)
    ) {
      self.server = server
      self.render = render
    }
  }

  struct State {
    var run: RunIdentifier?
    var control: RunControl?
    var isStopping = false
    var reloadFailure: String?
  }

  let directory: ServerDirectory
  let settings: Settings
  let archive: RunArchive
  let feed = EventFeed()
  let state = Mutex(State())
  let started = Date()

  /// - Throws: ``ServerError``.
  public init(directory path: String, settings: Settings) throws(ServerError) {
    do throws(FederationError) { directory = try ServerDirectory(opening: path) } catch { throw .federation(error) }
    self.settings = settings
    archive = RunArchive(path: directory.runsPath)
  }

  /// Serves until ``stop()``.
  ///
  /// - Throws: ``ServerError`` if it cannot start or its log cannot be written any more.
  public func serve(progress: @escaping @Sendable (RunEvent) -> Void) async throws(ServerError) {
    let feed = feed
    let report: @Sendable (RunEvent) -> Void = { event in
      feed.append(event)
      progress(event)
    }
    let core = try ServerCore(
      directory, membership: try ServerMembership(directory), settings: settings.server, progress: report)
    let result: Result<Void, ServerError>
    do throws(ServerError) {
      result = .success(try await serve(core, report))
    } catch { result = .failure(error) }
    let isHandedBack = archive.reports().contains { $0.state == .interrupted || $0.state == .queued }
    await core.close(isHandedBack ? .paused : .shuttingDown)
    try result.get()
  }

  private func serve(_ core: ServerCore, _ report: @escaping @Sendable (RunEvent) -> Void) async throws(ServerError) {
    try archive.settleInterruptedRuns(resuming: true)
    try record(.serviceStarted, core)
    let listener: ControlListener
    do throws(ControlError) {
      listener = try ControlListener(directory: directory.path) { [self] request, answer in
        try await handle(request, answer, core)
      }
    } catch { throw .control(error) }
    defer { listener.close() }
    self.core.withLock { $0 = core }
    defer { self.core.withLock { $0 = nil } }
    core.announceAddress()
    let watching = Task {
      await core.watchFiles(every: settings.watchInterval, report) { try await self.reload(core, isAsked: false) }
    }
    defer { watching.cancel() }
    // Before any run: a log that was put back to an earlier state is found out here.
    try await core.submitCheckpoint()
    let submitting = Task {
      await core.submitRoutinely(every: .seconds(600))
      // What it has met ends the server.
      if core.submissions.conflict != nil { self.stop() }
    }
    defer { submitting.cancel() }
    while !state.withLock({ $0.isStopping }) {
      if let next = nextRun() {
        try await conduct(next, core, report)
        try await core.submitCheckpoint(afterRun: true)
      } else {
        do { try await core.lobby.waitForWake() } catch let error as AuditLogError { throw .log(error) } catch { break }
      }
    }
    await listener.finishAnswers()
    try record(.serviceStopped, core)
    if let conflict = core.submissions.conflict { throw .externalWitness(conflict) }
  }

  private let core = Mutex<ServerCore?>(nil)

  /// Ends the server: the run that is going on is handed back where nothing would be lost, or finishes its sum first.
  public func stop() {
    let control = state.withLock { state in
      state.isStopping = true
      return state.control
    }
    control?.ask(.pause(deadline: .now + settings.stopGrace))
    let hub = core.withLock { $0?.hub }
    hub?.notify(.wake)
    guard let hub else { return }
    let grace = settings.stopGrace
    Task {
      try? await Task.sleep(for: grace)
      hub.notify(.wake)
    }
  }

  /// Reads the directory again, as SIGHUP asks; what goes wrong is in the events.
  public func reload() async {
    guard let core = core.withLock({ $0 }) else { return }
    try? await reload(core)
  }

  func reload(_ core: ServerCore, isAsked: Bool = true) async throws(ServerError) {
    do throws(ServerError) {
      try await core.reload(settings: settings.server, isAsked: isAsked)
      state.withLock { $0.reloadFailure = nil }
    } catch {
      state.withLock { $0.reloadFailure = error.message }
      throw error
    }
  }

  // MARK: - Runs

  /// What an earlier process has left first, then what was queued.
  private func nextRun() -> RunReport? {
    let reports = archive.reports()
    return reports.first { $0.state == .interrupted } ?? reports.first { $0.state == .queued }
  }

  private func conduct(
    _ queued: RunReport, _ core: ServerCore, _ progress: @escaping @Sendable (RunEvent) -> Void
  ) async throws(ServerError) {
    let control = RunControl()
    // Before anybody can learn that it is the present run, and until nobody can take it for that any more but by its report.
    feed.begin(queued.run)
    defer {
      feed.end()
      state.withLock { state in
        state.run = nil
        state.control = nil
      }
    }
    let isStopping = state.withLock { state in
      state.run = queued.run
      state.control = control
      return state.isStopping
    }
    let present: RunReport?
    do throws(ServerError) { present = try archive.report(of: queued.run) } catch {
      // It could be read a moment ago. It is left as it is, for its owner to look at.
      progress(.reloadFailed(reason: "\(error.message) \(error.remedy)"))
      return
    }
    // It may have been cancelled before it was taken up.
    guard !isStopping, present?.state == queued.state else { return }
    var report = queued
    do throws(ServerError) {
      let coordinator = try makeCoordinator(for: queued, core, control, progress)
      report = await coordinator.run()
    } catch {
      report.state = .failed
      report.reason = "\(error.message); \(error.remedy)"
      progress(.ended(report))
    }
    try archive.store(of: report.run).save(report)
  }

  private func makeCoordinator(
    for queued: RunReport, _ core: ServerCore, _ control: RunControl,
    _ progress: @escaping @Sendable (RunEvent) -> Void
  ) throws(ServerError) -> RunCoordinator {
    let store = archive.store(of: queued.run)
    let resumption = queued.state == .interrupted ? try store.progress() : nil
    // A run that was announced keeps its manifest for as long as that counts.
    let view = core.membership.current
    let announced = queued.state == .interrupted ? try store.manifest() : view.current
    let manifest = resumption == nil ? view.manifest(announced.hash) ?? view.current : announced
    let agreement = RunAgreement(manifest: manifest, plan: try store.plan(), run: queued.run)
    try agreement.check()
    if resumption != nil, core.membership.current.manifest(manifest.hash) == nil {
      throw .supersededManifest(version: manifest.manifest.version)
    }
    if resumption == nil { try store.save(manifest: manifest) }
    return RunCoordinator(
      agreement: agreement, lobby: core.lobby, log: core.log, store: store, spools: core.spools, traffic: core.traffic,
      identity: try core.identity(), settings: .init(patience: settings.server.patience), control: control,
      resuming: resumption, report: queued.state == .interrupted ? queued : nil, progress: progress)
  }

  private func record(_ event: AuditRecord.Event, _ core: ServerCore) throws(ServerError) {
    var draft = AuditRecord.Draft(event)
    let manifest = core.membership.current.newest
    draft.actor = .init(service: "bauta server")
    draft.federation = manifest.manifest.federation.value
    draft.manifest = manifest.hash
    do throws(AuditLogError) {
      try core.log.append(draft)
      try core.log.publish()
    } catch { throw .log(error) }
  }
}
