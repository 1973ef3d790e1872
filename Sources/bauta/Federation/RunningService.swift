import Cryptography
import Federation
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

  /// What a running server says of itself. Whatever it does not say, or says in another way, is left out.
  struct ServerStatus: Decodable, Sendable {
    static let schema = "bauta/server-status/1"

    let state: String?
    let run: String?
    let connected: [String]?
    /// The number of the server's statement of pins that each organisation has, as far as the server was told.
    let acknowledgedPins: [String: Int]?

    private enum Keys: String, CodingKey { case schema, state, run, connected, acknowledgedPins }

    init(from decoder: any Decoder) throws {
      let fields = try decoder.container(keyedBy: Keys.self)
      let schema = try fields.decode(String.self, forKey: .schema)
      guard schema == Self.schema else {
        throw DecodingError.dataCorruptedError(forKey: .schema, in: fields, debugDescription: "another schema")
      }
      state = try? fields.decode(String.self, forKey: .state)
      run = try? fields.decode(String.self, forKey: .run)
      connected = try? fields.decode([String].self, forKey: .connected)
      acknowledgedPins = try? fields.decode([String: Int].self, forKey: .acknowledgedPins)
    }
  }

  /// - Returns: nil where no server runs, or none that answers.
  static func status(of server: ServerDirectory) -> ServerStatus? {
    guard ControlClient.isRunning(in: server.path),
      let lines = try? ControlClient.ask(ControlRequest("status"), of: server.path)
    else { return nil }
    return lines.lazy.compactMap { try? JSONDecoder().decode(ServerStatus.self, from: Data($0.utf8)) }.first
  }
}
