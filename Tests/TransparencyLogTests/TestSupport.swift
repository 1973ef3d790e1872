import Cryptography
import Foundation
import TransparencyLog

/// A directory that disappears with its owner.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("tlog-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

func signingKey<Role>(_ role: Role.Type, seed byte: UInt8) throws -> SigningKey<Role> {
  try signingKey(role, seed: [UInt8](repeating: byte, count: 32))
}

func signingKey<Role>(_ role: Role.Type, seed bytes: [UInt8]) throws -> SigningKey<Role> {
  var seed = SecretBytes(count: bytes.count)
  seed.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
  return try SigningKey<Role>(seed: seed)
}

/// Distinct leaves without meaning.
func leaves(_ count: Int) -> [LeafHash] {
  (0..<count).map { MerkleHashing.leaf(Array("entry \($0)".utf8)) }
}

/// The definition of RFC 6962 §2.1, as it is written there.
func definedRoot(_ leaves: ArraySlice<LeafHash>) -> TreeHash {
  if leaves.isEmpty { return TreeHash(hashing: [UInt8]()) }
  if leaves.count == 1 { return TreeHash(leaves[leaves.startIndex]) }
  var split = 1
  while split * 2 < leaves.count { split *= 2 }
  let middle = leaves.startIndex + split
  return TreeHash(hashing: [1] + definedRoot(leaves[..<middle]).bytes + definedRoot(leaves[middle...]).bytes)
}
