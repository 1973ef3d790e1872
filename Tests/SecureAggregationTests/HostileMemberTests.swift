import Cryptography
import Testing

@testable import SecureAggregation

/// Hostile members of a k-regular graph against the real server and the other members' real machines.
@Suite("Hostile members on a k-regular graph", .sharedVerifications)
struct HostileMemberTests {
  private static let count = TestGraph.regular.count
  private static let attacker = count - 1

  private func everybody(but absent: [Int]) -> [Int] { (0..<Self.count).filter { !absent.contains($0) } }

  @Test("A reply holds one share of the kind that is due for each neighbour, and of nobody else")
  func wrongShareSets() throws {
    let exchange = try TestGraph.regular.exchange()
    try exchange.advertiseKeys()
    try exchange.shareKeys()
    try exchange.maskedInputs(everybody(but: [50]))
    try exchange.consistencyChecks(everybody(but: [50]))
    guard case .unmasking(let good) = try exchange.answer(0) else { throw TestFault.unexpectedMessage }
    let name = exchange.members[0].name
    let owners = good.entries.map(\.owner)
    let stranger = try #require(exchange.members.map(\.name).last { $0 != name && !owners.contains($0) })
    func refuse(
      _ fault: PeerFault, location: SourceLocation = #_sourceLocation, _ change: (inout UnmaskingMessage) -> Void
    ) throws {
      var altered = good
      change(&altered)
      let error = try failure(location) { try exchange.send(.unmasking(altered), from: name) }
      #expect(error == exchange.blames(fault, 0), sourceLocation: location)
      #expect(exchange.server.answered.isEmpty && exchange.server.stage == .unmasking, sourceLocation: location)
    }
    for owner in [name, stranger] {
      try refuse(.wrongShareSet) { $0.entries[0].owner = owner }
      try refuse(.wrongShareSet) {
        $0.entries.append(UnmaskingMessage.Entry(owner: owner, kind: .selfMask, share: $0.entries[0].share))
        $0.entries.sort { $0.owner < $1.owner }
      }
    }
    try refuse(.wrongShareSet) { $0.entries.removeLast() }
    try refuse(.wrongShareSet) { $0.entries.append($0.entries[0]) }
    try refuse(.wrongShareSet) { $0.entries.swapAt(0, 1) }
    try refuse(.wrongShareSet) { $0.entries[1].kind = $0.entries[1].kind == .mask ? .selfMask : .mask }
    try refuse(.wrongLength(expected: 32, actual: 31)) { $0.entries[1].share.removeLast() }
    try refuse(.statementMismatch) { $0.statement = StatementDigest(hashing: [1]) }
    try exchange.send(.unmasking(good), from: name)
    try refuseSecond(exchange, good)
    try exchange.play(everybody(but: [0, 50]))
    try exchange.expectExactSum(of: everybody(but: [50]))
  }

  private func refuseSecond(_ exchange: Exchange, _ reply: UnmaskingMessage) throws {
    var other = reply
    other.entries[0].share[0] ^= 1
    #expect(
      try failure { try exchange.send(.unmasking(other), from: reply.organization) }
        == exchange.blames(.duplicateMessage(.unmasking), 0))
  }

  @Test(
    "Wrong shares of neighbours are found when a recovery fails, their senders and dealer suspected, and worked around")
  func wrongShares() throws {
    let exchange = try TestGraph.regular.exchange()
    try exchange.advance(to: .consistencyCheck)
    try exchange.play(0..<Self.count)
    var liars: Set<OrganizationName> = []
    let victim = exchange.members[40].name
    for index in 0..<Self.count {
      guard case .unmasking(var reply) = try exchange.answer(index) else { throw TestFault.unexpectedMessage }
      if liars.count < 4, let entry = reply.entries.firstIndex(where: { $0.owner == victim }) {
        // Off by one bit, not canonical, zero, and somebody else's.
        let shares = [
          reply.entries[entry].share.enumerated().map { $0 == 0 ? $1 ^ 1 : $1 }, [UInt8](repeating: 0xff, count: 32),
          [UInt8](repeating: 0, count: 32), reply.entries[entry == 0 ? 1 : 0].share,
        ]
        reply.entries[entry].share = shares[liars.count]
        liars.insert(reply.organization)
      }
      try exchange.send(.unmasking(reply), from: reply.organization)
    }
    #expect(liars.count == 4)
    try exchange.close()
    try exchange.expectExactSum(of: Array(0..<Self.count))
    // No more than are assumed corrupt: their dealer may be at fault as well.
    #expect(exchange.server.blamed.isEmpty)
    #expect(exchange.server.suspected == liars.union([victim]))
  }

  @Test("A ciphertext that does not open leads to a complaint, and the round recovers", arguments: [true, false])
  func complaint(dropsOut: Bool) throws {
    let exchange = try TestGraph.regular.exchange()
    let attacker = try Attacker(exchange, index: Self.attacker)
    try attacker.advertise()
    var victims: [Int] = []
    let peers = try attacker.shareKeys(ciphertext: { position, sealed in
      guard victims.count < 2 else { return }
      sealed[40] ^= 1
      victims.append(position)
    })
    for index in everybody(but: [attacker.index]) {
      guard case .maskedInput(let message) = try exchange.answer(index) else { throw TestFault.unexpectedMessage }
      let accused = victims.contains(index) ? [attacker.name] : []
      #expect(message.complaints.map(\.accused) == accused)
      #expect(message.complaints.allSatisfy { $0.reason == .ciphertext })
      try exchange.send(.maskedInput(message), from: message.organization)
    }
    if !dropsOut { try attacker.maskedInput() }
    try exchange.close()
    #expect(Set(exchange.server.complaints.keys) == Set(victims.map { exchange.members[$0].name }))
    let honest = everybody(but: [attacker.index])
    try exchange.play(honest)
    for index in honest {
      guard case .unmasking(let reply) = try exchange.answer(index) else { throw TestFault.unexpectedMessage }
      let holdsShare = peers.contains(index) && !victims.contains(index)
      #expect(reply.entries.contains { $0.owner == attacker.name } == holdsShare)
      try exchange.send(.unmasking(reply), from: reply.organization)
    }
    try exchange.close()
    #expect(exchange.server.blamed.isEmpty)
    try exchange.expectExactSum(of: dropsOut ? honest : Array(0..<Self.count))
  }

  @Test("A complaint about somebody with whom one shares nothing, or about another ciphertext, is refused")
  func invalidComplaints() throws {
    let exchange = try TestGraph.regular.exchange()
    try exchange.advance(to: .maskedInputCollection)
    let entries = try exchange.delivery(for: 0).entries
    guard case .maskedInput(let good) = try exchange.answer(0) else { throw TestFault.unexpectedMessage }
    let member = exchange.members[0]
    let stranger = try #require(
      exchange.members.map(\.name).last { name in name != member.name && !entries.contains { $0.sender == name } })
    for (accused, ciphertext) in [
      (stranger, entries[0].ciphertext), (member.name, entries[0].ciphertext),
      (entries[0].sender, entries[1].ciphertext),
    ] {
      let hash = SHA256Digest(hashing: ciphertext)
      let payload = Complaint.payload(
        transcript: good.transcript, complainant: member.name, accused: accused, reason: .share, ciphertextHash: hash)
      var message = good
      message.complaints = [
        Complaint(
          accused: accused, reason: .share, ciphertextHash: hash,
          signature: payload.signature(by: member.identity.key))
      ]
      #expect(
        try failure { try exchange.send(.maskedInput(message), from: member.name) }
          == exchange.blames(.invalidComplaint(about: accused), 0))
      #expect(exchange.server.answered.isEmpty)
    }
  }

  /// A round in which the attacker leaves after R1, so that its mask secret has to be recovered.
  private func leave(
    commitments change: (inout ShareCommitments) throws -> Void = { _ in },
    plaintext: (Int, inout SecretBytes) throws -> Void = { _, _ in }
  ) throws -> (exchange: Exchange, attacker: Attacker, peers: [Int]) {
    let exchange = try TestGraph.regular.exchange()
    let attacker = try Attacker(exchange, index: Self.attacker)
    var commitments = try #require(attacker.advertisement.commitments)
    try change(&commitments)
    attacker.advertisement.commitments = commitments
    attacker.advertisement.commitmentHash = commitments.hash
    try attacker.advertise()
    let peers = try attacker.shareKeys(plaintext: plaintext)
    for _ in 0..<2 { try exchange.play(everybody(but: [attacker.index])) }
    return (exchange, attacker, peers)
  }

  /// Bytes that are no point after the first, which is the mask key.
  private func spoil(_ commitments: inout ShareCommitments) throws {
    commitments.mask = try FeldmanCommitments(
      bytes: commitments.mask.bytes.prefix(32)
        + [UInt8](repeating: 0xff, count: commitments.mask.bytes.count - 32))
  }

  @Test("Commitments that are no points do no harm as long as all shares are good")
  func unreadableCommitments() throws {
    let (exchange, attacker, _) = try leave(commitments: spoil)
    try exchange.play(everybody(but: [attacker.index]))
    try exchange.expectExactSum(of: everybody(but: [attacker.index]))
    #expect(exchange.server.blamed.isEmpty)
  }

  @Test("Where a share is wrong and the commitments are no points, their owner is blamed and nobody else")
  func ownerBlamed() throws {
    let (exchange, attacker, peers) = try leave(commitments: spoil) { position, shares in
      // For everybody another polynomial: any t of them give another secret.
      shares.copyScalar(Scalar(small: UInt32(position + 7)), to: 0)
    }
    let error = try failure { try exchange.play(everybody(but: [attacker.index])) }
    guard case .unrecoverable(.tooFewShares(let owner, let present, let required, let blamed)) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(owner == attacker.name && blamed == [attacker.name])
    #expect(peers.count >= required && required == exchange.context.threshold && present == 0)
    #expect(exchange.server.stage == .failed && exchange.server.result == nil)
  }

  /// Above the size up to which recipients check their shares, nobody can tell afterwards who was at fault. The threat
  /// model says so; what must hold is that the sum is right.
  @Test("A member that deals a bad share is suspected with its recipient: the sum is exact all the same")
  func badDealer() throws {
    var victim: Int?
    let (exchange, attacker, _) = try leave(plaintext: { position, shares in
      guard victim == nil else { return }
      victim = position
      shares.copyScalar(Scalar(small: 7), to: 0)
    })
    try exchange.play(everybody(but: [attacker.index]))
    try exchange.expectExactSum(of: everybody(but: [attacker.index]))
    #expect(exchange.server.blamed.isEmpty)
    #expect(exchange.server.suspected == [exchange.members[try #require(victim)].name, attacker.name])
  }
}
