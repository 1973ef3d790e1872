import Cryptography
import TransparencyLog

/// The identity of a message; the same again when the same bytes are sent again.
public struct MessageIdentifier: Hashable, Sendable, CustomStringConvertible {
  /// 1 to 64 lowercase letters, digits, hyphens or dots.
  public let value: String

  /// Nil if the text has any other form.
  public init?(_ text: String) {
    let allowed = text.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E
    }
    guard (1...64).contains(text.utf8.count), allowed else { return nil }
    value = text
  }

  private init(hexadecimal bytes: [UInt8]) {
    value = Hexadecimal.encode(bytes)
  }

  /// 128 random bits in hexadecimal.
  public static func random() -> MessageIdentifier { MessageIdentifier(hexadecimal: randomBytes(16)) }

  public var description: String { value }
}

extension AuditRecord {
  /// The kind of a message that submits a checkpoint of this log to a witness outside the federation.
  public static let checkpointKind = "checkpoint"

  /// Whether it is such a message: one over no connection of the federation's, which no log of its receiver knows.
  public var isCheckpointForWitness: Bool {
    content.event == .messageSent && content.message?.label.kind == Self.checkpointKind
      && content.destination?.exporter == nil
  }
}

/// What a message is, before its bytes are counted and hashed.
public struct MessageLabel: Hashable, Sendable {
  public var id: MessageIdentifier
  /// For instance `maskedInput`, `heartbeat`.
  public var kind: String
  /// The round of the secure sum, as the protocol names it.
  public var stage: String?
  /// The sequence of the record under which these bytes were sent before.
  public var resendOf: UInt64?

  public init(id: MessageIdentifier, kind: String, stage: String? = nil, resendOf: UInt64? = nil) {
    self.id = id
    self.kind = kind
    self.stage = stage
    self.resendOf = resendOf
  }
}

extension AuditRecord {
  /// A message on the wire: which, how long, and the hash of its bytes.
  ///
  /// The bytes are those of the raw gRPC payload, before decoding, so that both sides hash the same. A streamed
  /// message is one record: its hash is the RFC 6962 root over its chunks as leaves.
  public struct Message: Hashable, Sendable {
    public let label: MessageLabel
    /// Payload bytes, in all chunks.
    public let bytes: UInt64
    public let sha256: MessageHash
    /// How many chunks; nil for a message in one piece, whose hash is plain SHA-256.
    public let chunks: UInt64?

    public var id: MessageIdentifier { label.id }

    public init(label: MessageLabel, payload: [UInt8]) {
      self.init(label: label, bytes: UInt64(payload.count), sha256: MessageHash(hashing: payload), chunks: nil)
    }

    public init(label: MessageLabel, chunks: [[UInt8]]) {
      var digester = ChunkDigester()
      for chunk in chunks { digester.append(chunk) }
      self = digester.message(label)
    }

    init(label: MessageLabel, bytes: UInt64, sha256: MessageHash, chunks: UInt64?) {
      self.label = label
      self.bytes = bytes
      self.sha256 = sha256
      self.chunks = chunks
    }
  }

  /// Counts and hashes a streamed message chunk by chunk, in O(log n) memory.
  public struct ChunkDigester: Sendable {
    private var frontier = MerkleFrontier()
    private var bytes: UInt64 = 0

    public init() {}

    public mutating func append(_ chunk: some Collection<UInt8>) {
      bytes += UInt64(chunk.count)
      frontier.append(MerkleHashing.leaf(chunk))
    }

    public func message(_ label: MessageLabel) -> Message {
      Message(label: label, bytes: bytes, sha256: MessageHash(frontier.root), chunks: frontier.size)
    }
  }
}
