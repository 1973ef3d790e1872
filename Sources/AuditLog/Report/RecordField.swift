/// A field of an entry by its path, such as `message.bytes`, with what it means: the columns of an export, and the
/// words beside a record that is shown.
public struct RecordField: Hashable, Sendable {
  public enum Group: String, Sendable, CaseIterable {
    case record, otherSide, connection, authority, sum, message, protection, witnesses, outcome

    public var title: String {
      switch self {
      case .record: "The record"
      case .otherSide: "The other side"
      case .connection: "The connection"
      case .authority: "Under whose authority"
      case .sum: "Which run and which sum"
      case .message: "The message"
      case .protection: "How the term was protected"
      case .witnesses: "Witnesses, openings and retention"
      case .outcome: "What came of it"
      }
    }

    public var explanation: String {
      switch self {
      case .record: "Whose log, which entry, when and by whom. Each entry holds the hash of the one before it."
      case .otherSide: "To whom or from whom, as the handshake proved it. What is only claimed is called so."
      case .connection: "How the connection was protected, what went over it, or why there was none."
      case .authority: "The agreement and the rule that allowed it or did not, and who approved."
      case .sum: "The run, and the secure sum within it, bound by hashes that every member signs."
      case .message: "The exact bytes, by length and SHA-256: the other side's log has the same."
      case .protection: "A masked term by its public shape: what is in it, nobody can read from here."
      case .witnesses: "What others confirmed, what was opened for an auditor, and what is no longer kept."
      case .outcome: "Whether it succeeded, and who is at fault if not."
      }
    }
  }

  /// The names of the members of the entry's JSON, joined by full stops.
  public let path: String
  public let group: Group
  public let meaning: String

  private init(_ path: String, _ group: Group, _ meaning: String) {
    self.path = path
    self.group = group
    self.meaning = meaning
  }

  /// Every field that a record can have, in the order of columns and of reading.
  public static let all: [RecordField] = record + peers + connection + authority + sum + rest

  private static let record: [RecordField] = [
    .init("sequence", .record, "number of the entry, from 0, without gaps"),
    .init("time", .record, "UTC, to the millisecond"),
    .init("event", .record, "what happened"),
    .init("organization", .record, "whose log it is"),
    .init("actor.service", .record, "the service or command that acted"),
    .init("actor.keyID", .record, "the key with which it does"),
    .init("clock", .record, "where the time comes from, if not the machine's clock"),
    .init("previous", .record, "leaf hash of the entry before; empty in the first"),
    .init("schema", .record, "version of the form"),
  ]

  private static let peers: [RecordField] = ["destination", "source"].flatMap { side in
    let whose = side == "destination" ? "the receiver" : "the sender"
    return [
      RecordField("\(side).name", .otherSide, "name of \(whose), proved by its certificate's key"),
      RecordField("\(side).claimedName", .otherSide, "name that a refused certificate claimed"),
      RecordField("\(side).address", .otherSide, "network address"),
      RecordField("\(side).tlsPeer", .otherSide, "SHA-256 of the public key in its certificate"),
      RecordField("\(side).exporter", .otherSide, "the same value in both sides' logs for one connection"),
    ]
  }

  private static let connection: [RecordField] =
    [
      .init("handshake.version", .connection, "version of TLS"),
      .init("handshake.cipher", .connection, "cipher suite"),
      .init("handshake.group", .connection, "group of the key agreement"),
      .init("suppressed.count", .connection, "events of this kind without an entry of their own"),
      .init("suppressed.first", .connection, "time of the first of them"),
      .init("suppressed.last", .connection, "time of the last of them"),
      .init("suppressed.addresses", .connection, "addresses from which they came"),
      .init("traffic.plaintextBytes", .connection, "bytes written since the connection began, before encryption"),
    ]
    + AuditRecord.Traffic.Frame.allCases.flatMap { frame in
      [
        RecordField("traffic.\(frame.rawValue).frames", .connection, "\(frame.rawValue) frames written"),
        RecordField("traffic.\(frame.rawValue).bytes", .connection, "bytes in them, without frame headers"),
      ]
    } + [
      .init("traffic.headerLists", .connection, "lists of header fields written"),
      .init("traffic.headersSHA256", .connection, "SHA-256 over them"),
    ]

  private static let authority: [RecordField] = [
    .init("federation", .authority, "name of the federation"),
    .init("manifest", .authority, "SHA-256 of the manifest that was in force"),
    .init("plan", .authority, "SHA-256 of the plan that was accepted"),
    .init("policy.decision", .authority, "what the organisation's own policy decided"),
    .init("policy.rule", .authority, "the rules that decided, by their names in the policy file"),
    .init("approver", .authority, "who approved"),
    .init("purpose", .authority, "identifier of the purpose"),
    .init("retention", .authority, "class of retention"),
  ]

  private static let sum: [RecordField] = [
    .init("run", .sum, "identifier of the run"),
    .init("task", .sum, "what was summed"),
    .init("round", .sum, "round of the run"),
    .init("attempt", .sum, "attempt at this sum"),
    .init("cohortSizes.u2", .sum, "organisations whose masks are in the sum"),
    .init("cohortSizes.u3", .sum, "organisations whose terms are in the sum"),
    .init("context", .sum, "hash that binds the sum to manifest, plan, model and cohort"),
    .init("transcript", .sum, "hash of the key exchange"),
    .init("model", .sum, "SHA-256 of the model"),
    .init("program", .sum, "SHA-256 of the program that computes the term"),
  ]

  private static let rest: [RecordField] = [
    .init("message.kind", .message, "kind of message"),
    .init("message.stage", .message, "step of the secure sum"),
    .init("message.bytes", .message, "payload bytes"),
    .init("message.sha256", .message, "SHA-256 of the payload; of a streamed one the Merkle root over its chunks"),
    .init("message.chunks", .message, "pieces of a streamed message"),
    .init("message.id", .message, "identifier; the same when the same bytes are sent again"),
    .init("message.resendOf", .message, "entry under which these bytes were sent before"),
    .init("messageID", .message, "identifier of the message that a delivery is about"),
    .init("receipt.index", .message, "entry of the receiver's log"),
    .init("receipt.leaf", .message, "leaf hash of that entry"),
    .init("maskedInput.dimension", .protection, "coordinates of the tensor section"),
    .init("maskedInput.counters", .protection, "coordinates of the counter section"),
    .init("maskedInput.bits", .protection, "bits of a coordinate"),
    .init("maskedInput.masks", .protection, "masks added: pairwise, and one of its own"),
    .init("maskedInput.clip", .protection, "bound to which values were clipped"),
    .init("maskedInput.localNoise", .protection, "noise that this organisation added"),
    .init("maskedInput.epsilonCharged", .protection, "privacy budget charged for it"),
    .init("maskedInput.epsilonTotal", .protection, "privacy budget used up so far"),
    .init("maskedInput.commitment", .protection, "salted commitment to the term"),
    .init("checkpoint.origin", .witnesses, "keeper of the log that the checkpoint is of"),
    .init("checkpoint.size", .witnesses, "entries under the checkpoint"),
    .init("checkpoint.root", .witnesses, "root of the tree over them"),
    .init("checkpoint.witness", .witnesses, "the witness"),
    .init("checkpoint.witnessKeyID", .witnesses, "its key"),
    .init("opening.organization", .witnesses, "whose masked input is opened"),
    .init("opening.slot", .witnesses, "which of the openings that the sum admits"),
    .init("opening.statement", .witnesses, "SHA-256 of the statement that members agree to"),
    .init("opening.auditor", .witnesses, "SHA-256 of the auditor's public key"),
    .init("pruned.below", .witnesses, "first entry that is still kept"),
    .init("outcome", .outcome, "succeeded, failed, refused or unknown"),
    .init("error.code", .outcome, "what went wrong"),
    .init("error.blame", .outcome, "who is at fault"),
    .init("stateVersion", .outcome, "version of the organisation's state; it only grows"),
    .init("reason", .outcome, "why, in the owner's words"),
  ]
}

/// The values of one entry by field. Nothing in an entry is left out: a record's parser refuses fields that it does not
/// know.
public struct RecordValues: Sendable {
  private let values: [String: CanonicalJSON]

  /// - Parameter entry: the bytes of an entry, as `AuditLogReader` gives them.
  public init(entry: [UInt8]) {
    var values: [String: CanonicalJSON] = [:]
    if let json = try? CanonicalJSON(parsing: entry) { Self.flatten(json, path: "", into: &values) }
    self.values = values
  }

  /// Paths with a value; a test holds them against `RecordField.all`.
  public var paths: Set<String> { Set(values.keys) }

  /// Whether the value is text: only that can be made to look like a formula.
  public func isText(_ field: RecordField) -> Bool {
    if case .string? = values[field.path] { true } else { false }
  }

  /// The value as text, or nil.
  public subscript(field: RecordField) -> String? {
    switch values[field.path] {
    case .string(let text)?: text
    case .integer(let number)?: String(number)
    case .boolean(let flag)?: String(flag)
    case .null?, .array?, .object?, nil: nil
    }
  }

  private static func flatten(_ json: CanonicalJSON, path: String, into values: inout [String: CanonicalJSON]) {
    guard case .object(let members) = json else {
      values[path] = json
      return
    }
    for (name, member) in members { flatten(member, path: path.isEmpty ? name : "\(path).\(name)", into: &values) }
  }
}
