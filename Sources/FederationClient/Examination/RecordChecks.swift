import AuditLog
import Cryptography
import Federation
import Foundation
import ServiceControl

/// Log and state, and the clock against them. Holds the log until ``close()``, where no client does.
struct RecordChecks {
  let directory: any ParticipantDirectory
  let now: Date
  /// Nil if it cannot be opened.
  private(set) var log: AuditLogWriter?
  /// A client runs in the directory and holds the log.
  private(set) var isRunning = false

  init(directory: some ParticipantDirectory, now: Date) {
    self.directory = directory
    self.now = now
  }

  mutating func examine() -> [Finding] {
    let writer: AuditLogWriter
    do {
      writer = try AuditLogWriter(
        directory: directory.logPath, organization: directory.name, logKey: directory.logKey())
    } catch AuditLogError.locked {
      return held
    } catch let error as AuditLogError {
      return [Finding("log", error)]
    } catch let error as FederationError {
      return [Finding("log", error)]
    } catch { return [Finding("log", .failed, "the log could not be opened (\(type(of: error)))")] }
    log = writer
    return [Finding("log", .ok, "the log has \(writer.size) entries and can be written"), state(writer), clock]
  }

  /// Closes the log under a checkpoint.
  mutating func close() -> Finding? {
    guard let log else { return nil }
    self.log = nil
    do throws(AuditLogError) { try log.close() } catch { return Finding("log", error) }
    return nil
  }

  /// What the client that runs says of itself.
  private var held: [Finding] {
    mutating get {
      do throws(ControlError) {
        let lines = try ControlClient.ask(ControlRequest("status"), of: directory.path)
        isRunning = true
        let status = lines.first.flatMap { try? CanonicalJSON(parsing: Array($0.utf8)) }
        return [
          Finding("log", .ok, "a client runs here and holds the log: \(Self.summary(status))"),
          Finding("state", .skipped, "the client that runs holds the state; it has checked it when it started"), clock,
        ]
      } catch {
        return [
          Finding(
            "log", .warning, "another process has the log open, and no client answers in \(directory.path)",
            remedy: "Wait until it has ended, then look again: 'fuser \(directory.logPath)/lock' names it."),
          Finding("state", .skipped, "another process holds the log"),
        ]
      }
    }
  }

  private static func summary(_ status: CanonicalJSON?) -> String {
    guard case .object(let members)? = status else { return "its answer cannot be read" }
    var text = ""
    if case .string(let state)? = members["state"] { text = state }
    if case .boolean(let isConnected)? = members["connected"] {
      text += isConnected ? ", connected" : ", not connected"
    }
    if case .object(let refusal)? = members["refusal"], case .string(let message)? = refusal["message"] {
      text += ", refused by the server: \(message)"
    } else if case .string(let trouble)? = members["trouble"] {
      text += ", last trouble: \(trouble)"
    }
    return text
  }

  /// Whether state and log agree; neither is changed.
  private func state(_ log: AuditLogWriter) -> Finding {
    do throws(ClientError) {
      let review: StateReview
      if FileManager.default.fileExists(atPath: directory.statePath) {
        review = try StateReview(store: try ClientStore(path: directory.statePath), log: log)
      } else {
        review = try StateReview(path: directory.statePath, version: 0, remembered: nil, logDirectory: log.directory)
      }
      if let fault = review.fault { return Finding("state", fault) }
      return Finding("state", .ok, "state and log agree")
    } catch { return Finding("state", error) }
  }

  /// Against the log's own last entry: nothing else here knows the time. A peer of TLS 1.3 does not say what time it is.
  private var clock: Finding {
    var last: AuditTime?
    if var reader = try? AuditLogReader(directory: directory.logPath) {
      while let entry = try? reader.next() { last = entry.record.time }
    }
    guard let last else {
      return Finding("clock", .skipped, "the log holds no time to compare with, and a TLS server does not tell its own")
    }
    let lead = last.date.timeIntervalSince(now)
    guard lead < 60 else {
      return Finding(
        "clock", .failed,
        "this machine's clock says \(now.formatted(.iso8601)), and the log's last entry is from \(last)",
        remedy: "Set this machine's clock; it has gone back since, or was ahead when the entry was made.")
    }
    return Finding("clock", .ok, "the clock is past the log's last entry; a TLS server does not tell its own time")
  }
}
