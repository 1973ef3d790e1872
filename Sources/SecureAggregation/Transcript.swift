public import Cryptography

public enum MaskedInputRootRole: DigestRole {}
public enum StatementRole: DigestRole {}
public enum ShareRootRole: DigestRole {}

/// Root over the hashes of all masked inputs of U3.
public typealias MaskedInputRoot = Digest<MaskedInputRootRole>
/// Digest of the statement signed in ConsistencyCheck.
public typealias StatementDigest = Digest<StatementRole>
/// Root over the ciphertexts that one organisation sends in ShareKeys.
public typealias ShareRoot = Digest<ShareRootRole>

/// A message as it is signed: a label and the canonical bytes under the same label.
struct SignedPayload {
  let label: String
  let canonical: [UInt8]

  init(_ label: String, _ fields: (inout CanonicalEncoder) -> Void) {
    self.label = label
    var encoder = CanonicalEncoder(label)
    fields(&encoder)
    canonical = encoder.finish()
  }

  func signature(by signer: borrowing IdentitySigningKey) -> Signature {
    signer.sign(label: label, canonical: canonical)
  }

  func isSigned(_ signature: Signature, by key: IdentityVerifyingKey) -> Bool {
    VerificationMemo.verifies(signature, of: self, by: key)
  }
}

/// The hashes that tie the rounds of an attempt together.
enum Transcript {
  /// T1: over U1, the root of the signed advertisements in cohort order and, on a k-regular graph, the beacon.
  static func digest(
    context: ContextDigest, members: MemberSet, root: SHA256Digest, beacon: BeaconDigest?
  ) -> TranscriptDigest {
    var encoder = CanonicalEncoder("bauta/v1/transcript")
    encoder.append(context)
    encoder.append(members)
    encoder.append(root)
    encoder.append(beacon != nil)
    if let beacon { encoder.append(beacon) }
    return TranscriptDigest(hashing: encoder.finish())
  }

  /// The leaf of an advertisement. Commitments are in it by their hash.
  static func advertisementLeaf(_ message: AdvertiseKeysMessage) -> LeafHash {
    var encoder = CanonicalEncoder("bauta/v1/advertisement")
    message.appendSigned(to: &encoder)
    encoder.append(message.signature)
    return MerkleHashing.leaf(encoder.finish())
  }

  /// Digest of a set of members.
  static func survivors(_ set: MemberSet) -> SurvivorsHash {
    var encoder = CanonicalEncoder("bauta/v1/survivor-set")
    encoder.append(UInt64(set.cohortCount))
    encoder.append(set)
    return SurvivorsHash(hashing: encoder.finish())
  }

  /// Hash of the bytes of a masked input, equal to that of canonical(label, bytes) without copying them.
  static func maskedInput(_ bytes: [UInt8]) -> MaskedInputHash {
    var hasher = MaskedInputHasher(byteCount: bytes.count)
    bytes.withUnsafeBytes { hasher.update($0) }
    return hasher.finish()
  }

  /// The leaf of (organisation, hash of its masked input) in the tree over U3 in cohort order.
  static func maskedInputLeaf(_ name: OrganizationName, _ hash: MaskedInputHash) -> LeafHash {
    var encoder = CanonicalEncoder("bauta/v1/masked-input-leaf")
    encoder.append(name.value)
    encoder.append(hash)
    return MerkleHashing.leaf(encoder.finish())
  }

  static func shareLeaf(recipient: OrganizationName, ciphertext: [UInt8]) -> LeafHash {
    var encoder = CanonicalEncoder("bauta/v1/share-leaf")
    encoder.append(recipient.value)
    encoder.append(SHA256Digest(hashing: ciphertext))
    return MerkleHashing.leaf(encoder.finish())
  }
}
