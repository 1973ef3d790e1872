import Cryptography
import Testing

@testable import SecureAggregation

/// Rounds on a k-regular graph: the beacon, neighbours only, and a hostile server against real clients.
@Suite("k-regular graph", .sharedVerifications)
struct RegularGraphRoundTests {
  private static let count = 104
  private static let dropouts = 14
  private static let identities = (0..<count).map { _ in Identity() }
  private static let serverIdentity = Identity()

  private func exchange(binding: String = "attempt 1", seed: UInt64 = 1) throws -> Exchange {
    var parameters = ParameterSet()
    parameters.tensorCount = 5
    parameters.assumedCorrupt = 4
    parameters.graph = .regular(dropouts: try #require(DropoutRate(perMille: 135)))
    return try Exchange(
      count: Self.count, parameters: parameters, binding: binding, identities: Self.identities,
      serverIdentity: Self.serverIdentity, seed: seed)
  }

  private func everybody(but absent: [Int]) -> [Int] { (0..<Self.count).filter { !absent.contains($0) } }

  @Test("The sum of the survivors is exact, whoever leaves at whichever stage but the beacon's")
  func dropouts() throws {
    let exchange = try exchange()
    let graph = try #require(exchange.context.regularGraph)
    #expect(graph.neighborCount < Self.count - 1)
    #expect(exchange.context.threshold == graph.threshold)
    try exchange.advertiseKeys(everybody(but: [7]))
    try exchange.shareKeys(everybody(but: [7, 8, 9]))
    try exchange.maskedInputs(everybody(but: [7, 8, 9, 20, 21, 22]))
    try exchange.consistencyChecks(everybody(but: [7, 8, 9, 20, 21, 22, 30, 31]))
    try exchange.unmaskings(everybody(but: [7, 8, 9, 20, 21, 22, 30, 31, 40]))
    try exchange.expectExactSum(of: everybody(but: [7, 8, 9, 20, 21, 22]))
    #expect(exchange.server.blamed.isEmpty)
  }

  @Test("Shares go to neighbours only, and everybody has k of them")
  func neighborsOnly() throws {
    let exchange = try exchange()
    let graph = try #require(exchange.context.regularGraph)
    try exchange.advertiseKeys()
    var neighbors: [OrganizationName: Set<OrganizationName>] = [:]
    for index in 0..<Self.count {
      let message = try exchange.shareKeysMessage(index)
      #expect(message.entries.count == graph.neighborCount)
      neighbors[message.organization] = Set(message.entries.map(\.recipient))
      try exchange.send(.shareKeys(message), from: message.organization)
    }
    for (name, others) in neighbors {
      #expect(!others.contains(name))
      for other in others { #expect(neighbors[other]?.contains(name) == true) }
    }
    try exchange.close()
    try exchange.maskedInputs()
    try exchange.consistencyChecks()
    // No own share, and one of each neighbour.
    let reply = try exchange.unmaskingMessage(0)
    #expect(Set(reply.entries.map(\.owner)) == neighbors[reply.organization])
  }

  @Test("Another attempt has another graph")
  func anotherAttempt() throws {
    func recipients(_ binding: String) throws -> [OrganizationName] {
      let exchange = try exchange(binding: binding)
      try exchange.advertiseKeys()
      return try exchange.shareKeysMessage(0).entries.map(\.recipient)
    }
    #expect(try recipients("attempt 1") != recipients("attempt 2"))
    // The same attempt too, played again: the nonces are fresh.
    #expect(try recipients("attempt 1") != recipients("attempt 1"))
  }

  @Test("A nonce that is missing ends the attempt and names whose it is")
  func missingNonce() throws {
    let exchange = try exchange()
    for member in exchange.members {
      try exchange.send(.advertiseKeys(try member.round.advertise(signer: member.identity.key)), from: member.name)
    }
    try exchange.close()
    #expect(exchange.server.stage == .graphBeacon)
    let error = try failure { try exchange.revealNonces(everybody(but: [17])) }
    #expect(
      error
        == .tooFewParticipants(
          Shortage(
            stage: .graphBeacon, present: Self.count - 1, required: Self.count,
            missing: [exchange.members[17].name])))
    #expect(exchange.server.stage == .failed)
  }

  /// An exchange in which everybody has advertised and waits for the list.
  private func advertised() throws -> Exchange {
    let exchange = try exchange()
    for member in exchange.members {
      try exchange.send(.advertiseKeys(try member.round.advertise(signer: member.identity.key)), from: member.name)
    }
    try exchange.close()
    return exchange
  }

  @Test("A nonce is revealed for one list only, signed by the server and with its owner in it")
  func oneList() throws {
    let exchange = try advertised()
    let member = exchange.members[0]
    let good = try exchange.beaconRequest(for: 0)
    func refuse(_ error: AggregationError, _ change: (inout BeaconRequest) throws -> Void) throws {
      var request = good
      try change(&request)
      #expect(try failure { _ = try member.round.receive(request) } == error)
      #expect(member.round.stage == .awaitingBeaconRequest)
    }
    try refuse(misbehaviour(.contextMismatch(.beaconRequest))) { $0.context = ContextDigest(hashing: [1]) }
    try refuse(misbehaviour(.invalidSignature(of: .server, .beaconRequest))) {
      $0.commitments = SHA256Digest(hashing: [1])
    }
    try refuse(misbehaviour(.invalidSignature(of: .server, .beaconRequest))) {
      $0 = $0.signed(by: Self.identities[3])
    }
    try refuse(misbehaviour(.ownEntry(.beaconRequest))) {
      $0.members = MemberSet(cohortCount: Self.count, positions: 1..<Self.count)
      $0 = $0.signed(by: Self.serverIdentity)
    }
    let required = exchange.context.requiredParticipants(in: .advertiseKeys)
    #expect(required == Self.count - Self.dropouts)
    try refuse(
      .tooFewParticipants(
        Shortage(
          stage: .advertiseKeys, present: required - 1, required: required,
          missing: exchange.members.suffix(Self.dropouts + 1).map(\.name)))
    ) {
      $0.members = MemberSet(cohortCount: Self.count, positions: 0..<(required - 1))
      $0 = $0.signed(by: Self.serverIdentity)
    }
    let reveal = try member.round.receive(good)
    #expect(reveal.list == good.digest)
    #expect(member.round.stage == .awaitingRoster)
    // For no other list, and not again.
    var other = good
    other.advertisementRoot = SHA256Digest(hashing: [1])
    other = other.signed(by: Self.serverIdentity)
    for request in [other, good] {
      #expect(try failure { _ = try member.round.receive(request) } == .misuse(.wrongClientStage(.awaitingRoster)))
    }
  }

  @Test("No roster comes before the nonce is revealed, and no list on the complete graph")
  func outOfTurn() throws {
    let exchange = try exchange()
    try exchange.advertiseKeys()
    let roster = try exchange.roster(for: 0)
    let other = try advertised().members[0]
    #expect(
      try failure { _ = try other.round.receive(roster, signer: other.identity.key) }
        == .misuse(.wrongClientStage(.awaitingBeaconRequest)))
    let small = try Exchange(count: 3)
    let member = small.members[0]
    _ = try member.round.advertise(signer: member.identity.key)
    let request = BeaconRequest(
      context: small.context.digest, members: MemberSet(cohortCount: 3, positions: 0..<3),
      advertisementRoot: SHA256Digest(hashing: [1]), commitments: SHA256Digest(hashing: [1]),
      signature: small.serverIdentity.key.sign(label: "x", canonical: []))
    #expect(try failure { _ = try member.round.receive(request) } == .misuse(.wrongClientStage(.awaitingRoster)))
    #expect(
      try failure {
        try small.server.receive(
          .beaconReveal(
            BeaconRevealMessage(
              context: small.context.digest, organization: member.name, list: BeaconListDigest(hashing: [1]),
              nonce: [])), from: member.name)
      } == .misbehaviour(.outOfOrder(.beaconReveal, stage: .advertiseKeys), by: .organization(member.name)))
  }

  @Test("A server cannot choose the graph: the roster must be of the list, with everybody's nonce as committed")
  func hostileRoster() throws {
    let exchange = try exchange()
    try exchange.advertiseKeys()
    let good = try exchange.roster(for: 0)
    let member = exchange.members[0]
    let names = exchange.members.map(\.name)
    func refuse(
      _ expected: [PeerFault], location: SourceLocation = #_sourceLocation,
      _ change: (inout AdvertisementRoster) throws -> Void
    ) throws {
      var roster = good
      try change(&roster)
      let error = try failure(location) { _ = try member.round.receive(roster, signer: member.identity.key) }
      #expect(expected.map(misbehaviour).contains(error), "\(error)", sourceLocation: location)
      #expect(member.round.stage == .awaitingRoster, sourceLocation: location)
    }
    // Another nonce anywhere, a missing one, one too many, two exchanged.
    for byte in [0, 32 * 50, 32 * Self.count - 1] { try refuse([.wrongBeacon]) { $0.nonces[byte] ^= 1 } }
    try refuse([.wrongBeacon]) { $0.nonces.removeLast(32) }
    try refuse([.wrongBeacon]) { $0.nonces += [UInt8](repeating: 0, count: 32) }
    try refuse([.wrongBeacon]) { for index in 0..<32 { $0.nonces.swapAt(index, 32 + index) } }
    try refuse([.wrongBeacon]) { $0.members = MemberSet(cohortCount: Self.count, positions: 0..<96) }
    // A neighbour left out, another member in its place, a tree that does not fit.
    try refuse([.wrongNeighbors(.roster)]) { $0.advertisements.removeLast() }
    let own = Set(good.advertisements.map(\.organization))
    let stranger = try #require(names.indices.first { !own.contains(names[$0]) })
    let theirs = try #require(
      try exchange.roster(for: stranger).advertisements.first { $0.organization == names[stranger] })
    try refuse([.wrongNeighbors(.roster)]) {
      let other = try #require($0.advertisements.indices.last { _ in true })
      $0.advertisements[other] = theirs
      $0.advertisements.sort { $0.organization < $1.organization }
    }
    try refuse([.invalidTree(.roster)]) { $0.siblings[0] = SHA256Digest(hashing: [1]) }
    try refuse([.invalidTree(.roster)]) { $0.siblings.removeLast() }
    try refuse([.invalidTree(.roster)]) { $0.siblings.append(SHA256Digest(hashing: [1])) }
    // A neighbour's advertisement altered and signed by that neighbour: not the one of the list.
    let index = try #require(good.advertisements.indices.first { good.advertisements[$0].organization != names[0] })
    let neighbor = try #require(names.firstIndex(of: good.advertisements[index].organization))
    try refuse([.invalidTree(.roster)]) {
      $0.advertisements[index].channelKey = theirs.channelKey
      $0.advertisements[index] = $0.advertisements[index].signed(by: Self.identities[neighbor])
    }
    try refuse([.wrongBeaconNonce(names[neighbor])]) {
      $0.advertisements[index].beaconCommitment = nil
      $0.advertisements[index] = $0.advertisements[index].signed(by: Self.identities[neighbor])
    }
    // Commitments travel in small cohorts only.
    try refuse([.wrongCommitments(names[neighbor])]) {
      let points = FeldmanCommitments(points: [theirs.maskKey])
      $0.advertisements[index].commitments = ShareCommitments(mask: points, selfMask: points)
    }
    _ = try member.round.receive(good, signer: member.identity.key)
    #expect(member.round.stage == .awaitingShares)
  }

  @Test("The server refuses nonces that are not those committed to")
  func hostileNonces() throws {
    let exchange = try advertised()
    let member = exchange.members[5]
    let name = member.name
    let reveal = try member.round.receive(try exchange.beaconRequest(for: 5))
    func refuse(_ fault: PeerFault, _ change: (inout BeaconRevealMessage) -> Void) throws {
      var message = reveal
      change(&message)
      #expect(
        try failure { try exchange.server.receive(.beaconReveal(message), from: name) }
          == .misbehaviour(fault, by: .organization(name)))
    }
    try refuse(.wrongBeaconNonce(name)) { $0.nonce[0] ^= 1 }
    try refuse(.wrongBeaconNonce(name)) { $0.nonce.removeLast() }
    try refuse(.wrongBeacon) { $0.list = BeaconListDigest(hashing: [1]) }
    #expect(exchange.server.answered.isEmpty)
    try exchange.send(.beaconReveal(reveal), from: name)
    try exchange.send(.beaconReveal(reveal), from: name)
    try refuse(.duplicateMessage(.beaconReveal)) { $0.nonce[0] ^= 1 }
  }

  @Test("Survivors: neighbours' signatures, a tree over all of U3, and t neighbours left")
  func hostileSurvivors() throws {
    let exchange = try exchange()
    try exchange.advertiseKeys()
    try exchange.shareKeys()
    try exchange.maskedInputs()
    let good = try exchange.announcement(for: 0)
    let member = exchange.members[0]
    func refuse(_ error: AggregationError, _ change: (inout SurvivorAnnouncement) throws -> Void) throws {
      var announcement = good
      try change(&announcement)
      #expect(
        try failure { _ = try member.round.receive(announcement, signer: member.identity.key) } == error)
      #expect(member.round.stage == .awaitingSurvivors)
    }
    try refuse(misbehaviour(.invalidTree(.survivors))) { $0.siblings.removeLast() }
    try refuse(misbehaviour(.invalidTree(.survivors))) { $0.siblings.append(SHA256Digest(hashing: [1])) }
    try refuse(misbehaviour(.wrongNeighbors(.survivors))) { $0.entries.removeLast() }
    // Some neighbours lost and nobody else: within the dropouts, but not enough of them are left.
    let threshold = exchange.context.threshold
    let positions = good.entries.compactMap { exchange.context.position(of: $0.organization) }
    let neighbors = positions.filter { $0 != 0 }
    let lost = Array(neighbors.suffix(neighbors.count - threshold + 1))
    #expect(lost.count <= Self.dropouts)
    try refuse(
      .tooFewParticipants(
        Shortage(
          stage: .maskedInputCollection, present: threshold - 1, required: threshold,
          missing: lost.map { exchange.members[$0].name }))
    ) { announcement in
      announcement.members = announcement.members.subtracting(
        MemberSet(cohortCount: Self.count, positions: lost))
      announcement.entries.removeAll { entry in lost.contains { exchange.members[$0].name == entry.organization } }
    }
    _ = try member.round.receive(good, signer: member.identity.key)
  }

  @Test("A hundred organisations or fewer, and rates that no graph bears, are refused")
  func refusedCohorts() throws {
    func context(_ count: Int, corrupt: Int, perMille: Int) throws -> AggregationContext {
      var parameters = ParameterSet()
      parameters.assumedCorrupt = corrupt
      parameters.graph = .regular(dropouts: try #require(DropoutRate(perMille: perMille)))
      return try AggregationContext(
        binding: binding("x"), parameters: parameters.make(),
        cohort: try (0..<count).map {
          CohortMember(name: try organization($0), identity: Self.identities[$0].key.verifyingKey)
        }, server: Self.serverIdentity.key.verifyingKey)
    }
    for count in [3, 99, 100] {
      #expect(throws: AggregationError.parameters(.cohortSize(count, allowed: 101...10_000))) {
        try context(count, corrupt: 1, perMille: 10)
      }
    }
    let graph = try #require(try context(101, corrupt: 5, perMille: 100).regularGraph)
    let tightened = try RegularGraphParameters(
      organizations: 101, corrupt: 5, dropouts: 10, adversary: .semiMalicious, tighteningBits: 3)
    #expect(graph == tightened)
    do {
      _ = try context(104, corrupt: 35, perMille: 340)
      Issue.record("an infeasible graph was accepted")
    } catch AggregationError.parameters(.graph(.infeasible)) {}
    let rate = try #require(DropoutRate(perMille: 100))
    #expect(SumGraph.automatic(dropouts: rate).dropouts(members: 100) == nil)
    #expect(SumGraph.automatic(dropouts: rate).dropouts(members: 101) == rate)
    #expect(rate.count(of: 109) == 10)
    #expect(DropoutRate(perMille: -1) == nil && DropoutRate(perMille: 1001) == nil)
  }

  @Test("A commitment to a nonce is the hash of its canonical encoding")
  func commitment() {
    let nonce = [UInt8](0..<32)
    var encoder = CanonicalEncoder("bauta/v1/beacon-commitment")
    encoder.append(nonce)
    #expect(GraphBeacon.commitment(to: nonce) == BeaconCommitment(hashing: encoder.finish()))
  }

  @Test("A remembered verification is one that succeeded, and no other")
  func memo() throws {
    let payload = SignedPayload("bauta/v1/test") { $0.append("a") }
    let other = SignedPayload("bauta/v1/test") { $0.append("b") }
    let key = Self.identities[0].key.verifyingKey
    let signature = payload.signature(by: Self.identities[0].key)
    VerificationMemo.$current.withValue(VerificationMemo()) {
      for _ in 0..<2 {
        #expect(payload.isSigned(signature, by: key))
        #expect(!other.isSigned(signature, by: key))
        #expect(!payload.isSigned(signature, by: Self.identities[1].key.verifyingKey))
      }
    }
  }
}

extension BeaconRequest {
  /// The same contents under a fresh signature.
  func signed(by identity: Identity) -> BeaconRequest {
    var request = self
    request.signature = payload.signature(by: identity.key)
    return request
  }
}
