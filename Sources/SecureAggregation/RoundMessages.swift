public import Cryptography

/// Stages of one attempt as the server sees them.
public enum RoundStage: String, Hashable, Sendable, CaseIterable {
  case advertiseKeys = "AdvertiseKeys"
  case shareKeys = "ShareKeys"
  case maskedInputCollection = "MaskedInputCollection"
  case consistencyCheck = "ConsistencyCheck"
  case unmasking = "Unmasking"
  case completed
  case failed
}

/// What one organisation sends in a round.
public enum ClientRoundMessage: Hashable, Sendable {
  case advertiseKeys(AdvertiseKeysMessage)
  case shareKeys(ShareKeysMessage)
  case maskedInput(MaskedInputMessage)
  case consistencyCheck(ConsistencyCheckMessage)
  case unmasking(UnmaskingMessage)

  public var kind: MessageKind {
    switch self {
    case .advertiseKeys: .advertiseKeys
    case .shareKeys: .shareKeys
    case .maskedInput: .maskedInput
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    }
  }

  /// The sender as the message states it; the server compares it with the authenticated one.
  public var organization: OrganizationName {
    switch self {
    case .advertiseKeys(let message): message.organization
    case .shareKeys(let message): message.organization
    case .maskedInput(let message): message.organization
    case .consistencyCheck(let message): message.organization
    case .unmasking(let message): message.organization
    }
  }

  /// The attempt the message belongs to.
  public var context: ContextDigest {
    switch self {
    case .advertiseKeys(let message): message.context
    case .shareKeys(let message): message.context
    case .maskedInput(let message): message.context
    case .consistencyCheck(let message): message.context
    case .unmasking(let message): message.context
    }
  }

  public func encoded() -> [UInt8] {
    switch self {
    case .advertiseKeys(let message): MessageCoding.encode(message)
    case .shareKeys(let message): MessageCoding.encode(message)
    case .maskedInput(let message): MessageCoding.encode(message)
    case .consistencyCheck(let message): MessageCoding.encode(message)
    case .unmasking(let message): MessageCoding.encode(message)
    }
  }

  /// Decodes a message from `sender`; every count and length is bounded by the context before memory is taken.
  /// - Throws: ``AggregationError/misbehaviour(_:by:)`` with ``PeerFault/malformed(_:reason:)``.
  public init(
    decoding bytes: [UInt8], from sender: OrganizationName, context: AggregationContext
  ) throws(AggregationError) {
    let party = Party.organization(sender)
    switch MessageCoding.kind(of: bytes) {
    case .advertiseKeys: self = .advertiseKeys(try MessageCoding.decode(bytes, from: party, context: context))
    case .shareKeys: self = .shareKeys(try MessageCoding.decode(bytes, from: party, context: context))
    case .maskedInput: self = .maskedInput(try MessageCoding.decode(bytes, from: party, context: context))
    case .consistencyCheck: self = .consistencyCheck(try MessageCoding.decode(bytes, from: party, context: context))
    case .unmasking: self = .unmasking(try MessageCoding.decode(bytes, from: party, context: context))
    case .roster, .shares, .survivors, .statements, nil:
      throw .misbehaviour(.malformed(nil, reason: "unexpected-label"), by: party)
    }
  }
}

/// What the server sends in a round.
public enum ServerRoundMessage: Hashable, Sendable {
  case roster(AdvertisementRoster)
  case shares(ShareDelivery)
  case survivors(SurvivorAnnouncement)
  case statements(StatementSet)

  public var kind: MessageKind {
    switch self {
    case .roster: .roster
    case .shares: .shares
    case .survivors: .survivors
    case .statements: .statements
    }
  }

  public func encoded() -> [UInt8] {
    switch self {
    case .roster(let message): MessageCoding.encode(message)
    case .shares(let message): MessageCoding.encode(message)
    case .survivors(let message): MessageCoding.encode(message)
    case .statements(let message): MessageCoding.encode(message)
    }
  }

  /// Decodes a message from the server; every count and length is bounded by the context before memory is taken.
  /// - Throws: ``AggregationError/misbehaviour(_:by:)`` with ``PeerFault/malformed(_:reason:)``.
  public init(decoding bytes: [UInt8], context: AggregationContext) throws(AggregationError) {
    switch MessageCoding.kind(of: bytes) {
    case .roster: self = .roster(try MessageCoding.decode(bytes, from: .server, context: context))
    case .shares: self = .shares(try MessageCoding.decode(bytes, from: .server, context: context))
    case .survivors: self = .survivors(try MessageCoding.decode(bytes, from: .server, context: context))
    case .statements: self = .statements(try MessageCoding.decode(bytes, from: .server, context: context))
    case .advertiseKeys, .shareKeys, .maskedInput, .consistencyCheck, .unmasking, nil:
      throw .misbehaviour(.malformed(nil, reason: "unexpected-label"), by: .server)
    }
  }
}

/// One message with its canonical encoding.
protocol RoundMessage {
  static var kind: MessageKind { get }
  func append(to encoder: inout CanonicalEncoder)
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError)
}

enum MessageCoding {
  static func encode(_ message: some RoundMessage) -> [UInt8] {
    var encoder = CanonicalEncoder(type(of: message).kind.label)
    message.append(to: &encoder)
    return encoder.finish()
  }

  static func decode<Message: RoundMessage>(
    _ bytes: [UInt8], from party: Party, context: AggregationContext
  ) throws(AggregationError) -> Message {
    do throws(CryptographyError) {
      var decoder = try CanonicalDecoder(bytes, label: Message.kind.label)
      let message = try Message(from: &decoder, context: context)
      try decoder.finish()
      return message
    } catch {
      throw .misbehaviour(.malformed(Message.kind, reason: error.code), by: party)
    }
  }

  /// The kind that the label names. The decoder checks the label again.
  static func kind(of bytes: [UInt8]) -> MessageKind? {
    MessageKind.allCases.first { kind in bytes.starts(with: CanonicalEncoder(kind.label).finish()) }
  }
}

extension CanonicalEncoder {
  mutating func append(_ name: OrganizationName) { append(name.value) }
  mutating func append(_ signature: Signature) { append(signature.bytes) }
  mutating func append(_ commitments: FeldmanCommitments) {
    append(UInt64(commitments.count))
    for start in stride(from: 0, to: commitments.bytes.count, by: GroupElement.byteCount) {
      append(commitments.bytes[start..<(start + GroupElement.byteCount)])
    }
  }
}

extension CanonicalDecoder {
  mutating func organization() throws(CryptographyError) -> OrganizationName {
    try OrganizationName(try string(maximum: 253))
  }

  mutating func signature() throws(CryptographyError) -> Signature { try Signature(bytes: try bytes(maximum: 64)) }

  mutating func commitments(threshold: Int) throws(CryptographyError) -> FeldmanCommitments {
    FeldmanCommitments(
      points: try list(maximum: threshold) { (decoder: inout CanonicalDecoder) throws(CryptographyError) in
        try GroupElement(bytes: try decoder.bytes(maximum: 32))
      })
  }
}
