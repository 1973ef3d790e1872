import AuditLog
import Foundation
import Testing

@Suite struct CanonicalJSONTests {
  @Test func membersAreSortedAndNothingIsAdded() {
    let value = CanonicalJSON.object([
      "b": .integer(-7), "a": .array([.string("x"), .boolean(true), .null]), "B": .object([:]),
    ])
    #expect(value.text == #"{"B":{},"a":["x",true,null],"b":-7}"#)
  }

  @Test func stringsAreEscapedInOneWay() throws {
    let text = "\"\\/\u{8}\t\n\u{C}\r\u{1}\u{1F}\u{7F}é€😀"
    let value = CanonicalJSON.string(text)
    #expect(value.text == #""\"\\/\b\t\n\f\r\u0001\u001f"# + "\u{7F}é€😀\"")
    #expect(try CanonicalJSON(parsing: value.serialized) == value)
    // An independent reader gets the same text.
    let foundation = try JSONSerialization.jsonObject(with: Data(value.serialized), options: .fragmentsAllowed)
    #expect(foundation as? String == text)
  }

  @Test(arguments: [
    "{}", "[]", "0", "-1", "9007199254740991", "-9007199254740991", "\"\"", "null", #"{"a":{"b":[1,2,{}]}}"#,
  ])
  func canonicalTextsAreRead(text: String) throws {
    #expect(try CanonicalJSON(parsing: text.utf8).text == text)
  }

  @Test(arguments: [
    "", " ", "{} ", " {}", "{ }", #"{"a": 1}"#, #"{"b":1,"a":2}"#, #"{"a":1,"a":1}"#, "01", "-0", "+1", "1.0", "1e3",
    "9007199254740992", "99999999999999999999", "-", "tru", "nul", #"{"a":1,}"#, "[1,]", "[,1]", #"{"a"}"#, "{a:1}",
    #""\/""#, #""\u0041""#, #""\u001F""#, #""\n"#, "\"\n\"", #""\ud83d\ude00""#, #""\x""#, "[1]2", "{}{}",
    #"{"é":1}"#, "[[[[[[[[[[1]]]]]]]]]]", "\"\\u00\"", "\\", "\"\\",
  ])
  func otherTextsAreRefused(text: String) {
    #expect(throws: CanonicalJSON.ParsingError.self) { try CanonicalJSON(parsing: text.utf8) }
  }

  @Test func invalidUTF8IsRefused() {
    #expect(throws: CanonicalJSON.ParsingError.self) { try CanonicalJSON(parsing: [0x22, 0xC0, 0x80, 0x22]) }
    #expect(throws: CanonicalJSON.ParsingError.self) { try CanonicalJSON(parsing: [0x22, 0xFF, 0x22]) }
  }

  @Test func theErrorNamesTheByte() throws {
    let error = #expect(throws: CanonicalJSON.ParsingError.self) { try CanonicalJSON(parsing: #"{"a":x}"#.utf8) }
    #expect(error?.byte == 5)
    let order = #expect(throws: CanonicalJSON.ParsingError.self) {
      try CanonicalJSON(parsing: #"{"b":1,"a":2}"#.utf8)
    }
    #expect(order?.byte == 2)
  }
}
