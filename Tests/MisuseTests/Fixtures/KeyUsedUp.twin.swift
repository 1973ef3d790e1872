import Cryptography

func signed(_ key: consuming IdentitySigningKey, _ canonical: [UInt8]) -> [Signature] {
  let moved = key
  return [moved.sign(label: "one", canonical: canonical), moved.sign(label: "other", canonical: canonical)]
}

func seed(_ seed: consuming SecretBytes) throws -> Int {
  let count = seed.count
  _ = try MaskSeed(seed)
  return count
}

func outlived(_ key: borrowing LogSigningKey, _ text: [UInt8]) -> Signature? {
  return try? key.signNote(text: text)
}

func hasher(_ hasher: consuming SHA256Hasher, _ more: [UInt8]) -> [UInt8] {
  hasher.update(more)
  return hasher.finish()
}
