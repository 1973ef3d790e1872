import Foundation
import Testing

@testable import Federation

@Suite("Hostile YAML")
struct StrictYAMLTests {
  private func message(_ text: String) -> String? { message(Array(text.utf8)) }

  private func message(_ bytes: [UInt8]) -> String? {
    do throws(FederationError) {
      let source = YAMLSource(file: "f")
      let root = try source.root(of: bytes)
      let group = try YAMLMapping(root, source: source, keys: ["a", "b", "c", "d"])
      for key in ["a", "b", "c", "d"] where group.node(key) != nil { _ = try group.required(key, .text(maximum: 64)) }
      return nil
    } catch { return error.message }
  }

  @Test(
    arguments: [
      ("a: &x 1", "f:1:4: YAML anchors ('&') are not allowed"),
      ("a: 1\nb: *x", "f:2:4: YAML aliases ('*') are not allowed"),
      ("*x : 1", "f:1:1: YAML aliases ('*') are not allowed"),
      ("a: !!int 1", "f:1:4: YAML tags ('!') are not allowed"),
      ("a: !x", "f:1:4: YAML tags ('!') are not allowed"),
      ("%YAML 1.2\n---\na: 1", "f:1:1: YAML directives ('%') are not allowed"),
      ("a: 1\n---\nb: 2", "f:2:1: the file holds more than one YAML document"),
      ("a: 1\na: 2", "f:1:1: the key 'a' appears twice"),
      ("a: 1\n\"a\": 2", "f:1:1: the key 'a' appears twice"),
      ("", "f:1:1: the file holds no keys"),
      ("# nothing\n", "f:1:1: the file holds no keys"),
      ("- a", "f:1:1: the file: expected keys and values, found a list"),
      ("just text", "f:1:1: the file: expected keys and values, found 'just text'"),
      ("? [a]", "f:1:1: a key must be a plain word; YAML's complex keys are not allowed"),
      ("{[a]: 1, [a]: 2}", "f:1:5: not valid YAML: did not find expected ',' or '}'"),
      ("{{a: 1}: 2}", "f:1:8: not valid YAML: did not find expected ',' or '}'"),
      ("[a]: 1", "f:1:4: not valid YAML: did not find expected <document start>"),
      ("[a] : 1", "f:1:5: not valid YAML: did not find expected <document start>"),
      ("a: x[0]: 1", "f:1:4: a key must be a plain word; YAML's complex keys are not allowed"),
      ("null: 1", "f:1:1: unknown key 'null'"),
      ("a: 1\n\tb: 2", "f:2:1: not valid YAML: found a tab character that violates indentation"),
      ("a: \u{0}", "f:1:4: the character U+0 is not allowed"),
      ("a: \u{1B}[2J", "f:1:4: the character U+1B is not allowed"),
      ("a: \u{E001}x", "f:1:4: the character U+E001 is not allowed"),
      ("a: \u{202E}", nil),
      ("\u{FEFF}a: 1", "f:1:1: the file begins with a byte order mark"),
      ("a: 'unclosed", "f:1:13: not valid YAML: found unexpected end of stream"),
      ("e: 1", "f:1:1: unknown key 'e'"),
    ] as [(String, String?)])
  func refused(text: String, expected: String?) { #expect(message(text) == expected) }

  @Test("Characters that begin anchors, aliases and tags are text inside words, quotes and comments")
  func innocentCharacters() throws {
    let source = YAMLSource(file: "f")
    let text = "# a *bold* & loud! comment, is [it]: ?\na: R&D *now*! ?\nb: '*x]: '\nc: \"&x !y\"\nd: \"\\x2A\""
    let group = try YAMLMapping(
      source.root(of: Array(text.utf8)), source: source, keys: ["a", "b", "c", "d"])
    #expect(try group.required("a", .text(maximum: 64)) == "R&D *now*! ?")
    #expect(try group.required("b", .text(maximum: 64)) == "*x]: ")
    #expect(try group.required("c", .text(maximum: 64)) == "&x !y")
    #expect(try group.required("d", .text(maximum: 64)) == "*")
  }

  @Test("An alias bomb is refused at its first anchor")
  func aliasBomb() {
    var text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    for (name, before) in zip("bcdefghi", "abcdefgh") {
      text += "\(name): &\(name) [" + Array(repeating: "*\(before)", count: 9).joined(separator: ",") + "]\n"
    }
    #expect(message(text) == "f:1:4: YAML anchors ('&') are not allowed")
    // As keys, where hashing is what costs: every level would hash all that is below it.
    let wide = "[" + String(repeating: "x,", count: 100_000) + "]"
    #expect(
      message(String(repeating: "? ", count: 900) + wide)
        == "f:1:1: a key must be a plain word; YAML's complex keys are not allowed")
  }

  @Test("Depth and size end in an error, not in a crash")
  func depthAndSize() throws {
    let deep = String(repeating: "[", count: 100_000)
    let refusal = try #require(message("a: \(deep)"))
    #expect(refusal.hasPrefix("f:1:") && refusal.contains("Maximum nesting level reached"), "\(refusal)")
    let nested = String(repeating: "[", count: 900) + String(repeating: "]", count: 900)
    #expect(message("a: \(nested)") == "f:1:4: a: expected text of 1 to 64 bytes, found a list")
    let blocks = (0..<2000).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n")
    #expect(try #require(message(Array(blocks.utf8.prefix(200_000)))).contains("f:"))
    let long = "a: " + String(repeating: "x", count: 70_000)
    #expect(try #require(message(long)).hasSuffix("found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"))
    #expect(message("a: " + String(repeating: "x", count: 300_000)) == "f:1:1: the file is longer than 262144 bytes")
    #expect(message([0x61, 0x3A, 0x20, 0xFF]) == "f:1:1: the file is not UTF-8 text")
  }

  @Test(
    "Integers are decimal and nothing else",
    arguments: [
      ("7", 7), ("0", 0), ("-3", -3), ("010", nil), ("0x10", nil), ("1_000", nil), ("+1", nil), ("1.0", nil),
      ("1e3", nil), ("-0", nil), ("", nil), ("٣", nil), ("99999999999999999999", nil), (" 1", nil),
    ] as [(String, Int?)])
  func integers(text: String, value: Int?) { #expect(strictInteger(text) == value) }

  @Test(
    "Numbers are as JSON writes them, and finite",
    arguments: [
      ("0.5", 0.5), ("1", 1), ("-2.5e-3", -0.0025), ("1E2", 100), (".5", nil), ("5.", nil), ("01", nil), ("nan", nil),
      (".inf", nil), ("inf", nil), ("0x1p4", nil), ("1e999", nil), ("1e", nil), ("", nil), ("1,5", nil),
    ] as [(String, Double?)])
  func numbers(text: String, value: Double?) { #expect(strictNumber(text) == value) }

  @Test(
    "Durations",
    arguments: [
      ("30s", .seconds(30)), ("10m", .seconds(600)), ("2h", .seconds(7200)), ("7d", .seconds(604_800)),
      ("500ms", .milliseconds(500)), ("0d", .zero), ("5", nil), ("s", nil), ("-5s", nil), ("1.5h", nil), ("05s", nil),
      ("1h30m", nil), ("10 s", nil), ("9223372036854775807d", nil),
    ] as [(String, Duration?)])
  func durations(text: String, value: Duration?) {
    #expect(DurationText.parse(text) == value)
    if let value, text != "0d" { #expect(DurationText.format(value) == (text == "7d" ? "7d" : text)) }
  }

  @Test(
    "The nearest key is offered only where it is near",
    arguments: [
      ("bit", "bits"), ("cilp", "clip"), ("weightcap", "weightCap"), ("Rounding", "rounding"), ("epsilon", nil),
    ] as [(String, String?)])
  func suggestions(text: String, expected: String?) {
    #expect(nearest(to: text, among: ["bits", "clip", "rounding", "weightCap", "prg", "graph"]) == expected)
  }

  @Test("What others wrote cannot steer a terminal")
  func excerpts() {
    #expect(excerpt("a\u{1B}[31m\n") == "'a\\u{1b}[31m\\u{a}'")
    #expect(excerpt("\u{202E}x") == "'\\u{202e}x'")
    #expect(excerpt(String(repeating: "y", count: 41)) == "'" + String(repeating: "y", count: 40) + "…'")
  }

  @Test("Written scalars read back as the same text", arguments: ["x", "a b", "no", "-x", "", "\"\\\n", "é*&!", "1"])
  func scalarsRoundTrip(text: String) throws {
    let source = YAMLSource(file: "f")
    let root = try source.root(of: Array("a: \(YAMLText.scalar(text))".utf8))
    guard case .mapping(let pairs) = root.content, case .scalar(let read, _) = pairs[0].value.content else {
      Issue.record("not a scalar")
      return
    }
    #expect(read == text)
  }
}
