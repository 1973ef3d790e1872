import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Message encoding")
struct MessageCodingTests {
  private struct Sample {
    let kind: MessageKind
    let bytes: [UInt8]
    let decode: ([UInt8]) throws -> [UInt8]
  }

  /// One message of each kind, with what decodes and encodes it again.
  private func samples() throws -> [Sample] {
    var parameters = ParameterSet()
    parameters.tensorCount = 3
    let exchange = try Exchange(count: 3, parameters: parameters)
    let context = exchange.context
    let name = exchange.members[0].name
    var samples: [Sample] = []
    func add(_ message: ClientRoundMessage) {
      samples.append(
        Sample(kind: message.kind, bytes: message.encoded()) {
          try ClientRoundMessage(decoding: $0, from: name, context: context).encoded()
        })
    }
    func addServer() throws {
      let message = try #require(exchange.server.message(for: name))
      samples.append(
        Sample(kind: message.kind, bytes: message.encoded()) {
          try ServerRoundMessage(decoding: $0, context: context).encoded()
        })
    }
    try exchange.advertiseKeys()
    add(.advertiseKeys(try exchange.roster(for: 0).advertisements[0]))
    try addServer()
    let shares = try exchange.shareKeysMessage(0)
    add(.shareKeys(shares))
    try exchange.send(.shareKeys(shares), from: name)
    try exchange.shareKeys([1, 2])
    try addServer()
    var input = try exchange.maskedInputMessage(0)
    try exchange.send(.maskedInput(input), from: name)
    for (index, reason) in Complaint.Reason.allCases.enumerated() {
      input.complaints.append(
        Complaint(
          accused: exchange.members[index + 1].name, reason: reason, ciphertextHash: SHA256Digest(hashing: [1]),
          signature: input.signature))
    }
    add(.maskedInput(input))
    try exchange.maskedInputs([1, 2])
    try addServer()
    let check = try exchange.consistencyCheckMessage(0)
    add(.consistencyCheck(check))
    try exchange.send(.consistencyCheck(check), from: name)
    try exchange.consistencyChecks([1, 2])
    try addServer()
    add(.unmasking(try exchange.unmaskingMessage(0)))
    // On the complete graph these two are never sent; their encoding is the same on every graph.
    let signature = check.signature
    let everyone = MemberSet(cohortCount: 3, positions: 0..<3)
    let request = ServerRoundMessage.beaconRequest(
      BeaconRequest(
        context: context.digest, members: everyone, advertisementRoot: SHA256Digest(hashing: [1]),
        commitments: SHA256Digest(hashing: [2]), signature: signature))
    samples.append(
      Sample(kind: .beaconRequest, bytes: request.encoded()) {
        try ServerRoundMessage(decoding: $0, context: context).encoded()
      })
    add(
      .beaconReveal(
        BeaconRevealMessage(
          context: context.digest, organization: name, list: BeaconListDigest(hashing: [3]),
          nonce: [UInt8](repeating: 4, count: 32))))
    return samples
  }

  @Test("Every kind comes back; truncation at every byte and trailing bytes are refused")
  func truncation() throws {
    let samples = try samples()
    #expect(Set(samples.map(\.kind)) == Set(MessageKind.allCases))
    for sample in samples {
      #expect(try sample.decode(sample.bytes) == sample.bytes)
      for count in 0..<sample.bytes.count {
        #expect(throws: AggregationError.self, "\(sample.kind) cut to \(count)") {
          try sample.decode(Array(sample.bytes.prefix(count)))
        }
      }
      #expect(throws: AggregationError.self) { try sample.decode(sample.bytes + [0]) }
      #expect(throws: AggregationError.self) { try sample.decode([0] + sample.bytes) }
    }
  }

  @Test("An altered byte is refused or gives another message with exactly those bytes")
  func canonical() throws {
    for sample in try samples() {
      for index in sample.bytes.indices {
        var altered = sample.bytes
        altered[index] ^= 0x40
        guard let again = try? sample.decode(altered) else { continue }
        #expect(again == altered, "\(sample.kind) at \(index)")
      }
    }
  }

  @Test("A message of one side is none of the other's")
  func sides() throws {
    let exchange = try Exchange(count: 3)
    try exchange.advertiseKeys()
    let name = exchange.members[0].name
    let roster = try #require(exchange.server.message(for: name))
    #expect(
      try failure { _ = try ClientRoundMessage(decoding: roster.encoded(), from: name, context: exchange.context) }
        == .misbehaviour(.malformed(nil, reason: "unexpected-label"), by: .organization(name)))
    let own = ClientRoundMessage.advertiseKeys(try exchange.roster(for: 0).advertisements[0])
    #expect(
      try failure { _ = try ServerRoundMessage(decoding: own.encoded(), context: exchange.context) }
        == .misbehaviour(.malformed(nil, reason: "unexpected-label"), by: .server))
  }

  @Test("Counts and lengths beyond what the context allows are refused before memory is taken")
  func bounds() throws {
    let exchange = try Exchange(count: 3)
    let context = exchange.context
    let name = exchange.members[0].name
    let digest = TranscriptDigest(hashing: [1])
    func tooLong(
      _ kind: MessageKind, location: SourceLocation = #_sourceLocation,
      _ fields: (inout CanonicalEncoder) throws -> Void
    ) throws {
      var encoder = CanonicalEncoder(kind.label)
      try fields(&encoder)
      let bytes = encoder.finish()
      let error = try failure(location) {
        switch kind {
        case .advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .consistencyCheck, .unmasking:
          _ = try ClientRoundMessage(decoding: bytes, from: name, context: context)
        case .beaconRequest, .roster, .shares, .survivors, .statements:
          _ = try ServerRoundMessage(decoding: bytes, context: context)
        }
      }
      guard case .misbehaviour(.malformed(kind, let reason), _) = error else {
        Issue.record("\(error)", sourceLocation: location)
        return
      }
      #expect(reason == CryptographyError.malformedEncoding(.fieldTooLong).code, sourceLocation: location)
    }
    for count in [UInt64(4), 1 << 40, .max] {
      try tooLong(.roster) {
        $0.append(context.digest)
        $0.append([UInt8(0)])
        $0.append(count)
      }
      try tooLong(.shareKeys) {
        $0.append(context.digest)
        $0.append(digest)
        $0.append(name)
        $0.append(count)
      }
      try tooLong(.shares) {
        $0.append(context.digest)
        $0.append(digest)
        $0.append([UInt8(0)])
        $0.append(count)
      }
      try tooLong(.statements) {
        $0.append(context.digest)
        $0.append(digest)
        $0.append([UInt8(0)])
        $0.append(count)
      }
      try tooLong(.unmasking) {
        $0.append(context.digest)
        $0.append(name)
        $0.append(digest)
        $0.append(count)
      }
      try tooLong(.survivors) {
        $0.append(context.digest)
        $0.append(digest)
        $0.append(digest)
        $0.append([UInt8(0)])
        $0.append(count)
      }
      try tooLong(.maskedInput) {
        $0.append(context.digest)
        $0.append(digest)
        $0.append(name)
        $0.append(digest)
        $0.append(count)
      }
    }
    // A nonce of 33 bytes, a set of another cohort, commitments of another threshold, and a name beyond 253 bytes.
    try tooLong(.beaconReveal) {
      $0.append(context.digest)
      $0.append(name)
      $0.append(digest)
      $0.append([UInt8](repeating: 1, count: 33))
    }
    try tooLong(.beaconRequest) {
      $0.append(context.digest)
      $0.append([0, 0] as [UInt8])
    }
    try tooLong(.advertiseKeys) {
      try exchange.advertiseKeys()
      var message = try exchange.roster(for: 0).advertisements[0]
      message.commitments?.mask = try FeldmanCommitments(bytes: [UInt8](repeating: 1, count: 4 * 32))
      message.append(to: &$0)
    }
    try tooLong(.advertiseKeys) {
      $0.append(context.digest)
      $0.append(String(repeating: "a", count: 254))
    }
  }

  @Test("The identity element and points that are none are no keys")
  func identityElement() throws {
    let exchange = try Exchange(count: 3)
    try exchange.advertiseKeys()
    let message = try exchange.roster(for: 0).advertisements[1]
    let bytes = ClientRoundMessage.advertiseKeys(message).encoded()
    for point in [message.maskKey, message.selfMaskKey] {
      for replacement in [[UInt8](repeating: 0, count: 32), [UInt8](repeating: 0xff, count: 32)] {
        var altered = bytes
        let start = try #require(
          (0...(bytes.count - 32)).first { Array(bytes[$0..<($0 + 32)]) == point.bytes })
        altered.replaceSubrange(start..<(start + 32), with: replacement)
        let error = try failure {
          _ = try ClientRoundMessage(decoding: altered, from: message.organization, context: exchange.context)
        }
        guard case .misbehaviour(.malformed(.advertiseKeys, _), by: .organization(message.organization)) = error else {
          Issue.record("\(error)")
          continue
        }
      }
    }
  }
}
