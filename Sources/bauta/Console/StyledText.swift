import Foundation

/// How text for a terminal is marked up; plain everywhere else.
struct TextStyle: Sendable {
  let isColored: Bool

  /// Colours only at a terminal, and not where `NO_COLOR` (no-color.org) or `TERM=dumb` ask for none.
  init(isTerminal: Bool, environment: [String: String]) {
    let refuses = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    isColored = isTerminal && !refuses && environment["TERM"] != "dumb"
  }
}

/// Text in parts with emphasis. Whatever it was made of, it cannot steer the terminal: control characters and those
/// that change the direction of writing are replaced.
struct StyledText: Sendable, ExpressibleByStringInterpolation {
  enum Emphasis: String, Sendable {
    case strong = "1"
    case faint = "2"
    case good = "32"
    case bad = "31"
    case caution = "33"
  }

  private var parts: [(text: String, emphasis: Emphasis?)]

  init(_ text: String, _ emphasis: Emphasis? = nil) {
    parts = [(Self.printable(text), emphasis)]
  }

  init(stringLiteral value: String) { self.init(value) }

  init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var parts: [(text: String, emphasis: Emphasis?)] = []

    init(literalCapacity: Int, interpolationCount: Int) {}

    mutating func appendLiteral(_ literal: String) { parts.append((literal, nil)) }
    mutating func appendInterpolation(_ text: StyledText) { parts += text.parts }
    mutating func appendInterpolation(_ value: some CustomStringConvertible) {
      parts.append((StyledText.printable(value.description), nil))
    }
    mutating func appendInterpolation(_ value: some CustomStringConvertible, _ emphasis: Emphasis) {
      parts.append((StyledText.printable(value.description), emphasis))
    }
  }

  /// Columns that it takes up.
  var width: Int { parts.reduce(0) { $0 + $1.text.count } }

  var plain: String { parts.map(\.text).joined() }

  func rendered(_ style: TextStyle) -> String {
    parts.map { part in
      guard style.isColored, let emphasis = part.emphasis, !part.text.isEmpty else { return part.text }
      return "\u{1B}[\(emphasis.rawValue)m\(part.text)\u{1B}[0m"
    }.joined()
  }

  static func + (left: StyledText, right: StyledText) -> StyledText {
    var sum = left
    sum.parts += right.parts
    return sum
  }

  /// Line breaks stay; every other character that is not for showing becomes U+FFFD.
  static func printable(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control where scalar != "\n", .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse:
        result.append("\u{FFFD}")
      case _: result.append(scalar)
      }
    }
    return String(result)
  }
}
