public import Cryptography

/// The messages of a round, in order; the two of the beacon exist on k-regular graphs only.
public enum MessageKind: String, Hashable, Sendable, CaseIterable {
  case advertiseKeys = "advertise-keys"
  case beaconRequest = "beacon-request"
  case beaconReveal = "beacon-reveal"
  case roster
  case shareKeys = "share-keys"
  case shares
  case maskedInput = "masked-input"
  case survivors
  case consistencyCheck = "consistency-check"
  case statements
  case unmasking

  /// The label under which the message is encoded.
  var label: String { "bauta/v1/message/\(rawValue)" }
}

/// How a message broke the protocol.
public enum PeerFault: Hashable, Sendable {
  public enum KeyKind: String, Hashable, Sendable { case channel, mask, selfMask }

  /// The bytes are not the canonical encoding of such a message; `reason` is the code of the decoder's error.
  case malformed(MessageKind?, reason: String)
  /// A message of this kind is not expected in this stage.
  case outOfOrder(MessageKind, stage: RoundStage)
  /// A second message of this kind that differs from the first.
  case duplicateMessage(MessageKind)
  case contextMismatch(MessageKind)
  case transcriptMismatch(MessageKind)
  /// The message names another sender than the authenticated one.
  case senderMismatch(claimed: OrganizationName)
  case unknownOrganization(OrganizationName)
  case duplicateOrganization(OrganizationName)
  case unsortedOrganizations(MessageKind)
  /// A list leaves out its receiver, or holds it where it must not be.
  case ownEntry(MessageKind)
  case ownEntryAltered(MessageKind)
  case duplicateKey(KeyKind, OrganizationName, OrganizationName)
  case wrongCommitments(OrganizationName)
  /// A nonce of the beacon is not the one its owner committed to, or one is due and missing, or the other way round.
  case wrongBeaconNonce(OrganizationName)
  /// The nonces are not one for each member of the list for which they were revealed, or it is another list.
  case wrongBeacon
  /// A list of organisations is not the one that the survivor set and the graph ask for.
  case wrongNeighbors(MessageKind)
  /// Hashes that should complete a tree do not give the root that was signed.
  case invalidTree(MessageKind)
  case invalidSignature(of: Party, MessageKind)
  case invalidInclusion(OrganizationName)
  /// The ciphertexts are not one for each other member of U1.
  case wrongRecipients
  /// A member of a later set is not in the earlier one.
  case notInEarlierSet(OrganizationName, stage: RoundStage)
  case survivorsMismatch(MessageKind)
  case wrongLength(expected: Int, actual: Int)
  case unusedBitsSet
  /// The bytes of a masked input do not have the hash that was signed.
  case maskedInputAltered
  case statementMismatch
  /// A complaint about an organisation that is not another member of U2, or a badly signed one.
  case invalidComplaint(about: OrganizationName)
  /// The shares released are not those the survivor sets ask for, or of the wrong kind.
  case wrongShareSet
  /// A share does not lie on the polynomial its owner committed to.
  case wrongShare(of: OrganizationName)

  var code: String {
    switch self {
    case .malformed: "malformed-message"
    case .outOfOrder: "out-of-order"
    case .duplicateMessage: "duplicate-message"
    case .contextMismatch: "context-mismatch"
    case .transcriptMismatch: "transcript-mismatch"
    case .senderMismatch: "sender-mismatch"
    case .unknownOrganization: "unknown-organization"
    case .duplicateOrganization: "duplicate-organization"
    case .unsortedOrganizations: "unsorted-organizations"
    case .ownEntry: "own-entry"
    case .ownEntryAltered: "own-entry-altered"
    case .duplicateKey: "duplicate-key"
    case .wrongCommitments: "wrong-commitments"
    case .wrongBeaconNonce: "wrong-beacon-nonce"
    case .wrongBeacon: "wrong-beacon"
    case .wrongNeighbors: "wrong-neighbors"
    case .invalidTree: "invalid-tree"
    case .invalidSignature: "invalid-signature"
    case .invalidInclusion: "invalid-inclusion"
    case .wrongRecipients: "wrong-recipients"
    case .notInEarlierSet: "not-in-earlier-set"
    case .survivorsMismatch: "survivors-mismatch"
    case .wrongLength: "wrong-length"
    case .unusedBitsSet: "unused-bits-set"
    case .maskedInputAltered: "masked-input-altered"
    case .statementMismatch: "statement-mismatch"
    case .invalidComplaint: "invalid-complaint"
    case .wrongShareSet: "wrong-share-set"
    case .wrongShare: "wrong-share"
    }
  }

  var message: String {
    switch self {
    case .malformed(let kind, let reason):
      "the bytes are not a canonical \(kind?.rawValue ?? "round") message (\(reason))"
    case .outOfOrder(let kind, let stage): "a \(kind.rawValue) message does not belong to the stage \(stage.rawValue)"
    case .duplicateMessage(let kind): "a second, different \(kind.rawValue) message"
    case .contextMismatch(let kind): "the \(kind.rawValue) message belongs to another context"
    case .transcriptMismatch(let kind): "the \(kind.rawValue) message belongs to another transcript"
    case .senderMismatch(let claimed): "the message claims to come from \(claimed)"
    case .unknownOrganization(let name): "\(name) is not in the cohort"
    case .duplicateOrganization(let name): "\(name) is listed twice"
    case .unsortedOrganizations(let kind): "the \(kind.rawValue) message does not list organisations in cohort order"
    case .ownEntry(let kind): "the \(kind.rawValue) message leaves out or misplaces its receiver"
    case .ownEntryAltered(let kind): "the \(kind.rawValue) message alters what its receiver had sent"
    case .duplicateKey(let key, let first, let second): "\(first) and \(second) have the same \(key.rawValue) key"
    case .wrongCommitments(let name): "the commitments of \(name) do not fit the threshold or the mask key"
    case .wrongBeaconNonce(let name): "the nonce of \(name) is not the one it committed to"
    case .wrongBeacon: "the nonces of the beacon do not fit the list for which they were revealed"
    case .wrongNeighbors(let kind): "the \(kind.rawValue) message is not about the participants it must be about"
    case .invalidTree(let kind): "the hashes of the \(kind.rawValue) message do not give the root they must give"
    case .invalidSignature(let party, let kind): "a \(kind.rawValue) signature of \(party) does not verify"
    case .invalidInclusion(let name): "a ciphertext of \(name) is not under the root it signed"
    case .wrongRecipients: "the ciphertexts are not one for each other participant"
    case .notInEarlierSet(let name, let stage): "\(name) did not complete the stage \(stage.rawValue)"
    case .survivorsMismatch(let kind): "the \(kind.rawValue) message is about another set of participants"
    case .wrongLength(let expected, let actual): "\(actual) bytes where \(expected) are due"
    case .unusedBitsSet: "unused bits of the masked input are set"
    case .maskedInputAltered: "the bytes of the masked input do not have the hash that was signed"
    case .statementMismatch: "the signed statement is not the one of this attempt"
    case .invalidComplaint(let name): "a complaint about \(name) that is not valid"
    case .wrongShareSet: "the shares released are not the ones asked for"
    case .wrongShare(let owner): "a share of a secret of \(owner) does not fit its commitments"
    }
  }
}
