public import Cryptography
import Foundation

/// What became of a run: the output of `bauta run show --json` and the server's `report.json`.
///
/// Figures are sums over a cohort; none is one organisation's.
public struct RunReport: Sendable, Equatable, Codable {
  public static let schema = "bauta/run/1"

  public enum State: String, Sendable, Codable, CaseIterable {
    /// Waits for its turn.
    case queued
    case running
    /// The server ended; it goes on with the run when it is started again.
    case interrupted
    case completed
    /// Too few participants.
    case stopped
    case failed
    /// By the operator.
    case cancelled
    /// A member's privacy budget does not reach the next sum; the model is that of the last round that was paid for.
    case budgetSpent
  }

  public struct Round: Sendable, Equatable, Codable {
    public let round: Int
    /// Attempts that the round's fit took.
    public let attempt: Int
    public let cohort: [String]
    /// Those whose terms are in the sum.
    public let survivors: [String]
    /// Rows that were trained on, summed.
    public let examples: Int64
    /// By name: `accuracy`, `logLoss`, `rocAuc`, `rocAucNoiseError` (with noise only), `averagePrecision`.
    public let metrics: [String: Double]
    public let seconds: Double
    /// Payload bytes received from the cohort.
    public let bytes: UInt64

    public init(
      round: Int, attempt: Int, cohort: [OrganizationName], survivors: [OrganizationName], examples: Int64,
      metrics: [String: Double], seconds: Double, bytes: UInt64
    ) {
      self.round = round
      self.attempt = attempt
      self.cohort = cohort.map(\.value)
      self.survivors = survivors.map(\.value)
      self.examples = examples
      self.metrics = metrics
      self.seconds = seconds
      self.bytes = bytes
    }
  }

  public struct Model: Sendable, Equatable, Codable {
    public let path: String
    public let sha256: String

    public init(path: String, sha256: ModelHash) {
      self.path = path
      self.sha256 = sha256.hexadecimal
    }
  }

  public let schema: String
  public let run: RunIdentifier
  public var state: State
  /// Why the run ended as it did; nil while it is running and when it completed.
  public var reason: String?
  public var rounds: [Round]
  public var model: Model?

  public init(
    run: RunIdentifier, state: State = .running, reason: String? = nil, rounds: [Round] = [], model: Model? = nil
  ) {
    schema = Self.schema
    self.run = run
    self.state = state
    self.reason = reason
    self.rounds = rounds
    self.model = model
  }

  private enum CodingKeys: String, CodingKey { case schema, run, state, reason, rounds, model }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(schema, forKey: .schema)
    try container.encode(run, forKey: .run)
    try container.encode(state, forKey: .state)
    // Present and null, so that a reader need not guess which keys there are.
    try container.encode(reason, forKey: .reason)
    try container.encode(rounds, forKey: .rounds)
    try container.encode(model, forKey: .model)
  }

  /// One line of JSON with keys in alphabetical order, without a newline.
  public var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Metrics of an empty sum may be no numbers; JSON has none of those.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  /// Reads a report that ``json`` has written, at most 16 MiB.
  ///
  /// - Throws: ``FederationError/file(_:)`` if there is none or it is not one.
  public init(contentsOf path: String) throws(FederationError) {
    let bytes = try FileAccess.bytes(of: path, maximum: 16 << 20)
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    guard let report = try? decoder.decode(RunReport.self, from: Data(bytes)), report.schema == Self.schema else {
      throw .file(.malformedReport(path: path))
    }
    self = report
  }

  /// Puts the report in the place of the one before, as a whole.
  ///
  /// - Throws: ``FederationError/file(_:)``.
  public func write(to path: String) throws(FederationError) {
    try FileAccess.replace(path, mode: 0o644, bytes: Array((json + "\n").utf8))
  }
}
