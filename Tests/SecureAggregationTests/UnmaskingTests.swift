import Cryptography
import Testing

@testable import SecureAggregation

/// A hostile server against a real client in R4; hostile clients against the real server.
@Suite("Unmasking")
struct UnmaskingTests {
  private func ready(corrupt: Int = 1) throws -> Exchange {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = corrupt
    let exchange = try Exchange(parameters: parameters)
    try exchange.advertiseKeys()
    try exchange.shareKeys()
    try exchange.maskedInputs([0, 1, 2, 3])
    try exchange.consistencyChecks([0, 1, 2, 3])
    return exchange
  }

  private func refuse(
    _ exchange: Exchange, _ fault: PeerFault, location: SourceLocation = #_sourceLocation,
    _ change: (inout StatementSet) throws -> Void
  ) throws {
    var statements = try exchange.statements(for: 0)
    try change(&statements)
    let member = exchange.members[0]
    let error = try failure(location) { _ = try member.round.receive(statements) }
    #expect(error == misbehaviour(fault), sourceLocation: location)
    #expect(member.round.stage == .awaitingStatements, sourceLocation: location)
  }

  @Test("Only signatures of t distinct survivors on the own statement release shares")
  func statements() throws {
    let exchange = try ready()
    let names = exchange.members.map(\.name)
    try refuse(exchange, .wrongLength(expected: 4, actual: 3)) { $0.signatures.removeLast() }
    try refuse(exchange, .wrongLength(expected: 4, actual: 5)) { $0.signatures.append($0.signatures[0]) }
    try refuse(exchange, .invalidSignature(of: .organization(names[1]), .statements)) {
      $0.signatures.swapAt(1, 2)
    }
    try refuse(exchange, .notInEarlierSet(names[4], stage: .maskedInputCollection)) {
      $0.signers = MemberSet(cohortCount: 5, positions: [0, 1, 2, 4])
    }
    try refuse(exchange, .invalidSignature(of: .organization(names[2]), .statements)) {
      $0.signatures[2] = $0.signatures[1]
    }
    try refuse(exchange, .statementMismatch) { $0.statement = StatementDigest(hashing: [1]) }
    try refuse(exchange, .contextMismatch(.statements)) { $0.context = ContextDigest(hashing: [1]) }
    let member = exchange.members[0]
    var few = try exchange.statements(for: 0)
    few.signers = MemberSet(cohortCount: 5, positions: [0, 1, 2])
    few.signatures.removeLast()
    #expect(
      try failure { _ = try member.round.receive(few) }
        == .tooFewParticipants(Shortage(stage: .consistencyCheck, present: 3, required: 4, missing: [names[3]])))
    #expect(member.round.stage == .awaitingStatements)
    _ = try exchange.unmaskingMessage(0)
    #expect(member.round.stage == .released)
  }

  @Test("One share of one kind for each member, and never a second reply")
  func oneKind() throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 1
    let exchange = try Exchange(parameters: parameters)
    try exchange.advertiseKeys()
    let advertisements = try exchange.roster(for: 0).advertisements
    try exchange.shareKeys()
    try exchange.maskedInputs([0, 1, 2, 3])
    try exchange.consistencyChecks([0, 1, 2, 3])
    let names = exchange.members.map(\.name)
    for index in 0..<4 {
      let reply = try exchange.unmaskingMessage(index)
      #expect(reply.entries.map(\.owner) == names)
      #expect(reply.entries.map(\.kind) == [.selfMask, .selfMask, .selfMask, .selfMask, .mask])
      for entry in reply.entries {
        let advertisement = try #require(advertisements.first { $0.organization == entry.owner })
        #expect(advertisement.commitments(entry.kind)?.verifies(share: entry.share, at: index + 1) == true)
      }
      let again = try failure { _ = try exchange.unmaskingMessage(index) }
      #expect(again == .misuse(.wrongClientStage(.released)))
    }
  }

  @Test("A late masked input stays hidden after the mask secret of its sender was recovered")
  func lateInput() throws {
    var parameters = ParameterSet()
    parameters.tensorCount = 1 << 12
    parameters.bits = 8
    parameters.counters = []
    let exchange = try Exchange(parameters: parameters)
    let context = exchange.context
    try exchange.advertiseKeys()
    let roster = try exchange.roster(for: 0)
    try exchange.shareKeys()
    let late = try exchange.maskedInputMessage(4)
    try exchange.maskedInputs([0, 1, 2, 3])
    let name = exchange.members[4].name
    #expect(
      try failure { try exchange.send(.maskedInput(late), from: name) }
        == .misbehaviour(.outOfOrder(.maskedInput, stage: .consistencyCheck), by: .organization(name)))
    try exchange.consistencyChecks([0, 1, 2, 3])
    let replies = try (0..<4).map { try exchange.unmaskingMessage($0) }
    for (index, reply) in replies.enumerated() {
      try exchange.send(.unmasking(reply), from: exchange.members[index].name)
    }
    try exchange.close()
    try exchange.expectExactSum(of: [0, 1, 2, 3])

    // The server now knows z of 4 and takes off every pairwise mask: the self mask remains.
    let secret = try SecretSharing.reconstruct(
      shares: replies.map { $0.entries[4].share },
      coefficients: try SecretSharing.lagrangeCoefficients(at: [1, 2, 3, 4]))
    var masks: [Mask] = []
    for advertisement in roster.advertisements.dropLast() {
      masks.append(
        try Mask.pairwise(
          secret: secret, publicKey: advertisement.maskKey, addedBy: name, with: advertisement.organization,
          transcript: late.transcript, generator: context.parameters.generator))
    }
    var accumulator = Accumulator(parameters: context.parameters)
    accumulator.add(packed: try #require(exchange.bodies[name]))
    try accumulator.apply(masks, removing: true)
    let term = exchange.members[4].term.tensors
    let equal = zip(accumulator.packed(), term).filter { UInt32($0) == $1 }.count
    // 4096 coordinates agree by chance in 16 of them; standard deviation 4.
    #expect(equal < 48)
  }

  @Test("Wrong shares are blamed on their sender and the round recovers")
  func wrongShares() throws {
    let exchange = try ready(corrupt: 0)
    let members = exchange.members
    let reply = try exchange.unmaskingMessage(0)
    let name = members[0].name
    func refuse(
      _ fault: PeerFault, location: SourceLocation = #_sourceLocation, _ change: (inout UnmaskingMessage) -> Void
    ) throws {
      var altered = reply
      change(&altered)
      let error = try failure(location) { try exchange.server.receive(.unmasking(altered), from: name) }
      #expect(error == .misbehaviour(fault, by: .organization(name)), sourceLocation: location)
      #expect(exchange.server.answered.isEmpty, sourceLocation: location)
    }
    for index in 0..<5 { try refuse(.wrongShare(of: members[index].name)) { $0.entries[index].share[0] ^= 1 } }
    try refuse(.wrongShare(of: members[2].name)) { $0.entries[2].share = [UInt8](repeating: 0xff, count: 32) }
    try refuse(.wrongShare(of: members[2].name)) { $0.entries[2].share = [UInt8](repeating: 0, count: 32) }
    try refuse(.wrongShare(of: members[2].name)) { $0.entries[2].share = $0.entries[3].share }
    try refuse(.wrongLength(expected: 32, actual: 31)) { $0.entries[2].share.removeLast() }
    try refuse(.wrongShareSet) { $0.entries.removeLast() }
    try refuse(.wrongShareSet) { $0.entries.append($0.entries[0]) }
    try refuse(.wrongShareSet) { $0.entries[0].kind = .mask }
    try refuse(.wrongShareSet) { $0.entries[4].kind = .selfMask }
    try refuse(.wrongShareSet) { $0.entries.swapAt(0, 1) }
    try refuse(.statementMismatch) { $0.statement = StatementDigest(hashing: [1]) }
    // Without it the others are enough: t = 3.
    try exchange.unmaskings([1, 2, 3])
    try exchange.expectExactSum(of: [0, 1, 2, 3])
  }

  @Test("Only those who signed the statement may release")
  func unsigned() throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    let exchange = try Exchange(parameters: parameters)
    try exchange.advance(to: .consistencyCheck)
    try exchange.consistencyChecks([0, 1, 2])
    var reply = try exchange.unmaskingMessage(0)
    try exchange.send(.unmasking(reply), from: exchange.members[0].name)
    try exchange.send(.unmasking(reply), from: exchange.members[0].name)
    let other = try exchange.unmaskingMessage(1)
    var changed = reply
    changed.entries[0].share = other.entries[0].share
    #expect(
      try failure { try exchange.server.receive(.unmasking(changed), from: exchange.members[0].name) }
        == .misbehaviour(.duplicateMessage(.unmasking), by: .organization(exchange.members[0].name)))
    let name = exchange.members[4].name
    reply.organization = name
    #expect(
      try failure { try exchange.server.receive(.unmasking(reply), from: name) }
        == .misbehaviour(.notInEarlierSet(name, stage: .consistencyCheck), by: .organization(name)))
  }

  /// A cohort in which shares are not checked on receipt, ready for R4; member 20 is to be recovered.
  private func large(corrupt: Int) throws -> (exchange: Exchange, replies: [UnmaskingMessage]) {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = corrupt
    parameters.tensorCount = 4
    let exchange = try Exchange(count: 21, parameters: parameters)
    try exchange.advertiseKeys()
    try exchange.shareKeys()
    let survivors = Array(0..<20)
    try exchange.maskedInputs(survivors)
    try exchange.consistencyChecks(survivors)
    return (exchange, try survivors.map { try exchange.unmaskingMessage($0) })
  }

  @Test(
    "In a large cohort wrong shares are found when a recovery fails, and worked around; dealer or holder is suspected")
  func suspicion() throws {
    var (exchange, replies) = try large(corrupt: 3)
    replies[3].entries[5].share[0] ^= 1
    replies[7].entries[20].share = [UInt8](repeating: 0xff, count: 32)
    replies[9].entries[5].share = replies[9].entries[6].share
    for reply in replies { try exchange.send(.unmasking(reply), from: reply.organization) }
    try exchange.close()
    try exchange.expectExactSum(of: Array(0..<20))
    #expect(exchange.server.blamed.isEmpty)
    #expect(exchange.server.suspected == Set([3, 5, 7, 9, 20].map { exchange.members[$0].name }))
  }

  @Test("A dealer of wrong shares in a large cohort cannot have their honest holders blamed")
  func framing() throws {
    var (exchange, replies) = try large(corrupt: 1)
    // What the holders pass on is what member 5 dealt them.
    for holder in [0, 1] { replies[holder].entries[5].share[0] ^= 1 }
    for reply in replies { try exchange.send(.unmasking(reply), from: reply.organization) }
    try exchange.close()
    try exchange.expectExactSum(of: Array(0..<20))
    #expect(exchange.server.blamed == [exchange.members[5].name])
    #expect(exchange.server.suspected.isEmpty)
  }

  @Test("With fewer than t good shares of a secret the round fails and says who is to blame")
  func unrecoverable() throws {
    var (exchange, replies) = try large(corrupt: 0)
    let wrong = Array(0..<10)
    for index in wrong { replies[index].entries[5].share[0] ^= 1 }
    for reply in replies { try exchange.send(.unmasking(reply), from: reply.organization) }
    let error = try failure { try exchange.close() }
    #expect(
      error
        == .unrecoverable(
          .tooFewShares(
            of: exchange.members[5].name, present: 10, required: 11, blamed: [exchange.members[5].name])))
    #expect(exchange.server.stage == .failed)
    #expect(exchange.server.result == nil)
  }

  @Test("A term outside its declared bounds cannot pass for a sum")
  func outOfRange() throws {
    let exchange = try Exchange(count: 3)
    let context = exchange.context
    let root = MaskedInputRoot(hashing: [1])
    let names = exchange.members.map(\.name)
    func sum(_ word: UInt32, _ counter: Int64) throws -> AggregateSum {
      try AggregateSum(
        words: [word] + [UInt32](repeating: 0, count: 36), counters: [UInt64(bitPattern: counter), 0, 0, 0],
        survivors: names, maskedInputRoot: root, context: context)
    }
    let largest = UInt32(3 * (try #require(context.largestCoordinate)))
    #expect(try sum(largest, 3_000_000).counters[0] == 3_000_000)
    for (word, counter) in [(largest + 1, 0), (0, 3_000_001), (0, -1)] as [(UInt32, Int64)] {
      #expect(throws: AggregationError.unrecoverable(.sumOutOfRange)) { try sum(word, counter) }
    }
    let good = try sum(largest, 17)
    #expect(try AggregateSum(decoding: good.encoded(), context: context) == good)
    #expect(try AggregateSum(decoding: good.encoded(), context: context).digest == good.digest)
    #expect(try sum(largest, 18).digest != good.digest)
    let bytes = good.encoded()
    for count in 0..<bytes.count {
      #expect(throws: AggregationError.self) {
        try AggregateSum(decoding: Array(bytes.prefix(count)), context: context)
      }
    }
  }
}
