import AuditLog
import Cryptography
import Federation
import SecureAggregation
import Testing

@testable import FederationWire

@Suite("Messages on the wire")
struct MessagesOnTheWireTests {
  private static let run = "20261123-000000-0011223344556677"

  private func opening() throws -> OpeningIdentifier {
    OpeningIdentifier(run: try RunIdentifier(Self.run), task: .fit, round: 2, attempt: 3)
  }

  private func clientBodies() throws -> [ClientMessage.Body] {
    let signature = try Signature(bytes: [UInt8](repeating: 7, count: 64))
    return [
      .hello(Greeting(manifest: ManifestHash(hashing: [1]), approval: signature, pins: [1, 2])),
      .fetch(InstructionPart(instruction: 3, offset: 1 << 40)), .pins([1, 2]), .pins([]),
      .acceptance(plan: PlanHash(hashing: [2]), features: ["age", "größe"], signature: signature),
      .refusal(digest: SHA256Digest(hashing: [3]), reason: .unavailable, signature: signature),
      .round(RoundPayload(opening: try opening(), kind: "masked-input", payload: [0, 255, 1], body: [7, 8])),
      .ready, .poll, .segment(MaskedInputSegment(opening: try opening(), offset: 1 << 40, bytes: [1, 0])),
    ]
  }

  private func serverBodies() throws -> [ServerMessage.Body] {
    let run = try RunIdentifier(Self.run)
    let signature = try Signature(bytes: [UInt8](repeating: 9, count: 64))
    let names = try ["alder.example", "birch.example"].map { try OrganizationName($0) }
    return [
      .wait, .announcement(RunAnnouncement(run: run, plan: "schema: x\n", manifest: "note\n")),
      .task(TaskAnnouncement(opening: try opening(), cohort: names, model: [1, 2, 3])),
      .round(RoundPayload(opening: try opening(), kind: "roster", payload: [9])),
      .result(
        OpeningResult(
          opening: try opening(), aggregate: [4, 5], nextModel: ModelHash(hashing: [6]), signature: signature)),
      .end(RunEnd(run: run, state: .stopped, reason: "too few", model: [8])),
      .refused(FederationWire.Refusal(code: "a", message: "b", remedy: "c")),
      .notice(FederationNotice(pins: [1], manifest: "note\n")), .notice(FederationNotice()),
      .part(PartOfInstruction(total: 9, offset: 7, bytes: [1, 2], hash: SHA256Digest(hashing: [1]))),
      .stored(StoredBytes(count: 1 << 40, isOpen: true)), .stored(StoredBytes(count: 0, isOpen: false)),
    ]
  }

  @Test("Only a masked input has a body, and a segment is neither empty nor longer than its limit")
  func bodiesAndSegments() throws {
    func parse(_ body: ClientMessage.Body) throws {
      let message = ClientMessage(identifier: .random(), run: try RunIdentifier(Self.run), answers: 1, body: body)
      _ = try ClientMessage(parsing: message.encoded())
    }
    for kind in MessageKind.allCases where kind != .maskedInput {
      #expect(throws: WireError.invalid(field: "body")) {
        try parse(.round(RoundPayload(opening: try opening(), kind: kind.rawValue, payload: [1], body: [2])))
      }
    }
    func segment(_ count: Int) throws -> ClientMessage.Body {
      .segment(
        MaskedInputSegment(opening: try opening(), offset: 0, bytes: [UInt8](repeating: 1, count: count)))
    }
    try parse(segment(WireLimits.segmentBytes))
    #expect(throws: WireError.invalid(field: "bytes")) { try parse(segment(0)) }
    #expect(throws: WireError.oversized(field: "bytes", limit: WireLimits.segmentBytes)) {
      try parse(segment(WireLimits.segmentBytes + 1))
    }
  }

  @Test("A greeting is answered in a common version, and refused by name where there is none")
  func versions() throws {
    func greet(_ versions: [UInt32], envelope version: UInt32? = nil) throws -> ClientMessage {
      let greeting = Greeting(
        manifest: ManifestHash(hashing: [1]), approval: try Signature(bytes: [UInt8](repeating: 9, count: 64)),
        versions: versions)
      let bytes = try ClientMessage(identifier: .random(), run: nil, answers: 0, body: .hello(greeting)).encoded()
      var envelope = try Bauta_V1_ClientEnvelope(serializedBytes: bytes)
      envelope.protocolVersion = version ?? envelope.protocolVersion
      return try ClientMessage(parsing: envelope.serializedBytes())
    }
    #expect(throws: Never.self) { try greet([1]) }
    #expect(throws: Never.self) { try greet([1, 2, 9]) }
    #expect(throws: WireError.invalid(field: "encoding")) { try greet([1, 2], envelope: 1) }
    #expect(throws: WireError.version(theirs: [2, 3])) { try greet([2, 3]) }
    #expect(throws: WireError.version(theirs: [])) { try greet([]) }
    #expect(throws: WireError.invalid(field: "versions")) { try greet([2, 1]) }
    #expect(throws: WireError.oversized(field: "versions", limit: 16)) { try greet(Array(1...17)) }
    let error = WireError.version(theirs: [2, 3])
    #expect(error.message == "the peer speaks version 2, 3 of the protocol, this program version 1")
    #expect(error.remedy.hasPrefix("this program is the older one"))
    #expect(WireError.version(theirs: []).remedy.hasPrefix("the other side's program is older"))
  }

  @Test("A refusal can be read in every version, anything else in ours only")
  func refusalOfAnotherVersion() throws {
    func parse(_ body: ServerMessage.Body) throws -> ServerMessage.Body {
      var envelope = try Bauta_V1_ServerEnvelope(
        serializedBytes: ServerMessage(instruction: 0, receipt: nil, body: body).encoded())
      envelope.protocolVersion = 7
      return try ServerMessage(parsing: envelope.serializedBytes(), run: nil).body
    }
    let refusal = ServerMessage.Body.refused(FederationWire.Refusal(code: "wire-version", message: "b", remedy: "c"))
    #expect(try parse(refusal) == refusal)
    #expect(throws: WireError.version(theirs: [7])) { try parse(.wait) }
  }

  @Test("A part lies within the whole and is neither empty nor too long")
  func parts() throws {
    func parse(total: UInt64, offset: UInt64, count: Int) throws {
      let part = PartOfInstruction(
        total: total, offset: offset, bytes: [UInt8](repeating: 1, count: count), hash: SHA256Digest(hashing: [1]))
      _ = try ServerMessage(
        parsing: ServerMessage(instruction: 1, receipt: nil, body: .part(part)).encoded(), run: nil)
    }
    try parse(total: 10, offset: 0, count: 10)
    try parse(total: UInt64(WireLimits.instructionBytes), offset: 5, count: WireLimits.partBytes)
    for (total, offset, count) in [(10, 0, 0), (10, 1, 10), (10, 11, 1), (10, UInt64.max, 1)] as [(UInt64, UInt64, Int)]
    {
      #expect(throws: WireError.invalid(field: "offset")) { try parse(total: total, offset: offset, count: count) }
    }
    #expect(throws: WireError.oversized(field: "bytes", limit: WireLimits.partBytes)) {
      try parse(total: 1 << 25, offset: 0, count: WireLimits.partBytes + 1)
    }
    #expect(throws: WireError.oversized(field: "total", limit: WireLimits.instructionBytes)) {
      try parse(total: UInt64(WireLimits.instructionBytes) + 1, offset: 0, count: 1)
    }
  }

  @Test("Every client message reads back as it was written")
  func clientRoundTrip() throws {
    for (index, body) in try clientBodies().enumerated() {
      let message = ClientMessage(
        identifier: .random(), run: try RunIdentifier(Self.run), answers: UInt64(index), body: body)
      #expect(try ClientMessage(parsing: message.encoded()) == message)
    }
  }

  @Test("Every server message reads back as it was written")
  func serverRoundTrip() throws {
    let run = try RunIdentifier(Self.run)
    for body in try serverBodies() {
      let receipt = Receipt(message: .random(), index: 12, leaf: LeafHash(hashing: [1]))
      let message = ServerMessage(instruction: 5, receipt: receipt, body: body)
      #expect(try ServerMessage(parsing: message.encoded(), run: run) == message)
    }
  }

  @Test("Truncated and altered bytes are an error or another message, never a crash")
  func mutations() throws {
    var refused = 0
    for body in try clientBodies() {
      let message = ClientMessage(identifier: .random(), run: try RunIdentifier(Self.run), answers: 1, body: body)
      let bytes = try message.encoded()
      for count in 0..<bytes.count {
        do { _ = try ClientMessage(parsing: Array(bytes.prefix(count))) } catch { refused += 1 }
        var altered = bytes
        altered[count] ^= 0x41
        do { #expect(try ClientMessage(parsing: altered) != message) } catch { refused += 1 }
      }
    }
    #expect(refused > 500)
  }

  @Test("Other versions, unknown fields and fields beyond their bounds are refused")
  func bounds() throws {
    var envelope = Bauta_V1_ClientEnvelope()
    envelope.protocolVersion = 2
    #expect(throws: WireError.version(theirs: [2])) { try ClientMessage(parsing: envelope.serializedBytes()) }
    envelope.protocolVersion = 1
    envelope.messageID = String(repeating: "a", count: 32)
    #expect(throws: WireError.malformed(what: "client message")) {
      try ClientMessage(parsing: envelope.serializedBytes())
    }
    envelope.acceptance.features = [String](repeating: "x", count: WireLimits.features + 1)
    #expect(throws: WireError.oversized(field: "features", limit: WireLimits.features)) {
      try ClientMessage(parsing: envelope.serializedBytes())
    }
    envelope.poll = Bauta_V1_Poll()
    envelope.messageID = "short"
    #expect(throws: WireError.invalid(field: "message_id")) { try ClientMessage(parsing: envelope.serializedBytes()) }
    envelope.messageID = String(repeating: "a", count: 32)
    let unknown: [UInt8] = [0xf8, 0x07, 0x01]  // field 127
    #expect(throws: WireError.invalid(field: "unknown field")) {
      try ClientMessage(parsing: envelope.serializedBytes() + unknown)
    }
    #expect(throws: Never.self) { try ClientMessage(parsing: envelope.serializedBytes()) }
  }

  @Test("An acceptance, a refusal and a result are bound to every field they sign")
  func signatures() throws {
    let key = IdentitySigningKey.generate()
    let run = try RunIdentifier(Self.run)
    let other = try RunIdentifier("another")
    let plan = PlanHash(hashing: [1])
    let acceptance = AcceptanceSigning.sign(run: run, plan: plan, features: ["a", "b"], signer: key)
    let verifying = key.verifyingKey
    #expect(AcceptanceSigning.verify(acceptance, run: run, plan: plan, features: ["a", "b"], key: verifying))
    #expect(!AcceptanceSigning.verify(acceptance, run: other, plan: plan, features: ["a", "b"], key: verifying))
    #expect(
      !AcceptanceSigning.verify(
        acceptance, run: run, plan: PlanHash(hashing: [2]), features: ["a", "b"], key: verifying))
    #expect(!AcceptanceSigning.verify(acceptance, run: run, plan: plan, features: ["ab"], key: verifying))
    let digest = SHA256Digest(hashing: [3])
    let refusal = RefusalSigning.sign(run: run, digest: digest, reason: .policy, signer: key)
    #expect(RefusalSigning.verify(refusal, run: run, digest: digest, reason: .policy, key: verifying))
    #expect(!RefusalSigning.verify(refusal, run: run, digest: digest, reason: .state, key: verifying))
    let result = OpeningResult(
      opening: try opening(), aggregate: [1, 2], nextModel: ModelHash(hashing: [4]), signer: key)
    #expect(result.isSigned(by: verifying))
    let altered = OpeningResult(
      opening: result.opening, aggregate: [1, 3], nextModel: result.nextModel, signature: result.signature)
    #expect(!altered.isSigned(by: verifying))
  }
}
