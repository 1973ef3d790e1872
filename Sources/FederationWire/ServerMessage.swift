import AuditLog
import Cryptography
import Federation
import SwiftProtobuf

/// The server's instruction to one organisation, the answer to each ``ClientMessage``.
public struct ServerMessage: Equatable, Sendable {
  /// Number of the instruction, counted for this organisation and connection from 1.
  public let instruction: UInt64
  /// Where the server's log holds the message this answers.
  public let receipt: Receipt?
  public let body: Body

  public enum Body: Equatable, Sendable {
    /// Nothing yet: poll.
    case wait
    case announcement(RunAnnouncement)
    case task(TaskAnnouncement)
    case round(RoundPayload)
    case result(OpeningResult)
    case end(RunEnd)
    case refused(Refusal)
    case stored(StoredBytes)
    case notice(FederationNotice)
    case part(PartOfInstruction)
    case witnessed(WitnessAnswer)
  }

  public init(instruction: UInt64, receipt: Receipt?, body: Body) {
    self.instruction = instruction
    self.receipt = receipt
    self.body = body
  }
}

/// Position and leaf hash of a message's record in the server's ingress log.
public struct Receipt: Equatable, Sendable {
  public let message: MessageIdentifier
  public let index: UInt64
  public let leaf: LeafHash

  public init(message: MessageIdentifier, index: UInt64, leaf: LeafHash) {
    self.message = message
    self.index = index
    self.leaf = leaf
  }
}

/// A run is about to begin: the plan, and the manifest with every organisation's approval.
public struct RunAnnouncement: Equatable, Sendable {
  public let run: RunIdentifier
  /// YAML text of the plan; ``Cryptography/PlanHash`` is taken over its UTF-8 bytes.
  public let plan: String
  /// Signed note.
  public let manifest: String

  public init(run: RunIdentifier, plan: String, manifest: String) {
    self.run = run
    self.plan = plan
    self.manifest = manifest
  }
}

/// One vector is to be computed and summed.
public struct TaskAnnouncement: Equatable, Sendable {
  public let opening: OpeningIdentifier
  /// Sorted names; fixed for the run.
  public let cohort: [OrganizationName]
  /// Everything downloaded that shapes the term: the schema (statistics) or a safetensors file (fit, evaluate).
  public let model: [UInt8]

  public init(opening: OpeningIdentifier, cohort: [OrganizationName], model: [UInt8]) {
    self.opening = opening
    self.cohort = cohort
    self.model = model
  }
}

/// The sum of one opening, signed by the server.
public struct OpeningResult: Equatable, Sendable {
  static let label = "bauta/v1/result"

  public let opening: OpeningIdentifier
  /// Canonical bytes of the `AggregateSum`.
  public let aggregate: [UInt8]
  /// Hash of the model that follows from it.
  public let nextModel: ModelHash
  public let signature: Signature

  public init(opening: OpeningIdentifier, aggregate: [UInt8], nextModel: ModelHash, signature: Signature) {
    self.opening = opening
    self.aggregate = aggregate
    self.nextModel = nextModel
    self.signature = signature
  }

  public init(
    opening: OpeningIdentifier, aggregate: [UInt8], nextModel: ModelHash, signer: borrowing IdentitySigningKey
  ) {
    let signature = signer.sign(
      label: Self.label, canonical: Self.signed(opening: opening, aggregate: aggregate, nextModel: nextModel))
    self.init(opening: opening, aggregate: aggregate, nextModel: nextModel, signature: signature)
  }

  public func isSigned(by server: IdentityVerifyingKey) -> Bool {
    server.verify(
      signature, label: Self.label,
      canonical: Self.signed(opening: opening, aggregate: aggregate, nextModel: nextModel))
  }

  private static func signed(opening: OpeningIdentifier, aggregate: [UInt8], nextModel: ModelHash) -> [UInt8] {
    var encoder = CanonicalEncoder(label)
    encoder.append(opening.run.text)
    encoder.append(opening.task.rawValue)
    encoder.append(UInt64(opening.round))
    encoder.append(UInt64(opening.attempt))
    encoder.append(SHA256Digest(hashing: aggregate))
    encoder.append(nextModel)
    return encoder.finish()
  }
}

/// The run is over for this organisation.
public struct RunEnd: Equatable, Sendable {
  public enum State: String, Sendable {
    case completed, stopped, failed
    /// A member's privacy budget does not reach the next sum: the model is that of the last round that was paid for.
    case budgetSpent
  }

  public let run: RunIdentifier
  public let state: State
  public let reason: String
  /// The trained model as safetensors; empty where the run made none.
  public let model: [UInt8]

  public init(run: RunIdentifier, state: State, reason: String, model: [UInt8]) {
    self.run = run
    self.state = state
    self.reason = reason
    self.model = model
  }
}

/// The answer to a segment of a masked term; to a statement of pins, whose number is the count.
public struct StoredBytes: Equatable, Sendable {
  /// Bytes that are stored from the beginning of the masked term, without a gap.
  public let count: UInt64
  /// Whether the attempt takes more. If not, the upload is of no use any more.
  public let isOpen: Bool

  public init(count: UInt64, isOpen: Bool) {
    self.count = count
    self.isOpen = isOpen
  }
}

/// News of the federation.
public struct FederationNotice: Equatable, Sendable {
  /// The server's latest statement of its certificate keys, as bytes of a note; empty where there is no news of it.
  public let pins: [UInt8]
  /// A later version of the manifest, for this organisation to approve or not, as text of a note; empty where there is
  /// none.
  public let manifest: String

  public init(pins: [UInt8] = [], manifest: String = "") {
    self.pins = pins
    self.manifest = manifest
  }
}

/// A part of the encoded ``ServerMessage`` of a long instruction.
public struct PartOfInstruction: Equatable, Sendable {
  /// Bytes of the whole.
  public let total: UInt64
  /// Of the first byte of this part in the whole.
  public let offset: UInt64
  /// 1 to ``WireLimits/partBytes`` bytes, within the whole.
  public let bytes: [UInt8]
  /// Of the whole.
  public let hash: SHA256Digest

  public init(total: UInt64, offset: UInt64, bytes: [UInt8], hash: SHA256Digest) {
    self.total = total
    self.offset = offset
    self.bytes = bytes
    self.hash = hash
  }
}

/// The server does not take this organisation's message, and why.
public struct Refusal: Equatable, Sendable {
  /// The one refusal that a client answers by itself, with a new greeting.
  public static let helloRequiredCode = "hello-required"
  /// The server stops for a while; a client waits and greets again.
  public static let pausedCode = "server-paused"

  public let code: String
  public let message: String
  public let remedy: String

  public init(code: String, message: String, remedy: String) {
    self.code = code
    self.message = message
    self.remedy = remedy
  }
}
