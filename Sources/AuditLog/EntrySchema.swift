import Cryptography

/// What the value of a member of an entry can be.
enum EntryValue: Sendable {
  case text
  /// 0 … 2⁵³ − 1.
  case count
  case digest
  case organizationName
  case time
  case messageID
  case keyID
  case decimal
  case oneOf([String])
  /// The keeper of the log.
  case keeper
  /// A leaf hash, or nothing in the first entry.
  case previous
  indirect case group([EntryMember])
}

/// Values that a scan keeps.
enum EntryCapture: UInt8 {
  case none, event, time, sequence, previous, messageBytes, messageID, outcome, destinationExporter, sourceExporter
}

struct EntryMember: Sendable {
  let name: String
  let value: EntryValue
  let isRequired: Bool
  let capture: EntryCapture

  static func required(_ name: String, _ value: EntryValue, capture: EntryCapture = .none) -> EntryMember {
    EntryMember(name: name, value: value, isRequired: true, capture: capture)
  }

  static func optional(_ name: String, _ value: EntryValue, capture: EntryCapture = .none) -> EntryMember {
    EntryMember(name: name, value: value, isRequired: false, capture: capture)
  }
}

/// The members of an entry as a table, for the scanner: the same that `AuditRecord` reads, one by one.
///
/// A member that is missing here costs time, not correctness: entries that have it are read by `AuditRecord`. One that
/// `AuditRecord` would refuse must not be here; tests hold the two against each other.
enum EntrySchema {
  static let members: [EntryMember] =
    [
      .required("schema", .oneOf([AuditRecord.schema])),
      .required("organization", .keeper),
      .required("sequence", .count, capture: .sequence),
      .required("previous", .previous, capture: .previous),
      .required("time", .time, capture: .time),
      .required("event", .oneOf(AuditRecord.Event.allCases.map(\.rawValue)), capture: .event),
      .optional("clock", .text),
      .optional("actor", .group([.required("service", .text), .optional("keyID", .keyID)])),
      .optional("destination", peer(.destinationExporter)),
      .optional("source", peer(.sourceExporter)),
      .optional(
        "handshake", .group([.required("version", .text), .optional("cipher", .text), .optional("group", .text)])),
      .optional(
        "suppressed",
        .group([
          .required("count", .count), .optional("first", .time), .optional("last", .time),
          .required("addresses", .count),
        ])),
      .optional("federation", .text),
      .optional("manifest", .digest),
      .optional("plan", .digest),
      .optional("run", .text),
      .optional("round", .count),
      .optional("attempt", .count),
      .optional("task", .text),
      .optional("context", .digest),
      .optional("transcript", .digest),
      .optional("message", message),
      .optional("messageID", .messageID, capture: .messageID),
      .optional("maskedInput", maskedInput),
      .optional("model", .digest),
      .optional("program", .digest),
    ] + decisions

  private static let decisions: [EntryMember] = [
    .optional("cohortSizes", .group([.required("u2", .count), .optional("u3", .count)])),
    .optional("policy", .group([.required("decision", .oneOf(["allowed", "refused"])), .required("rule", .text)])),
    .optional("approver", .text),
    .optional("purpose", .text),
    .optional("retention", .text),
    .optional("outcome", .oneOf(AuditRecord.Outcome.allCases.map(\.rawValue)), capture: .outcome),
    .optional("error", .group([.required("code", .text), .required("blame", .oneOf(blames))])),
    .optional("receipt", .group([.required("index", .count), .required("leaf", .digest)])),
    .optional("traffic", traffic),
    .optional(
      "checkpoint",
      .group([
        .required("origin", .text), .required("size", .count), .required("root", .digest), .optional("witness", .text),
        .optional("witnessKeyID", .keyID),
      ])),
    .optional(
      "opening",
      .group([
        .required("organization", .organizationName), .required("slot", .count), .required("statement", .digest),
        .optional("auditor", .digest),
      ])),
    .optional("pruned", .group([.required("below", .count)])),
    .optional("stateVersion", .count),
    .optional("reason", .text),
  ]

  private static let blames = [Blame.caller, .peer, .participants, .local].map(\.rawValue)

  private static func peer(_ exporter: EntryCapture) -> EntryValue {
    .group([
      .optional("name", .organizationName), .optional("claimedName", .text), .optional("address", .text),
      .optional("tlsPeer", .digest), .optional("exporter", .digest, capture: exporter),
    ])
  }

  private static let message = EntryValue.group([
    .required("id", .messageID, capture: .messageID), .required("kind", .text), .optional("stage", .text),
    .required("bytes", .count, capture: .messageBytes), .required("sha256", .digest), .optional("chunks", .count),
    .optional("resendOf", .count),
  ])

  private static let maskedInput = EntryValue.group([
    .required("dimension", .count), .required("counters", .count), .required("bits", .count),
    .required("masks", .count),
    .optional("clip", .decimal), .optional("localNoise", .decimal), .optional("epsilonCharged", .decimal),
    .optional("epsilonTotal", .decimal), .optional("commitment", .digest),
  ])

  private static let traffic = EntryValue.group(
    [
      .required("plaintextBytes", .count), .required("headerLists", .count), .optional("headersSHA256", .digest),
    ]
      + AuditRecord.Traffic.Frame.allCases.map { frame in
        .optional(frame.rawValue, .group([.required("frames", .count), .required("bytes", .count)]))
      })
}
