import Cryptography
import TransparencyLog

/// One entry of an audit log: what happened, to what, under whose authority.
///
/// A record never holds personal data, secrets, raw values, or any figure that depends on the data (a metric, a
/// count of rows, a clipped fraction): logs are shown to auditors and cosigned by witnesses. Such figures belong in
/// the organisation's local log, which is not published. What ties a record to data is a salted commitment:
/// erasing the salt erases the link.
@dynamicMemberLookup
public struct AuditRecord: Hashable, Sendable {
  public static let schema = "bauta/audit/1"
  /// The longest entry, in bytes of canonical JSON.
  public static let maximumBytes = TileBuilder.maximumEntryBytes

  /// Whose log it is.
  public let organization: OrganizationName
  /// From 0, without gaps.
  public let sequence: UInt64
  /// The leaf hash of the entry before; nil in the first.
  public let previous: LeafHash?
  public let time: AuditTime
  public let content: Draft

  public init(
    organization: OrganizationName, sequence: UInt64, previous: LeafHash?, time: AuditTime, content: Draft
  ) {
    self.organization = organization
    self.sequence = sequence
    self.previous = previous
    self.time = time
    self.content = content
  }

  public subscript<Value>(dynamicMember path: KeyPath<Draft, Value>) -> Value { content[keyPath: path] }

  public enum Event: String, Sendable, CaseIterable {
    case messageSent, messageReceived
    /// What became of a message that was sent: its outcome, and the receiver's receipt.
    case delivery
    case handshake, handshakeRefused, connectionClosed
    case policyDecision, approval, manifestChange, keyChange, privacyCharge
    case runStarted, roundStarted, roundCompleted, runEnded, stopped
    case serviceStarted, serviceStopped
    /// The owner has said why the state is not the one that the log knows.
    case stateAcknowledged
    /// What has gone over a connection that is still open: `connectionClosed` says it of one that is not.
    case connectionTraffic
    /// A witness's cosignature of a checkpoint of this log has arrived.
    case checkpointCosigned
    /// This keeper, as a witness, cosigned a checkpoint of another's log.
    case checkpointWitnessed
    /// A checkpoint of another's log, or a witness's word about this one, does not follow from what was seen before.
    case checkpointConflict
    /// Sealed secrets of a masked input are to be opened for an auditor; nothing is unsealed yet.
    case openingRequested
    /// This keeper has agreed that another opens a masked input.
    case openingConsented
    /// A masked input was opened, and agreed with the logs or not.
    case maskedInputOpened
    /// Secrets of masked inputs were erased: their window is over.
    case sealedSecretsErased
    /// Entries below a boundary are no longer kept; their hashes are.
    case entriesPruned
  }

  /// What its author fills in; the log adds organisation, sequence, previous and time.
  ///
  /// Text fields hold at most 1,024 bytes without control characters; the log refuses others.
  public struct Draft: Hashable, Sendable {
    public var event: Event
    /// Where the time comes from; nil takes the log's.
    public var clock: String?
    public var actor: Actor?
    /// To whom, for what is sent.
    public var destination: Peer?
    /// From whom, for what is received.
    public var source: Peer?
    public var handshake: Handshake?
    /// Events of this kind that have no entry of their own.
    public var suppressed: Suppressed?
    public var federation: String?
    public var manifest: ManifestHash?
    public var plan: PlanHash?
    public var run: String?
    public var round: Int?
    public var attempt: Int?
    public var task: String?
    public var context: ContextDigest?
    public var transcript: TranscriptDigest?
    public var message: Message?
    /// The message that a `delivery` is about, when its bytes are not at hand.
    public var messageID: MessageIdentifier?
    public var maskedInput: MaskedInput?
    public var model: ModelHash?
    public var program: ProgramHash?
    public var cohortSizes: CohortSizes?
    public var policy: Policy?
    public var approver: String?
    public var purpose: String?
    public var retention: String?
    public var outcome: Outcome?
    public var error: Failure?
    public var receipt: Receipt?
    public var traffic: Traffic?
    public var checkpoint: CheckpointReference?
    public var opening: Opening?
    public var pruned: Pruned?
    /// Version of the organisation's state under which the record was made: it only grows, so that a state restored
    /// from an older copy is noticed against the log.
    public var stateVersion: UInt64?
    /// Why, in the owner's words.
    public var reason: String?

    public init(_ event: Event) {
      self.event = event
    }
  }

  /// The service or operator that acted, and the key with which it does.
  public struct Actor: Hashable, Sendable {
    public var service: String
    public var keyID: NoteKeyID?

    public init(service: String, keyID: NoteKeyID? = nil) {
      self.service = service
      self.keyID = keyID
    }
  }

  /// The other end of a connection.
  public struct Peer: Hashable, Sendable {
    public var name: OrganizationName?
    /// The first DNS name of the certificate that was shown, when nothing vouches for it: the handshake was refused.
    public var claimedName: String?
    public var address: String?
    /// SHA-256 of the SubjectPublicKeyInfo in the certificate that the peer showed.
    public var tlsPeer: CertificateKeyHash?
    /// The TLS exporter value under `EXPORTER-bauta-audit-v1`: ties records of both sides to one connection. Never
    /// used to authenticate.
    public var exporter: SHA256Digest?

    public init(
      name: OrganizationName? = nil, claimedName: String? = nil, address: String? = nil,
      tlsPeer: CertificateKeyHash? = nil, exporter: SHA256Digest? = nil
    ) {
      self.name = name
      self.claimedName = claimedName
      self.address = address
      self.tlsPeer = tlsPeer
      self.exporter = exporter
    }
  }

  public struct Handshake: Hashable, Sendable {
    public var version: String
    public var cipher: String?
    /// The key agreement group.
    public var group: String?

    public init(version: String, cipher: String? = nil, group: String? = nil) {
      self.version = version
      self.cipher = cipher
      self.group = group
    }
  }

  /// What came too fast to be recorded one by one: how often, when, and from how many addresses.
  public struct Suppressed: Hashable, Sendable {
    public var count: Int
    public var first: AuditTime?
    public var last: AuditTime?
    public var addresses: Int

    public init(count: Int, first: AuditTime?, last: AuditTime?, addresses: Int) {
      self.count = count
      self.first = first
      self.last = last
      self.addresses = addresses
    }
  }

  /// Masked input: its public shape, what privacy it was charged, and a commitment to the term.
  public struct MaskedInput: Hashable, Sendable {
    /// Coordinates of the tensor section.
    public var dimension: Int
    /// Coordinates of the counter section.
    public var counters: Int
    /// Bits of a coordinate on the wire.
    public var bits: Int
    /// Pairwise and self masks added.
    public var masks: Int
    public var clip: AuditDecimal?
    /// Noise multiplier or scale of the noise that this organisation added.
    public var localNoise: AuditDecimal?
    public var epsilonCharged: AuditDecimal?
    public var epsilonTotal: AuditDecimal?
    /// H(label ‖ 32-byte salt ‖ term).
    public var commitment: Digest<CommitmentRole>?

    public init(
      dimension: Int, counters: Int, bits: Int, masks: Int, clip: AuditDecimal? = nil,
      localNoise: AuditDecimal? = nil, epsilonCharged: AuditDecimal? = nil, epsilonTotal: AuditDecimal? = nil,
      commitment: Digest<CommitmentRole>? = nil
    ) {
      self.dimension = dimension
      self.counters = counters
      self.bits = bits
      self.masks = masks
      self.clip = clip
      self.localNoise = localNoise
      self.epsilonCharged = epsilonCharged
      self.epsilonTotal = epsilonTotal
      self.commitment = commitment
    }
  }

  public struct CohortSizes: Hashable, Sendable {
    public var u2: Int
    public var u3: Int?

    public init(u2: Int, u3: Int? = nil) {
      self.u2 = u2
      self.u3 = u3
    }
  }

  public struct Policy: Hashable, Sendable {
    public enum Decision: String, Sendable { case allowed, refused }

    public var decision: Decision
    /// The rule that decided, as the policy file names it.
    public var rule: String

    public init(_ decision: Decision, rule: String) {
      self.decision = decision
      self.rule = rule
    }
  }

  public enum Outcome: String, Sendable, CaseIterable {
    case succeeded, failed, refused
    /// It may have arrived or not: the process ended between recording and the answer.
    case unknown
  }

  /// A typed error: its stable code and who is at fault, never its free text.
  public struct Failure: Hashable, Sendable {
    public var code: String
    public var blame: Blame

    public init(code: String, blame: Blame) {
      self.code = code
      self.blame = blame
    }

    public init(_ error: some BlamedError) {
      self.init(code: error.code, blame: error.blame)
    }

    /// Of a delivery: the process ended between recording the message and learning what became of it.
    public static let processEnded = Failure(code: "process-ended", blame: .local)
  }

  /// The receiver's word that it has the message: its place in the receiver's ingress log.
  public struct Receipt: Hashable, Sendable {
    public var index: UInt64
    public var leaf: LeafHash

    public init(index: UInt64, leaf: LeafHash) {
      self.index = index
      self.leaf = leaf
    }
  }
}

/// What byte accounting, witnesses, openings and retention put on record.
extension AuditRecord {
  /// What one side has written to a connection since it began, below HTTP/2 and above TLS.
  ///
  /// `plaintextBytes` = preface + Σ over all frames of (9 + their payload); `bytes` of a count are payload bytes.
  public struct Traffic: Hashable, Sendable {
    public struct Count: Hashable, Sendable {
      public var frames: UInt64
      public var bytes: UInt64

      public init(frames: UInt64 = 0, bytes: UInt64 = 0) {
        self.frames = frames
        self.bytes = bytes
      }
    }

    /// The types of frames that may leave, by the names of RFC 9113 in lower camel case.
    public enum Frame: String, Sendable, CaseIterable {
      case data, headers, settings, ping, goAway, windowUpdate, rstStream
    }

    public var plaintextBytes: UInt64
    /// Frames that were not written are left out.
    public var frames: [Frame: Count]
    /// Decoded header lists written.
    public var headerLists: UInt64
    /// A chain over all of them: SHA-256 of the digest before and the names and values, in canonical encoding.
    public var headersSHA256: SHA256Digest?

    public init(
      plaintextBytes: UInt64, frames: [Frame: Count], headerLists: UInt64, headersSHA256: SHA256Digest? = nil
    ) {
      self.plaintextBytes = plaintextBytes
      self.frames = frames
      self.headerLists = headerLists
      self.headersSHA256 = headersSHA256
    }
  }

  /// A checkpoint, and the witness whose cosignature it is about.
  public struct CheckpointReference: Hashable, Sendable {
    /// The keeper of the log.
    public var origin: String
    public var size: UInt64
    public var root: TreeHash
    public var witness: String?
    public var witnessKeyID: NoteKeyID?

    public init(
      origin: String, size: UInt64, root: TreeHash, witness: String? = nil, witnessKeyID: NoteKeyID? = nil
    ) {
      self.origin = origin
      self.size = size
      self.root = root
      self.witness = witness
      self.witnessKeyID = witnessKeyID
    }
  }

  /// An opening of one organisation's masked input for an auditor.
  public struct Opening: Hashable, Sendable {
    /// Whose masked input.
    public var organization: OrganizationName
    /// From 1: which of the openings that one sum admits.
    public var slot: Int
    /// SHA-256 of the statement that the members agree to.
    public var statement: SHA256Digest
    /// SHA-256 of the auditor's public key.
    public var auditor: SHA256Digest?

    public init(organization: OrganizationName, slot: Int, statement: SHA256Digest, auditor: SHA256Digest? = nil) {
      self.organization = organization
      self.slot = slot
      self.statement = statement
      self.auditor = auditor
    }
  }

  /// The first entry that is still kept.
  public struct Pruned: Hashable, Sendable {
    public var below: UInt64

    public init(below: UInt64) { self.below = below }
  }
}

/// A decimal number as text, so that a record means the same to every reader.
public struct AuditDecimal: Hashable, Sendable, CustomStringConvertible {
  public let text: String

  /// Digits with at most one point and an optional exponent; nil for anything else.
  public init?(_ text: String) {
    guard text.utf8.count <= 32, text.utf8.allSatisfy({ "0123456789.-+e".utf8.contains($0) }),
      let value = Double(text), value.isFinite
    else { return nil }
    self.text = text
  }

  /// The shortest text that gives the same number again; nil if it is not finite.
  public init?(_ value: Double) {
    guard value.isFinite else { return nil }
    text = "\(value)"
  }

  public var description: String { text }
}
