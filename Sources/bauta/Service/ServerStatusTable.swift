import FederationServer
import Foundation
import ServiceControl

/// `bauta server status` as people read it.
enum ServerStatusTable {
  /// - Throws: `ControlError` for an answer of another release.
  static func show(_ json: String, _ output: Output) throws(ControlError) {
    let status = try ServerStatus(answer: json)
    let state = status.run.map { "\(status.state) \($0)" } ?? status.state
    output.line("server      \(state, .strong), on \(status.address) since \(status.since)")
    let manifest = status.manifest
    let inForce = manifest.inForce.map { "version \($0) in force" } ?? "no version in force yet"
    output.line("federation  \(manifest.federation), \(inForce)")
    if manifest.newest != manifest.inForce {
      let missing = manifest.missing.joined(separator: ", ")
      output.line(StyledText("            version \(manifest.newest) waits for \(missing)", .caution))
    }
    output.line("connected   \(list(status.connected))")
    if !status.revoked.isEmpty { output.line("revoked     \(list(status.revoked))") }
    if status.pinSequence > 0 {
      let taken = status.acknowledgedPins.keys.filter { status.hasTaken(status.pinSequence, $0) }.sorted()
      output.line("own keys    statement \(status.pinSequence), taken by \(list(taken))")
    }
    if !status.interrupted.isEmpty { output.line("interrupted \(list(status.interrupted))") }
    if !status.queued.isEmpty { output.line("queued      \(list(status.queued))") }
    output.line("log         \(Figures.counted(Int(clamping: status.logEntries), "entry", "entries"))")
    for conflict in status.logConflicts ?? [] {
      output.line(
        StyledText(
          "The log of \(conflict.organization) does not continue what was cosigned: \(conflict.held) entries before, "
            + "\(conflict.offered) offered (\(conflict.kind)).", .bad))
    }
    if let failure = status.reloadFailure {
      output.line(StyledText("The directory could not be read again: \(failure)", .bad))
    }
  }

  private static func list(_ names: [String]) -> String { names.isEmpty ? "nobody" : names.joined(separator: ", ") }
}
