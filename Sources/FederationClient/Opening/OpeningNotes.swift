public import Cryptography
public import Federation
public import SecureAggregation
public import TransparencyLog

/// What the members of a sum agree to: that one organisation's masked input is opened to one auditor, in one slot.
public struct OpeningTerms: Hashable, Sendable {
  public let federation: OrganizationName
  /// Whose masked input.
  public let organization: OrganizationName
  public let opening: OpeningIdentifier
  public let context: ContextDigest
  /// What the members of the sum signed in ConsistencyCheck.
  public let statement: ConsistencyStatement
  /// U3, sorted.
  public let survivors: [OrganizationName]
  public let assumedCorrupt: Int
  public let minimumHonest: Int
  public let slot: Int
  /// Of the auditor's public key.
  public let auditor: SHA256Digest

  public var rule: OpeningRule {
    OpeningRule(survivors: survivors.count, assumedCorrupt: assumedCorrupt, minimumHonest: minimumHonest)
  }

  /// Names the terms in records.
  public var digest: SHA256Digest {
    var encoder = CanonicalEncoder("bauta/v1/opening-terms")
    encoder.append(lines.joined(separator: "\n"))
    return SHA256Digest(hashing: encoder.finish())
  }

  fileprivate var lines: [String] {
    [
      "federation: \(federation)", "organization: \(organization)", "run: \(opening.run)",
      "task: \(opening.task.rawValue)", "round: \(opening.round)", "attempt: \(opening.attempt)", "context: \(context)",
      "transcript: \(statement.transcript)", "shareSurvivors: \(statement.shareSurvivors)",
      "inputSurvivors: \(statement.inputSurvivors)", "maskedInputRoot: \(statement.maskedInputRoot)",
      "survivors: \(survivors.map(\.value).joined(separator: " "))", "assumedCorrupt: \(assumedCorrupt)",
      "minimumHonest: \(minimumHonest)", "slot: \(slot)", "auditor: \(auditor)",
    ]
  }
}

/// A request to open one's own masked input, signed: a note that is sent to the other members of the sum.
///
/// Its record is under the checkpoint that it names before anybody agrees, so that no opening stays off the record.
public struct OpeningRequest: Sendable, Equatable {
  public static let schema = "bauta/opening-request/1"
  public static let maximumBytes = 1 << 18

  public let terms: OpeningTerms
  /// Of the requester's log: where the request is on the record.
  public let entry: UInt64
  /// Of a published checkpoint over that entry.
  public let size: UInt64
  public let root: TreeHash
  public let note: SignedNote

  /// What a consent is to: SHA-256 of the text that is signed.
  public var hash: SHA256Digest { SHA256Digest(hashing: note.text) }

  /// - Throws: ``OpeningError/malformedNote(_:)``.
  init(
    terms: OpeningTerms, entry: UInt64, size: UInt64, root: TreeHash, signedWith key: borrowing IdentitySigningKey
  ) throws(OpeningError) {
    self.terms = terms
    self.entry = entry
    self.size = size
    self.root = root
    note = try OpeningNote.signed(
      Self.text(terms, entry: entry, size: size, root: root), by: terms.organization, key: key, what: "the request")
  }

  /// Reads a request. Its signature is not checked.
  ///
  /// - Throws: ``OpeningError/malformedNote(_:)`` unless the text is exactly what this program writes.
  public init(parsing bytes: [UInt8]) throws(OpeningError) {
    let what = "the request"
    note = try OpeningNote.parse(bytes, maximum: Self.maximumBytes, what: what)
    var fields = try NoteFields(note.text, schema: Self.schema, what: what)
    terms = try OpeningTerms(&fields)
    entry = try fields.number("entry")
    size = try fields.number("size")
    root = try fields.digest("root")
    let expected = Self.text(terms, entry: entry, size: size, root: root)
    guard entry < size, expected.utf8.elementsEqual(note.text) else { throw .malformedNote(what) }
  }

  public var serialized: [UInt8] { note.serialized }

  private static func text(_ terms: OpeningTerms, entry: UInt64, size: UInt64, root: TreeHash) -> String {
    (["schema: \(schema)"] + terms.lines + ["entry: \(entry)", "size: \(size)", "root: \(root)"])
      .map { $0 + "\n" }.joined()
  }
}

/// A member's agreement to one request, signed.
public struct OpeningConsent: Sendable, Equatable {
  public static let schema = "bauta/opening-consent/1"
  public static let maximumBytes = 8192

  /// Of the request's text.
  public let request: SHA256Digest
  /// Whose consent.
  public let member: OrganizationName
  public let note: SignedNote

  init(
    to request: OpeningRequest, by member: OrganizationName, signedWith key: borrowing IdentitySigningKey
  ) throws(OpeningError) {
    self.request = request.hash
    self.member = member
    note = try OpeningNote.signed(
      Self.text(request.hash, member), by: member, key: key, what: "the consent of \(member)")
  }

  /// Reads a consent. Its signature is not checked.
  ///
  /// - Throws: ``OpeningError/malformedNote(_:)``.
  public init(parsing bytes: [UInt8]) throws(OpeningError) {
    let what = "a consent"
    note = try OpeningNote.parse(bytes, maximum: Self.maximumBytes, what: what)
    var fields = try NoteFields(note.text, schema: Self.schema, what: what)
    request = try fields.digest("request")
    member = try fields.name("member")
    guard Self.text(request, member).utf8.elementsEqual(note.text) else { throw .malformedNote(what) }
  }

  public var serialized: [UInt8] { note.serialized }

  private static func text(_ request: SHA256Digest, _ member: OrganizationName) -> String {
    "schema: \(schema)\nrequest: \(request)\nmember: \(member)\n"
  }
}

/// Making and reading the notes of an opening.
enum OpeningNote {
  static func signed(
    _ text: String, by name: OrganizationName, key: borrowing IdentitySigningKey, what: String
  ) throws(OpeningError) -> SignedNote {
    do throws(TransparencyLogError) {
      var note = try SignedNote(text: text)
      try note.sign(name: name, key: key)
      return note
    } catch { throw .malformedNote(what) }
  }

  static func parse(_ bytes: [UInt8], maximum: Int, what: String) throws(OpeningError) -> SignedNote {
    guard bytes.count <= maximum, let note = try? SignedNote(parsing: bytes), note.signatures.count == 1 else {
      throw .malformedNote(what)
    }
    return note
  }

  /// - Throws: ``OpeningError/notSigned(_:by:)``.
  static func require(_ note: SignedNote, by member: Manifest.Member, what: String) throws(OpeningError) {
    guard note.status(of: member.identityNoteKey) == .valid else { throw .notSigned(what, by: member.name) }
  }
}

/// The lines `key: value` of a note, in their one order. Whoever reads them writes them again and compares.
private struct NoteFields {
  private var lines: ArraySlice<Substring>
  private let what: String

  init(_ text: [UInt8], schema: String, what: String) throws(OpeningError) {
    self.what = what
    lines = String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)[...]
    guard try self.text("schema") == schema else { throw .malformedNote(what) }
  }

  mutating func text(_ key: String) throws(OpeningError) -> String {
    guard let line = lines.popFirst(), line.hasPrefix("\(key): ") else { throw .malformedNote(what) }
    return String(line.dropFirst(key.count + 2))
  }

  mutating func parsed<Value>(_ key: String, _ parse: (String) throws -> Value?) throws(OpeningError) -> Value {
    let text = try text(key)
    guard let value = try? parse(text) else { throw .malformedNote(what) }
    return value
  }

  mutating func name(_ key: String) throws(OpeningError) -> OrganizationName {
    try parsed(key) { try OrganizationName($0) }
  }

  mutating func digest<Role>(_ key: String) throws(OpeningError) -> Digest<Role> {
    try parsed(key) { try Digest<Role>(hexadecimal: $0) }
  }

  mutating func number<Number: FixedWidthInteger>(_ key: String) throws(OpeningError) -> Number {
    try parsed(key) { Number($0) }
  }

  /// 0 … 1,000,000.
  mutating func count(_ key: String) throws(OpeningError) -> Int {
    let count: Int = try number(key)
    guard (0...1_000_000).contains(count) else { throw .malformedNote(what) }
    return count
  }
}

extension OpeningTerms {
  fileprivate init(_ fields: inout NoteFields) throws(OpeningError) {
    federation = try fields.name("federation")
    organization = try fields.name("organization")
    let run = try fields.parsed("run") { try RunIdentifier($0) }
    let task = try fields.parsed("task") { TaskKind(rawValue: $0) }
    opening = OpeningIdentifier(
      run: run, task: task, round: try fields.count("round"), attempt: try fields.count("attempt"))
    context = try fields.digest("context")
    statement = ConsistencyStatement(
      stored: try fields.digest("transcript"), shareSurvivors: try fields.digest("shareSurvivors"),
      inputSurvivors: try fields.digest("inputSurvivors"), maskedInputRoot: try fields.digest("maskedInputRoot"))
    survivors = try fields.parsed("survivors") { text in
      let names = try text.split(separator: " ", omittingEmptySubsequences: false).map {
        try OrganizationName(String($0))
      }
      let ascends = zip(names, names.dropFirst()).allSatisfy { $0 < $1 }
      return ascends && names.count <= Manifest.maximumOrganizations ? names : nil
    }
    assumedCorrupt = try fields.count("assumedCorrupt")
    minimumHonest = try fields.count("minimumHonest")
    slot = try fields.count("slot")
    auditor = try fields.digest("auditor")
  }
}
