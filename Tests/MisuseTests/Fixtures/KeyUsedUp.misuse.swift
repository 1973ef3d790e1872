import Cryptography

// expected-error@+1 {{'key' used after consume}}
func signed(_ key: consuming IdentitySigningKey, _ canonical: [UInt8]) -> [Signature] {
  // expected-note@+1 {{consumed here}}
  let moved = key
  // expected-note@+1 {{used here}}
  return [moved.sign(label: "one", canonical: canonical), key.sign(label: "other", canonical: canonical)]
}

// expected-error@+1 {{'seed' used after consume}}
func seed(_ seed: consuming SecretBytes) throws -> Int {
  // expected-note@+1 {{consumed here}}
  _ = try MaskSeed(seed)
  // expected-note@+1 {{used here}}
  return seed.count
}

// expected-error@+1 {{'key' cannot be captured by an escaping closure since it is a borrowed parameter}}
func outlived(_ key: borrowing LogSigningKey, _ text: [UInt8]) -> () -> Signature? {
  // expected-note@+1 {{closure capturing 'key' here}}
  return { try? key.signNote(text: text) }
}

// expected-error@+1 {{'hasher' used after consume}}
func hasher(_ hasher: consuming SHA256Hasher, _ more: [UInt8]) -> [UInt8] {
  // expected-note@+1 {{consumed here}}
  let digest = hasher.finish()
  // expected-note@+1 {{used here}}
  hasher.update(more)
  return digest
}
