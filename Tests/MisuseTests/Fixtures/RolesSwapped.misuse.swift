import Cryptography

func signingKey(
  _ key: borrowing LogSigningKey, _ sign: (borrowing IdentitySigningKey) -> Signature
) -> Signature {
  // expected-error@+2 {{cannot convert value of type 'LogSigningKey'}}
  // expected-note@+1 {{arguments to generic parameter 'Role'}}
  sign(key)
}

func verifyingKey(_ key: borrowing WitnessSigningKey) -> LogVerifyingKey {
  // expected-error@+2 {{cannot convert return expression of type 'VerifyingKey<WitnessKeyRole>'}}
  // expected-note@+1 {{arguments to generic parameter 'Role'}}
  return key.verifyingKey
}

func sameKey(_ key: IdentityVerifyingKey, _ other: LogVerifyingKey) -> Bool {
  // expected-error@+1 {{conflicting arguments to generic parameter}}
  key == other
}

func digest(_ plan: PlanHash) -> ManifestHash {
  // expected-error@+2 {{cannot convert return expression of type 'PlanHash'}}
  // expected-note@+1 {{arguments to generic parameter 'Role'}}
  return plan
}

func sameDigest(_ plan: PlanHash, _ model: ModelHash) -> Bool {
  // expected-error@+1 {{conflicting arguments to generic parameter}}
  plan == model
}

func scalarAsSeed(_ scalar: borrowing Scalar) throws -> MaskStream {
  // expected-error@+1 {{cannot convert value of type 'Scalar' to expected argument type 'MaskSeed'}}
  try MaskStream(seed: scalar, generator: .chacha20)
}

func seedAsScalar(_ seed: borrowing MaskSeed, _ scalar: borrowing Scalar) -> Scalar {
  // expected-error@+1 {{cannot convert value of type 'MaskSeed' to expected argument type 'Scalar'}}
  scalar.adding(seed)
}

func bytesAsSeed(_ bytes: borrowing SecretBytes) throws -> MaskStream {
  // expected-error@+1 {{cannot convert value of type 'SecretBytes' to expected argument type 'MaskSeed'}}
  try MaskStream(seed: bytes, generator: .chacha20)
}

func secretAsPublic(_ element: GroupElement, _ scalar: borrowing Scalar) throws -> GroupElement {
  // expected-error@+1 {{cannot convert value of type 'Scalar' to expected argument type 'PublicScalar'}}
  try element.multiplied(byPublic: scalar)
}

func secretAddedToPublic(_ index: PublicScalar, _ scalar: borrowing Scalar) -> PublicScalar {
  // expected-error@+1 {{cannot convert value of type 'Scalar' to expected argument type 'PublicScalar'}}
  index.adding(scalar)
}
