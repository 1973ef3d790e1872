import Federation
import Foundation

/// The reports of runs in the `runs/` of a server's or an organisation's directory.
enum RunFiles {
  /// The report of a run, or of the latest one.
  ///
  /// - Throws: `CommandError` if there is none, `FederationError`.
  static func report(_ run: String?, in directory: String) throws -> RunReport {
    try LocalFile.requireDirectory(directory)
    if let run {
      // As an identifier it cannot lead out of the directory.
      let identifier = try RunIdentifier(run)
      let path = reportPath(identifier.text, in: directory)
      guard LocalFile.exists(path) else { throw CommandError.missing(path: path, what: "report of a run") }
      return try RunReport(contentsOf: path)
    }
    // Identifiers begin with the moment, so the last one is the latest.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/runs")) ?? []
    guard let latest = names.filter({ LocalFile.exists(reportPath($0, in: directory)) }).max() else {
      throw CommandError.unsuitable(
        path: directory, problem: "there is no report of a run",
        remedy: "Give the server's directory, or start a run: bauta run start PLAN")
    }
    return try RunReport(contentsOf: reportPath(latest, in: directory))
  }

  /// All reports, the earliest first; one that cannot be read is an error.
  ///
  /// - Throws: `FederationError`.
  static func all(in directory: String) throws -> [RunReport] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/runs")) ?? []
    return try names.sorted().filter { LocalFile.exists(reportPath($0, in: directory)) }
      .map { try RunReport(contentsOf: reportPath($0, in: directory)) }
  }

  private static func reportPath(_ run: String, in directory: String) -> String {
    "\(directory)/runs/\(run)/report.json"
  }
}
