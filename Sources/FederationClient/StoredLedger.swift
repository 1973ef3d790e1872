import DifferentialPrivacy
public import Federation
import Foundation
import ServiceControl

/// An organisation's privacy ledger as it is on disk; a client that runs has the file to itself, and is asked for it.
///
/// A state that does not agree with the log, such as one that was put back, may have forgotten charges: its ledger is
/// incomplete, as it is after the owner's acknowledgement.
public enum StoredLedger {
  /// - Throws: ``ClientError/storage(_:)``, ``ClientError/log(_:)``, ``ClientError/federation(_:)`` for an entry that cannot be accounted for,
  ///   ``ClientError/control(_:)`` where the client that runs does not answer.
  ///
  /// Waits up to a second for another program that has the file: one that reads it has it for a moment, and a client that
  /// has just begun can be asked soon.
  public static func read(_ directory: OrganizationDirectory) throws(ClientError) -> PrivacyLedger {
    for _ in 0..<20 {
      do throws(ClientError) {
        return try readOnce(directory)
      } catch {
        guard case .storage(let failure) = error, failure.isLocked else { throw error }
        usleep(50_000)
      }
    }
    return try readOnce(directory)
  }

  private static func readOnce(_ directory: OrganizationDirectory) throws(ClientError) -> PrivacyLedger {
    do throws(ControlError) {
      return try ledger(of: ControlClient.ask(ControlRequest(request), of: directory.path))
    } catch {
      guard case .notRunning = error else { throw .control(error) }
    }
    let entries: [LedgerEntry]
    let isIncomplete: Bool
    if FileManager.default.fileExists(atPath: directory.statePath) {
      let store = try ClientStore(path: directory.statePath)
      let ledger = try store.ledger()
      entries = ledger.entries
      let fault = try StateReview(store: store, logDirectory: directory.logPath).fault
      isIncomplete = ledger.isIncomplete || fault != nil
    } else {
      entries = []
      isIncomplete =
        try StateReview(path: directory.statePath, version: 0, remembered: nil, logDirectory: directory.logPath).fault
        != nil
    }
    do throws(FederationError) { return try PrivacyLedger(entries: entries, isIncomplete: isIncomplete) } catch {
      throw .federation(error)
    }
  }

  /// How the ledger names data: by where they are, without links.
  public static func dataSet(at path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().path
  }

  // MARK: - From a client that runs

  static let request = "ledger"

  /// An entry as a line of JSON.
  private struct Line: Codable {
    let dataSet: String
    let run: String
    let task: String
    let round: Int
    let unit: String
    let event: String
    let time: Int64
    /// Nil from a client that knows neither: such a one has no other charges.
    let count: Int?
    let noise: String?
  }

  /// The last line, where charges may be missing.
  private static let incomplete = "incomplete"

  static func lines(of ledger: PrivacyLedger) throws -> [String] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let lines = try ledger.entries.map { entry in
      let line = Line(
        dataSet: entry.dataSet, run: entry.run.text, task: entry.task.rawValue, round: entry.round,
        unit: entry.unit.rawValue, event: entry.event.canonical, time: entry.time,
        count: entry.count, noise: entry.noise.rawValue)
      return String(decoding: try encoder.encode(line), as: UTF8.self)
    }
    return lines + (ledger.isIncomplete ? [incomplete] : [])
  }

  static func ledger(of lines: [String]) throws(ControlError) -> PrivacyLedger {
    let isIncomplete = lines.last == incomplete
    do {
      return try PrivacyLedger(
        entries: lines.dropLast(isIncomplete ? 1 : 0).map { text in
          let line = try JSONDecoder().decode(Line.self, from: Data(text.utf8))
          guard let task = TaskKind(rawValue: line.task), let unit = PrivacyUnit(rawValue: line.unit),
            let noise = NoisePlacement(rawValue: line.noise ?? NoisePlacement.distributed.rawValue)
          else { throw ControlError.malformedAnswer }
          return LedgerEntry(
            dataSet: line.dataSet, run: try RunIdentifier(line.run), task: task, round: line.round,
            unit: unit, event: try PrivacyEvent(canonical: line.event), count: line.count ?? 1, noise: noise,
            time: line.time)
        }, isIncomplete: isIncomplete)
    } catch { throw .malformedAnswer }
  }
}
