import AuditLog
import Cryptography
import Federation
import Foundation
import SwiftProtobuf

extension ClientMessage {
  /// The bytes that are recorded and sent.
  public func encoded() throws(WireError) -> [UInt8] {
    var envelope = Bauta_V1_ClientEnvelope()
    envelope.protocolVersion = WireLimits.protocolVersion
    envelope.messageID = identifier.value
    envelope.run = run?.text ?? ""
    envelope.answers = answers
    switch body {
    case .hello(let greeting):
      envelope.protocolVersion = greeting.versions.last ?? 0
      envelope.hello = .with {
        $0.manifestHash = Data(greeting.manifest.bytes)
        $0.approvalSignature = Data(greeting.approval.bytes)
        $0.versions = greeting.versions
        $0.pins = Data(greeting.pins)
      }
    case .acceptance(let plan, let features, let signature):
      envelope.acceptance = .with {
        $0.planHash = Data(plan.bytes)
        $0.features = features
        $0.signature = Data(signature.bytes)
      }
    case .refusal(let digest, let reason, let signature):
      envelope.refusal = .with {
        $0.digest = Data(digest.bytes)
        $0.reason = reason.wire
        $0.signature = Data(signature.bytes)
      }
    case .round(let payload): envelope.round = payload.wire
    case .ready: envelope.continue = Bauta_V1_Continue()
    case .poll: envelope.poll = Bauta_V1_Poll()
    case .segment(let segment):
      envelope.segment = .with {
        $0.opening = segment.opening.wire
        $0.offset = segment.offset
        $0.bytes = Data(segment.bytes)
      }
    case .witness(let submission): envelope.witness = submission.wire
    case .pins(let statement): envelope.pins = .with { $0.statement = Data(statement) }
    case .fetch(let part):
      envelope.fetch = .with {
        $0.instruction = part.instruction
        $0.offset = part.offset
      }
    }
    do { return try envelope.serializedBytes() } catch { throw .malformed(what: "client message") }
  }

  /// The identifier in bytes that are not a valid message otherwise; for the record only.
  public static func claimedIdentifier(of bytes: [UInt8]) -> MessageIdentifier? {
    guard let envelope = try? Bauta_V1_ClientEnvelope(serializedBytes: bytes) else { return nil }
    return try? Wire.identifier(envelope.messageID)
  }

  /// Parses what a client sent.
  ///
  /// A message has one encoding: repeated or unknown fields and spelt-out defaults are refused, so that nothing can
  /// travel beside what is parsed.
  ///
  /// - Throws: ``WireError``; the bytes are hostile until this returns.
  public init(parsing bytes: [UInt8]) throws(WireError) {
    let envelope: Bauta_V1_ClientEnvelope
    do { envelope = try Bauta_V1_ClientEnvelope(serializedBytes: bytes) } catch {
      throw .malformed(what: "client message")
    }
    try Self.checkVersion(of: envelope)
    guard envelope.unknownFields.data.isEmpty else { throw .invalid(field: "unknown field") }
    let run: RunIdentifier? = envelope.run.isEmpty ? nil : try Wire.run(envelope.run)
    self.init(
      identifier: try Wire.identifier(envelope.messageID), run: run, answers: envelope.answers,
      body: try Body(envelope.body, run: run))
    guard try encoded() == bytes else { throw .invalid(field: "encoding") }
  }
}

extension ClientMessage {
  /// Before anything else of a greeting is looked at, which a later version may have given another form.
  private static func checkVersion(of envelope: Bauta_V1_ClientEnvelope) throws(WireError) {
    let theirs: [UInt32]
    if case .hello(let hello)? = envelope.body {
      guard hello.versions.count <= WireLimits.greetedVersions else {
        throw .oversized(field: "versions", limit: WireLimits.greetedVersions)
      }
      theirs = hello.versions
    } else {
      theirs = [envelope.protocolVersion]
    }
    guard theirs.contains(where: WireLimits.protocolVersions.contains) else { throw .version(theirs: theirs) }
  }
}

extension ClientMessage.Body {
  fileprivate init(_ body: Bauta_V1_ClientEnvelope.OneOf_Body?, run: RunIdentifier?) throws(WireError) {
    switch body {
    case .hello(let hello)?:
      guard zip(hello.versions, hello.versions.dropFirst()).allSatisfy({ $0 < $1 }) else {
        throw .invalid(field: "versions")
      }
      guard hello.pins.count <= SignedPins.maximumBytes else {
        throw .oversized(field: "pins", limit: SignedPins.maximumBytes)
      }
      self = .hello(
        Greeting(
          manifest: try Wire.digest(hello.manifestHash, field: "manifest_hash"),
          approval: try Wire.signature(hello.approvalSignature, field: "approval_signature"),
          versions: hello.versions, pins: [UInt8](hello.pins)))
    case .acceptance(let acceptance)?:
      guard acceptance.features.count <= WireLimits.features else {
        throw .oversized(field: "features", limit: WireLimits.features)
      }
      guard acceptance.features.allSatisfy({ $0.utf8.count <= WireLimits.featureName }) else {
        throw .oversized(field: "features", limit: WireLimits.featureName)
      }
      guard acceptance.features.allSatisfy({ !$0.isEmpty && Wire.isOneLine($0) }) else {
        throw .invalid(field: "features")
      }
      self = .acceptance(
        plan: try Wire.digest(acceptance.planHash, field: "plan_hash"), features: acceptance.features,
        signature: try Wire.signature(acceptance.signature, field: "signature"))
    case .refusal(let refusal)?:
      self = .refusal(
        digest: try Wire.digest(refusal.digest, field: "digest"), reason: try RefusalClass(refusal.reason),
        signature: try Wire.signature(refusal.signature, field: "signature"))
    case .round(let round)?: self = .round(try RoundPayload(round, run: run))
    case .continue?: self = .ready
    case .poll?: self = .poll
    case .segment(let segment)?:
      guard segment.bytes.count <= WireLimits.segmentBytes else {
        throw .oversized(field: "bytes", limit: WireLimits.segmentBytes)
      }
      guard !segment.bytes.isEmpty else { throw .invalid(field: "bytes") }
      self = .segment(
        MaskedInputSegment(
          opening: try OpeningIdentifier(segment.opening, run: run), offset: segment.offset,
          bytes: [UInt8](segment.bytes)))
    case .pins(let pins)?:
      guard pins.statement.count <= SignedPins.maximumBytes else {
        throw .oversized(field: "statement", limit: SignedPins.maximumBytes)
      }
      self = .pins([UInt8](pins.statement))
    case .witness(let witness)?: self = .witness(try WitnessSubmission(witness))
    case .fetch(let fetch)?: self = .fetch(InstructionPart(instruction: fetch.instruction, offset: fetch.offset))
    case nil: throw .malformed(what: "client message")
    }
  }
}

extension RefusalClass {
  fileprivate var wire: Bauta_V1_RefusalReason {
    switch self {
    case .policy: .policy
    case .protocol: .protocol
    case .state: .state
    case .unavailable: .unavailable
    case .budget: .budget
    }
  }

  fileprivate init(_ reason: Bauta_V1_RefusalReason) throws(WireError) {
    switch reason {
    case .policy: self = .policy
    case .protocol: self = .protocol
    case .state: self = .state
    case .unavailable: self = .unavailable
    case .budget: self = .budget
    case .unspecified, .UNRECOGNIZED: throw .invalid(field: "reason")
    }
  }
}
