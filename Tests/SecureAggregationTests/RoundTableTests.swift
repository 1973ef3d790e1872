import Cryptography
import Testing

@testable import SecureAggregation

private enum ClientInput: CaseIterable {
  case advertise, beaconRequest, roster, delivery, announcement, statements, abandon

  init(_ message: ServerRoundMessage) {
    switch message {
    case .beaconRequest: self = .beaconRequest
    case .roster: self = .roster
    case .shares: self = .delivery
    case .survivors: self = .announcement
    case .statements: self = .statements
    }
  }
}

/// Every state × every input of the client machine, on both graphs: what comes out, and the next state.
@Suite("Client machine", .sharedVerifications)
struct ClientRoundTableTests {
  /// What the server sent member 0 in an honest round, to be given to machines that do not expect it.
  private func strayMessages(_ graph: TestGraph) throws -> [ClientInput: ServerRoundMessage] {
    let exchange = try graph.exchange()
    var messages: [ClientInput: ServerRoundMessage] = [:]
    while !exchange.isOver {
      if exchange.server.stage != .advertiseKeys {
        let message = try exchange.delivered(to: 0)
        messages[ClientInput(message)] = message
      }
      try exchange.play(exchange.members.indices)
    }
    return messages
  }

  private func next(_ stage: ClientStage, _ input: ClientInput, _ graph: TestGraph) -> ClientStage? {
    switch (stage, input) {
    case (.ready, .advertise): graph == .regular ? .awaitingBeaconRequest : .awaitingRoster
    case (.awaitingBeaconRequest, .beaconRequest): .awaitingRoster
    case (.awaitingRoster, .roster): .awaitingShares
    case (.awaitingShares, .delivery): .awaitingSurvivors
    case (.awaitingSurvivors, .announcement): .awaitingStatements
    case (.awaitingStatements, .statements): .released
    case (.released, .abandon): .released
    case (_, .abandon): .abandoned
    case (_, .advertise), (_, .beaconRequest), (_, .roster), (_, .delivery), (_, .announcement), (_, .statements):
      nil
    }
  }

  /// Gives member `index` every input that it must refuse, and looks whether it stayed as it was.
  private func refuseAll(
    _ exchange: Exchange, _ index: Int, _ graph: TestGraph, stray: [ClientInput: ServerRoundMessage]
  ) throws {
    let member = exchange.members[index]
    let stage = member.round.stage
    for input in ClientInput.allCases where next(stage, input, graph) == nil {
      // On the complete graph nobody ever sends a list for the beacon.
      guard input == .advertise || stray[input] != nil else {
        #expect(graph == .complete && input == .beaconRequest)
        continue
      }
      let error = try failure {
        if let message = stray[input] {
          _ = try exchange.hand(message, to: index)
        } else {
          _ = try member.round.advertise(signer: member.identity.key)
        }
      }
      #expect(error == .misuse(.wrongClientStage(stage)), "\(stage) × \(input)")
      #expect(member.round.stage == stage, "\(stage) × \(input)")
    }
  }

  /// A machine that goes where member `index` is, is abandoned there and takes nothing any more.
  private func abandon(
    _ exchange: Exchange, _ index: Int, _ graph: TestGraph, stray: [ClientInput: ServerRoundMessage]
  ) throws {
    let member = exchange.members[index]
    member.round.abandon()
    #expect(member.round.stage == .abandoned)
    try refuseAll(exchange, index, graph, stray: stray)
    member.round.abandon()
    #expect(member.round.stage == .abandoned)
  }

  @Test("Every stage with every input", arguments: TestGraph.allCases)
  func table(graph: TestGraph) throws {
    var stray = try strayMessages(graph)
    if graph == .complete { stray[.beaconRequest] = try strayMessages(.regular)[.beaconRequest] }
    #expect(stray.count == 5)
    let exchange = try graph.exchange()
    let member = exchange.members[0]
    var present = Array(exchange.members.indices)
    var visited: Set<ClientStage> = []
    var survivors: [Int] = []
    while member.round.stage != .released {
      let stage = member.round.stage
      visited.insert(stage)
      try refuseAll(exchange, 0, graph, stray: stray)
      if stage == .awaitingBeaconRequest {
        // Whoever leaves here takes the attempt along: a machine beside the others does it.
        let beside = try graph.exchange()
        _ = try beside.members[1].round.advertise(signer: beside.members[1].identity.key)
        #expect(beside.members[1].round.stage == stage)
        try abandon(beside, 1, graph, stray: stray)
      } else {
        try abandon(exchange, present.removeLast(), graph, stray: stray)
      }
      visited.insert(.abandoned)
      let answer = try exchange.answer(0)
      let due = try #require(ClientInput.allCases.first { $0 != .abandon && next(stage, $0, graph) != nil })
      #expect(member.round.stage == next(stage, due, graph), "\(stage) × \(due)")
      try check(answer, exchange, graph)
      if stage == .awaitingShares { survivors = present }
      try exchange.send(answer, from: member.name)
      try exchange.play(present.dropFirst())
    }
    visited.insert(.released)
    try refuseAll(exchange, 0, graph, stray: stray)
    member.round.abandon()
    #expect(member.round.stage == .released)
    #expect(visited == Set(ClientStage.allCases).subtracting(graph == .complete ? [.awaitingBeaconRequest] : []))
    try exchange.expectExactSum(of: survivors)
  }

  /// What an answer must be, beside that the server takes it.
  private func check(_ answer: ClientRoundMessage, _ exchange: Exchange, _ graph: TestGraph) throws {
    let name = exchange.members[0].name
    #expect(answer.organization == name)
    #expect(answer.context == exchange.context.digest)
    let peers = exchange.context.regularGraph?.neighborCount
    switch answer {
    case .advertiseKeys(let message): #expect((message.beaconCommitment == nil) == (graph == .complete))
    case .beaconReveal(let message): #expect(message.nonce.count == GraphBeacon.nonceByteCount)
    case .shareKeys(let message):
      // One member had left before it advertised.
      #expect(message.entries.count <= peers ?? exchange.members.count - 2)
      #expect(message.entries.count >= (peers ?? exchange.members.count - 1) - 1)
    case .maskedInput(let message):
      #expect(message.complaints.isEmpty)
      #expect(exchange.bodies[name]?.count == exchange.context.maskedInputByteCount)
    case .consistencyCheck(let message):
      let present = MemberSet(
        cohortCount: exchange.members.count, positions: 0..<(exchange.members.count - 3))
      #expect(message.statement.inputSurvivors == Transcript.survivors(present))
    case .unmasking(let message):
      // One kind for each owner; those that left before they sent a masked input are recovered.
      #expect(Set(message.entries.map(\.owner)).count == message.entries.count)
      let gone = Set(exchange.members.suffix(3).map(\.name))
      for entry in message.entries { #expect((entry.kind == .mask) == gone.contains(entry.owner)) }
      #expect(message.entries.contains { $0.owner == name } == (graph == .complete))
    }
  }

  @Test("Another key than the pinned one is refused in every stage that signs", arguments: TestGraph.allCases)
  func wrongSigner(graph: TestGraph) throws {
    let stranger = Identity()
    let exchange = try graph.exchange()
    let member = exchange.members[0]
    while !exchange.isOver {
      let stage = member.round.stage
      func refuse(_ body: (borrowing IdentitySigningKey) throws -> Void) throws {
        #expect(try failure { try body(stranger.key) } == .misuse(.wrongSigner), "\(stage)")
        #expect(member.round.stage == stage)
      }
      switch stage {
      case .ready: try refuse { _ = try member.round.advertise(signer: $0) }
      case .awaitingRoster:
        let roster = try exchange.roster(for: 0)
        try refuse { _ = try member.round.receive(roster, signer: $0) }
      case .awaitingShares:
        let delivery = try exchange.delivery(for: 0)
        try refuse { _ = try member.round.receive(delivery, term: member.term, signer: $0) }
      case .awaitingSurvivors:
        let announcement = try exchange.announcement(for: 0)
        try refuse { _ = try member.round.receive(announcement, signer: $0) }
      case .awaitingBeaconRequest, .awaitingStatements: break
      case .released, .abandoned: throw TestFault.unexpectedMessage
      }
      try exchange.play(exchange.members.indices)
    }
    try exchange.expectExactSum(of: Array(exchange.members.indices))
  }

  @Test("A stranger to the cohort has no machine")
  func stranger() throws {
    let name = try OrganizationName("zebra.example")
    let context = try TestGraph.complete.exchange().context
    #expect(throws: AggregationError.misuse(.notInCohort(name))) {
      _ = try ClientRound(context: context, organization: name)
    }
  }
}

/// Every state × every input of the server machine, on both graphs: what comes out, and the next state.
@Suite("Server machine", .sharedVerifications)
struct ServerRoundTableTests {
  private static let kinds: [MessageKind] = [
    .advertiseKeys, .beaconReveal, .shareKeys, .maskedInput, .consistencyCheck, .unmasking,
  ]

  private func order(_ graph: TestGraph) -> [RoundStage] {
    let stages = RoundStage.allCases.filter { $0 != .failed }
    return graph == .regular ? stages : stages.filter { $0 != .graphBeacon }
  }

  private func due(_ stage: RoundStage) -> MessageKind? {
    switch stage {
    case .advertiseKeys: .advertiseKeys
    case .graphBeacon: .beaconReveal
    case .shareKeys: .shareKeys
    case .maskedInputCollection: .maskedInput
    case .consistencyCheck: .consistencyCheck
    case .unmasking: .unmasking
    case .completed, .failed: nil
    }
  }

  /// Member 0's messages of an honest round of the same attempt.
  private func strayMessages(_ graph: TestGraph) throws -> [MessageKind: ClientRoundMessage] {
    let exchange = try graph.exchange()
    var messages: [MessageKind: ClientRoundMessage] = [:]
    while !exchange.isOver {
      let message = try exchange.play(exchange.members.indices)[0]
      messages[message.kind] = message
    }
    if messages[.beaconReveal] == nil {
      messages[.beaconReveal] = .beaconReveal(
        BeaconRevealMessage(
          context: exchange.context.digest, organization: exchange.members[0].name,
          list: BeaconListDigest(hashing: [1]), nonce: [UInt8](repeating: 1, count: GraphBeacon.nonceByteCount)))
    }
    return messages
  }

  /// Everything that is out of order, and another key; the machine is the same afterwards.
  private func refuseAll(_ exchange: Exchange, stray: [MessageKind: ClientRoundMessage]) throws {
    let stage = exchange.server.stage
    let name = exchange.members[0].name
    let answered = exchange.server.answered
    for kind in Self.kinds where kind != due(stage) {
      let message = try #require(stray[kind])
      #expect(message.kind == kind)
      let error = try failure { try exchange.send(message, from: name) }
      #expect(error == .misbehaviour(.outOfOrder(kind, stage: stage), by: .organization(name)), "\(stage) × \(kind)")
      #expect(exchange.server.stage == stage && exchange.server.answered == answered, "\(stage) × \(kind)")
    }
    let stranger = Identity()
    #expect(try failure { _ = try exchange.server.advance(signer: stranger.key) } == .misuse(.wrongSigner))
    #expect(exchange.server.stage == stage && exchange.server.answered == answered)
  }

  private func expectTerminal(
    _ exchange: Exchange, _ stage: RoundStage, stray: [MessageKind: ClientRoundMessage]
  ) throws {
    #expect(exchange.server.stage == stage)
    #expect(exchange.server.participants.isEmpty && exchange.server.awaiting.isEmpty)
    #expect(!exchange.server.canAdvance && !exchange.server.isComplete)
    try refuseAll(exchange, stray: stray)
    #expect(try failure { try exchange.close() } == .misuse(.wrongServerStage(stage)))
    #expect(exchange.server.stage == stage)
    #expect((exchange.server.result != nil) == (stage == .completed))
  }

  /// A stage closed with nobody, on a copy of the machine, is the end.
  private func closeEmpty(_ exchange: Exchange, stray: [MessageKind: ClientRoundMessage]) throws {
    let stage = exchange.server.stage
    let server = exchange.server
    defer { exchange.server = server }
    let required =
      stage == .graphBeacon ? exchange.members.count : exchange.context.requiredParticipants(in: stage)
    #expect(
      try failure { try exchange.close() }
        == .tooFewParticipants(
          Shortage(stage: stage, present: 0, required: required, missing: exchange.members.map(\.name))))
    try expectTerminal(exchange, .failed, stray: stray)
  }

  @Test("Every stage with every input", arguments: TestGraph.allCases)
  func table(graph: TestGraph) throws {
    let stray = try strayMessages(graph)
    #expect(Set(stray.keys) == Set(Self.kinds))
    let exchange = try graph.exchange()
    let names = exchange.members.map(\.name)
    for (stage, next) in zip(order(graph), order(graph).dropFirst()) {
      #expect(exchange.server.stage == stage)
      #expect(exchange.server.participants == names && exchange.server.awaiting == Set(names))
      #expect(exchange.server.answered.isEmpty && exchange.server.result == nil)
      #expect(!exchange.server.isComplete && !exchange.server.canAdvance)
      try refuseAll(exchange, stray: stray)
      try closeEmpty(exchange, stray: stray)
      let answer = try exchange.answer(0)
      #expect(answer.kind == due(stage))
      // Twice: the second one is a resend.
      for _ in 0..<2 {
        try exchange.send(answer, from: names[0])
        #expect(exchange.server.stage == stage && exchange.server.answered == [names[0]])
        #expect(exchange.server.awaiting == Set(names.dropFirst()) && !exchange.server.canAdvance)
      }
      try refuseAll(exchange, stray: stray)
      for index in names.indices.dropFirst() {
        try exchange.send(try exchange.answer(index), from: names[index])
      }
      #expect(exchange.server.isComplete && exchange.server.canAdvance && exchange.server.awaiting.isEmpty)
      try exchange.close()
      #expect(exchange.server.stage == next)
      #expect(names.filter { exchange.server.message(for: $0) != nil } == (next == .completed ? [] : names))
    }
    try expectTerminal(exchange, .completed, stray: stray)
    try exchange.expectExactSum(of: Array(names.indices))
  }
}
