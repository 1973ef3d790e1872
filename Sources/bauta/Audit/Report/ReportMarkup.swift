import AuditLog

/// HTML that is also well-formed XML. What is written out in the program is markup; whatever is interpolated is text,
/// and escaped, unless it is markup itself: entries of a log are hostile.
struct Markup: Sendable, ExpressibleByStringInterpolation {
  let html: String

  init(stringLiteral value: String) { html = value }

  init(stringInterpolation: StringInterpolation) { html = stringInterpolation.html }

  private init(html: String) { self.html = html }

  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var html = ""

    init(literalCapacity: Int, interpolationCount: Int) { html.reserveCapacity(literalCapacity) }

    mutating func appendLiteral(_ literal: String) { html += literal }
    mutating func appendInterpolation(_ markup: Markup) { html += markup.html }
    mutating func appendInterpolation(_ text: String) { html += Markup.escaped(text) }
    mutating func appendInterpolation(_ number: some BinaryInteger) { html += String(number) }
  }

  static let empty: Markup = ""

  var isEmpty: Bool { html.isEmpty }

  static func + (left: Markup, right: Markup) -> Markup { Markup(html: left.html + right.html) }

  static func joined(_ parts: [Markup], separator: Markup = "") -> Markup {
    Markup(html: parts.map(\.html).joined(separator: separator.html))
  }

  /// Safe in content and between double quotes. Characters that are not for showing, or that change the direction of
  /// writing, are replaced, and so are those that XML has no room for.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in StyledText.printable(text).unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\u{FFFE}", "\u{FFFF}": result.unicodeScalars.append("\u{FFFD}")
      case _: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension Markup {
  /// A number as people read it, with the exact one for programs.
  static func number(_ value: UInt64) -> Markup {
    "<data value=\"\(value)\">\(Figures.grouped(value))</data>"
  }

  static func number(_ value: Int?) -> Markup {
    guard let value else { return "–" }
    return "<data value=\"\(value)\">\(Figures.grouped(value))</data>"
  }

  /// 12.3 KiB, with the exact number in the attribute.
  static func size(_ bytes: UInt64) -> Markup {
    "<data value=\"\(bytes)\">\(Figures.bytes(bytes))</data>"
  }

  /// Longer text may be broken anywhere, so that no column is wider than a page.
  private static let wideText = 32

  /// Text out of a log, set apart from the direction of the text around it, and shortened: the log has all of it.
  static func logged(_ text: String?, limit: Int = 120) -> Markup {
    guard let text, !text.isEmpty else { return "–" }
    let scalars = text.unicodeScalars
    guard scalars.count > limit else {
      return scalars.count > wideText ? "<bdi class=\"long\">\(text)</bdi>" : "<bdi>\(text)</bdi>"
    }
    var short = String.UnicodeScalarView()
    short.append(contentsOf: scalars.prefix(limit))
    return
      "<bdi class=\"long\">\(String(short))</bdi><span class=\"note\">… (\(Figures.grouped(text.utf8.count)) bytes)</span>"
  }

  static func time(_ time: AuditTime?) -> Markup {
    guard let time else { return "–" }
    let text = time.description
    let day: Markup = "<span>\(String(text.prefix(10)))</span>"
    return "<time datetime=\"\(text)\">\(day) <span>\(String(text.dropFirst(11).prefix(8)))</span></time>"
  }

  /// The first 16 digits: enough to find the rest.
  static func hash(_ hexadecimal: String?) -> Markup {
    guard let hexadecimal else { return "–" }
    return "<code title=\"\(hexadecimal)\">\(String(hexadecimal.prefix(16)))</code>"
  }

  static func command(_ text: String) -> Markup { "<pre><code>\(text)</code></pre>" }

  static func list(_ items: [Markup]) -> Markup {
    items.isEmpty ? "" : "<ul>\(.joined(items.map { "<li>\($0)</li>" }))</ul>\n"
  }

  static func paragraph(_ content: Markup) -> Markup { "<p>\(content)</p>\n" }
}

/// A table of the page: its head is repeated on every printed page.
struct ReportTable {
  struct Column {
    let title: String
    let isNumber: Bool

    static func text(_ title: String) -> Column { Column(title: title, isNumber: false) }
    static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
  }

  /// Whether a row becomes a block of its own on a narrow screen: for cells of much text.
  let isStacked: Bool
  private let caption: String
  private let columns: [Column]
  private var rows: [[Markup]] = []

  init(_ caption: String, _ columns: [Column], isStacked: Bool = false) {
    self.caption = caption
    self.columns = columns
    self.isStacked = isStacked
  }

  var isEmpty: Bool { rows.isEmpty }

  /// As many cells as there are columns.
  mutating func append(_ cells: [Markup]) { rows.append(cells) }

  var markup: Markup {
    guard !rows.isEmpty else { return "" }
    let head = columns.map { column -> Markup in
      "<th scope=\"col\"\(Self.mark(column))>\(column.title)</th>"
    }
    let body = rows.map { row -> Markup in "<tr>\(.joined(zip(columns, row).map { cell($0, $1) }))</tr>\n" }
    return """
      <div class="\(isStacked ? "stack" : "scroll")" role="region" aria-label="\(caption)" tabindex="0">\
      <table><caption>\(caption)</caption>
      <thead><tr>\(.joined(head))</tr></thead>
      <tbody>\(.joined(body))</tbody></table></div>

      """
  }

  private func cell(_ column: Column, _ content: Markup) -> Markup {
    "<td\(Self.mark(column)) data-label=\"\(column.title)\">\(content)</td>"
  }

  private static func mark(_ column: Column) -> Markup { column.isNumber ? " class=\"n\"" : "" }
}
