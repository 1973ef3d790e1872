import Cryptography

func signingKey(
  _ key: borrowing IdentitySigningKey, _ sign: (borrowing IdentitySigningKey) -> Signature
) -> Signature {
  sign(key)
}

func verifyingKey(_ key: borrowing WitnessSigningKey) -> WitnessVerifyingKey {
  return key.verifyingKey
}

func sameKey(_ key: IdentityVerifyingKey, _ other: LogVerifyingKey) -> Bool {
  key.bytes == other.bytes
}

func digest(_ plan: PlanHash) -> ManifestHash {
  // A deliberate step.
  return ManifestHash(plan)
}

func sameDigest(_ plan: PlanHash, _ other: PlanHash) -> Bool {
  plan == other
}

func scalarAsSeed(_ seed: borrowing MaskSeed) throws -> MaskStream {
  try MaskStream(seed: seed, generator: .chacha20)
}

func seedAsScalar(_ other: borrowing Scalar, _ scalar: borrowing Scalar) -> Scalar {
  scalar.adding(other)
}

func bytesAsSeed(_ bytes: consuming SecretBytes) throws -> MaskStream {
  let seed = try MaskSeed(bytes)
  return try MaskStream(seed: seed, generator: .chacha20)
}

func secretAsPublic(_ element: GroupElement, _ scalar: borrowing Scalar) throws -> GroupElement {
  try element.multiplied(by: scalar)
}

func secretAddedToPublic(_ index: PublicScalar, _ other: PublicScalar) -> PublicScalar {
  index.adding(other)
}
