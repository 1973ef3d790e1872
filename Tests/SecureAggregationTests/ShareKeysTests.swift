import Cryptography
import Testing

@testable import SecureAggregation

/// Hostile clients against the real server in R1.
@Suite("ShareKeys")
struct ShareKeysTests {
  @Test("The server refuses bad share messages and blames their sender")
  func hostileClients() throws {
    let exchange = try Exchange()
    try exchange.advertiseKeys([0, 1, 2, 3])
    let members = exchange.members
    let sent = try exchange.shareKeysMessage(0)
    let message = try exchange.shareKeysMessage(1)
    try exchange.send(.shareKeys(sent), from: members[0].name)
    let party = Party.organization(members[1].name)

    func refuse(
      _ fault: PeerFault, from index: Int = 1, location: SourceLocation = #_sourceLocation,
      _ change: (inout ShareKeysMessage) -> Void
    ) throws {
      var altered = index == 1 ? message : sent
      change(&altered)
      let name = members[index].name
      let error = try failure(location) { try exchange.server.receive(.shareKeys(altered), from: name) }
      #expect(error == .misbehaviour(fault, by: .organization(name)), sourceLocation: location)
      #expect(exchange.server.answered == [members[0].name], sourceLocation: location)
    }
    try refuse(.transcriptMismatch(.shareKeys)) { $0.transcript = TranscriptDigest(hashing: [1]) }
    try refuse(.wrongRecipients) { $0.entries.removeLast() }
    try refuse(.wrongRecipients) { $0.entries.swapAt(0, 1) }
    try refuse(.wrongRecipients) { $0.entries[0].recipient = members[1].name }
    try refuse(.wrongRecipients) { $0.entries.append($0.entries[0]) }
    try refuse(.wrongLength(expected: 104, actual: 103)) { $0.entries[0].ciphertext.removeLast() }
    try refuse(.invalidSignature(of: party, .shareKeys)) { $0.entries[0].ciphertext[30] ^= 1 }
    try refuse(.invalidSignature(of: party, .shareKeys)) { $0.signature = sent.signature }
    try refuse(.duplicateMessage(.shareKeys), from: 0) {
      $0.entries[0].ciphertext[30] ^= 1
      $0 = $0.signed(by: members[0].identity)
    }
    // A resend is no fault; one who was not in U1 is.
    try exchange.send(.shareKeys(sent), from: members[0].name)
    var late = message
    late.organization = members[4].name
    let error = try failure { try exchange.server.receive(.shareKeys(late), from: members[4].name) }
    #expect(
      error
        == .misbehaviour(
          .notInEarlierSet(members[4].name, stage: .advertiseKeys), by: .organization(members[4].name)))
  }

  @Test("Ciphertexts are bound to the transcript and to both ends")
  func associatedData() throws {
    let names = try (0..<3).map(organization)
    let transcripts = [TranscriptDigest(hashing: [1]), TranscriptDigest(hashing: [2])]
    var seen = Set<[UInt8]>()
    for transcript in transcripts {
      for sender in names {
        for recipient in names {
          seen.insert(
            ShareKeysMessage.associatedData(transcript: transcript, sender: sender, recipient: recipient))
        }
      }
    }
    #expect(seen.count == 18)
  }
}

extension ShareKeysMessage {
  /// The same contents under a fresh signature.
  func signed(by identity: Identity) -> ShareKeysMessage {
    var message = self
    message.signature = Self.payload(
      transcript: transcript, organization: organization, root: ShareRoot(MerkleHashing.root(of: leaves))
    ).signature(by: identity.key)
    return message
  }
}
