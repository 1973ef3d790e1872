import Cryptography
import Testing

@testable import SecureAggregation

/// Messages of another attempt, round, run or federation, played again: to both machines, in every stage.
@Suite("Replay", .sharedVerifications)
struct ReplayTests {
  /// What makes another context: the binding stands for federation, manifest, plan, run, round, attempt and model.
  private func others(_ graph: TestGraph) throws -> [Exchange] {
    [try graph.exchange(binding: "attempt 2"), try graph.exchange(binding: "another federation")]
  }

  @Test("Nothing of another context is taken, as it is or with its context rewritten", arguments: TestGraph.allCases)
  func otherContexts(graph: TestGraph) throws {
    let exchange = try graph.exchange()
    let others = try others(graph)
    let name = exchange.members[0].name
    while !exchange.isOver {
      let stage = exchange.server.stage
      var replies: [ClientRoundMessage] = []
      for other in others {
        #expect(other.context.digest != exchange.context.digest)
        if stage != .advertiseKeys { try refuse(try other.delivered(to: 0), exchange) }
        replies.append(try other.play(other.members.indices)[0])
      }
      // The machine of member 0 goes on as if nothing had been; then what the others' members said, to the server.
      let answer = try exchange.answer(0)
      for (reply, other) in zip(replies, others) {
        let body = other.bodies[name] ?? []
        #expect(
          try failure { try exchange.server.receive(reply, body: body, from: name) }
            == exchange.blames(.contextMismatch(reply.kind), 0))
        let rewritten = reply.moved(to: exchange.context.digest)
        let error = try failure { try exchange.server.receive(rewritten, body: body, from: name) }
        #expect(serverFaults(stage, name).map { exchange.blames($0, 0) }.contains(error), "\(stage): \(error)")
        #expect(exchange.server.stage == stage && exchange.server.answered.isEmpty)
      }
      try exchange.send(answer, from: name)
      try exchange.play(exchange.members.indices.dropFirst())
    }
    try exchange.expectExactSum(of: Array(exchange.members.indices))
  }

  private func refuse(_ message: ServerRoundMessage, _ exchange: Exchange) throws {
    let member = exchange.members[0]
    let stage = member.round.stage
    #expect(
      try failure { _ = try exchange.hand(message, to: 0) } == misbehaviour(.contextMismatch(message.kind)))
    let error = try failure { _ = try exchange.hand(message.moved(to: exchange.context.digest), to: 0) }
    #expect(clientFaults(message.kind, member.name).map(misbehaviour).contains(error), "\(message.kind): \(error)")
    #expect(member.round.stage == stage)
  }

  /// What gives a message away whose context alone was rewritten.
  private func clientFaults(_ kind: MessageKind, _ own: OrganizationName) -> [PeerFault] {
    switch kind {
    case .beaconRequest: [.invalidSignature(of: .server, .beaconRequest)]
    case .roster: [.ownEntryAltered(.roster)]
    case .shares: [.transcriptMismatch(.shares)]
    case .survivors: [.transcriptMismatch(.survivors)]
    case .statements: [.statementMismatch]
    case .advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .consistencyCheck, .unmasking: []
    }
  }

  private func serverFaults(_ stage: RoundStage, _ sender: OrganizationName) -> [PeerFault] {
    switch stage {
    case .advertiseKeys: [.invalidSignature(of: .organization(sender), .advertiseKeys)]
    case .graphBeacon: [.wrongBeacon]
    case .shareKeys: [.transcriptMismatch(.shareKeys)]
    case .maskedInputCollection: [.transcriptMismatch(.maskedInput)]
    case .consistencyCheck, .unmasking: [.statementMismatch]
    case .completed, .failed: []
    }
  }
}

extension ClientRoundMessage {
  /// The same under another context, as a hostile relay would write it.
  func moved(to context: ContextDigest) -> ClientRoundMessage {
    switch self {
    case .advertiseKeys(var message):
      message.context = context
      return .advertiseKeys(message)
    case .beaconReveal(var message):
      message.context = context
      return .beaconReveal(message)
    case .shareKeys(var message):
      message.context = context
      return .shareKeys(message)
    case .maskedInput(var message):
      message.context = context
      return .maskedInput(message)
    case .consistencyCheck(var message):
      message.context = context
      return .consistencyCheck(message)
    case .unmasking(var message):
      message.context = context
      return .unmasking(message)
    }
  }
}

extension ServerRoundMessage {
  /// As above.
  func moved(to context: ContextDigest) -> ServerRoundMessage {
    switch self {
    case .beaconRequest(var message):
      message.context = context
      return .beaconRequest(message)
    case .roster(var message):
      message.context = context
      for index in message.advertisements.indices { message.advertisements[index].context = context }
      return .roster(message)
    case .shares(var message):
      message.context = context
      return .shares(message)
    case .survivors(var message):
      message.context = context
      return .survivors(message)
    case .statements(var message):
      message.context = context
      return .statements(message)
    }
  }
}
