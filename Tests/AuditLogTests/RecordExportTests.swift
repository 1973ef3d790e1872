import Cryptography
import Foundation
import Testing
import TransparencyLog

@testable import AuditLog

@Suite struct RecordExportTests {
  private static func entry(_ draft: AuditRecord.Draft) throws -> [UInt8] {
    let time = try #require(AuditTime(milliseconds: 1_772_357_400_000))
    return try AuditRecord(
      organization: try OrganizationName("alder.example"), sequence: 3, previous: MerkleHashing.leaf([1]), time: time,
      content: draft
    ).entry()
  }

  @Test func everyFieldHasAColumnAndAMeaning() throws {
    let values = RecordValues(entry: try Self.entry(try ReportFixture.everyField()))
    #expect(values.paths == Set(RecordField.all.map(\.path)))
    #expect(RecordField.all.count == Set(RecordField.all.map(\.path)).count)
    for field in RecordField.all {
      #expect(!field.meaning.isEmpty)
      #expect(values[field] != nil, "\(field.path)")
    }
  }

  @Test func aRowHasAsManyCellsAsTheHeader() throws {
    let header = String(decoding: RecordCSV.header, as: UTF8.self)
    #expect(header.hasSuffix("\r\n"))
    var draft = AuditRecord.Draft(.approval)
    draft.reason = "no, \"really\""
    let row = String(decoding: RecordCSV.row(entry: try Self.entry(draft)), as: UTF8.self)
    #expect(row.hasSuffix("\"no, \"\"really\"\"\"\r\n"))
    // The one field with a comma is quoted.
    #expect(row.filter { $0 == "," }.count == header.filter { $0 == "," }.count + 1)
  }

  @Test(arguments: ["=1+1", "+1", "-1", "@SUM(A1)", "\u{FF1D}1", "  =1", "=HYPERLINK(\"x\")"])
  func formulasAreNeutral(_ text: String) throws {
    #expect(RecordCSV.neutral(text) == "'" + text)
    var draft = AuditRecord.Draft(.approval)
    draft.approver = text
    let row = String(decoding: RecordCSV.row(entry: try Self.entry(draft)), as: UTF8.self)
    #expect(row.contains("'" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")))
  }

  @Test(arguments: ["", "alder.example", "1=1", "'=1", "a-b"])
  func otherTextStaysAsItIs(_ text: String) { #expect(RecordCSV.neutral(text) == text) }

  @Test(arguments: ["a\nb", "a\rb", "a\r\nb", "a,b", "a\"b"])
  func whatNeedsQuotesGetsThem(_ text: String) {
    let quoted = RecordCSV.quoted(text)
    #expect(quoted.hasPrefix("\"") && quoted.hasSuffix("\""))
    #expect(quoted.dropFirst().dropLast().replacingOccurrences(of: "\"\"", with: "\"") == text)
  }
}
