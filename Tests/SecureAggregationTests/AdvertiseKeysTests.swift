import Cryptography
import Testing

@testable import SecureAggregation

/// A hostile server, or a hostile member that signs with its own identity, against a real client in R1; and hostile
/// clients against the real server in R0.
@Suite("AdvertiseKeys")
struct AdvertiseKeysTests {
  /// The client refuses the roster and still waits for a good one.
  private func refuse(
    _ exchange: Exchange, _ fault: PeerFault, location: SourceLocation = #_sourceLocation,
    _ change: (inout AdvertisementRoster) throws -> Void
  ) throws {
    var roster = try exchange.roster(for: 0)
    try change(&roster)
    let member = exchange.members[0]
    let error = try failure(location) { _ = try member.round.receive(roster, signer: member.identity.key) }
    #expect(error == misbehaviour(fault), sourceLocation: location)
    #expect(member.round.stage == .awaitingRoster, sourceLocation: location)
  }

  private func ready() throws -> Exchange {
    let exchange = try Exchange()
    try exchange.advertiseKeys()
    return exchange
  }

  /// An advertisement with other contents, signed by the member itself.
  private func forged(
    _ exchange: Exchange, _ index: Int, _ change: (inout AdvertiseKeysMessage) throws -> Void
  ) throws -> AdvertiseKeysMessage {
    var message = try exchange.roster(for: 0).advertisements[index]
    try change(&message)
    return message.signed(by: exchange.members[index].identity)
  }

  @Test("A swapped key does not verify under the pinned identity")
  func swappedKey() throws {
    let exchange = try ready()
    let name = exchange.members[2].name
    let stranger = try Exchange()
    try stranger.advertiseKeys()
    let other = try stranger.roster(for: 0).advertisements[2]
    let fault = PeerFault.invalidSignature(of: .organization(name), .advertiseKeys)
    try refuse(exchange, fault) { $0.advertisements[2].channelKey = other.channelKey }
    try refuse(exchange, fault) {
      $0.advertisements[2].selfMaskKey = other.selfMaskKey
      $0.advertisements[2].commitments?.selfMask = try #require(other.commitments).selfMask
      $0.advertisements[2].commitmentHash = try #require($0.advertisements[2].commitments).hash
    }
    try refuse(exchange, fault) {
      $0.advertisements[2].maskKey = other.maskKey
      $0.advertisements[2].commitments?.mask = try #require(other.commitments).mask
      $0.advertisements[2].commitmentHash = try #require($0.advertisements[2].commitments).hash
    }
    try refuse(exchange, .wrongCommitments(name)) { $0.advertisements[2].commitments = other.commitments }
    try refuse(exchange, .wrongCommitments(name)) { $0.advertisements[2].commitments = nil }
    try refuse(exchange, fault) { $0.advertisements[2].signature = other.signature }
  }

  @Test("The own advertisement must come back as it was sent")
  func ownEntry() throws {
    let exchange = try ready()
    try refuse(exchange, .ownEntry(.roster)) { $0.advertisements.removeFirst() }
    // Nonces belong to k-regular graphs.
    try refuse(exchange, .wrongBeacon) { $0.nonces = [1] }
    // Even signed by the own identity: it is not what this machine sent.
    let other = try Exchange(
      identities: exchange.members.map(\.identity), serverIdentity: exchange.serverIdentity)
    try other.advertiseKeys()
    let replayed = try other.roster(for: 0).advertisements[0]
    try refuse(exchange, .ownEntryAltered(.roster)) { $0.advertisements[0] = replayed }
  }

  @Test("Unknown, repeated and unsorted organisations are refused")
  func lists() throws {
    let exchange = try ready()
    let members = exchange.members
    let stranger = try OrganizationName("zebra.example")
    try refuse(exchange, .unknownOrganization(stranger)) { $0.advertisements[4].organization = stranger }
    try refuse(exchange, .duplicateOrganization(members[1].name)) {
      $0.advertisements.insert($0.advertisements[1], at: 1)
    }
    try refuse(exchange, .unsortedOrganizations(.roster)) { $0.advertisements.swapAt(2, 3) }
  }

  @Test("Two members with the same key are refused, though each signed")
  func duplicateKeys() throws {
    let exchange = try ready()
    let first = try exchange.roster(for: 0).advertisements[1]
    let names = exchange.members.map(\.name)
    let channel = try forged(exchange, 3) { $0.channelKey = first.channelKey }
    try refuse(exchange, .duplicateKey(.channel, names[1], names[3])) { $0.advertisements[3] = channel }
    let mask = try forged(exchange, 3) { $0.maskKey = first.maskKey }
    try refuse(exchange, .duplicateKey(.mask, names[1], names[3])) { $0.advertisements[3] = mask }
    let selfMask = try forged(exchange, 3) { $0.selfMaskKey = first.selfMaskKey }
    try refuse(exchange, .duplicateKey(.selfMask, names[1], names[3])) { $0.advertisements[3] = selfMask }
  }

  @Test("Commitments must be t points that begin with the mask key")
  func commitments() throws {
    let exchange = try ready()
    let other = try exchange.roster(for: 0).advertisements[1]
    let name = exchange.members[3].name
    func commitments(_ bytes: [UInt8]) throws -> FeldmanCommitments { try FeldmanCommitments(bytes: bytes) }
    let changes: [(inout ShareCommitments) throws -> Void] = [
      { $0.mask = try commitments(Array($0.mask.bytes.dropLast(32))) },
      { $0.selfMask = try commitments(Array($0.selfMask.bytes.dropLast(32))) },
      { $0.selfMask = try commitments(other.maskKey.bytes) },
      { $0.mask = try commitments(Array($0.mask.bytes.suffix(32) + $0.mask.bytes.dropLast(32))) },
      { $0.mask = try commitments($0.mask.bytes + other.maskKey.bytes) },
      // The identity, and bytes that are no point, after the first.
      { $0.mask = try commitments($0.mask.bytes.dropLast(32) + [UInt8](repeating: 0, count: 32)) },
      { $0.selfMask = try commitments($0.selfMask.bytes.dropLast(32) + [UInt8](repeating: 0xff, count: 32)) },
    ]
    for change in changes {
      let message = try forged(exchange, 3) { message in
        var changed = try #require(message.commitments)
        try change(&changed)
        message.commitments = changed
        message.commitmentHash = changed.hash
      }
      try refuse(exchange, .wrongCommitments(name)) { $0.advertisements[3] = message }
    }
  }

  @Test("Messages of another attempt are refused")
  func otherContext() throws {
    let exchange = try ready()
    let other = try Exchange(
      binding: "attempt 2", identities: exchange.members.map(\.identity), serverIdentity: exchange.serverIdentity)
    try other.advertiseKeys()
    let replay = try other.roster(for: 0)
    try refuse(exchange, .contextMismatch(.roster)) { $0 = replay }
    try refuse(exchange, .contextMismatch(.advertiseKeys)) { $0.advertisements[3] = replay.advertisements[3] }
    // With the context rewritten the signature gives it away.
    try refuse(exchange, .invalidSignature(of: .organization(exchange.members[3].name), .advertiseKeys)) {
      $0.advertisements[3] = replay.advertisements[3]
      $0.advertisements[3].context = exchange.context.digest
    }
  }

  @Test("A roster below the minimum is refused, at it accepted")
  func tooFew() throws {
    let exchange = try ready()
    var roster = try exchange.roster(for: 0)
    roster.limit(to: [0, 1, 2])
    let member = exchange.members[0]
    let error = try failure { _ = try member.round.receive(roster, signer: member.identity.key) }
    #expect(
      error
        == .tooFewParticipants(
          Shortage(
            stage: .advertiseKeys, present: 3, required: 4, missing: exchange.members.suffix(2).map(\.name))))
    #expect(member.round.stage == .awaitingRoster)
    var enough = try exchange.roster(for: 0)
    enough.limit(to: [0, 1, 2, 3])
    _ = try member.round.receive(enough, signer: member.identity.key)
    #expect(member.round.stage == .awaitingShares)
  }

  @Test("The server refuses bad advertisements and blames their sender")
  func hostileClients() throws {
    let exchange = try Exchange()
    let other = try ready()
    let members = exchange.members
    let sent = try members[0].round.advertise(signer: members[0].identity.key)
    let second = try members[1].round.advertise(signer: members[1].identity.key)
    try exchange.send(.advertiseKeys(sent), from: members[0].name)

    func refuse(
      _ fault: PeerFault, _ message: AdvertiseKeysMessage, from index: Int,
      location: SourceLocation = #_sourceLocation
    ) throws {
      let name = members[index].name
      let error = try failure(location) { try exchange.server.receive(.advertiseKeys(message), from: name) }
      #expect(error == .misbehaviour(fault, by: .organization(name)), sourceLocation: location)
      #expect(exchange.server.answered == [members[0].name], sourceLocation: location)
      #expect(exchange.server.stage == .advertiseKeys, sourceLocation: location)
    }
    try refuse(.senderMismatch(claimed: members[0].name), sent, from: 1)
    try refuse(.contextMismatch(.advertiseKeys), try other.roster(for: 0).advertisements[1], from: 1)
    var altered = second
    altered.channelKey = sent.channelKey
    try refuse(.invalidSignature(of: .organization(members[1].name), .advertiseKeys), altered, from: 1)
    try refuse(
      .duplicateKey(.channel, members[0].name, members[1].name), altered.signed(by: members[1].identity), from: 1)
    var changed = sent
    changed.channelKey = second.channelKey
    try refuse(.duplicateMessage(.advertiseKeys), changed.signed(by: members[0].identity), from: 0)
    // A resend of the same bytes is no fault.
    try exchange.send(.advertiseKeys(sent), from: members[0].name)
    let stranger = try OrganizationName("zebra.example")
    #expect(
      try failure { try exchange.server.receive(.advertiseKeys(sent), from: stranger) }
        == .misbehaviour(.unknownOrganization(stranger), by: .organization(stranger)))
  }
}

extension AdvertiseKeysMessage {
  /// The same contents under a fresh signature.
  func signed(by identity: Identity) -> AdvertiseKeysMessage {
    var message = self
    message.signature = payload.signature(by: identity.key)
    return message
  }
}

extension AdvertisementRoster {
  /// Pretends on the complete graph that only those at the positions given had advertised.
  mutating func limit(to positions: [Int]) {
    members = MemberSet(cohortCount: members.cohortCount, positions: positions)
    advertisements = positions.map { advertisements[$0] }
  }
}
