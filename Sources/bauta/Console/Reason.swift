/// Reasons that a user gives for a record or a report.
enum Reason {
  /// What the log takes beside the words for what was done.
  static let maximumBytes = 900

  /// What was done, and why, on one line within the log's bounds.
  static func text(_ what: String, _ reason: String?) -> String { reason.map { "\(what): \($0)" } ?? what }

  /// Whether it is one line, without control characters, of so many bytes.
  static func isOneLine(_ reason: String, bytes: ClosedRange<Int>) -> Bool {
    bytes.contains(reason.utf8.count) && reason.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }

  /// - Throws: `CommandError` unless it is one line of a length that the log takes.
  static func require(_ reason: String) throws(CommandError) -> String {
    guard isOneLine(reason, bytes: 1...maximumBytes) else {
      throw .usage(
        "the reason is not 1 to \(maximumBytes) bytes on one line", remedy: "Say in one sentence what happened.")
    }
    return reason
  }
}
