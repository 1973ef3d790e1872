import Cryptography
import Testing

@testable import SecureAggregation

private enum ClientInput: CaseIterable {
  case advertise, roster, delivery, announcement, statements, abandon
}

/// Every state × every input of the client machine: what comes out, and the next state.
@Suite("Client machine")
struct ClientRoundTableTests {
  private static let identities = (0..<3).map { _ in Identity() }
  private static let serverIdentity = Identity()

  private func exchange() throws -> Exchange {
    try Exchange(count: 3, identities: Self.identities, serverIdentity: Self.serverIdentity)
  }

  /// An exchange whose member 0 is in the stage given.
  private func exchange(at stage: ClientStage) throws -> Exchange {
    let exchange = try exchange()
    switch stage {
    case .ready: break
    case .awaitingBeaconRequest: throw TestFault.unexpectedMessage
    case .awaitingRoster: try exchange.advance(to: .shareKeys)
    case .awaitingShares: try exchange.advance(to: .maskedInputCollection)
    case .awaitingSurvivors: try exchange.advance(to: .consistencyCheck)
    case .awaitingStatements: try exchange.advance(to: .unmasking)
    case .released: try exchange.advance(to: .completed)
    case .abandoned: exchange.members[0].round.abandon()
    }
    return exchange
  }

  /// Messages of a whole round, to be given to machines that do not expect them.
  private struct Inputs {
    let roster: AdvertisementRoster
    let delivery: ShareDelivery
    let announcement: SurvivorAnnouncement
    let statements: StatementSet

    init(_ exchange: Exchange) throws {
      try exchange.advertiseKeys()
      roster = try exchange.roster(for: 0)
      try exchange.shareKeys()
      delivery = try exchange.delivery(for: 0)
      try exchange.maskedInputs()
      announcement = try exchange.announcement(for: 0)
      try exchange.consistencyChecks()
      statements = try exchange.statements(for: 0)
    }
  }

  private func accepts(_ stage: ClientStage, _ input: ClientInput) -> ClientStage? {
    switch (stage, input) {
    case (.ready, .advertise): .awaitingRoster
    case (.awaitingRoster, .roster): .awaitingShares
    case (.awaitingShares, .delivery): .awaitingSurvivors
    case (.awaitingSurvivors, .announcement): .awaitingStatements
    case (.awaitingStatements, .statements): .released
    case (.released, .abandon): .released
    case (_, .abandon): .abandoned
    default: nil
    }
  }

  @Test("Every stage with every input", arguments: ClientStage.allCases.filter { $0 != .awaitingBeaconRequest })
  func table(stage: ClientStage) throws {
    let stray = try Inputs(exchange())
    for input in ClientInput.allCases {
      let exchange = try exchange(at: stage)
      let member = exchange.members[0]
      #expect(member.round.stage == stage)
      let next = accepts(stage, input)
      let isDue = next != nil
      func apply() throws {
        switch input {
        case .advertise:
          #expect(try member.round.advertise(signer: member.identity.key).organization == member.name)
        case .roster:
          let roster = isDue ? try exchange.roster(for: 0) : stray.roster
          #expect(try member.round.receive(roster, signer: member.identity.key).entries.count == 2)
        case .delivery:
          let delivery = isDue ? try exchange.delivery(for: 0) : stray.delivery
          let message = try member.round.receive(delivery, term: member.term, signer: member.identity.key)
          #expect(message.body.count == exchange.context.maskedInputByteCount)
          #expect(message.message.complaints.isEmpty)
        case .announcement:
          let announcement = isDue ? try exchange.announcement(for: 0) : stray.announcement
          let message = try member.round.receive(announcement, signer: member.identity.key)
          #expect(message.statement.inputSurvivors == Transcript.survivors(MemberSet(cohortCount: 3, positions: 0..<3)))
        case .statements:
          let statements = isDue ? try exchange.statements(for: 0) : stray.statements
          #expect(try member.round.receive(statements).entries.count == 3)
        case .abandon:
          member.round.abandon()
        }
      }
      if let next {
        try apply()
        #expect(member.round.stage == next, "\(stage) × \(input)")
      } else {
        #expect(try failure { try apply() } == .misuse(.wrongClientStage(stage)), "\(stage) × \(input)")
        #expect(member.round.stage == stage, "\(stage) × \(input)")
      }
    }
  }

  @Test("Another key than the pinned one is refused in every stage that signs")
  func wrongSigner() throws {
    let stranger = Identity()
    for stage in [ClientStage.ready, .awaitingRoster, .awaitingShares, .awaitingSurvivors] {
      let exchange = try exchange(at: stage)
      let member = exchange.members[0]
      let error = try failure {
        switch stage {
        case .ready: _ = try member.round.advertise(signer: stranger.key)
        case .awaitingRoster: _ = try member.round.receive(try exchange.roster(for: 0), signer: stranger.key)
        case .awaitingShares:
          _ = try member.round.receive(try exchange.delivery(for: 0), term: member.term, signer: stranger.key)
        case .awaitingSurvivors:
          _ = try member.round.receive(try exchange.announcement(for: 0), signer: stranger.key)
        case .awaitingBeaconRequest, .awaitingStatements, .released, .abandoned: break
        }
      }
      #expect(error == .misuse(.wrongSigner))
      #expect(member.round.stage == stage)
    }
  }

  @Test("A stranger to the cohort has no machine")
  func stranger() throws {
    let name = try OrganizationName("zebra.example")
    let context = try exchange().context
    #expect(throws: AggregationError.misuse(.notInCohort(name))) {
      _ = try ClientRound(context: context, organization: name)
    }
  }
}

private enum ServerInput: CaseIterable {
  case advertiseKeys, shareKeys, maskedInput, consistencyCheck, unmasking
  case advanceComplete, advanceEmpty, advanceWrongKey
}

/// Every state × every input of the server machine: what comes out, and the next state.
@Suite("Server machine")
struct ServerRoundTableTests {
  private static let identities = (0..<3).map { _ in Identity() }
  private static let serverIdentity = Identity()

  private func exchange() throws -> Exchange {
    try Exchange(count: 3, identities: Self.identities, serverIdentity: Self.serverIdentity)
  }

  /// The message of a member for the stage that the exchange is in.
  private func message(_ exchange: Exchange, _ index: Int) throws -> ClientRoundMessage {
    let member = exchange.members[index]
    switch exchange.server.stage {
    case .advertiseKeys: return .advertiseKeys(try member.round.advertise(signer: member.identity.key))
    case .shareKeys: return .shareKeys(try exchange.shareKeysMessage(index))
    case .maskedInputCollection: return .maskedInput(try exchange.maskedInputMessage(index))
    case .consistencyCheck: return .consistencyCheck(try exchange.consistencyCheckMessage(index))
    case .unmasking: return .unmasking(try exchange.unmaskingMessage(index))
    case .graphBeacon, .completed, .failed: throw TestFault.unexpectedMessage
    }
  }

  private func exchange(at stage: RoundStage) throws -> Exchange {
    let exchange = try exchange()
    if stage == .failed {
      _ = try? exchange.close()
    } else {
      try exchange.advance(to: stage)
    }
    return exchange
  }

  private static let order: [RoundStage] = [
    .advertiseKeys, .shareKeys, .maskedInputCollection, .consistencyCheck, .unmasking, .completed,
  ]

  private func input(_ kind: MessageKind) -> ServerInput? {
    switch kind {
    case .advertiseKeys: .advertiseKeys
    case .shareKeys: .shareKeys
    case .maskedInput: .maskedInput
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    case .beaconRequest, .beaconReveal, .roster, .shares, .survivors, .statements: nil
    }
  }

  @Test("Every stage with every input", arguments: RoundStage.allCases.filter { $0 != .graphBeacon })
  func table(stage: RoundStage) throws {
    // Member 0's messages of a whole round in the same context.
    let other = try exchange()
    var stray: [ServerInput: ClientRoundMessage] = [:]
    for _ in 0..<5 {
      for index in 0..<3 {
        let message = try message(other, index)
        if index == 0, let input = input(message.kind) { stray[input] = message }
        try other.send(message, from: other.members[index].name)
      }
      try other.close()
    }
    for input in ServerInput.allCases { try check(stage, input, stray: stray[input]) }
  }

  private func check(_ stage: RoundStage, _ input: ServerInput, stray: ClientRoundMessage?) throws {
    let exchange = try exchange(at: stage)
    let name = exchange.members[0].name
    #expect(exchange.server.stage == stage)
    let isTerminal = stage == .completed || stage == .failed
    #expect(exchange.server.participants.isEmpty == isTerminal)
    #expect(exchange.server.awaiting == Set(exchange.server.participants))
    #expect(!exchange.server.isComplete)
    #expect(!exchange.server.canAdvance)
    switch input {
    case .advertiseKeys, .shareKeys, .maskedInput, .consistencyCheck, .unmasking:
      let stray = try #require(stray)
      let due = isTerminal ? nil : try message(exchange, 0)
      if let due, due.kind == stray.kind {
        try exchange.send(due, from: name)
        #expect(exchange.server.answered == [name])
      } else {
        let error = try failure { try exchange.send(stray, from: name) }
        #expect(error == .misbehaviour(.outOfOrder(stray.kind, stage: stage), by: .organization(name)))
        #expect(exchange.server.answered.isEmpty)
      }
      #expect(exchange.server.stage == stage, "\(stage) × \(input)")
    case .advanceComplete:
      guard !isTerminal else { return try expectNoAdvance(exchange, stage) }
      for index in 0..<3 { try exchange.send(try message(exchange, index), from: exchange.members[index].name) }
      #expect(exchange.server.isComplete && exchange.server.canAdvance)
      try exchange.close()
      let next = Self.order[(Self.order.firstIndex(of: stage) ?? 0) + 1]
      #expect(exchange.server.stage == next)
      let addressed = exchange.members.map(\.name).filter { exchange.server.message(for: $0) != nil }
      #expect(addressed == (next == .completed ? [] : exchange.members.map(\.name)))
      #expect((exchange.server.result != nil) == (next == .completed))
    case .advanceEmpty:
      guard !isTerminal else { return try expectNoAdvance(exchange, stage) }
      let error = try failure { try exchange.close() }
      #expect(
        error
          == .tooFewParticipants(
            Shortage(stage: stage, present: 0, required: 3, missing: exchange.members.map(\.name))))
      #expect(exchange.server.stage == .failed)
    case .advanceWrongKey:
      let stranger = Identity()
      #expect(
        try failure { _ = try exchange.server.advance(signer: stranger.key) } == .misuse(.wrongSigner))
      #expect(exchange.server.stage == stage)
    }
  }

  private func expectNoAdvance(_ exchange: Exchange, _ stage: RoundStage) throws {
    #expect(try failure { try exchange.close() } == .misuse(.wrongServerStage(stage)))
    #expect(exchange.server.stage == stage)
  }
}
