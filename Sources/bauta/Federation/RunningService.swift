import Cryptography
import Federation
import FederationServer
import Foundation
import ServiceControl

/// The service that runs in a directory whose files a command has changed.
enum RunningService {
  enum Outcome: Sendable {
    /// Nothing runs there: the next start reads the files.
    case none
    case reloaded
    /// It runs on with what it had.
    case failed(reason: String)

    /// A word for scripts.
    var word: String {
      switch self {
      case .none: "none"
      case .reloaded: "reloaded"
      case .failed: "not-reloaded"
      }
    }

    /// What to tell the user; nil where nothing runs.
    func line(_ directory: String) -> StyledText? {
      switch self {
      case .none: nil
      case .reloaded: "\("Taken", .good) by the service that runs in \(directory)."
      case .failed(let reason):
        "\("Not taken", .caution) by the service that runs in \(directory): \(reason). Start it again when it may be."
      }
    }
  }

  /// Asks the service in a directory to read its files again.
  static func reload(_ directory: some ParticipantDirectory) -> Outcome {
    guard ControlClient.isRunning(in: directory.path) else { return .none }
    do throws(ControlError) {
      _ = try ControlClient.ask(ControlRequest("reload"), of: directory.path)
      return .reloaded
    } catch {
      // It ended meanwhile: what it left off, the next start reads.
      if case .notRunning = error { return .none }
      return .failed(reason: error.message)
    }
  }

  /// What a running server says of itself.
  ///
  /// - Returns: nil where none runs.
  /// - Throws: `ControlError` where it does not answer, or as another release does.
  static func status(of server: ServerDirectory) throws(ControlError) -> ServerStatus? {
    guard ControlClient.isRunning(in: server.path) else { return nil }
    do throws(ControlError) {
      let lines = try ControlClient.ask(ControlRequest("status"), of: server.path)
      return try ServerStatus(answer: lines.first ?? "")
    } catch {
      // It ended meanwhile.
      if case .notRunning = error { return nil }
      throw error
    }
  }
}

extension ServerStatus {
  private struct Form: Decodable { let schema: String }

  /// Reads a server's answer.
  ///
  /// - Throws: `ControlError` for that of another release.
  init(answer: String) throws(ControlError) {
    let bytes = Data(answer.utf8)
    guard let form = try? JSONDecoder().decode(Form.self, from: bytes), form.schema == "bauta/server-status/1",
      let status = try? JSONDecoder().decode(ServerStatus.self, from: bytes)
    else { throw .malformedAnswer }
    self = status
  }

  /// Whether an organisation has taken a statement of the server's certificate keys, or a later one.
  func hasTaken(_ statement: Int, _ name: String) -> Bool { (acknowledgedPins[name] ?? 0) >= statement }
}
