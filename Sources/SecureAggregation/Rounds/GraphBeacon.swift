public import Cryptography

// R0b, on a k-regular graph only: the members of U1 reveal what they committed to, and the graph follows from it.
// Nobody can choose who is whose neighbour, as long as one of them is honest.

public enum BeaconCommitmentRole: DigestRole {}
public enum BeaconListRole: DigestRole {}

/// H(r) of one organisation.
public typealias BeaconCommitment = Digest<BeaconCommitmentRole>
/// Digest of L, the list for which nonces are revealed.
public typealias BeaconListDigest = Digest<BeaconListRole>

/// How the beacon is computed.
///
/// L fixes U1, every advertisement and every commitment before the first nonce is known, so the beacon is fixed then
/// too, but unknown to whoever has not all nonces. A server that does not like it can only give the attempt up, at most
/// eight times, for which the bounds of the graph are tightened.
enum GraphBeacon {
  static let nonceByteCount = 32

  static func commitment(to nonce: [UInt8]) -> BeaconCommitment { nonce.withUnsafeBytes { commitment(to: $0) } }

  /// As above, of a nonce that is still secret: the hash of canonical(label, nonce) without a copy of it.
  static func commitment(to nonce: UnsafeRawBufferPointer) -> BeaconCommitment {
    var encoder = CanonicalEncoder("bauta/v1/beacon-commitment")
    encoder.append(UInt64(nonce.count))
    var hasher = SHA256Hasher()
    hasher.update(encoder.finish())
    hasher.update(nonce)
    return hasher.finish(as: BeaconCommitmentRole.self)
  }

  /// Over the commitments of U1 in cohort order.
  static func commitmentsHash(_ commitments: [BeaconCommitment]) -> SHA256Digest {
    var encoder = CanonicalEncoder("bauta/v1/beacon-commitments")
    encoder.append(list: commitments) { (encoder: inout CanonicalEncoder, commitment: BeaconCommitment) in
      encoder.append(commitment)
    }
    return SHA256Digest(hashing: encoder.finish())
  }

  /// SHA-256(canonical(context, L, all r)).
  static func digest(context: ContextDigest, list: BeaconListDigest, nonces: [UInt8]) -> BeaconDigest {
    var encoder = CanonicalEncoder("bauta/v1/graph-beacon")
    encoder.append(context)
    encoder.append(list)
    encoder.append(nonces)
    return BeaconDigest(hashing: encoder.finish())
  }

  /// The nonce at a rank of the concatenated nonces.
  static func nonce(_ nonces: [UInt8], rank: Int) -> [UInt8] {
    Array(nonces[(rank * nonceByteCount)..<((rank + 1) * nonceByteCount)])
  }

  /// Whether concatenated nonces are what the hash of their commitments says.
  static func fits(_ nonces: [UInt8], commitments: SHA256Digest) -> Bool {
    let count = nonces.count / nonceByteCount
    func recompute() -> Bool {
      commitmentsHash((0..<count).map { commitment(to: nonce(nonces, rank: $0)) }) == commitments
    }
    guard let memo = VerificationMemo.current else { return recompute() }
    var encoder = CanonicalEncoder("bauta/v1/beacon-fits")
    encoder.append(commitments)
    encoder.append(nonces)
    return memo.holds(SHA256Digest(hashing: encoder.finish()), recompute)
  }
}

/// Server to client: L, for which the nonces are to be revealed, signed.
public struct BeaconRequest: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.beaconRequest

  public var context: ContextDigest
  /// U1.
  public var members: MemberSet
  /// Root over the advertisements of U1.
  public var advertisementRoot: SHA256Digest
  /// Hash over their commitments to nonces.
  public var commitments: SHA256Digest
  /// By the server.
  public var signature: Signature

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(members)
    encoder.append(advertisementRoot)
    encoder.append(commitments)
    encoder.append(signature)
  }

  static func payload(
    context: ContextDigest, members: MemberSet, advertisementRoot: SHA256Digest, commitments: SHA256Digest
  ) -> SignedPayload {
    SignedPayload("bauta/v1/beacon-list") { encoder in
      encoder.append(context)
      encoder.append(members)
      encoder.append(advertisementRoot)
      encoder.append(commitments)
    }
  }

  var payload: SignedPayload {
    Self.payload(
      context: context, members: members, advertisementRoot: advertisementRoot, commitments: commitments)
  }

  var digest: BeaconListDigest { BeaconListDigest(hashing: payload.canonical) }
}

extension BeaconRequest {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    members = try decoder.members(of: context)
    advertisementRoot = try decoder.digest()
    commitments = try decoder.digest()
    signature = try decoder.signature()
  }
}

/// Client to server: r. Its own commitment, which is signed, vouches for it.
public struct BeaconRevealMessage: Hashable, Sendable, RoundMessage {
  static let kind = MessageKind.beaconReveal

  public var context: ContextDigest
  public var organization: OrganizationName
  public var list: BeaconListDigest
  public var nonce: [UInt8]

  func append(to encoder: inout CanonicalEncoder) {
    encoder.append(context)
    encoder.append(organization)
    encoder.append(list)
    encoder.append(nonce)
  }
}

extension BeaconRevealMessage {
  init(from decoder: inout CanonicalDecoder, context: AggregationContext) throws(CryptographyError) {
    self.context = try decoder.digest()
    organization = try decoder.organization()
    list = try decoder.digest()
    nonce = try decoder.bytes(maximum: GraphBeacon.nonceByteCount)
  }
}

/// Client after R0b: has revealed its nonce for one list, and can for no other.
struct RevealedClient: ~Copyable {
  let advertised: AdvertisedClient
  let list: BeaconRequest
}

extension AdvertisedClient {
  /// Checks the list and prepares the answer. Changes nothing.
  borrowing func reveal(
    _ request: BeaconRequest, position: Int, context: AggregationContext
  ) throws(AggregationError) -> BeaconRevealMessage {
    guard request.context == context.digest else {
      throw .misbehaviour(.contextMismatch(.beaconRequest), by: .server)
    }
    guard request.members.contains(position) else { throw .misbehaviour(.ownEntry(.beaconRequest), by: .server) }
    guard request.payload.isSigned(request.signature, by: context.server) else {
      throw .misbehaviour(.invalidSignature(of: .server, .beaconRequest), by: .server)
    }
    try CohortOrder.require(request.members, of: context.everyone, stage: .advertiseKeys, context: context)
    return BeaconRevealMessage(
      context: context.digest, organization: message.organization, list: request.digest,
      nonce: nonce.withUnsafeBytes { Array($0) })
  }

  consuming func revealed(for list: BeaconRequest) -> RevealedClient { RevealedClient(advertised: self, list: list) }
}

/// Server in R0b: collects the nonces of U1. All of them are needed.
struct GraphBeaconStage: Sendable {
  let advertisements: Answers<AdvertiseKeysMessage>
  let tree: MerkleTree
  let request: BeaconRequest
  private(set) var received: Answers<BeaconRevealMessage>

  init(closing stage: AdvertiseKeysStage, context: AggregationContext, signer: borrowing IdentitySigningKey) {
    advertisements = stage.received
    let members = advertisements.members
    let messages = members.positions.compactMap { stage.received[$0] }
    tree = MerkleTree(leaves: messages.map { Transcript.advertisementLeaf($0) })
    let commitments = GraphBeacon.commitmentsHash(messages.compactMap(\.beaconCommitment))
    let payload = BeaconRequest.payload(
      context: context.digest, members: members, advertisementRoot: tree.root, commitments: commitments)
    request = BeaconRequest(
      context: context.digest, members: members, advertisementRoot: tree.root, commitments: commitments,
      signature: payload.signature(by: signer))
    received = Answers(cohortCount: context.cohort.count)
  }

  mutating func receive(
    _ message: BeaconRevealMessage, at position: Int, context: AggregationContext
  ) throws(AggregationError) {
    let sender = message.organization
    let party = Party.organization(sender)
    guard let advertisement = advertisements[position] else {
      throw .misbehaviour(.notInEarlierSet(sender, stage: .advertiseKeys), by: party)
    }
    guard try received.isNew(message, from: sender, at: position, .beaconReveal) else { return }
    guard message.list == request.digest else { throw .misbehaviour(.wrongBeacon, by: party) }
    guard message.nonce.count == GraphBeacon.nonceByteCount,
      GraphBeacon.commitment(to: message.nonce) == advertisement.beaconCommitment
    else { throw .misbehaviour(.wrongBeaconNonce(sender), by: party) }
    received[position] = message
  }

  /// All nonces in cohort order, once the stage is complete.
  var nonces: [UInt8] { received.members.positions.flatMap { received[$0]?.nonce ?? [] } }
}
