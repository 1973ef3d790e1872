import Cryptography
import Testing

@testable import SecureAggregation

/// A deterministic generator for terms and dropouts (SplitMix64). Never for keys.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}

/// An identity with its key; a class because keys cannot be copied.
final class Identity: Sendable {
  let key = IdentitySigningKey.generate()
}

/// One organisation with its machine.
final class Member {
  let name: OrganizationName
  let identity: Identity
  var term: EncodedTerm
  var round: ClientRound

  init(name: OrganizationName, identity: Identity, term: EncodedTerm, context: AggregationContext) throws {
    self.name = name
    self.identity = identity
    self.term = term
    round = try ClientRound(context: context, organization: name)
  }
}

func organization(_ index: Int) throws -> OrganizationName {
  try OrganizationName("org-\(String(index + 1000).dropFirst()).example")
}

func binding(_ text: String) -> BindingDigest { BindingDigest(hashing: Array(text.utf8)) }

struct ParameterSet {
  var tensorCount = 37
  var bits = 20
  var clip = 4.0
  var rounding = Rounding.nearest
  var counters = [
    CounterGroup(name: "examples", count: 1, bound: 1_000_000, isSigned: false),
    CounterGroup(name: "drift", count: 3, bound: 1 << 40, isSigned: true),
  ]
  var generator = MaskGenerator.aes256CTR
  var minimumCohort = 3
  var minimumHonest = 2
  var assumedCorrupt = 1
  var graph = SumGraph.complete
  var encoding = CoordinateEncoding.clipped

  func make() throws(AggregationError) -> AggregationParameters {
    try AggregationParameters(
      tensorCount: tensorCount, bits: bits, clip: clip, rounding: rounding, counters: counters, weightCap: 1000,
      generator: generator, minimumCohort: minimumCohort, minimumHonest: minimumHonest,
      assumedCorrupt: assumedCorrupt, graph: graph, encoding: encoding)
  }
}

/// A server and its clients in memory. Every message goes through its encoding.
final class Exchange {
  let context: AggregationContext
  let serverIdentity: Identity
  let members: [Member]
  var server: ServerRound
  /// The bytes of the masked input that a member sent last.
  var bodies: [OrganizationName: [UInt8]] = [:]

  init(
    count: Int = 5, parameters: ParameterSet = ParameterSet(), binding text: String = "attempt 1",
    identities: [Identity]? = nil, serverIdentity: Identity = Identity(), seed: UInt64 = 1
  ) throws {
    let identities = identities ?? (0..<count).map { _ in Identity() }
    let names = try (0..<count).map(organization)
    self.serverIdentity = serverIdentity
    context = try AggregationContext(
      binding: binding(text), parameters: parameters.make(),
      cohort: zip(names, identities).map { CohortMember(name: $0, identity: $1.key.verifyingKey) },
      server: serverIdentity.key.verifyingKey)
    var generator = SeededGenerator(seed: seed)
    var members: [Member] = []
    for (name, identity) in zip(names, identities) {
      let term = try Exchange.randomTerm(context, using: &generator)
      members.append(try Member(name: name, identity: identity, term: term, context: context))
    }
    self.members = members
    server = ServerRound(context: context)
  }

  static func randomTerm(
    _ context: AggregationContext, using generator: inout SeededGenerator
  ) throws -> EncodedTerm {
    let parameters = context.parameters
    let values = (0..<parameters.tensorCount).map { _ in
      Double.random(in: (-1.2 * parameters.clip)...(1.2 * parameters.clip), using: &generator)
    }
    var counters: [Int64] = []
    for group in parameters.counters {
      let bound = Int64(group.bound)
      for _ in 0..<group.count {
        counters.append(Int64.random(in: (group.isSigned ? -bound : 0)...bound, using: &generator))
      }
    }
    if case .integers = parameters.encoding {
      let integers = values.indices.map { _ in Int64.random(in: -(1 << 40)...(1 << 40), using: &generator) }
      return try EncodedTerm(integers: integers, counters: counters, context: context)
    }
    return try EncodedTerm.encode(values: values, counters: counters, context: context, randomness: &generator).term
  }

  func send(_ message: ClientRoundMessage, from name: OrganizationName) throws {
    try server.receive(
      try ClientRoundMessage(decoding: message.encoded(), from: name, context: context),
      body: bodies[name] ?? [], from: name)
  }

  func close() throws { try server.advance(signer: serverIdentity.key) }

  /// The server's message for a member, after its encoding.
  func delivered(to member: Int) throws -> ServerRoundMessage {
    let message = try #require(server.message(for: members[member].name))
    return try ServerRoundMessage(decoding: message.encoded(), context: context)
  }

  // The five rounds with those given; the stage is closed afterwards.

  func advertiseKeys(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      let member = members[index]
      try send(.advertiseKeys(try member.round.advertise(signer: member.identity.key)), from: member.name)
    }
    try close()
    if context.regularGraph != nil { try revealNonces(who) }
  }

  func beaconRequest(for index: Int) throws -> BeaconRequest {
    guard case .beaconRequest(let request) = try delivered(to: index) else { throw TestFault.unexpectedMessage }
    return request
  }

  func revealNonces(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      let member = members[index]
      try send(.beaconReveal(try member.round.receive(try beaconRequest(for: index))), from: member.name)
    }
    try close()
  }

  func roster(for index: Int) throws -> AdvertisementRoster {
    guard case .roster(let roster) = try delivered(to: index) else { throw TestFault.unexpectedMessage }
    return roster
  }

  func shareKeysMessage(_ index: Int) throws -> ShareKeysMessage {
    let member = members[index]
    return try member.round.receive(try roster(for: index), signer: member.identity.key)
  }

  func shareKeys(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      try send(.shareKeys(try shareKeysMessage(index)), from: members[index].name)
    }
    try close()
  }

  func delivery(for index: Int) throws -> ShareDelivery {
    guard case .shares(let delivery) = try delivered(to: index) else { throw TestFault.unexpectedMessage }
    return delivery
  }

  func maskedInputMessage(_ index: Int) throws -> MaskedInputMessage {
    let member = members[index]
    let input = try member.round.receive(try delivery(for: index), term: member.term, signer: member.identity.key)
    bodies[member.name] = input.body
    return input.message
  }

  func maskedInputs(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      try send(.maskedInput(try maskedInputMessage(index)), from: members[index].name)
    }
    try close()
  }

  func announcement(for index: Int) throws -> SurvivorAnnouncement {
    guard case .survivors(let announcement) = try delivered(to: index) else { throw TestFault.unexpectedMessage }
    return announcement
  }

  func consistencyCheckMessage(_ index: Int) throws -> ConsistencyCheckMessage {
    let member = members[index]
    return try member.round.receive(try announcement(for: index), signer: member.identity.key)
  }

  func consistencyChecks(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      try send(.consistencyCheck(try consistencyCheckMessage(index)), from: members[index].name)
    }
    try close()
  }

  func statements(for index: Int) throws -> StatementSet {
    guard case .statements(let statements) = try delivered(to: index) else { throw TestFault.unexpectedMessage }
    return statements
  }

  func unmaskingMessage(_ index: Int) throws -> UnmaskingMessage {
    try members[index].round.receive(try statements(for: index))
  }

  func unmaskings(_ who: [Int]? = nil) throws {
    for index in who ?? Array(members.indices) {
      try send(.unmasking(try unmaskingMessage(index)), from: members[index].name)
    }
    try close()
  }

  /// Everything up to, and not including, the stage given.
  func advance(to stage: RoundStage) throws {
    if stage == .advertiseKeys { return }
    try advertiseKeys()
    if stage == .shareKeys || stage == .graphBeacon { return }
    try shareKeys()
    if stage == .maskedInputCollection { return }
    try maskedInputs()
    if stage == .consistencyCheck { return }
    try consistencyChecks()
    if stage == .unmasking { return }
    try unmaskings()
  }

  /// The sum that terms in the clear would give.
  func expectedSum(of who: some Sequence<Int>) -> (words: [UInt32], counters: [Int64]) {
    let parameters = context.parameters
    var words = [UInt32](repeating: 0, count: parameters.tensorCount)
    var counters = [UInt64](repeating: 0, count: parameters.counterCount)
    for index in who {
      for (position, word) in members[index].term.tensors.enumerated() { words[position] &+= word }
      for (position, counter) in members[index].term.counters.enumerated() { counters[position] &+= counter }
    }
    let mask = EncodedTerm.wordMask(bits: parameters.bits)
    return (words.map { $0 & mask }, counters.map { Int64(bitPattern: $0) })
  }

  func expectExactSum(of who: [Int]) throws {
    let sum = try #require(server.result)
    let expected = expectedSum(of: who)
    #expect(sum.words == expected.words)
    #expect(sum.counters == expected.counters)
    #expect(sum.survivors == who.sorted().map { members[$0].name })
  }
}

enum TestFault: Error { case unexpectedMessage }

/// The error of an operation that must throw one.
func failure(
  _ location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) throws -> AggregationError {
  do {
    try body()
  } catch let error as AggregationError {
    return error
  }
  Issue.record("nothing was thrown", sourceLocation: location)
  throw TestFault.unexpectedMessage
}

func misbehaviour(_ fault: PeerFault) -> AggregationError { .misbehaviour(fault, by: .server) }
