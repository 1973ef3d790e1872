import Cryptography
import Federation
import Foundation

/// The files of one run under the server's `runs/<run>/`: plan, manifest, models and the report.
struct RunStore: Sendable {
  let directory: String

  /// - Throws: ``ServerError/storage(_:)``.
  init(directory: String, plan: RunPlan, manifest: SignedManifest) throws(ServerError) {
    self.directory = directory
    do {
      try FileManager.default.createDirectory(
        atPath: directory + "/models", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch { throw .directory(path: directory, reason: error.localizedDescription) }
    try write(Array(plan.text.utf8), to: "plan.yaml")
    try save(manifest: manifest)
  }

  /// Reports that still say `running` are of a server that was killed: nobody else runs in this directory.
  ///
  /// - Parameter path: the directory of all runs; the caller holds the lock of the log beside it.
  /// - Throws: ``ServerError/federation(_:)``.
  static func closeInterruptedRuns(in path: String) throws(ServerError) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names.sorted() {
      let file = "\(path)/\(name)/report.json"
      guard FileManager.default.fileExists(atPath: file) else { continue }
      do throws(FederationError) {
        // A report that cannot be read is left as it is for its reader to say so.
        guard var report = try? RunReport(contentsOf: file), report.state == .running else { continue }
        report.state = .failed
        report.reason = "interrupted: the server ended before the run did"
        try report.write(to: file)
      } catch { throw .federation(error) }
    }
  }

  var modelPath: String { directory + "/model.safetensors" }

  func save(manifest: SignedManifest) throws(ServerError) { try write(manifest.serialized, to: "federation.note") }

  func save(model: [UInt8], round: Int) throws(ServerError) {
    try write(model, to: "models/round-\(round).safetensors")
  }

  func saveFinal(model: [UInt8]) throws(ServerError) { try write(model, to: "model.safetensors") }

  func save(_ report: RunReport) throws(ServerError) {
    do throws(FederationError) { try report.write(to: directory + "/report.json") } catch { throw .federation(error) }
  }

  private func write(_ bytes: [UInt8], to name: String) throws(ServerError) {
    do throws(FederationError) { try AtomicFile.replace(directory + "/" + name, bytes: bytes) } catch {
      throw .federation(error)
    }
  }
}
