import Cryptography

func copied(_ secret: borrowing SecretBytes) -> Int {
  let copy = secret.clone()
  return copy.count
}

func copiedTwice(_ secret: consuming SecretBytes) -> Int {
  let one = secret
  let other = one.clone()
  return one.count + other.count
}

func captured(_ secret: borrowing SecretBytes) -> Int {
  secret.withUnsafeBytes { $0.count }
}

func takenByAClosure(_ keep: (@escaping () -> SecretBytes) -> Void) {
  let secret = SecretBytes(count: 32)
  keep { secret.clone() }
}

func oneSeedForTwoKeys(_ seed: consuming SecretBytes) throws {
  _ = try IdentitySigningKey(seed: seed)
  _ = LogSigningKey.generate()
}

func copiedScalar(_ scalar: borrowing Scalar) -> Scalar {
  return scalar.clone()
}
