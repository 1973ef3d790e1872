import Cryptography
import Testing

@testable import SecureAggregation

/// A hostile server or a hostile member against a real client in R2; hostile clients against the real server.
@Suite("MaskedInputCollection")
struct MaskedInputCollectionTests {
  private func ready(_ parameters: ParameterSet = ParameterSet()) throws -> Exchange {
    let exchange = try Exchange(parameters: parameters)
    try exchange.advance(to: .maskedInputCollection)
    return exchange
  }

  private func refuse(
    _ exchange: Exchange, _ fault: PeerFault, location: SourceLocation = #_sourceLocation,
    _ change: (inout ShareDelivery) throws -> Void
  ) throws {
    var delivery = try exchange.delivery(for: 0)
    try change(&delivery)
    let member = exchange.members[0]
    let error = try failure(location) {
      _ = try member.round.receive(delivery, term: member.term, signer: member.identity.key)
    }
    #expect(error == misbehaviour(fault), sourceLocation: location)
    #expect(member.round.stage == .awaitingShares, sourceLocation: location)
  }

  @Test("A ciphertext altered in relay, or one for somebody else, is not under the signed root")
  func alteredCiphertext() throws {
    let exchange = try ready()
    let names = exchange.members.map(\.name)
    let forOther = try exchange.delivery(for: 1)
    try refuse(exchange, .invalidInclusion(names[1])) { $0.entries[0].ciphertext[40] ^= 1 }
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1].ciphertext = $0.entries[2].ciphertext }
    // Position 1 of what 1 was sent is from 2, as is position 1 of what 0 was sent.
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1] = forOther.entries[1] }
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1].path.removeLast() }
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1].path.append($0.entries[1].path[0]) }
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1].count = $0.entries[1].index }
    try refuse(exchange, .invalidInclusion(names[2])) { $0.entries[1].index ^= 1 }
    try refuse(exchange, .invalidSignature(of: .organization(names[2]), .shares)) {
      $0.entries[1].root = $0.entries[2].root
    }
    try refuse(exchange, .invalidSignature(of: .organization(names[2]), .shares)) {
      $0.entries[1].signature = $0.entries[2].signature
    }
  }

  @Test("Unknown, repeated, unsorted and own senders are refused")
  func lists() throws {
    let exchange = try ready()
    let names = exchange.members.map(\.name)
    let stranger = try OrganizationName("zebra.example")
    try refuse(exchange, .unknownOrganization(stranger)) { $0.entries[3].sender = stranger }
    try refuse(exchange, .duplicateOrganization(names[2])) { $0.entries.insert($0.entries[1], at: 1) }
    try refuse(exchange, .unsortedOrganizations(.shares)) { $0.entries.swapAt(0, 1) }
    try refuse(exchange, .ownEntry(.shares)) { $0.entries[0].sender = names[0] }
    try refuse(exchange, .ownEntry(.shares)) { $0.members = MemberSet(cohortCount: 5, positions: 1..<5) }
    try refuse(exchange, .wrongNeighbors(.shares)) { $0.entries.removeLast() }
    try refuse(exchange, .wrongNeighbors(.shares)) { $0.members = MemberSet(cohortCount: 5, positions: 0..<4) }
  }

  @Test("A sender outside U1 is refused")
  func outsideU1() throws {
    let exchange = try Exchange()
    try exchange.advertiseKeys([0, 1, 2, 3])
    try exchange.shareKeys([0, 1, 2, 3])
    let name = exchange.members[4].name
    try refuse(exchange, .notInEarlierSet(name, stage: .advertiseKeys)) {
      $0.entries[2].sender = name
      $0.members = MemberSet(cohortCount: 5, positions: [0, 1, 2, 4])
    }
    try refuse(exchange, .wrongNeighbors(.shares)) { $0.entries[2].sender = name }
  }

  @Test("Deliveries of another attempt are refused")
  func otherContext() throws {
    let exchange = try ready()
    let identities = exchange.members.map(\.identity)
    let other = try Exchange(
      binding: "attempt 2", identities: identities, serverIdentity: exchange.serverIdentity)
    try other.advance(to: .maskedInputCollection)
    let replay = try other.delivery(for: 0)
    try refuse(exchange, .contextMismatch(.shares)) { $0 = replay }
    try refuse(exchange, .transcriptMismatch(.shares)) {
      $0 = replay
      $0.context = exchange.context.digest
    }
    try refuse(exchange, .invalidSignature(of: .organization(exchange.members[1].name), .shares)) {
      $0.entries = replay.entries
    }
  }

  @Test("A delivery below the minimum is refused")
  func tooFew() throws {
    let exchange = try ready()
    var delivery = try exchange.delivery(for: 0)
    delivery.entries.removeLast(2)
    delivery.members = MemberSet(cohortCount: 5, positions: 0..<3)
    let member = exchange.members[0]
    let error = try failure {
      _ = try member.round.receive(delivery, term: member.term, signer: member.identity.key)
    }
    #expect(
      error
        == .tooFewParticipants(
          Shortage(stage: .shareKeys, present: 3, required: 4, missing: exchange.members.suffix(2).map(\.name))))
    #expect(member.round.stage == .awaitingShares)
  }

  @Test("A term that does not belong to the parameters is not masked")
  func wrongTerm() throws {
    let exchange = try ready()
    let member = exchange.members[0]
    let delivery = try exchange.delivery(for: 0)
    let term = member.term
    for (bad, misuse) in [
      (EncodedTerm(tensors: [], counters: term.counters), Misuse.wrongTermShape(tensors: 0, counters: 4)),
      (EncodedTerm(tensors: term.tensors, counters: []), .wrongTermShape(tensors: 37, counters: 0)),
      (EncodedTerm(tensors: term.tensors.map { _ in 1 << 19 }, counters: term.counters), .storedTermIsCorrupt),
      (EncodedTerm(tensors: term.tensors, counters: [.max, 0, 0, 0]), .storedTermIsCorrupt),
    ] {
      let error = try failure { _ = try member.round.receive(delivery, term: bad, signer: member.identity.key) }
      #expect(error == .misuse(misuse))
      #expect(member.round.stage == .awaitingShares)
    }
  }

  /// Runs to the end with member 4 having sent something bad to member 0 in R1, and checks the complaint.
  private func complain(
    _ reason: Complaint.Reason, dropsOut: Bool,
    _ ciphertext: (borrowing AdvertisedClient, AdvertiseKeysMessage, [UInt8], [UInt8]) throws -> [UInt8]
  ) throws {
    var parameters = ParameterSet()
    parameters.assumedCorrupt = 0
    let exchange = try Exchange(parameters: parameters)
    let context = exchange.context
    let attacker = exchange.members[4]
    let victim = exchange.members[0]
    let client = try AdvertisedClient(
      context: context, organization: attacker.name, signer: attacker.identity.key)
    for member in exchange.members.dropLast() {
      try exchange.send(.advertiseKeys(try member.round.advertise(signer: member.identity.key)), from: member.name)
    }
    try exchange.send(.advertiseKeys(client.message), from: attacker.name)
    try exchange.close()
    for index in 0..<4 {
      try exchange.send(.shareKeys(try exchange.shareKeysMessage(index)), from: exchange.members[index].name)
    }
    let roster = try exchange.roster(for: 4)
    let step = try client.share(roster, list: nil, position: 4, context: context, signer: attacker.identity.key)
    var message = step.message
    let data = ShareKeysMessage.associatedData(
      transcript: message.transcript, sender: attacker.name, recipient: victim.name)
    message.entries[0].ciphertext = try ciphertext(
      client, roster.advertisements[0], data, message.entries[0].ciphertext)
    try exchange.send(.shareKeys(message.signed(by: attacker.identity)), from: attacker.name)
    try exchange.close()

    // The victim complains about the ciphertext it was sent and goes on with the accused in U2.
    for index in 0..<4 {
      let sent = try exchange.maskedInputMessage(index)
      #expect(sent.complaints.map(\.accused) == (index == 0 ? [attacker.name] : []))
      try exchange.send(.maskedInput(sent), from: exchange.members[index].name)
    }
    let complaint = try #require(exchange.server.complaints[victim.name]?.first)
    #expect(complaint.reason == reason)
    #expect(complaint.ciphertextHash == SHA256Digest(hashing: message.entries[0].ciphertext))
    var survivors = [0, 1, 2, 3]
    if !dropsOut {
      let delivery = try exchange.delivery(for: 4)
      let shared = client.shared(step)
      var body: [UInt8] = []
      let masked = try shared.mask(
        delivery, term: attacker.term, position: 4, lanes: .one, context: context, signer: attacker.identity.key,
        sealing: { _, _ in }, spool: { body += $0 })
      exchange.bodies[attacker.name] = body
      try exchange.send(.maskedInput(masked.message), from: attacker.name)
      survivors.append(4)
    }
    try exchange.close()
    try exchange.consistencyChecks([0, 1, 2, 3])
    // It has no share of the accused to release; the others suffice.
    let reply = try exchange.unmaskingMessage(0)
    #expect(reply.entries.map(\.owner) == exchange.members.dropLast().map(\.name))
    try exchange.send(.unmasking(reply), from: victim.name)
    for index in [1, 2] {
      try exchange.send(.unmasking(try exchange.unmaskingMessage(index)), from: exchange.members[index].name)
    }
    // Three have answered, but only two of them hold shares of the accused.
    #expect(!exchange.server.canAdvance)
    try exchange.send(.unmasking(try exchange.unmaskingMessage(3)), from: exchange.members[3].name)
    #expect(exchange.server.canAdvance)
    try exchange.close()
    try exchange.expectExactSum(of: survivors)
  }

  @Test(
    "A signed ciphertext that does not open leads to a complaint, and the round recovers", arguments: [true, false])
  func badCiphertext(dropsOut: Bool) throws {
    try complain(.ciphertext, dropsOut: dropsOut) { _, _, _, ciphertext in
      var altered = ciphertext
      altered[50] ^= 1
      return altered
    }
    // Sealed for another pair or another transcript: the associated data differ.
    try complain(.ciphertext, dropsOut: dropsOut) { client, victim, data, _ in
      let keys = try client.channel.sessionKeys(with: victim.channelKey, asLowerIndex: false)
      return keys.seal(SecretBytes(count: 64), associatedData: data + [0])
    }
  }

  @Test("Shares off the committed polynomial lead to a complaint, and the round recovers", arguments: [true, false])
  func badShare(dropsOut: Bool) throws {
    for slot in 0..<2 {
      try complain(.share, dropsOut: dropsOut) { client, victim, data, _ in
        var plaintext = SecretBytes(count: 64)
        plaintext.copyScalar(try client.mask.share(at: slot == 0 ? 2 : 1), to: 0)
        plaintext.copyScalar(try client.selfMask.share(at: slot == 1 ? 2 : 1), to: 1)
        let keys = try client.channel.sessionKeys(with: victim.channelKey, asLowerIndex: false)
        return keys.seal(plaintext, associatedData: data)
      }
    }
    // Not canonical scalars.
    try complain(.share, dropsOut: dropsOut) { client, victim, data, _ in
      var plaintext = SecretBytes(count: 64)
      plaintext.withUnsafeMutableBytes { buffer in for index in buffer.indices { buffer[index] = 0xff } }
      let keys = try client.channel.sessionKeys(with: victim.channelKey, asLowerIndex: false)
      return keys.seal(plaintext, associatedData: data)
    }
  }

  @Test("One who deals bad shares to many is named before anybody signs, while another attempt is free")
  func badDealer() throws {
    let exchange = try Exchange()
    try exchange.advance(to: .shareKeys)
    for index in 0..<4 {
      try exchange.send(.shareKeys(try exchange.shareKeysMessage(index)), from: exchange.members[index].name)
    }
    let dealer = exchange.members[4]
    var message = try exchange.shareKeysMessage(4)
    for index in 0..<2 { message.entries[index].ciphertext[50] ^= 1 }
    try exchange.send(.shareKeys(message.signed(by: dealer.identity)), from: dealer.name)
    try exchange.close()
    let error = try failure { try exchange.maskedInputs() }
    #expect(
      error
        == .tooFewParticipants(
          Shortage(
            stage: .maskedInputCollection, present: 3, required: 4,
            missing: [0, 1].map { exchange.members[$0].name })))
    #expect(exchange.server.stage == .failed)
    #expect(exchange.server.blamed == [dealer.name])
  }

  @Test("The server refuses bad masked inputs and blames their sender; the sum stays exact")
  func hostileClients() throws {
    let exchange = try Exchange()
    try exchange.advertiseKeys()
    try exchange.shareKeys([0, 1, 2, 3])
    let members = exchange.members
    let sent = try exchange.maskedInputMessage(0)
    let message = try exchange.maskedInputMessage(1)
    try exchange.send(.maskedInput(sent), from: members[0].name)
    let party = Party.organization(members[1].name)

    func refuse(
      _ fault: PeerFault, from index: Int = 1, location: SourceLocation = #_sourceLocation,
      _ changeMessage: (inout MaskedInputMessage) -> Void = { _ in }, body change: (inout [UInt8]) -> Void = { _ in }
    ) throws {
      var altered = index == 1 ? message : sent
      changeMessage(&altered)
      let name = members[index].name
      var body = try #require(exchange.bodies[name])
      change(&body)
      let error = try failure(location) {
        try exchange.server.receive(.maskedInput(altered), body: body, from: name)
      }
      #expect(error == .misbehaviour(fault, by: .organization(name)), sourceLocation: location)
      #expect(exchange.server.answered == [members[0].name], sourceLocation: location)
    }
    let length = exchange.context.maskedInputByteCount
    #expect(length == (37 * 20 + 7) / 8 + 32)
    try refuse(.transcriptMismatch(.maskedInput)) { $0.transcript = TranscriptDigest(hashing: [1]) }
    try refuse(.survivorsMismatch(.maskedInput)) {
      $0.shareSurvivors = Transcript.survivors(MemberSet(cohortCount: 5, positions: [0]))
    }
    try refuse(.wrongLength(expected: length, actual: length - 1), body: { $0.removeLast() })
    try refuse(.wrongLength(expected: length, actual: length + 1), body: { $0.append(0) })
    try refuse(.wrongLength(expected: length, actual: 0), body: { $0 = [] })
    try refuse(.maskedInputAltered, body: { $0[0] ^= 1 })
    try refuse(.maskedInputAltered, body: { $0[length - 1] ^= 1 })
    // 740 bits: the upper half of byte 92 is unused.
    var unused = try #require(exchange.bodies[members[1].name])
    unused[92] |= 0x10
    let signed = message.signed(over: unused, by: members[1].identity)
    try refuse(.unusedBitsSet, { $0 = signed }, body: { $0 = unused })
    try refuse(.invalidSignature(of: party, .maskedInput)) { $0.maskedInputHash = sent.maskedInputHash }
    try refuse(.invalidSignature(of: party, .maskedInput)) { $0.signature = sent.signature }
    try refuse(.duplicateMessage(.maskedInput), from: 0) { $0.maskedInputHash = message.maskedInputHash }
    let received = try exchange.delivery(for: 1).entries
    func accuse(_ accused: OrganizationName, by index: Int, _ ciphertext: [UInt8]? = nil) -> Complaint {
      let relayed = received.first { $0.sender == accused }?.ciphertext
      let hash = SHA256Digest(hashing: ciphertext ?? relayed ?? [])
      let payload = Complaint.payload(
        transcript: message.transcript, complainant: members[index].name, accused: accused, reason: .share,
        ciphertextHash: hash)
      return Complaint(
        accused: accused, reason: .share, ciphertextHash: hash,
        signature: payload.signature(by: members[index].identity.key))
    }
    // About oneself, about one outside U2, about another ciphertext, under another signature, twice.
    for complaints in [
      [accuse(members[1].name, by: 1)], [accuse(members[4].name, by: 1)], [accuse(members[2].name, by: 1, [1])],
      [accuse(members[2].name, by: 2)], [accuse(members[2].name, by: 1), accuse(members[2].name, by: 1)],
    ] {
      try refuse(.invalidComplaint(about: complaints[0].accused)) { $0.complaints = complaints }
    }
    try exchange.send(.maskedInput(sent), from: members[0].name)
    var late = message
    late.organization = members[4].name
    #expect(
      try failure { try exchange.server.receive(.maskedInput(late), from: members[4].name) }
        == .misbehaviour(
          .notInEarlierSet(members[4].name, stage: .shareKeys), by: .organization(members[4].name)))

    try exchange.send(.maskedInput(message), from: members[1].name)
    try exchange.maskedInputs([2, 3])
    try exchange.consistencyChecks([0, 1, 2, 3])
    try exchange.unmaskings([0, 1, 2, 3])
    try exchange.expectExactSum(of: [0, 1, 2, 3])
  }
}

extension MaskedInputMessage {
  /// The same over other bytes, under a fresh signature.
  func signed(over body: [UInt8], by identity: Identity) -> MaskedInputMessage {
    var message = self
    message.maskedInputHash = Transcript.maskedInput(body)
    message.signature = Self.payload(
      transcript: transcript, organization: organization, shareSurvivors: shareSurvivors,
      hash: message.maskedInputHash
    ).signature(by: identity.key)
    return message
  }
}
