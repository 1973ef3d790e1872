import Cryptography
import Federation
import Foundation

/// Where a run stands, so that a server that is started again can go on with it: `progress.json` in the run's directory.
///
/// Written before each attempt and after each sum. It holds nothing secret, and nothing of a single organisation but its
/// name: the masked terms of a sum that is going on are lost with the server, and the sum is begun again.
struct RunResumption: Codable, Equatable, Sendable {
  static let schema = "bauta/run-progress/1"
  static let maximumBytes = 4 << 20

  var schema = RunResumption.schema
  let cohort: [String]
  /// Columns in order.
  let features: [String]
  /// Sums of the run that are published.
  var done = 0
  /// Attempts at the next one that have begun: an attempt's number is never used twice.
  var attempts = 0

  init(cohort: [OrganizationName], features: [String]) {
    self.cohort = cohort.map(\.value)
    self.features = features
  }

  /// - Throws: ``ServerError/directory(path:reason:)`` if it cannot be read as one.
  init(contentsOf path: String) throws(ServerError) {
    guard let bytes = try? AtomicFile.bytes(of: path, maximum: Self.maximumBytes),
      let read = try? JSONDecoder().decode(RunResumption.self, from: Data(bytes)), read.schema == Self.schema,
      (0...1_000_000).contains(read.done), (0...1_000_000).contains(read.attempts)
    else { throw .unreadable(path: path, what: "the progress of a run") }
    self = read
  }

  /// - Throws: ``ServerError/federation(_:)`` for a name that is none.
  var members: [OrganizationName] {
    get throws(ServerError) {
      var names: [OrganizationName] = []
      for name in cohort {
        guard let name = try? OrganizationName(name) else {
          throw .unreadable(path: name, what: "a name in the cohort")
        }
        names.append(name)
      }
      return names
    }
  }

  var encoded: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let data = try? encoder.encode(self) else { return [] }
    return [UInt8](data) + [0x0A]
  }
}
