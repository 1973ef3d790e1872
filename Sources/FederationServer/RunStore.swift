import Cryptography
import Federation
import FederationWire
import Foundation

/// The files of one run under the server's `runs/<run>/`: plan, manifest, models, progress and the report.
struct RunStore: Sendable {
  let directory: String

  /// - Throws: ``ServerError``.
  init(directory: String, plan: RunPlan, manifest: SignedManifest) throws(ServerError) {
    try self.init(directory: directory, plan: plan)
    try save(manifest: manifest)
  }

  /// A run that has not begun.
  ///
  /// - Throws: ``ServerError``.
  init(directory: String, plan: RunPlan) throws(ServerError) {
    self.directory = directory
    do {
      try FileManager.default.createDirectory(
        atPath: directory + "/models", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch { throw .directory(path: directory, reason: error.localizedDescription) }
    try write(Array(plan.text.utf8), to: "plan.yaml")
  }

  /// A run that was begun before.
  init(existing directory: String) { self.directory = directory }

  var modelPath: String { directory + "/model.safetensors" }

  func save(manifest: SignedManifest) throws(ServerError) { try write(manifest.serialized, to: "federation.note") }

  func save(model: [UInt8], round: Int) throws(ServerError) {
    try write(model, to: "models/round-\(round).safetensors")
  }

  func saveFinal(model: [UInt8]) throws(ServerError) { try write(model, to: "model.safetensors") }

  /// The report. With a run that is over goes the seed of its noise, before anybody can read that it is.
  func save(_ report: RunReport) throws(ServerError) {
    if report.state.isFinal { try removeTreeSeed() }
    do throws(FederationError) { try report.write(to: directory + "/report.json") } catch { throw .federation(error) }
  }

  func save(_ progress: RunResumption) throws(ServerError) { try write(progress.encoded, to: "progress.json") }

  /// The sum that is about to be published. From here on it is the one of its opening.
  func save(_ result: OpeningResult) throws(ServerError) {
    let message = ServerMessage(instruction: 0, receipt: nil, body: .result(result))
    let bytes: [UInt8]
    do throws(WireError) { bytes = try message.encoded() } catch {
      throw .directory(path: directory, reason: error.message)
    }
    do throws(FederationError) { try AtomicFile.replace(lastResultPath, bytes: bytes) } catch {
      throw .federation(error)
    }
  }

  // MARK: - Going on with a run

  func plan() throws(ServerError) -> RunPlan {
    do throws(FederationError) { return try RunPlan(contentsOf: directory + "/plan.yaml") } catch {
      throw .federation(error)
    }
  }

  func manifest() throws(ServerError) -> SignedManifest {
    let path = directory + "/federation.note"
    guard let bytes = try read(path, as: "a manifest", maximum: SignedManifest.maximumBytes) else {
      throw .unreadable(path: path, what: "a manifest")
    }
    do throws(FederationError) { return try SignedManifest(parsing: bytes, file: path) } catch {
      throw .federation(error)
    }
  }

  /// Nil where the cohort was not fixed yet.
  func progress() throws(ServerError) -> RunResumption? {
    let path = directory + "/progress.json"
    return FileManager.default.fileExists(atPath: path) ? try RunResumption(contentsOf: path) : nil
  }

  func model(round: Int) throws(ServerError) -> [UInt8] {
    let path = directory + "/models/round-\(round).safetensors"
    guard let bytes = try read(path, as: "a model", maximum: WireLimits.instructionBytes) else {
      throw .unreadable(path: path, what: "a model")
    }
    return bytes
  }

  var lastResultPath: String { directory + "/last-result" }

  /// The sum that was stored last; nil where none was.
  ///
  /// - Throws: ``ServerError/unreadable(path:what:)`` for a file that is not one: a sum that was stored is never made again.
  func lastResult(of run: RunIdentifier) throws(ServerError) -> OpeningResult? {
    let what = "the sum that was stored last"
    guard let bytes = try read(lastResultPath, as: what, maximum: WireLimits.instructionBytes) else { return nil }
    guard let message = try? ServerMessage(parsing: bytes, run: run), case .result(let result) = message.body,
      result.opening.run == run
    else { throw .unreadable(path: lastResultPath, what: what) }
    return result
  }

  /// Nil where there is no file.
  private func read(_ path: String, as what: String, maximum: Int) throws(ServerError) -> [UInt8]? {
    do throws(FederationError) { return try AtomicFile.bytes(of: path, maximum: maximum) } catch {
      throw .unreadable(path: path, what: what)
    }
  }

  private func write(_ bytes: [UInt8], to name: String) throws(ServerError) {
    do throws(FederationError) { try AtomicFile.replace(directory + "/" + name, bytes: bytes) } catch {
      throw .federation(error)
    }
  }
}

/// All runs of a server's directory.
struct RunArchive: Sendable {
  let path: String

  /// Reports of runs, the earliest first, without those that cannot be read: see ``report(of:)``.
  func reports() -> [RunReport] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.sorted().compactMap { try? RunReport(contentsOf: "\(path)/\($0)/report.json") }
  }

  /// The report of one run; nil where there is none.
  ///
  /// - Throws: ``ServerError/federation(_:)`` for one that cannot be read: it does not pass for absence.
  func report(of run: RunIdentifier) throws(ServerError) -> RunReport? {
    let path = "\(path)/\(run)/report.json"
    do throws(FederationError) { return try RunReport(contentsOf: path) } catch {
      guard case .file(.missing) = error else { throw .federation(error) }
      return nil
    }
  }

  func store(of run: RunIdentifier) -> RunStore { RunStore(existing: "\(path)/\(run)") }

  /// Reports that still say `running` are of a server that was killed: nobody else runs in this directory, whose log the
  /// caller holds.
  ///
  /// - Parameter resuming: runs that are to go on with stay open, as `interrupted`; else they are closed.
  /// - Throws: ``ServerError/federation(_:)``.
  func settleInterruptedRuns(resuming: Bool) throws(ServerError) {
    for var report in reports() where report.state == .running || (report.state == .interrupted && !resuming) {
      report.state = resuming ? .interrupted : .failed
      report.reason =
        resuming
        ? "the server ended before the run did; it goes on" : "interrupted: the server ended before the run did"
      try store(of: report.run).save(report)
    }
  }
}
