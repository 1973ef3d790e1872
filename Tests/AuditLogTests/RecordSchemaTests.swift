import Foundation
import Testing

@testable import AuditLog

/// The page that tells what an entry can hold is the table that entries are read by.
@Suite struct RecordSchemaTests {
  private static let page = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Sources/AuditLog/Documentation.docc/RecordSchema.md")

  private static func form(_ value: EntryValue) -> String {
    switch value {
    case .text: "text of at most 1,024 bytes without control characters"
    case .count: "integer from 0 to 2⁵³ − 1"
    case .digest: "64 hexadecimal digits"
    case .organizationName, .keeper: "host-like name of a member"
    case .time: "`2026-03-01T09:30:00.000Z`"
    case .messageID: "1 to 64 of a–z, 0–9, `-`, `.`"
    case .keyID: "8 hexadecimal digits"
    case .decimal: "decimal number as text"
    case .oneOf(let words): words.count > 6 ? "one of the words below" : words.map { "`\($0)`" }.joined(separator: ", ")
    case .previous: "64 hexadecimal digits, or nothing in the first entry"
    case .group: "object"
    }
  }

  /// Every field by its path, its form, and whether its object must have it.
  private static func fields(
    _ members: [EntryMember], under prefix: String = ""
  ) -> [String: (form: String, isRequired: Bool)] {
    var fields: [String: (form: String, isRequired: Bool)] = [:]
    for member in members {
      if case .group(let inner) = member.value {
        fields.merge(Self.fields(inner, under: "\(prefix)\(member.name).")) { first, _ in first }
      } else {
        fields[prefix + member.name] = (form(member.value), member.isRequired)
      }
    }
    return fields
  }

  private static let rows: [String] = {
    let forms = fields(EntrySchema.members)
    return RecordField.all.map { field in
      let (form, isRequired) = forms[field.path] ?? ("UNKNOWN", false)
      return "| `\(field.path)`\(isRequired ? " *" : "") | \(form) | \(field.meaning) |"
    } + AuditRecord.Event.allCases.map { "| `\($0.rawValue)` | \($0.meaning) |" }
  }()

  @Test func everyFieldAndEventIsDocumented() throws {
    let lines = Set(try String(contentsOf: Self.page, encoding: .utf8).split(separator: "\n").map(String.init))
    for row in Self.rows where !lines.contains(row) { Issue.record("RecordSchema.md lacks \(row)") }
    #expect(RecordField.all.count == Self.fields(EntrySchema.members).count)
    #expect(lines.filter { $0.hasPrefix("| `") }.count == Self.rows.count)
  }
}
