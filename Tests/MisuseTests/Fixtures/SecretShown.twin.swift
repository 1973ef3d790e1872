import Cryptography

func compared(_ secret: borrowing SecretBytes, _ other: borrowing SecretBytes) -> Bool {
  secret.constantTimeEquals(other)
}

func interpolated(_ secret: borrowing SecretBytes) -> String {
  "\(secret.count)"
}

func described(_ secret: borrowing SecretBytes) -> String {
  secret.description
}

func printed(_ secret: borrowing SecretBytes) {
  print(secret.description)
}

func dumped(_ secret: borrowing SecretBytes) {
  dump(secret.count)
}

func boxed(_ secret: consuming SecretBytes) {
  let box = secret
  _ = box.count
}

func hashed(_ secret: borrowing SecretBytes) -> Int {
  var hasher = Hasher()
  hasher.combine(secret.count)
  return hasher.finalize()
}

func encoded(_ secret: consuming SecretBytes) {
  let encodable: any Encodable = secret.count
  _ = encodable
}

func inAnArray(_ secret: consuming SecretBytes) {
  _ = [secret.count]
}

func ofAKey(_ key: borrowing IdentitySigningKey, _ other: borrowing IdentitySigningKey) -> Bool {
  key.verifyingKey == other.verifyingKey
}

func ofAScalar(_ scalar: borrowing Scalar) throws -> [UInt8] {
  try scalar.timesBasePoint().bytes
}
