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
    key.verify(signature, label: label, canonical: canonical)
  }
}

/// The hashes that tie the rounds of an attempt together.
enum Transcript {
  /// T1 over the signed advertisements in cohort order.
  static func digest(context: ContextDigest, advertisements: [AdvertiseKeysMessage]) -> TranscriptDigest {
    let leaves = advertisements.map { MerkleHashing.leaf(canonicalBytes($0)) }
    var encoder = CanonicalEncoder("bauta/v1/transcript")
    encoder.append(context)
    encoder.append(UInt64(leaves.count))
    encoder.append(MerkleHashing.root(of: leaves))
    return TranscriptDigest(hashing: encoder.finish())
  }

  /// Digest of a set of organisations given in cohort order.
  static func survivors(_ names: [OrganizationName]) -> SurvivorsHash {
    let leaves = names.map { name in
      var encoder = CanonicalEncoder("bauta/v1/survivor")
      encoder.append(name.value)
      return MerkleHashing.leaf(encoder.finish())
    }
    var encoder = CanonicalEncoder("bauta/v1/survivor-set")
    encoder.append(UInt64(leaves.count))
    encoder.append(MerkleHashing.root(of: leaves))
    return SurvivorsHash(hashing: encoder.finish())
  }

  /// Hash of the bytes of a masked input, equal to that of canonical(label, bytes) without copying them.
  static func maskedInput(_ bytes: [UInt8]) -> MaskedInputHash {
    var hasher = MaskedInputHasher(byteCount: bytes.count)
    bytes.withUnsafeBytes { hasher.update($0) }
    return hasher.finish()
  }

  /// Root over (organisation, hash of its masked input) of U3 in cohort order.
  static func maskedInputRoot(_ inputs: [(name: OrganizationName, hash: MaskedInputHash)]) -> MaskedInputRoot {
    let leaves = inputs.map { input in
      var encoder = CanonicalEncoder("bauta/v1/masked-input-leaf")
      encoder.append(input.name.value)
      encoder.append(input.hash)
      return MerkleHashing.leaf(encoder.finish())
    }
    return MaskedInputRoot(MerkleHashing.root(of: leaves))
  }

  static func shareLeaf(recipient: OrganizationName, ciphertext: [UInt8]) -> LeafHash {
    var encoder = CanonicalEncoder("bauta/v1/share-leaf")
    encoder.append(recipient.value)
    encoder.append(SHA256Digest(hashing: ciphertext))
    return MerkleHashing.leaf(encoder.finish())
  }

  private static func canonicalBytes(_ message: AdvertiseKeysMessage) -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/advertisement")
    message.append(to: &encoder)
    return encoder.finish()
  }
}
