import Foundation
import ServiceControl

/// The two services, which answer at the same place in their directories.
enum ServiceKind: String {
  case server
  case client

  private struct Answer: Decodable { let schema: String }

  /// Asks the service in a directory how it is.
  ///
  /// - Returns: JSON, a line.
  /// - Throws: `ControlError`; `CommandError` where the other kind of service runs there.
  func status(in directory: String) throws -> String {
    try LocalFile.requireDirectory(directory)
    let lines = try ControlClient.ask(ControlRequest("status"), of: directory)
    guard let line = lines.first, let answer = try? JSONDecoder().decode(Answer.self, from: Data(line.utf8)) else {
      throw ControlError.malformedAnswer
    }
    let other: ServiceKind = self == .server ? .client : .server
    guard !answer.schema.hasPrefix("bauta/\(other.rawValue)-status/") else {
      throw CommandError.unsuitable(
        path: directory, problem: "a \(other.rawValue) runs here, not a \(rawValue)",
        remedy: "Give the \(rawValue)'s directory, or ask this one: bauta \(other.rawValue) status --directory "
          + directory)
    }
    return line
  }

  /// Asks the service in a directory for something, if it is of this kind.
  ///
  /// - Returns: the answer's lines, JSON.
  /// - Throws: as ``status(in:)``.
  func ask(_ request: ControlRequest, in directory: String) throws -> [String] {
    _ = try status(in: directory)
    return try ControlClient.ask(request, of: directory)
  }
}
