import Cryptography
public import Foundation

/// The name of a run: 1 to 64 lowercase letters, digits and inner hyphens, so that it can name a directory.
public struct RunIdentifier: Hashable, Comparable, Sendable, CustomStringConvertible, Codable {
  public static let maximumBytes = 64

  public let text: String

  /// - Throws: ``FederationError/malformed(_:)``.
  public init(_ text: String) throws(FederationError) {
    let isAllowed = text.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2D
    }
    guard isAllowed, (1...Self.maximumBytes).contains(text.utf8.count), text.utf8.first != 0x2D,
      text.utf8.last != 0x2D
    else { throw .malformed(.runIdentifier) }
    self.text = text
  }

  private init(unchecked text: String) { self.text = text }

  /// A new identifier: the moment in UTC, its fraction of a second in 65,536ths, then 48 random bits. Runs that are made
  /// one after another sort as they were made.
  public static func generate(at moment: Date) -> RunIdentifier {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: moment)
    func digits(_ value: Int?, _ width: Int) -> String {
      let text = String(max(value ?? 0, 0))
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let day = digits(parts.year, 4) + digits(parts.month, 2) + digits(parts.day, 2)
    let time = digits(parts.hour, 2) + digits(parts.minute, 2) + digits(parts.second, 2)
    let seconds = moment.timeIntervalSince1970
    let fraction = UInt16(min(max((seconds - seconds.rounded(.down)) * 65_536, 0), 65_535))
    let tail = [UInt8(fraction >> 8), UInt8(fraction & 0xFF)] + randomBytes(6)
    return RunIdentifier(unchecked: "\(day)-\(time)-\(Hexadecimal.encode(tail))")
  }

  public init(from decoder: any Decoder) throws {
    try self.init(decoder.singleValueContainer().decode(String.self))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }

  public var description: String { text }

  public static func < (left: RunIdentifier, right: RunIdentifier) -> Bool { left.text < right.text }
}

/// What a secure sum computes.
public enum TaskKind: String, Sendable, CaseIterable, Codable {
  /// Counts, sums and sums of squares of the columns, and the label's counts.
  case statistics
  /// The weighted sum of models.
  case fit
  /// Counts of right answers, losses and score histograms.
  case evaluate
}

/// Names one opening of a sum: a task of a round of a run, and which attempt at it.
public struct OpeningIdentifier: Hashable, Sendable, CustomStringConvertible {
  public let run: RunIdentifier
  public let task: TaskKind
  /// From 1; 0 for the statistics before the first round.
  public let round: Int
  /// From 1.
  public let attempt: Int

  /// - Precondition: neither number is negative.
  public init(run: RunIdentifier, task: TaskKind, round: Int, attempt: Int) {
    precondition(round >= 0 && attempt >= 0, "rounds and attempts are counted, never negative")
    self.run = run
    self.task = task
    self.round = round
    self.attempt = attempt
  }

  /// The same opening, tried again.
  public var nextAttempt: OpeningIdentifier {
    OpeningIdentifier(run: run, task: task, round: round, attempt: attempt + 1)
  }

  public var description: String { "\(task.rawValue) of round \(round), attempt \(attempt), of run \(run)" }
}
