import Foundation

@testable import Cryptography

/// The bytes of a hexadecimal literal.
func hex(_ text: String) throws(CryptographyError) -> [UInt8] { try Hexadecimal.decode(text) }

func secret(_ bytes: [UInt8]) -> SecretBytes {
  var secret = SecretBytes(count: bytes.count)
  secret.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
  return secret
}

func revealed(_ secret: borrowing SecretBytes) -> [UInt8] { secret.withUnsafeBytes { Array($0) } }

func revealed(_ scalar: borrowing Scalar) -> [UInt8] { scalar.withUnsafeBytes { Array($0) } }

/// The same bytes with one bit of one byte changed: the negative twin of a vector.
func altered(_ bytes: [UInt8], at index: Int) -> [UInt8] {
  var copy = bytes
  copy[index] ^= 1
  return copy
}

/// A file of published vectors.
func vectors<Contents: Decodable>(_ name: String, as type: Contents.Type) throws -> Contents {
  let url = Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Resources")
  guard let url else { throw CocoaError(.fileNoSuchFile) }
  return try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// Reproducible choices for property tests.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
