import Cryptography
import Testing

@testable import SecureAggregation

/// Both graphs, each with a cohort from which some members may be lost.
enum TestGraph: String, CaseIterable, Sendable {
  case complete, regular

  private static let identities = (0..<104).map { _ in Identity() }
  static let server = Identity()

  /// Twelve of the complete graph lose five, 104 of the k-regular one fourteen.
  var count: Int {
    switch self {
    case .complete: 12
    case .regular: 104
    }
  }

  var identities: [Identity] { Array(Self.identities.prefix(count)) }

  /// An exchange among the same identities every time: two of one binding are one attempt, played twice.
  func exchange(
    binding: String = "attempt 1", tensorCount: Int = 5, bits: Int = 20, seed: UInt64 = 1
  ) throws -> Exchange {
    var parameters = ParameterSet()
    parameters.tensorCount = tensorCount
    parameters.bits = bits
    switch self {
    case .complete: parameters.assumedCorrupt = 1
    case .regular:
      parameters.assumedCorrupt = 4
      parameters.graph = .regular(dropouts: try #require(DropoutRate(perMille: 135)))
    }
    return try Exchange(
      count: count, parameters: parameters, binding: binding, identities: identities, serverIdentity: Self.server,
      seed: seed)
  }
}

extension Exchange {
  /// Gives a message to a member's machine.
  func hand(_ message: ServerRoundMessage, to index: Int) throws -> ClientRoundMessage {
    let member = members[index]
    let key = member.identity
    switch message {
    case .beaconRequest(let request): return .beaconReveal(try member.round.receive(request))
    case .roster(let roster): return .shareKeys(try member.round.receive(roster, signer: key.key))
    case .shares(let delivery):
      let input = try member.round.receive(delivery, term: member.term, signer: key.key)
      bodies[member.name] = input.body
      return .maskedInput(input.message)
    case .survivors(let announcement):
      return .consistencyCheck(try member.round.receive(announcement, signer: key.key))
    case .statements(let statements): return .unmasking(try member.round.receive(statements))
    }
  }

  /// What an honest member says in the present stage of the server.
  func answer(_ index: Int) throws -> ClientRoundMessage {
    let member = members[index]
    if server.stage == .advertiseKeys {
      return .advertiseKeys(try member.round.advertise(signer: member.identity.key))
    }
    return try hand(try delivered(to: index), to: index)
  }

  /// One stage, honestly, with the members given; it is closed afterwards.
  @discardableResult
  func play(_ who: some Sequence<Int>) throws -> [ClientRoundMessage] {
    var messages: [ClientRoundMessage] = []
    for index in who {
      let message = try answer(index)
      try send(message, from: members[index].name)
      messages.append(message)
    }
    try close()
    return messages
  }

  var isOver: Bool { server.stage == .completed || server.stage == .failed }

  func index(of name: OrganizationName) throws -> Int { try #require(members.firstIndex { $0.name == name }) }

  func blames(_ fault: PeerFault, _ index: Int) -> AggregationError {
    .misbehaviour(fault, by: .organization(members[index].name))
  }
}

/// A member that makes every message of its own by hand, with its own identity: it can deviate wherever it likes.
final class Attacker {
  let exchange: Exchange
  let index: Int
  private let client: AdvertisedClient
  var advertisement: AdvertiseKeysMessage
  private var roster: [OrganizationName: AdvertiseKeysMessage] = [:]

  init(_ exchange: Exchange, index: Int) throws {
    self.exchange = exchange
    self.index = index
    client = try AdvertisedClient(
      context: exchange.context, organization: exchange.members[index].name,
      signer: exchange.members[index].identity.key)
    advertisement = client.message
  }

  var name: OrganizationName { exchange.members[index].name }
  private var identity: Identity { exchange.members[index].identity }

  /// R0 and R0b of everybody, this member included.
  func advertise() throws {
    advertisement = advertisement.signed(by: identity)
    for other in exchange.members.indices where other != index {
      try exchange.send(try exchange.answer(other), from: exchange.members[other].name)
    }
    try exchange.send(.advertiseKeys(advertisement), from: name)
    try exchange.close()
    guard exchange.server.stage == .graphBeacon else { return }
    for other in exchange.members.indices where other != index {
      try exchange.send(try exchange.answer(other), from: exchange.members[other].name)
    }
    let request = try exchange.beaconRequest(for: index)
    try exchange.send(
      .beaconReveal(try client.reveal(request, position: index, context: exchange.context)), from: name)
    try exchange.close()
  }

  /// R1 of everybody; returns the cohort positions to which this member sent shares.
  ///
  /// - Parameters:
  ///   - plaintext: may change what is sealed for a position.
  ///   - ciphertext: may change what is sent to it.
  @discardableResult
  func shareKeys(
    plaintext: (Int, inout SecretBytes) throws -> Void = { _, _ in },
    ciphertext: (Int, inout [UInt8]) -> Void = { _, _ in }
  ) throws -> [Int] {
    let roster = try exchange.roster(for: index)
    var transcript: TranscriptDigest?
    for other in exchange.members.indices where other != index {
      let message = try exchange.shareKeysMessage(other)
      transcript = message.transcript
      try exchange.send(.shareKeys(message), from: message.organization)
    }
    self.roster = Dictionary(uniqueKeysWithValues: roster.advertisements.map { ($0.organization, $0) })
    var entries: [ShareKeysMessage.Entry] = []
    var peers: [Int] = []
    for peer in roster.advertisements where peer.organization != name {
      let position = try exchange.index(of: peer.organization)
      var shares = SecretBytes(count: 2 * SecretSharing.scalarByteCount)
      client.mask.writeShare(at: position + 1, into: &shares, slot: 0)
      client.selfMask.writeShare(at: position + 1, into: &shares, slot: 1)
      try plaintext(position, &shares)
      let keys = try client.channel.sessionKeys(with: peer.channelKey, asLowerIndex: name < peer.organization)
      var sealed = keys.seal(
        shares,
        associatedData: ShareKeysMessage.associatedData(
          transcript: try #require(transcript), sender: name, recipient: peer.organization))
      ciphertext(position, &sealed)
      entries.append(ShareKeysMessage.Entry(recipient: peer.organization, ciphertext: sealed))
      peers.append(position)
    }
    let message = ShareKeysMessage(
      context: exchange.context.digest, transcript: try #require(transcript), organization: name, entries: entries,
      signature: advertisement.signature)
    try exchange.send(.shareKeys(message.signed(by: identity)), from: name)
    try exchange.close()
    return peers
  }

  /// R2 of this member alone.
  func maskedInput() throws {
    let context = exchange.context
    let delivery = try exchange.delivery(for: index)
    let generator = context.parameters.generator
    var masks = [
      try Mask.own(
        secret: try client.selfMask.constant(), owner: name, transcript: delivery.transcript, generator: generator)
    ]
    for peer in delivery.entries.compactMap({ roster[$0.sender] }) {
      masks.append(
        try Mask.pairwise(
          secret: try client.mask.constant(), publicKey: peer.maskKey, addedBy: name, with: peer.organization,
          transcript: delivery.transcript, generator: generator))
    }
    var body: [UInt8] = []
    let hash = try MaskedInputWriter.write(
      exchange.members[index].term, masks: masks, parameters: context.parameters, lanes: .one
    ) { body += $0 }
    exchange.bodies[name] = body
    let survivors = Transcript.survivors(delivery.members)
    let payload = MaskedInputMessage.payload(
      transcript: delivery.transcript, organization: name, shareSurvivors: survivors, hash: hash)
    try exchange.send(
      .maskedInput(
        MaskedInputMessage(
          context: context.digest, transcript: delivery.transcript, organization: name, shareSurvivors: survivors,
          complaints: [], maskedInputHash: hash, signature: payload.signature(by: identity.key))), from: name)
  }
}

/// One memo of signature verifications for a suite: in these cohorts everybody verifies what the others did.
struct SharedVerifications: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await VerificationMemo.$current.withValue(VerificationMemo(), operation: function)
  }
}

extension SuiteTrait where Self == SharedVerifications {
  static var sharedVerifications: Self { Self() }
}
