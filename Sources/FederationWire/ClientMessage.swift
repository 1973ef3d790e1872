import AuditLog
import Cryptography
import Federation
import SwiftProtobuf

/// What an organisation's client tells the server. Parsed values are within the bounds of ``WireLimits``.
public struct ClientMessage: Equatable, Sendable {
  /// Names one message; every copy of it, sent again after a lost connection, has the same one.
  public let identifier: MessageIdentifier
  /// The run it belongs to; `nil` before one is announced.
  public let run: RunIdentifier?
  /// Number of the instruction it answers; 0 for ``Body/hello(_:)``.
  public let answers: UInt64
  public let body: Body

  public enum Body: Equatable, Sendable {
    case hello(Greeting)
    case acceptance(plan: PlanHash, features: [String], signature: Signature)
    case refusal(digest: SHA256Digest, reason: RefusalClass, signature: Signature)
    case round(RoundPayload)
    case ready
    case poll
    case segment(MaskedInputSegment)
    case fetch(InstructionPart)
    /// The organisation's latest statement of its certificate keys, as bytes of a note.
    case pins([UInt8])
    case witness(WitnessSubmission)
  }

  public init(identifier: MessageIdentifier, run: RunIdentifier?, answers: UInt64, body: Body) {
    self.identifier = identifier
    self.run = run
    self.answers = answers
    self.body = body
  }

  /// Short name of the kind, as audit records give it.
  public var kind: String {
    switch body {
    case .hello: "hello"
    case .acceptance: "acceptance"
    case .refusal: "refusal"
    case .round(let payload): payload.kind
    case .ready: "ready"
    case .poll: "poll"
    case .segment: "masked-input-segment"
    case .fetch: "fetch"
    case .pins: "pins"
    case .witness: "witness"
    }
  }
}

/// With what a client begins a session.
public struct Greeting: Equatable, Sendable {
  /// Of the latest manifest that the organisation has approved; others' approvals of it may be missing.
  public let manifest: ManifestHash
  public let approval: Signature
  /// Versions of the protocol that the client speaks, ascending.
  public let versions: [UInt32]
  /// The organisation's latest statement of its certificate keys, as bytes of a note.
  public let pins: [UInt8]

  public init(
    manifest: ManifestHash, approval: Signature, versions: [UInt32] = Array(WireLimits.protocolVersions),
    pins: [UInt8] = []
  ) {
    self.manifest = manifest
    self.approval = approval
    self.versions = versions
    self.pins = pins
  }
}

/// The place from which a long instruction is fetched further.
public struct InstructionPart: Equatable, Sendable {
  public let instruction: UInt64
  /// Bytes of it that the client has.
  public let offset: UInt64

  public init(instruction: UInt64, offset: UInt64) {
    self.instruction = instruction
    self.offset = offset
  }
}

/// A message of the secure sum, in the canonical encoding that its signatures cover.
public struct RoundPayload: Equatable, Sendable {
  public let opening: OpeningIdentifier
  /// Which round message the payload is, for routing and records; the payload's own label decides.
  public let kind: String
  public let payload: [UInt8]
  /// The masked term beside its signed hash; empty for every other message.
  public let body: [UInt8]

  public init(opening: OpeningIdentifier, kind: String, payload: [UInt8], body: [UInt8] = []) {
    self.opening = opening
    self.kind = kind
    self.payload = payload
    self.body = body
  }
}

/// A part of a long masked term. At most ``WireLimits/segmentBytes`` bytes.
public struct MaskedInputSegment: Equatable, Sendable {
  public let opening: OpeningIdentifier
  /// Of the first byte in the masked term.
  public let offset: UInt64
  public let bytes: [UInt8]

  public init(opening: OpeningIdentifier, offset: UInt64, bytes: [UInt8]) {
    self.opening = opening
    self.offset = offset
    self.bytes = bytes
  }
}

/// What an organisation signs when it takes part in a run.
public enum AcceptanceSigning {
  static let label = "bauta/v1/acceptance"

  static func canonical(run: RunIdentifier, plan: PlanHash, features: [String]) -> [UInt8] {
    var encoder = CanonicalEncoder(label)
    encoder.append(run.text)
    encoder.append(plan)
    encoder.append(list: features) { (encoder: inout CanonicalEncoder, name: String) in encoder.append(name) }
    return encoder.finish()
  }

  public static func sign(
    run: RunIdentifier, plan: PlanHash, features: [String], signer: borrowing IdentitySigningKey
  ) -> Signature {
    signer.sign(label: label, canonical: canonical(run: run, plan: plan, features: features))
  }

  public static func verify(
    _ signature: Signature, run: RunIdentifier, plan: PlanHash, features: [String], key: IdentityVerifyingKey
  ) -> Bool {
    key.verify(signature, label: label, canonical: canonical(run: run, plan: plan, features: features))
  }
}

/// What an organisation signs when it does not take part.
public enum RefusalSigning {
  static let label = "bauta/v1/refusal"

  static func canonical(run: RunIdentifier, digest: SHA256Digest, reason: RefusalClass) -> [UInt8] {
    var encoder = CanonicalEncoder(label)
    encoder.append(run.text)
    encoder.append(digest)
    encoder.append(reason.rawValue)
    return encoder.finish()
  }

  public static func sign(
    run: RunIdentifier, digest: SHA256Digest, reason: RefusalClass, signer: borrowing IdentitySigningKey
  ) -> Signature {
    signer.sign(label: label, canonical: canonical(run: run, digest: digest, reason: reason))
  }

  public static func verify(
    _ signature: Signature, run: RunIdentifier, digest: SHA256Digest, reason: RefusalClass,
    key: IdentityVerifyingKey
  ) -> Bool {
    key.verify(signature, label: label, canonical: canonical(run: run, digest: digest, reason: reason))
  }
}
