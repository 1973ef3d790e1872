import Cryptography
import Testing

@testable import SecureAggregation

/// A hostile server against a real client in R3; hostile clients against the real server.
@Suite("ConsistencyCheck")
struct ConsistencyCheckTests {
  private func ready() throws -> Exchange {
    let exchange = try Exchange()
    try exchange.advance(to: .consistencyCheck)
    return exchange
  }

  private func refuse(
    _ exchange: Exchange, _ fault: PeerFault, location: SourceLocation = #_sourceLocation,
    _ change: (inout SurvivorAnnouncement) throws -> Void
  ) throws {
    var announcement = try exchange.announcement(for: 0)
    try change(&announcement)
    let member = exchange.members[0]
    let error = try failure(location) { _ = try member.round.receive(announcement, signer: member.identity.key) }
    #expect(error == misbehaviour(fault), sourceLocation: location)
    #expect(member.round.stage == .awaitingSurvivors, sourceLocation: location)
  }

  @Test("Altered, missing, repeated and unknown survivors are refused")
  func lists() throws {
    let exchange = try ready()
    let names = exchange.members.map(\.name)
    let stranger = try OrganizationName("zebra.example")
    try refuse(exchange, .unknownOrganization(stranger)) { $0.entries[4].organization = stranger }
    try refuse(exchange, .duplicateOrganization(names[1])) { $0.entries.insert($0.entries[1], at: 1) }
    try refuse(exchange, .unsortedOrganizations(.survivors)) { $0.entries.swapAt(1, 2) }
    try refuse(exchange, .ownEntry(.survivors)) { $0.entries.removeFirst() }
    try refuse(exchange, .ownEntryAltered(.survivors)) {
      $0.entries[0].maskedInputHash = $0.entries[1].maskedInputHash
    }
    try refuse(exchange, .invalidSignature(of: .organization(names[2]), .survivors)) {
      $0.entries[2].maskedInputHash = $0.entries[1].maskedInputHash
    }
    try refuse(exchange, .invalidSignature(of: .organization(names[2]), .survivors)) {
      $0.entries[2].signature = $0.entries[1].signature
    }
    try refuse(exchange, .survivorsMismatch(.survivors)) {
      $0.shareSurvivors = Transcript.survivors(MemberSet(cohortCount: 5, positions: 0..<4))
    }
    try refuse(exchange, .wrongNeighbors(.survivors)) { $0.entries.removeLast() }
    try refuse(exchange, .invalidTree(.survivors)) { $0.siblings = [SHA256Digest(hashing: [1])] }
    try refuse(exchange, .wrongNeighbors(.survivors)) {
      $0.members = MemberSet(cohortCount: 5, positions: 0..<4)
    }
    try refuse(exchange, .ownEntry(.survivors)) { $0.members = MemberSet(cohortCount: 5, positions: 1..<5) }
  }

  @Test("A survivor outside U2 is refused")
  func outsideU2() throws {
    let exchange = try Exchange()
    try exchange.advertiseKeys()
    try exchange.shareKeys([0, 1, 2, 3])
    try exchange.maskedInputs([0, 1, 2, 3])
    let name = exchange.members[4].name
    try refuse(exchange, .notInEarlierSet(name, stage: .shareKeys)) {
      $0.entries[3].organization = name
      $0.members = MemberSet(cohortCount: 5, positions: [0, 1, 2, 4])
    }
    try refuse(exchange, .wrongNeighbors(.survivors)) { $0.entries[3].organization = name }
  }

  @Test("The server must sign the set that it announces")
  func serverSignature() throws {
    let exchange = try ready()
    try refuse(exchange, .invalidSignature(of: .server, .survivors)) { $0.limit(to: [0, 1, 2, 3]) }
    let stranger = Identity()
    try refuse(exchange, .invalidSignature(of: .server, .survivors)) {
      $0 = $0.signed(by: stranger)
    }
  }

  @Test("Announcements of another attempt are refused")
  func otherContext() throws {
    let exchange = try ready()
    let other = try Exchange(
      binding: "attempt 2", identities: exchange.members.map(\.identity), serverIdentity: exchange.serverIdentity)
    try other.advance(to: .consistencyCheck)
    let replay = try other.announcement(for: 0)
    try refuse(exchange, .contextMismatch(.survivors)) { $0 = replay }
    try refuse(exchange, .transcriptMismatch(.survivors)) {
      $0 = replay
      $0.context = exchange.context.digest
    }
  }

  @Test(
    "Survivors one below the minimum are refused, at it accepted",
    arguments: [(4, 2, 0, 4), (3, 2, 0, 3), (3, 4, 0, 4), (3, 3, 1, 4), (3, 4, 1, 5), (5, 2, 1, 5)])
  func minimum(cohort: Int, honest: Int, corrupt: Int, required: Int) throws {
    var parameters = ParameterSet()
    parameters.minimumCohort = cohort
    parameters.minimumHonest = honest
    parameters.assumedCorrupt = corrupt
    let exchange = try Exchange(parameters: parameters)
    #expect(exchange.context.requiredParticipants(in: .maskedInputCollection) == required)
    try exchange.advance(to: .consistencyCheck)
    let member = exchange.members[0]
    var announcement = try exchange.announcement(for: 0)
    announcement.limit(to: Array(0..<(required - 1)))
    announcement = announcement.signed(by: exchange.serverIdentity)
    let error = try failure { _ = try member.round.receive(announcement, signer: member.identity.key) }
    #expect(
      error
        == .tooFewParticipants(
          Shortage(
            stage: .maskedInputCollection, present: required - 1, required: required,
            missing: exchange.members.suffix(5 - required + 1).map(\.name))))
    #expect(member.round.stage == .awaitingSurvivors)
    var enough = try exchange.announcement(for: 0)
    enough.limit(to: Array(0..<required))
    _ = try member.round.receive(enough.signed(by: exchange.serverIdentity), signer: member.identity.key)
    #expect(member.round.stage == .awaitingStatements)
  }

  @Test("Two views of U3: neither gathers t signatures on its statement")
  func equivocation() throws {
    let exchange = try ready()
    let members = exchange.members
    let full = try exchange.announcement(for: 0)
    var first = full
    first.limit(to: [0, 1, 2, 3])
    first = first.signed(by: exchange.serverIdentity)
    var second = full
    second.limit(to: [1, 2, 3, 4])
    second = second.signed(by: exchange.serverIdentity)
    // 0 and 1 are told that 4 is missing; 2, 3 and 4 that 0 is.
    var messages: [ConsistencyCheckMessage] = []
    for (index, view) in [first, first, second, second, second].enumerated() {
      messages.append(try members[index].round.receive(view, signer: members[index].identity.key))
    }
    #expect(messages[0].statement == messages[1].statement)
    #expect(messages[0].statement != messages[2].statement)
    func statements(_ indices: [Int], as statement: ConsistencyStatement) -> StatementSet {
      StatementSet(
        context: exchange.context.digest, statement: statement.digest,
        signers: MemberSet(cohortCount: 5, positions: indices), signatures: indices.map { messages[$0].signature })
    }
    for (index, own) in [(0, [0, 1]), (3, [2, 3, 4])] {
      let member = members[index]
      let few = try failure { _ = try member.round.receive(statements(own, as: messages[index].statement)) }
      guard case .tooFewParticipants(let shortage) = few else {
        Issue.record("\(few)")
        continue
      }
      #expect(shortage.required == 4 && shortage.present == own.count)
      let four = index == 0 ? [0, 1, 2, 3] : [1, 2, 3, 4]
      let mixed = try failure { _ = try member.round.receive(statements(four, as: messages[index].statement)) }
      guard case .misbehaviour(.invalidSignature(_, .statements), by: .server) = mixed else {
        Issue.record("\(mixed)")
        continue
      }
      #expect(member.round.stage == .awaitingStatements)
    }
    // At most one statement an attempt.
    let again = try failure { _ = try members[0].round.receive(full, signer: members[0].identity.key) }
    #expect(again == .misuse(.wrongClientStage(.awaitingStatements)))
  }

  @Test("The server refuses other statements and blames their sender")
  func hostileClients() throws {
    let exchange = try Exchange()
    try exchange.advertiseKeys()
    try exchange.shareKeys()
    try exchange.maskedInputs([0, 1, 2, 3])
    let members = exchange.members
    let sent = try exchange.consistencyCheckMessage(0)
    let message = try exchange.consistencyCheckMessage(1)
    try exchange.send(.consistencyCheck(sent), from: members[0].name)

    func refuse(
      _ fault: PeerFault, from index: Int = 1, location: SourceLocation = #_sourceLocation,
      _ change: (inout ConsistencyCheckMessage) -> Void
    ) throws {
      var altered = index == 0 ? sent : message
      altered.organization = members[index].name
      change(&altered)
      let name = members[index].name
      let error = try failure(location) { try exchange.server.receive(.consistencyCheck(altered), from: name) }
      #expect(error == .misbehaviour(fault, by: .organization(name)), sourceLocation: location)
      #expect(exchange.server.answered == [members[0].name], sourceLocation: location)
    }
    try refuse(.statementMismatch) {
      $0.statement.inputSurvivors = Transcript.survivors(MemberSet(cohortCount: 5, positions: [0]))
    }
    try refuse(.invalidSignature(of: .organization(members[1].name), .consistencyCheck)) {
      $0.signature = sent.signature
    }
    try refuse(.duplicateMessage(.consistencyCheck), from: 0) { $0.signature = message.signature }
    try refuse(.notInEarlierSet(members[4].name, stage: .maskedInputCollection), from: 4) { _ in }
    try exchange.send(.consistencyCheck(sent), from: members[0].name)
  }
}

extension SurvivorAnnouncement {
  /// The same contents under a fresh signature.
  func signed(by identity: Identity) -> SurvivorAnnouncement {
    var message = self
    message.signature = Self.payload(
      transcript: transcript, shareSurvivors: shareSurvivors, inputSurvivors: Transcript.survivors(members)
    ).signature(by: identity.key)
    return message
  }

  /// Pretends on the complete graph that only those at the positions given had sent a masked input.
  mutating func limit(to positions: [Int]) {
    members = MemberSet(cohortCount: members.cohortCount, positions: positions)
    entries = positions.map { entries[$0] }
  }
}
