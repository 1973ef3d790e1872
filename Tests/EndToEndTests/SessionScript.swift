import Foundation

/// A command-line session as plain text: what a user types, and what they then read.
///
///     # a comment
///     @ fixture                  makes files; see `SessionFixture`
///     $ bauta data check a.csv   a line for /bin/sh
///     rows: 3                    what it writes to standard output
///     ! bauta: …                 what it writes to standard error
///     ? 1                        its exit status; 0 if the line is missing
///     < a.csv                    a file: its lines follow, each after two spaces
///
/// In expected lines `…` stands for any text, and a line of nothing but `…` for any number of lines. Blank lines are
/// for the eye, on both sides.
struct SessionScript {
  struct Command {
    let line: Int
    let text: String
    var output: [String] = []
    var errors: [String] = []
    var status: Int32 = 0
  }

  enum Step {
    case command(Command)
    case fixture(String, line: Int)
    case file(name: String, contents: String)
  }

  let steps: [Step]

  init(_ text: String) {
    var steps: [Step] = []
    var file: (name: String, lines: [String])?
    func closeFile() {
      if let open = file { steps.append(.file(name: open.name, contents: open.lines.map { $0 + "\n" }.joined())) }
      file = nil
    }
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).enumerated() {
      if line.hasPrefix("  "), file != nil {
        file?.lines.append(String(line.dropFirst(2)))
        continue
      }
      closeFile()
      let body = String(line.dropFirst(2))
      switch line.prefix(2) {
      case "# ", "": continue
      case "$ ": steps.append(.command(Command(line: index + 1, text: body)))
      case "@ ": steps.append(.fixture(body, line: index + 1))
      case "< ": file = (body, [])
      case "! ": steps.amendLast { $0.errors.append(body) }
      case "? ": steps.amendLast { $0.status = Int32(body) ?? -1 }
      case _: steps.amendLast { $0.output.append(line) }
      }
    }
    closeFile()
    self.steps = steps
  }

  /// The first place where what was written is not what was expected, or nil.
  static func difference(_ found: String, from expected: [String]) -> String? {
    let lines = found.split(separator: "\n").map { $0.trimmingSuffix(" ") }.filter { !$0.isEmpty }
    let patterns = expected.map { $0.trimmingSuffix(" ") }.filter { !$0.isEmpty }
    if matches(lines[...], patterns[...]) { return nil }
    let agreed = zip(lines, patterns).prefix { $0.1 != "…" && wildcard($0.0, $0.1) }.count
    let line = agreed < lines.count ? lines[agreed] : "(nothing more)"
    let pattern = agreed < patterns.count ? patterns[agreed] : "(nothing more)"
    return "expected: \(pattern)\n   found: \(line)\n\nall that was written:\n\(found)"
  }

  private static func matches(_ lines: ArraySlice<String>, _ patterns: ArraySlice<String>) -> Bool {
    guard let pattern = patterns.first else { return lines.isEmpty }
    if pattern == "…" {
      return (lines.startIndex...lines.endIndex).contains { matches(lines[$0...], patterns.dropFirst()) }
    }
    guard let line = lines.first, wildcard(line, pattern) else { return false }
    return matches(lines.dropFirst(), patterns.dropFirst())
  }

  /// Whether the parts between the `…` of the pattern stand in the line, in order, with the ends in place.
  private static func wildcard(_ line: String, _ pattern: String) -> Bool {
    let parts = pattern.components(separatedBy: "…")
    guard parts.count > 1 else { return line == pattern }
    guard line.hasPrefix(parts[0]) else { return false }
    var rest = line.dropFirst(parts[0].count)
    for part in parts[1..<(parts.count - 1)] where !part.isEmpty {
      guard let range = rest.range(of: part) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(parts[parts.count - 1])
  }
}

extension [SessionScript.Step] {
  fileprivate mutating func amendLast(_ change: (inout SessionScript.Command) -> Void) {
    guard let last = indices.last, case .command(var command) = self[last] else { return }
    change(&command)
    self[last] = .command(command)
  }
}

extension StringProtocol {
  fileprivate func trimmingSuffix(_ character: Character) -> String {
    var text = String(self)
    while text.last == character { text.removeLast() }
    return text
  }
}
