import Cryptography
import Testing

@testable import SecureAggregation

/// One member of an exchange whose masked input can be opened.
private final class OpenableMember {
  let exchange: Exchange
  let index: Int
  var evidence: MaskedInputEvidence
  var secrets: [UInt8] = []
  var salt = [UInt8](repeating: 9, count: TermCommitting.saltByteCount)
  var term: EncodedTerm
  var commitment: TermCommitment

  var name: OrganizationName { exchange.members[index].name }

  /// Runs R0 to R4 with real machines; who is in `lost` drops out after ShareKeys.
  init(_ parameters: ParameterSet = ParameterSet(), count: Int = 5, index: Int = 1, lost: Set<Int> = []) throws {
    let exchange = try Exchange(count: count, parameters: parameters)
    self.exchange = exchange
    self.index = index
    let member = exchange.members[index]
    term = member.term
    commitment = TermCommitting.commitment(to: member.term, salt: secretBytes(salt))
    let everyone = Array(exchange.members.indices)
    var list: BeaconRequest?
    if exchange.context.regularGraph == nil {
      try exchange.advertiseKeys()
    } else {
      for other in everyone {
        let member = exchange.members[other]
        try exchange.send(
          .advertiseKeys(try member.round.advertise(signer: member.identity.key)), from: member.name)
      }
      try exchange.close()
      list = try exchange.beaconRequest(for: index)
      try exchange.revealNonces()
    }
    let roster = try exchange.roster(for: index)
    try exchange.shareKeys()
    let present = everyone.filter { !lost.contains($0) }
    var sealed: [UInt8] = []
    var kept: MaskedInputMessage?
    let delivery = try exchange.delivery(for: index)
    for other in present {
      guard other == index else {
        try exchange.send(.maskedInput(try exchange.maskedInputMessage(other)), from: exchange.members[other].name)
        continue
      }
      var body: [UInt8] = []
      let message = try member.round.receive(
        delivery, term: member.term, signer: member.identity.key,
        sealing: { secrets, message in
          sealed = secrets.encoded().withUnsafeBytes { Array($0) }
          kept = message
        }, spool: { body += $0 })
      #expect(kept == message)
      exchange.bodies[member.name] = body
      try exchange.send(.maskedInput(message), from: member.name)
    }
    try exchange.close()
    try exchange.consistencyChecks(present)
    try exchange.unmaskings(present)
    try exchange.expectExactSum(of: present)
    secrets = sealed
    evidence = MaskedInputEvidence(
      roster: roster, list: list, shareSurvivors: delivery.members, message: try #require(kept))
  }

  func open(of organization: OrganizationName? = nil, in context: AggregationContext? = nil) throws -> [OpeningStep] {
    let context = context ?? exchange.context
    // Through its encoding, as from a file.
    let evidence = try MaskedInputEvidence(decoding: evidence.encoded(), context: context)
    var passed: [OpeningStep] = []
    var body: [UInt8] = []
    try MaskedInputOpening.verify(
      evidence, of: organization ?? name, secrets: MaskingSecrets(encoded: secretBytes(secrets)), term: term,
      salt: secretBytes(salt), commitment: commitment, context: context, passed: { passed.append($0) },
      spool: { body += $0 })
    #expect(body == exchange.bodies[name])
    return passed
  }

  func fault(of organization: OrganizationName? = nil, in context: AggregationContext? = nil) throws -> OpeningFault {
    do {
      _ = try open(of: organization, in: context)
    } catch let fault as OpeningFault {
      return fault
    }
    Issue.record("nothing was noticed")
    throw TestFault.unexpectedMessage
  }
}

private func secretBytes(_ bytes: [UInt8]) -> SecretBytes {
  var secret = SecretBytes(count: bytes.count)
  secret.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
  return secret
}

@Suite("Opening a masked input")
struct MaskedInputOpeningTests {
  @Test("What real machines sent opens: with everybody, and where a member was lost after it had shared")
  func honest() throws {
    #expect(try OpenableMember().open() == OpeningStep.allCases)
    #expect(try OpenableMember(lost: [3]).open() == OpeningStep.allCases)
    var large = ParameterSet()
    large.tensorCount = 3 * MaskedInputWriter.chunkByteCount / 4 + 5
    large.bits = 17
    #expect(try OpenableMember(large).open() == OpeningStep.allCases)
    var counters = ParameterSet()
    counters.tensorCount = 0
    #expect(try OpenableMember(counters).open() == OpeningStep.allCases)
  }

  @Test("So does what was sent on a k-regular graph")
  func regularGraph() throws {
    var parameters = ParameterSet()
    parameters.graph = .regular(dropouts: try #require(DropoutRate(perMille: 50)))
    parameters.assumedCorrupt = 5
    let member = try OpenableMember(parameters, count: 110)
    #expect(try member.open() == OpeningStep.allCases)
    member.evidence.list = nil
    #expect(try member.fault().code == "opening-advertisements")
  }

  @Test("A term that differs by a single unit anywhere is not what was sent")
  func alteredTerm() throws {
    let member = try OpenableMember()
    let honest = member.term
    for place in honest.tensors.indices {
      var tensors = honest.tensors
      tensors[place] = (tensors[place] &+ 1) & EncodedTerm.wordMask(bits: 20)
      member.term = EncodedTerm(tensors: tensors, counters: honest.counters)
      guard case .maskedInput = try member.fault() else { throw TestFault.unexpectedMessage }
    }
    for place in honest.counters.indices {
      var counters = honest.counters
      counters[place] &-= 1
      member.term = EncodedTerm(tensors: honest.tensors, counters: counters)
      guard case .maskedInput = try member.fault() else { throw TestFault.unexpectedMessage }
    }
    member.term = EncodedTerm(tensors: honest.tensors, counters: honest.counters.dropLast())
    #expect(try member.fault() == .otherShape(tensors: 37, counters: 3))
    member.term = honest
    #expect(try member.open() == OpeningStep.allCases)
  }

  @Test("Secrets, salt and commitment must be those of the attempt")
  func alteredSecrets() throws {
    let member = try OpenableMember()
    let other = try OpenableMember(index: 2)
    let honest = member.secrets
    member.secrets = Array(other.secrets[..<32]) + honest[32...]
    #expect(try member.fault() == .maskKey)
    member.secrets = honest[..<32] + Array(other.secrets[32...])
    #expect(try member.fault() == .selfMaskKey)
    member.secrets = Array(honest[32...]) + honest[..<32]
    #expect(try member.fault() == .maskKey)
    member.secrets = [UInt8](repeating: 0, count: 64)
    #expect(try member.fault() == .maskKey)
    member.secrets = [UInt8](repeating: 0xFF, count: 64)
    #expect(try member.fault() == .malformedSecrets)
    member.secrets = Array(honest.dropLast())
    #expect(try member.fault() == .malformedSecrets)
    member.secrets = honest
    member.salt[0] ^= 1
    #expect(try member.fault() == .commitment)
    member.salt[0] ^= 1
    member.commitment = other.commitment
    #expect(try member.fault() == .commitment)
  }

  @Test("Another organisation, attempt, advertisement, set or signature is noticed, each by its name")
  func alteredEvidence() throws {
    let member = try OpenableMember()
    let honest = member.evidence
    let names = member.exchange.members.map(\.name)
    #expect(try member.fault(of: names[2]) == .otherOrganization(expected: names[2], found: names[1]))
    let other = try OpenableMember()
    #expect(try member.fault(in: other.exchange.context) == .otherContext)

    // A swapped advertisement: of another attempt with the same identities, and two exchanged keys.
    member.evidence.roster.advertisements[3] = other.evidence.roster.advertisements[3]
    #expect(try member.fault().code == "opening-advertisements")
    member.evidence = honest
    member.evidence.roster.advertisements[3].maskKey = honest.roster.advertisements[2].maskKey
    #expect(try member.fault().code == "opening-advertisements")
    member.evidence = honest
    member.evidence.roster.advertisements.remove(at: 4)
    #expect(try member.fault().code == "opening-advertisements")
    member.evidence = honest
    let own = try #require(honest.roster.advertisements.firstIndex { $0.organization == names[1] })
    member.evidence.roster.advertisements.remove(at: own)
    #expect(try member.fault().code == "opening-advertisements")
    member.evidence = honest

    member.evidence.shareSurvivors = MemberSet(cohortCount: 5, positions: [0, 1, 2, 3])
    #expect(try member.fault() == .otherSurvivors)
    member.evidence = honest
    member.evidence.message.shareSurvivors = Transcript.survivors(MemberSet(cohortCount: 5, positions: [0, 1, 2, 3]))
    #expect(try member.fault() == .otherSurvivors)
    member.evidence = honest
    member.evidence.message.transcript = TranscriptDigest(hashing: [1])
    #expect(try member.fault() == .otherTranscript)
    member.evidence = honest
    member.evidence.message.maskedInputHash = MaskedInputHash(hashing: [1])
    #expect(try member.fault() == .signature)
    member.evidence = honest
    var bytes = honest.encoded()
    bytes.removeLast()
    #expect(throws: OpeningFault.self) {
      try MaskedInputEvidence(decoding: bytes, context: member.exchange.context)
    }
    #expect(try member.open() == OpeningStep.allCases)
  }

  @Test("Where sealing fails the machine is as it was, and gives no message")
  func sealingFails() throws {
    struct Full: Error {}
    let exchange = try Exchange()
    try exchange.advance(to: .maskedInputCollection)
    let member = exchange.members[0]
    #expect(throws: Full.self) {
      try member.round.receive(
        try exchange.delivery(for: 0), term: member.term, signer: member.identity.key,
        sealing: { _, _ in throw Full() }, spool: { _ in })
    }
    #expect(member.round.stage == .awaitingShares)
    try exchange.maskedInputs()
  }

  @Test("A commitment depends on the salt, on every integer, and on which section it stands in")
  func commitments() throws {
    let salt = secretBytes([UInt8](repeating: 1, count: 32))
    func commit(_ tensors: [UInt32], _ counters: [UInt64]) -> TermCommitment {
      TermCommitting.commitment(to: EncodedTerm(tensors: tensors, counters: counters), salt: salt)
    }
    let terms: [TermCommitment] = [
      commit([], [1]), commit([], [1, 0]), commit([1], []), commit([1, 0], []), commit([1], [0]), commit([0], [1]),
      commit([1, 0], [1]), commit([], [0]),
    ]
    #expect(Set(terms).count == terms.count)
    let other = secretBytes([UInt8](repeating: 2, count: 32))
    let term = EncodedTerm(tensors: [1, 2], counters: [3])
    #expect(TermCommitting.commitment(to: term, salt: salt) != TermCommitting.commitment(to: term, salt: other))
    // By the definition.
    var encoder = CanonicalEncoder("bauta/v1/term-commitment")
    encoder.append([UInt8](repeating: 1, count: 32))
    encoder.append([1, 0, 0, 0, 2, 0, 0, 0] as [UInt8])
    encoder.append([3, 0, 0, 0, 0, 0, 0, 0] as [UInt8])
    #expect(TermCommitting.commitment(to: term, salt: salt) == TermCommitment(hashing: encoder.finish()))
  }
}
