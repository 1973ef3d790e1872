import Cryptography
import TransparencyLog

/// An entry but for what the log gives it: made before the log is held, so that little is left to do while it is.
struct PreparedEntry: Sendable {
  /// Canonical JSON, cut where the values of `previous`, `sequence` and `time` belong.
  private let pieces: [[UInt8]]
  private let length: Int

  /// - Throws: `invalidField`.
  init(_ draft: AuditRecord.Draft, organization: OrganizationName) throws(AuditLogError) {
    var fields = EntryFieldWriter()
    try fields.put("schema", AuditRecord.schema)
    try fields.put("organization", organization.value)
    try draft.write(to: &fields)
    var members = fields.members
    // In the order of their names, as the pieces are.
    let given = ["previous", "sequence", "time"]
    for name in given { members[name] = .null }
    var pieces: [[UInt8]] = []
    var piece = [UInt8(ascii: "{")]
    let sorted = members.sorted { CanonicalJSON.precedes($0.key, $1.key) }
    for (place, member) in sorted.enumerated() {
      if place > 0 { piece.append(UInt8(ascii: ",")) }
      CanonicalJSON.string(member.key).write(to: &piece)
      piece.append(UInt8(ascii: ":"))
      if given.contains(member.key) {
        pieces.append(piece)
        piece = []
      } else {
        member.value.write(to: &piece)
      }
    }
    piece.append(UInt8(ascii: "}"))
    self.pieces = pieces + [piece]
    length = self.pieces.reduce(0) { $0 + $1.count }
  }

  /// - Parameter time: as a record writes it.
  /// - Throws: `recordTooLong`, `invalidField` if the sequence has no room in a record.
  func entry(sequence: UInt64, previous: LeafHash?, time: [UInt8]) throws(AuditLogError) -> [UInt8] {
    guard sequence <= UInt64(CanonicalJSON.integerRange.upperBound) else { throw .invalidField("sequence") }
    var entry: [UInt8] = []
    entry.reserveCapacity(length + 128)
    entry.append(contentsOf: pieces[0])
    entry.append(UInt8(ascii: "\""))
    if let previous { entry.append(contentsOf: previous.hexadecimal.utf8) }
    entry.append(UInt8(ascii: "\""))
    entry.append(contentsOf: pieces[1])
    entry.append(contentsOf: String(sequence).utf8)
    entry.append(contentsOf: pieces[2])
    entry.append(UInt8(ascii: "\""))
    entry.append(contentsOf: time)
    entry.append(UInt8(ascii: "\""))
    entry.append(contentsOf: pieces[3])
    guard entry.count <= AuditRecord.maximumBytes else { throw .recordTooLong(bytes: entry.count) }
    return entry
  }
}
