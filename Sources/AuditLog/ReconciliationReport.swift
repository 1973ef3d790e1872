import Cryptography

/// How the egress logs of the organisations and the ingress log of the server agree.
public struct ReconciliationReport: Hashable, Sendable {
  public static let schema = "bauta/audit-reconcile/1"

  public struct Difference: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
      /// Sent according to the sender, and nothing explains why the receiver has no record of it.
      case missingIngress
      /// Received according to the receiver, and the sender has no record of it.
      case missingEgress
      /// One message id, but not the same bytes.
      case bytesDiffer
      /// An entry is missing, repeated or unreadable.
      case sequenceGap
    }

    public let kind: Kind
    /// Whose log the sequence belongs to; for `missingEgress`, whose record is missing.
    public let organization: String
    public let sequence: UInt64
    public let detail: String
  }

  /// A message of which only the sender knows, for a reason on the record.
  public struct Unconfirmed: Hashable, Sendable {
    public let organization: String
    public let sequence: UInt64
    public let message: MessageIdentifier
    public let detail: String
  }

  /// Messages that both sides recorded with the same bytes.
  public internal(set) var matched = 0
  public internal(set) var unconfirmed: [Unconfirmed] = []
  public internal(set) var differences: [Difference] = []
  /// Messages to other destinations than the keeper of the ingress log: not compared.
  public internal(set) var sentElsewhere = 0

  /// Whose logs of what was sent were given.
  public internal(set) var senders: Set<String> = []

  public var agrees: Bool { differences.isEmpty }

  /// No message was on both sides, or rightly on one: that nothing differs says nothing then.
  public var isEmpty: Bool { matched == 0 && unconfirmed.isEmpty }

  /// Whether it is only that a message arrived from an organisation whose log was not given.
  public func isOfOther(_ difference: Difference) -> Bool {
    difference.kind == .missingEgress && !difference.organization.isEmpty
      && !senders.contains(difference.organization)
  }

  /// `notGiven` names the organisations from which messages arrived and whose logs were not given: each such message is a
  /// difference.
  public var json: CanonicalJSON {
    .object([
      "schema": .string(Self.schema),
      "agrees": .boolean(agrees),
      "matched": .integer(Int64(matched)),
      "sentElsewhere": .integer(Int64(sentElsewhere)),
      "notGiven": .array(
        Set(differences.filter(isOfOther).map(\.organization)).sorted().map { .string($0) }),
      "unconfirmed": .array(
        unconfirmed.map { message in
          .object([
            "organization": .string(message.organization), "sequence": .integer(Int64(clamping: message.sequence)),
            "message": .string(message.message.value), "detail": .string(message.detail),
          ])
        }),
      "differences": .array(
        differences.map { difference in
          .object([
            "kind": .string(difference.kind.rawValue), "organization": .string(difference.organization),
            "sequence": .integer(Int64(clamping: difference.sequence)), "detail": .string(difference.detail),
          ])
        }),
    ])
  }
}
