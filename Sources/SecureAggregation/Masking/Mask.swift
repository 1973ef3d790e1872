import Cryptography

/// Whether a mask is added to or taken from a vector.
enum MaskSign {
  case plus
  case minus

  var opposite: MaskSign {
    switch self {
    case .plus: .minus
    case .minus: .plus
    }
  }
}

/// The two parts of a term, each masked by a keystream of its own.
enum MaskSection {
  case tensor
  case counter
}

/// The two seeds of one mask and the sign with which it enters.
///
/// Streams are made on demand, so that every lane has its own. A class because the seeds cannot be copied and masks
/// are kept in arrays.
final class Mask: Sendable {
  let sign: MaskSign
  private let tensor: MaskSeed
  private let counter: MaskSeed
  private let generator: MaskGenerator

  private init(
    secret: borrowing SecretBytes, sign: MaskSign, generator: MaskGenerator, info: (String) -> [UInt8]
  ) throws(CryptographyError) {
    tensor = try Self.seed(secret, info: info("tensor"))
    counter = try Self.seed(secret, info: info("counter"))
    self.sign = sign
    self.generator = generator
  }

  /// The keystream of a section from a byte on: 4 bytes a coordinate, 8 a counter.
  /// - Throws: ``CryptographyError/misalignedSeek(byte:)`` unless `byte` is a multiple of 64;
  ///   ``CryptographyError/libraryUnavailable(_:)``, ``CryptographyError/operationFailed(_:)``.
  func stream(_ section: MaskSection, fromByte byte: UInt64 = 0) throws(CryptographyError) -> MaskStream {
    var stream =
      switch section {
      case .tensor: try MaskStream(seed: tensor, generator: generator)
      case .counter: try MaskStream(seed: counter, generator: generator)
      }
    if byte > 0 { try stream.seek(toByte: byte) }
    return stream
  }

  /// The mask of a pair as it enters the masked input of `owner`: HKDF of the Diffie-Hellman secret over
  /// (T1, lower, higher). The lower one in cohort order adds it, the higher one takes it away.
  ///
  /// Either of the pair's secrets with the other's public key gives it.
  static func pairwise(
    secret: borrowing Scalar, publicKey: GroupElement, addedBy owner: OrganizationName,
    with peer: OrganizationName, transcript: TranscriptDigest, generator: MaskGenerator
  ) throws(CryptographyError) -> Mask {
    let shared = try secret.sharedSecret(with: publicKey)
    return try Mask(secret: shared, sign: owner < peer ? .plus : .minus, generator: generator) { section in
      var encoder = CanonicalEncoder("bauta/v1/mask/\(section)")
      encoder.append(transcript)
      encoder.append(min(owner, peer))
      encoder.append(max(owner, peer))
      return encoder.finish()
    }
  }

  /// The self mask: HKDF of b over (T1, owner).
  static func own(
    secret: borrowing Scalar, owner: OrganizationName, transcript: TranscriptDigest, generator: MaskGenerator
  ) throws(CryptographyError) -> Mask {
    let bytes: SecretBytes = secret.withUnsafeBytes { buffer in SecretBytes.copying(buffer) }
    return try Mask(secret: bytes, sign: .plus, generator: generator) { section in
      var encoder = CanonicalEncoder("bauta/v1/mask/self/\(section)")
      encoder.append(transcript)
      encoder.append(owner)
      return encoder.finish()
    }
  }

  private static func seed(
    _ secret: borrowing SecretBytes, info: [UInt8]
  ) throws(CryptographyError) -> MaskSeed {
    try MaskSeed(try deriveKey(from: secret, salt: [], info: info, count: MaskSeed.byteCount))
  }
}
