import AuditLog
import Cryptography
import Federation
import FederationWire
import Foundation
import LogService
import ServiceControl
import TransparencyLog

/// What the operator may ask a standing server, over the socket in its directory.
extension StandingServer {
  /// Longest text of a plan, in bytes.
  public static let maximumPlanBytes = 256 * 1024

  func handle(_ request: ControlRequest, _ answer: ControlAnswer, _ core: ServerCore) async throws {
    switch request.command {
    case "status": try answer.send(await status(core))
    case "reload": try await reload(core)
    case "record": try record(request, core)
    case "cosign":
      try await cosign(request, answer, core)
    case "run-start": try answer.send(try start(request, core))
    case "run-list": for report in archive.reports() { try answer.send(report.json) }
    case "run-watch": try await watch(request, answer)
    case "run-cancel": try cancel(request, core)
    case "stop": stop()
    default: throw ControlError.badRequest("there is no '\(request.command)'")
    }
  }

  /// One JSON object.
  private func status(_ core: ServerCore) async -> String {
    let view = core.membership.current
    let (run, isStopping, failure) = state.withLock { ($0.run, $0.isStopping, $0.reloadFailure) }
    let reports = archive.reports()
    let status = ServerStatus(
      state: isStopping ? "stopping" : run == nil ? "idle" : "running", run: run?.text,
      queued: reports.filter { $0.state == .queued }.map(\.run.text),
      interrupted: reports.filter { $0.state == .interrupted }.map(\.run.text),
      address: "\(core.listenAddress.host):\(core.transport.port)",
      since: AuditTime(started)?.description ?? "",
      manifest: .init(
        federation: view.newest.manifest.federation.value, inForce: view.inForce?.manifest.version,
        newest: view.newest.manifest.version, missing: view.newest.approvals.missing.map(\.value)),
      connected: await core.lobby.connected.keys.sorted().map(\.value),
      waiting: await core.lobby.waiting.map(\.value),
      revoked: view.revocations.map(\.name.value),
      pinSequence: view.ownStatement?.sequence ?? 0,
      acknowledgedPins: Dictionary(
        uniqueKeysWithValues: await core.lobby.acknowledgedPins.map { ($0.key.value, $0.value) }),
      logEntries: core.log.size, reloadFailure: failure, logConflicts: core.witnessing.conflicts)
    return status.json
  }

  /// Submits the log's checkpoint to the witnesses that the operator names.
  private func cosign(_ request: ControlRequest, _ answer: ControlAnswer, _ core: ServerCore) async throws {
    var witnesses = settings.server.witnesses
    if let named = request.arguments["witnesses"] {
      guard let parsed = WitnessAddress.parse(list: named) else {
        throw ControlError.badRequest("a witness is KEY@URL")
      }
      witnesses = parsed
    }
    do {
      for submission in try await core.submissions.submit(to: witnesses) { try answer.send(submission.line) }
    } catch {
      // No run is begun any more.
      if core.submissions.conflict != nil { stop() }
      throw error
    }
  }

  private func record(_ request: ControlRequest, _ core: ServerCore) throws {
    guard let record = OwnerRecord(arguments: request.arguments) else {
      throw ControlError.badRequest("it is not a record of its owner")
    }
    try core.log.append(record.draft(actor: .init(service: "bauta")))
    try core.log.publish()
  }

  /// Checks a plan as far as that can be done before the organisations are asked, and queues a run of it.
  ///
  /// - Returns: the report of the run, as JSON.
  private func start(_ request: ControlRequest, _ core: ServerCore) throws -> String {
    let plan = try RunPlan(parsing: try request.required("plan"), file: request.arguments["file"] ?? "the plan")
    if state.withLock({ $0.isStopping }) { throw ServerError.stopping }
    let run = RunIdentifier.generate(at: Date())
    let agreement = RunAgreement(manifest: core.membership.current.current, plan: plan, run: run)
    try agreement.check()
    let store = try RunStore(directory: directory.runPath(run), plan: plan)
    let report = RunReport(run: run, state: .queued)
    try store.save(report)
    core.hub.notify(.wake)
    return report.json
  }

  private func watch(_ request: ControlRequest, _ answer: ControlAnswer) async throws {
    let present = state.withLock { $0.run }
    let run = try request.arguments["run"].map { try RunIdentifier($0) } ?? present
    guard let run else { throw ServerError.nothingRuns }
    var isTold = false
    for await event in feed.watch(run) ?? .finished {
      if case .ended(let report) = event, report.run == run { isTold = true }
      try send(event, answer)
    }
    // Of a run that was not going on, that was put off, or of whose events this watcher missed the last.
    if !isTold { try send(.ended(try report(of: run)), answer) }
  }

  private func send(_ event: RunEvent, _ answer: ControlAnswer) throws {
    let (json, text) = settings.render(event)
    let line = try JSONEncoder().encode(WatchedEvent(event: json, text: text))
    try answer.send(String(decoding: line, as: UTF8.self))
  }

  private func cancel(_ request: ControlRequest, _ core: ServerCore) throws {
    let named = try request.arguments["run"].map { try RunIdentifier($0) }
    try cancel(named, reason: request.arguments["reason"] ?? "")
    core.hub.notify(.wake)
  }

  /// Cancels a run that waits, or asks the one that is going on to end.
  ///
  /// - Parameter named: nil for the one that is going on.
  /// - Throws: ``ServerError``.
  func cancel(_ named: RunIdentifier?, reason: String) throws(ServerError) {
    // Held throughout: a run that is taken up meanwhile is either asked to end, or found cancelled.
    try state.withLock { (state) throws(ServerError) in
      guard let run = named ?? state.run else { throw .nothingRuns }
      if run == state.run {
        state.control?.ask(.cancel(reason: reason))
        return
      }
      var report = try report(of: run)
      guard report.state == .queued || report.state == .interrupted else {
        throw .runHasEnded(run, state: report.state)
      }
      report.state = .cancelled
      report.reason = RunStop.cancelled(reason: reason).reason
      try archive.store(of: run).save(report)
    }
  }

  private func report(of run: RunIdentifier) throws(ServerError) -> RunReport {
    guard let report = try archive.report(of: run) else { throw .unknownRun(run) }
    return report
  }
}

extension AsyncStream where Element == RunEvent {
  fileprivate static var finished: AsyncStream<RunEvent> { AsyncStream { $0.finish() } }
}

/// A line of the answer to `run-watch`.
private struct WatchedEvent: Encodable {
  /// As `bauta server --json` prints it.
  let event: String
  /// For people; nil for an event that is not for them.
  let text: String?
}

/// The answer to `status`: the output of `bauta server status --json`.
public struct ServerStatus: Codable {
  public struct ManifestState: Codable {
    public let federation: String
    public let inForce: Int?
    public let newest: Int
    /// Who has not approved the newest version.
    public let missing: [String]
  }

  var schema = "bauta/server-status/1"
  public let state: String
  public let run: String?
  public let queued: [String]
  public let interrupted: [String]
  public let address: String
  public let since: String
  public let manifest: ManifestState
  public let connected: [String]
  public let waiting: [String]
  public let revoked: [String]
  /// The number of the server's own statement of certificate keys; 0 before there is one.
  public let pinSequence: Int
  /// Who has taken which statement of the server's.
  public let acknowledgedPins: [String: Int]
  public let logEntries: UInt64
  public let reloadFailure: String?
  /// Members whose logs did not continue what the server had cosigned of them; nil from an earlier release.
  public let logConflicts: [LogConflict]?

  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }
}
