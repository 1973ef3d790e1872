import Foundation

/// Reads a page as XML, strictly: what browsers forgive is an error here. Only as much of XML as our page uses.
struct PageReader {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  struct Element {
    let name: String
    let attributes: [String: String]
    /// Without that of elements within.
    var text = ""
  }

  /// In the order in which they end.
  private(set) var elements: [Element] = []
  /// For every table its caption and its rows, as the text of their cells.
  private(set) var tables: [(caption: String, rows: [[String]])] = []
  /// All text but that of styles, in order.
  private(set) var text = ""

  private static let empty: Set<String> = ["meta", "br", "rect", "line", "path"]
  private static let entities = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "#39": "'"]

  init(_ page: String) throws {
    let start = "<!DOCTYPE html>\n"
    guard page.hasPrefix(start) else { throw Failure(description: "no document type") }
    var rest = page.dropFirst(start.count)
    var open: [Element] = []
    while let bracket = rest.firstIndex(of: "<") {
      try take(rest[..<bracket], &open)
      rest = rest[rest.index(after: bracket)...]
      guard let end = rest.firstIndex(of: ">") else { throw Failure(description: "a tag without end") }
      let tag = rest[..<end]
      rest = rest[rest.index(after: end)...]
      if tag.hasPrefix("/") {
        guard let last = open.popLast(), last.name == tag.dropFirst() else {
          throw Failure(description: "</\(tag.dropFirst())> closes \(open.last?.name ?? "nothing")")
        }
        close(last, &open)
      } else {
        let element = try Self.element(tag.hasSuffix("/") ? tag.dropLast() : tag)
        guard Self.empty.contains(element.name) == tag.hasSuffix("/") || element.name == "rect" else {
          throw Failure(description: "<\(tag)> is closed the wrong way")
        }
        begin(element)
        if tag.hasSuffix("/") { close(element, &open) } else { open.append(element) }
      }
    }
    try take(rest, &open)
    guard open.isEmpty, rest.allSatisfy(\.isWhitespace) else { throw Failure(description: "something is left open") }
  }

  private mutating func begin(_ element: Element) {
    switch element.name {
    case "table": tables.append(("", []))
    case "tr": if let last = tables.indices.last { tables[last].rows.append([]) }
    case "td", "th": if let last = tables.indices.last { tables[last].rows[tables[last].rows.count - 1].append("") }
    case _: break
    }
  }

  private mutating func close(_ element: Element, _ open: inout [Element]) { elements.append(element) }

  private mutating func take(_ raw: Substring, _ open: inout [Element]) throws {
    guard !raw.isEmpty else { return }
    guard let last = open.indices.last else {
      guard raw.allSatisfy(\.isWhitespace) else { throw Failure(description: "text outside of elements") }
      return
    }
    let content = try Self.unescaped(raw)
    open[last].text += content
    guard open[last].name != "style" else { return }
    text += content
    guard let table = tables.indices.last else { return }
    if open.contains(where: { $0.name == "td" || $0.name == "th" }), !open.contains(where: { $0.name == "title" }) {
      let row = tables[table].rows.count - 1
      tables[table].rows[row][tables[table].rows[row].count - 1] += content
    } else if open.contains(where: { $0.name == "caption" }) {
      tables[table].caption += content
    }
  }

  private static func element(_ tag: Substring) throws -> Element {
    let name = tag.prefix { !$0.isWhitespace }
    guard !name.isEmpty, name.utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }) else {
      throw Failure(description: "<\(tag)> has no name")
    }
    var attributes: [String: String] = [:]
    var rest = tag.dropFirst(name.count)
    while let first = rest.firstIndex(where: { !$0.isWhitespace }) {
      rest = rest[first...]
      guard let equals = rest.firstIndex(of: "=") else { throw Failure(description: "<\(tag)>: no value") }
      let attribute = String(rest[..<equals])
      rest = rest[rest.index(after: equals)...]
      guard rest.first == "\"", let end = rest.dropFirst().firstIndex(of: "\"") else {
        throw Failure(description: "<\(tag)>: a value without quotes")
      }
      guard
        attributes.updateValue(try unescaped(rest[rest.index(after: rest.startIndex)..<end]), forKey: attribute) == nil
      else { throw Failure(description: "<\(tag)>: \(attribute) twice") }
      rest = rest[rest.index(after: end)...]
    }
    return Element(name: String(name), attributes: attributes)
  }

  private static func unescaped(_ raw: Substring) throws -> String {
    var result = ""
    var rest = raw
    while let ampersand = rest.firstIndex(of: "&") {
      result += rest[..<ampersand]
      rest = rest[rest.index(after: ampersand)...]
      guard let end = rest.firstIndex(of: ";"), let character = entities[String(rest[..<end])] else {
        throw Failure(description: "a bare ampersand before \(rest.prefix(10))")
      }
      result += character
      rest = rest[rest.index(after: end)...]
    }
    result += rest
    let isAllowed = result.unicodeScalars.allSatisfy { scalar in
      scalar == "\n" || scalar == "\t" || (0x20...0xD7FF).contains(scalar.value)
        || (0xE000...0xFFFD).contains(scalar.value)
        || scalar.value >= 0x10000
    }
    guard isAllowed else { throw Failure(description: "a character that XML has no room for") }
    return result
  }

  /// The rows below the head of the tables whose caption begins so.
  func rows(_ caption: String) -> [[String]] {
    tables.filter { $0.caption.hasPrefix(caption) }.flatMap { $0.rows.dropFirst() }
  }
}
