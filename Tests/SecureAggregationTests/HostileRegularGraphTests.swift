import Cryptography
import Testing

@testable import SecureAggregation

/// A hostile server against real clients on a k-regular graph, from R2 to R4. R0 and R1 are in RegularGraphRoundTests.
@Suite("A hostile server on a k-regular graph", .sharedVerifications)
struct HostileRegularGraphTests {
  private static let count = TestGraph.regular.count

  private func exchange(at stage: RoundStage) throws -> Exchange {
    let exchange = try TestGraph.regular.exchange()
    try exchange.advance(to: stage)
    return exchange
  }

  /// Somebody who shares nothing with member 0.
  private func stranger(_ exchange: Exchange, to names: [OrganizationName]) throws -> Int {
    try #require(exchange.members.indices.last { $0 != 0 && !names.contains(exchange.members[$0].name) })
  }

  @Test("Ciphertexts come from neighbours only, unaltered, under the root that their sender signed")
  func deliveries() throws {
    let exchange = try exchange(at: .maskedInputCollection)
    let member = exchange.members[0]
    let good = try exchange.delivery(for: 0)
    let senders = good.entries.map(\.sender)
    func refuse(
      _ fault: PeerFault, location: SourceLocation = #_sourceLocation, _ change: (inout ShareDelivery) throws -> Void
    ) throws {
      var delivery = good
      try change(&delivery)
      let error = try failure(location) { _ = try exchange.hand(.shares(delivery), to: 0) }
      #expect(error == misbehaviour(fault), sourceLocation: location)
      #expect(member.round.stage == .awaitingShares, sourceLocation: location)
    }
    // What somebody else sent to a third party: in place of a neighbour's, and beside it.
    let outsider = try stranger(exchange, to: senders)
    let theirs = try #require(
      try (1..<Self.count).lazy.compactMap { index in
        try exchange.delivery(for: index).entries.first { $0.sender == exchange.members[outsider].name }
      }.first)
    try refuse(.wrongNeighbors(.shares)) {
      $0.entries[0] = theirs
      $0.entries.sort { $0.sender < $1.sender }
    }
    try refuse(.wrongNeighbors(.shares)) {
      $0.entries.append(theirs)
      $0.entries.sort { $0.sender < $1.sender }
    }
    // A neighbour left out of the list, or of the set, but not of both.
    let lost = MemberSet(cohortCount: Self.count, positions: [try exchange.index(of: senders[3])])
    try refuse(.wrongNeighbors(.shares)) { $0.entries.remove(at: 3) }
    try refuse(.wrongNeighbors(.shares)) { $0.members = $0.members.subtracting(lost) }
    try refuse(.ownEntry(.shares)) {
      $0.members = $0.members.subtracting(MemberSet(cohortCount: Self.count, positions: [0]))
    }
    // Altered in relay: the ciphertext, its path, the root, the signature.
    try refuse(.invalidInclusion(senders[2])) { $0.entries[2].ciphertext[30] ^= 1 }
    try refuse(.invalidInclusion(senders[2])) { $0.entries[2].ciphertext = $0.entries[3].ciphertext }
    try refuse(.invalidInclusion(senders[2])) { $0.entries[2].path[0] = SHA256Digest(hashing: [1]) }
    try refuse(.invalidInclusion(senders[2])) { $0.entries[2].index = $0.entries[2].count }
    let root = theirs.root
    try refuse(.invalidSignature(of: .organization(senders[2]), .shares)) { $0.entries[2].root = root }
    try refuse(.invalidSignature(of: .organization(senders[2]), .shares)) { $0.entries[2].signature = theirs.signature }
    _ = try exchange.hand(.shares(good), to: 0)
    #expect(member.round.stage == .awaitingSurvivors)
  }

  @Test("Told of another U2 among non-neighbours, a client stands alone: no signature of a neighbour is for that set")
  func twoViewsOfU2() throws {
    let exchange = try exchange(at: .maskedInputCollection)
    let member = exchange.members[0]
    var delivery = try exchange.delivery(for: 0)
    let neighbors = delivery.entries.map(\.sender)
    let outsider = try stranger(exchange, to: neighbors)
    delivery.members = delivery.members.subtracting(
      MemberSet(cohortCount: Self.count, positions: [outsider]))
    // It cannot know, and masks; an honest server does not take it.
    let answer = try exchange.hand(.shares(delivery), to: 0)
    #expect(
      try failure { try exchange.send(answer, from: member.name) }
        == exchange.blames(.survivorsMismatch(.maskedInput), 0))
    guard case .maskedInput(let own) = answer else { throw TestFault.unexpectedMessage }
    // A server that does has nothing to show it: the neighbours signed the other set.
    let others = try exchange.play(1..<Self.count)
    var announcement = try exchange.announcement(for: 1)
    announcement.members = announcement.members.inserting(0)
    announcement.entries = []
    for message in others + [answer] {
      guard case .maskedInput(let input) = message, neighbors.contains(input.organization) || input == own
      else { continue }
      announcement.entries.append(
        SurvivorAnnouncement.Entry(
          organization: input.organization, maskedInputHash: input.maskedInputHash, signature: input.signature))
    }
    announcement.entries.sort { $0.organization < $1.organization }
    func refuse(_ fault: PeerFault) throws {
      let forged = announcement.signed(by: TestGraph.server)
      #expect(try failure { _ = try exchange.hand(.survivors(forged), to: 0) } == misbehaviour(fault))
      #expect(member.round.stage == .awaitingSurvivors)
    }
    try refuse(.survivorsMismatch(.survivors))
    announcement.shareSurvivors = own.shareSurvivors
    try refuse(.notInEarlierSet(exchange.members[outsider].name, stage: .shareKeys))
    announcement.members = announcement.members.subtracting(
      MemberSet(cohortCount: Self.count, positions: [outsider]))
    try refuse(.invalidSignature(of: .organization(neighbors[0]), .survivors))
  }

  /// The announcement for one member of U3 without another one, as a server would forge it.
  private func announcement(
    _ exchange: Exchange, for index: Int, without lost: Int, inputs: [MaskedInputMessage]
  ) throws -> SurvivorAnnouncement {
    var announcement = try exchange.announcement(for: index)
    let name = exchange.members[lost].name
    announcement.members = announcement.members.subtracting(
      MemberSet(cohortCount: Self.count, positions: [lost]))
    announcement.entries.removeAll { $0.organization == name }
    let tree = MerkleTree(
      leaves: inputs.filter { $0.organization != name }.map {
        Transcript.maskedInputLeaf($0.organization, $0.maskedInputHash)
      })
    let members = announcement.members
    announcement.siblings = tree.siblings(
      of: try announcement.entries.map { members.rank(of: try exchange.index(of: $0.organization)) })
    return announcement.signed(by: TestGraph.server)
  }

  @Test("Two U3 told to two groups: neither gets the signatures it takes, though every corrupt member signs both")
  func twoViewsOfU3() throws {
    let exchange = try exchange(at: .maskedInputCollection)
    let context = exchange.context
    let inputs = try exchange.play(0..<Self.count).compactMap { message -> MaskedInputMessage? in
      guard case .maskedInput(let input) = message else { return nil }
      return input
    }
    // Fifty honest members are told of everybody, fifty of everybody but one; four are corrupt.
    let lost = Self.count - 1
    let corrupt = 100..<Self.count
    #expect(corrupt.count == context.parameters.assumedCorrupt)
    var statements: [ConsistencyStatement] = []
    var signatures: [[Int: Signature]] = [[:], [:]]
    for index in 0..<100 {
      let announced =
        index < 50
        ? try exchange.announcement(for: index)
        : try announcement(exchange, for: index, without: lost, inputs: inputs)
      guard case .consistencyCheck(let message) = try exchange.hand(.survivors(announced), to: index) else {
        throw TestFault.unexpectedMessage
      }
      if index % 50 == 0 { statements.append(message.statement) }
      #expect(message.statement == statements[index / 50])
      signatures[index / 50][index] = message.signature
    }
    #expect(statements[0] != statements[1])
    for view in 0..<2 {
      for index in corrupt where view == 0 || index != lost {
        signatures[view][index] = statements[view].payload.signature(by: exchange.members[index].identity.key)
      }
    }
    func set(_ view: Int, adding more: [Int: Signature] = [:]) -> StatementSet {
      let all = signatures[view].merging(more) { first, _ in first }
      let signers = all.keys.sorted()
      return StatementSet(
        context: context.digest, statement: statements[view].digest,
        signers: MemberSet(cohortCount: Self.count, positions: signers), signatures: signers.compactMap { all[$0] })
    }
    for (view, victim) in [(0, 0), (1, 50)] {
      let member = exchange.members[victim]
      func refuse(_ set: StatementSet, _ error: AggregationError) throws {
        #expect(try failure { _ = try exchange.hand(.statements(set), to: victim) } == error)
        #expect(member.round.stage == .awaitingStatements)
      }
      let present = 54 - view
      #expect(signatures[view].count == present && context.agreementThreshold == 55)
      let error = try failure { _ = try exchange.hand(.statements(set(view)), to: victim) }
      guard case .tooFewParticipants(let shortage) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(shortage.stage == .consistencyCheck && shortage.present == present && shortage.required == 55)
      // Signatures of the other group are for the other statement.
      let other = 50 - victim
      let borrowed = signatures[1 - view].filter { $0.key < 100 }
      try refuse(
        set(view, adding: borrowed),
        misbehaviour(.invalidSignature(of: .organization(exchange.members[other].name), .statements)))
      try refuse(set(1 - view), misbehaviour(.statementMismatch))
      // And it signs no second statement.
      let second = try announcement(exchange, for: victim, without: 102, inputs: inputs)
      #expect(
        try failure { _ = try exchange.hand(.survivors(second), to: victim) }
          == .misuse(.wrongClientStage(.awaitingStatements)))
    }
    // One whom the second view leaves out does not sign it, nor does its signature count there.
    let outside = set(1, adding: [lost: signatures[0][lost] ?? inputs[0].signature])
    #expect(
      try failure { _ = try exchange.hand(.statements(outside), to: 50) }
        == misbehaviour(.notInEarlierSet(exchange.members[lost].name, stage: .maskedInputCollection)))
  }

  @Test(
    "Masked inputs of non-neighbours altered in the tree: the client signs what nobody else did, and releases nothing")
  func otherTree() throws {
    let exchange = try exchange(at: .consistencyCheck)
    let member = exchange.members[0]
    var announcement = try exchange.announcement(for: 0)
    announcement.siblings[0] = SHA256Digest(hashing: [1])
    let answer = try exchange.hand(.survivors(announcement), to: 0)
    #expect(
      try failure { try exchange.send(answer, from: member.name) } == exchange.blames(.statementMismatch, 0))
    try exchange.play(1..<Self.count)
    var statements = try exchange.statements(for: 1)
    #expect(try failure { _ = try exchange.hand(.statements(statements), to: 0) } == misbehaviour(.statementMismatch))
    guard case .consistencyCheck(let own) = answer else { throw TestFault.unexpectedMessage }
    statements.statement = own.statement.digest
    let first = exchange.members[try #require(statements.signers.positions.first)].name
    #expect(
      try failure { _ = try exchange.hand(.statements(statements), to: 0) }
        == misbehaviour(.invalidSignature(of: .organization(first), .statements)))
    #expect(member.round.stage == .awaitingStatements)
    // For the others it has merely left.
    try exchange.play(1..<Self.count)
    try exchange.expectExactSum(of: Array(0..<Self.count))
  }

  @Test("A late masked input stays hidden after the mask secret of its sender was recovered")
  func lateInput() throws {
    let late = Self.count - 1
    let exchange = try TestGraph.regular.exchange(tensorCount: 1 << 12, bits: 9)
    let context = exchange.context
    let name = exchange.members[late].name
    try exchange.advertiseKeys()
    let advertisements = try exchange.roster(for: late).advertisements
    try exchange.shareKeys()
    guard case .maskedInput(let input) = try exchange.answer(late) else { throw TestFault.unexpectedMessage }
    try exchange.play(0..<late)
    #expect(
      try failure { try exchange.send(.maskedInput(input), from: name) }
        == exchange.blames(.outOfOrder(.maskedInput, stage: .consistencyCheck), late))
    try exchange.play(0..<late)
    var shares: [(index: Int, bytes: [UInt8])] = []
    for message in try exchange.play(0..<late) {
      guard case .unmasking(let reply) = message, let entry = reply.entries.first(where: { $0.owner == name })
      else { continue }
      #expect(entry.kind == .mask)
      shares.append((try exchange.index(of: reply.organization) + 1, entry.share))
    }
    try exchange.expectExactSum(of: Array(0..<late))
    // The server knows z by now, and takes off every pairwise mask.
    let chosen = shares.prefix(context.threshold)
    let secret = try SecretSharing.reconstruct(
      shares: chosen.map(\.bytes), coefficients: try SecretSharing.lagrangeCoefficients(at: chosen.map(\.index)))
    let masks = try advertisements.filter { $0.organization != name }.map {
      try Mask.pairwise(
        secret: secret, publicKey: $0.maskKey, addedBy: name, with: $0.organization, transcript: input.transcript,
        generator: context.parameters.generator)
    }
    #expect(try secret.timesBasePoint() == advertisements.first { $0.organization == name }?.maskKey)
    var accumulator = Accumulator(parameters: context.parameters)
    accumulator.add(packed: try #require(exchange.bodies[name]))
    try accumulator.apply(masks, removing: true)
    let equal = zip(accumulator.tensors, exchange.members[late].term.tensors).filter { $0 == $1 }.count
    // 4096 coordinates of 9 bits agree by chance in 8 of them; standard deviation 2.8.
    #expect(equal < 36)
  }
}
