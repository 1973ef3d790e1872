import Cryptography
import TransparencyLog

/// Collects the members of an entry; absent values are left out.
struct EntryFieldWriter {
  static let maximumTextBytes = 1024

  private(set) var members: [String: CanonicalJSON] = [:]

  var object: CanonicalJSON { .object(members) }

  mutating func put(_ name: String, _ text: String?) throws(AuditLogError) {
    guard let text else { return }
    guard EntryText.isAllowed(text) else { throw .invalidField(name) }
    members[name] = .string(text)
  }

  mutating func put(_ name: String, _ number: Int?) throws(AuditLogError) {
    guard let number else { return }
    guard number >= 0, CanonicalJSON.integerRange.contains(Int64(number)) else { throw .invalidField(name) }
    members[name] = .integer(Int64(number))
  }

  mutating func put(_ name: String, _ number: UInt64?) throws(AuditLogError) {
    guard let number else { return }
    guard number <= UInt64(CanonicalJSON.integerRange.upperBound) else { throw .invalidField(name) }
    members[name] = .integer(Int64(number))
  }

  mutating func put<Role>(_ name: String, _ digest: Digest<Role>?) {
    if let digest { members[name] = .string(digest.hexadecimal) }
  }

  mutating func put(
    _ name: String, group build: (inout EntryFieldWriter) throws(AuditLogError) -> Void
  ) throws(AuditLogError) {
    var group = EntryFieldWriter()
    try build(&group)
    if !group.members.isEmpty { members[name] = group.object }
  }
}

enum EntryText {
  static func isAllowed(_ text: String) -> Bool {
    guard text.utf8.count <= EntryFieldWriter.maximumTextBytes else { return false }
    for byte in text.utf8 where byte < 0x20 || byte == 0x7F { return false }
    return true
  }
}

/// Takes the members of an entry out one by one; what is left at the end is unknown and refused.
struct EntryFieldReader {
  private var members: [String: CanonicalJSON]
  private let prefix: String

  init(_ value: CanonicalJSON, name: String = "") throws(EntryDefectError) {
    guard case .object(let members) = value else { throw EntryDefectError(.field(name)) }
    self.members = members
    prefix = name.isEmpty ? "" : name + "."
  }

  func defect(_ name: String) -> EntryDefectError { EntryDefectError(.field(prefix + name)) }

  func finish() throws(EntryDefectError) {
    if let unknown = members.keys.min() { throw defect(unknown) }
  }

  func require<Value>(_ name: String, _ value: Value?) throws(EntryDefectError) -> Value {
    guard let value else { throw defect(name) }
    return value
  }

  mutating func text(_ name: String) throws(EntryDefectError) -> String? {
    guard let value = members.removeValue(forKey: name) else { return nil }
    guard case .string(let text) = value, EntryText.isAllowed(text) else { throw defect(name) }
    return text
  }

  mutating func count(_ name: String) throws(EntryDefectError) -> UInt64? {
    guard let value = members.removeValue(forKey: name) else { return nil }
    guard case .integer(let number) = value, number >= 0 else { throw defect(name) }
    return UInt64(number)
  }

  mutating func integer(_ name: String) throws(EntryDefectError) -> Int? { try count(name).map { Int($0) } }

  /// A text field whose value must be one that `parse` understands.
  mutating func parsed<Value>(_ name: String, _ parse: (String) -> Value?) throws(EntryDefectError) -> Value? {
    guard let text = try text(name) else { return nil }
    return try require(name, parse(text))
  }

  mutating func digest<Role>(_ name: String) throws(EntryDefectError) -> Digest<Role>? {
    try parsed(name) { try? Digest<Role>(hexadecimal: $0) }
  }

  mutating func group<Value>(
    _ name: String, _ read: (inout EntryFieldReader) throws(EntryDefectError) -> Value
  ) throws(EntryDefectError) -> Value? {
    guard let value = members.removeValue(forKey: name) else { return nil }
    var group = try EntryFieldReader(value, name: prefix + name)
    let result = try read(&group)
    try group.finish()
    return result
  }
}

/// What is wrong with an entry, and at which of its bytes if that is known; the reader of the file adds where.
struct EntryDefectError: Error {
  let defect: AuditLogError.EntryDefect
  var byte = 0

  init(_ defect: AuditLogError.EntryDefect, byte: Int = 0) {
    self.defect = defect
    self.byte = byte
  }
}
