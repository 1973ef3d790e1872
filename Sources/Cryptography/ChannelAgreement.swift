import CSodium

/// An X25519 public key (RFC 7748) for the channel between two organisations: 32 bytes.
public struct ChannelPublicKey: Hashable, Sendable {
  public static let byteCount = 32
  fileprivate let storage: Bytes32

  /// A key received.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/invalidEncoding(of:)`` if
  ///   the coordinate is not below 2²⁵⁵ − 19, so that a key has one encoding; ``CryptographyError/weakAgreement`` if
  ///   the point has small order.
  public init(bytes: some Collection<UInt8>) throws(CryptographyError) {
    storage = try Bytes32(bytes, of: .channelKey)
    guard storage.withUnsafeBytes({ Self.isCanonical($0) }) else { throw .invalidEncoding(of: .channelKey) }
    guard !X25519.smallOrderPoints.contains(storage) else { throw .weakAgreement }
  }

  /// Of a pair made here.
  fileprivate init(trusted storage: Bytes32) { self.storage = storage }

  /// 32 bytes.
  public var bytes: [UInt8] { storage.array }

  /// Whether a little-endian number is below 2²⁵⁵ − 19.
  private static func isCanonical(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if bytes[31] != 0x7F { return bytes[31] < 0x7F }
    return bytes[1..<31].contains { $0 != 0xFF } || bytes[0] < 0xED
  }
}

enum X25519 {
  /// The canonical coordinates of all points of small order, of the curve and of its twist: https://cr.yp.to/ecdh.html,
  /// "How do I validate Curve25519 public keys?". An agreement with any of them gives zero, whatever the scalar.
  static let smallOrderPoints: [Bytes32] = [
    // 0
    Bytes32(littleEndianWords: 0, 0, 0, 0),
    // 1
    Bytes32(littleEndianWords: 1, 0, 0, 0),
    // Of order 8
    Bytes32(
      littleEndianWords: 0xAEB8_413B_7C7A_EBE0, 0x6AC4_9FF1_FAE3_5616, 0xFDB1_329C_EB8D_09DA, 0x00B8_495F_1605_6286),
    Bytes32(
      littleEndianWords: 0x248C_50A3_BC95_9C5F, 0x5BEF_839C_55B1_D0B1, 0x868E_1C58_C45C_4404, 0x5711_9FD0_DD4E_22D8),
    // 2²⁵⁵ − 20, which is −1
    Bytes32(
      littleEndianWords: 0xFFFF_FFFF_FFFF_FFEC, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF),
  ]

  /// The shared point of a secret scalar and a public one.
  /// - Throws: ``CryptographyError/weakAgreement`` if it is zero.
  static func multiply(_ scalar: borrowing SecretBytes, _ point: Bytes32) throws(CryptographyError) -> SecretBytes {
    precondition(scalar.count == 32, "an X25519 scalar has 32 bytes")
    Sodium.requireStarted()
    var shared = SecretBytes(count: 32)
    let status = shared.withUnsafeMutableBytes { output in
      scalar.withUnsafeBytes { secret in
        point.withUnsafePointer { crypto_scalarmult_curve25519(output.octets, secret.octets, $0) }
      }
    }
    guard status == 0 else { throw .weakAgreement }
    return shared
  }
}

/// An X25519 key pair, fresh for one attempt of a round.
public struct ChannelKeyPair: ~Copyable, Sendable {
  public let publicKey: ChannelPublicKey
  private let secretKey: SecretBytes

  /// A new pair from the system's generator.
  public static func generate() -> ChannelKeyPair { ChannelKeyPair() }

  private init() {
    Sodium.requireStarted()
    var secret = SecretBytes(count: Int(crypto_kx_SECRETKEYBYTES))
    let key = Bytes32 { output in
      let status = secret.withUnsafeMutableBytes { crypto_kx_keypair(output, $0.octets) }
      precondition(status == 0, "libsodium failed to make a channel key pair")
    }
    publicKey = ChannelPublicKey(trusted: key)
    secretKey = secret
  }

  /// The two keys, one a direction, that both ends of a channel compute (`crypto_kx`).
  ///
  /// The organisation with the lower cohort index plays the client. Which peer it is, is proved by the signature over
  /// the peer's key, not here.
  /// - Throws: ``CryptographyError/weakAgreement``.
  public borrowing func sessionKeys(
    with peer: ChannelPublicKey, asLowerIndex: Bool
  ) throws(CryptographyError) -> ChannelSessionKeys {
    var sending = SecretBytes(count: ChannelSessionKeys.keyByteCount)
    var receiving = SecretBytes(count: ChannelSessionKeys.keyByteCount)
    let derive = asLowerIndex ? crypto_kx_client_session_keys : crypto_kx_server_session_keys
    let status = receiving.withUnsafeMutableBytes { receivingBytes in
      sending.withUnsafeMutableBytes { sendingBytes in
        secretKey.withUnsafeBytes { secret in
          publicKey.storage.withUnsafePointer { own in
            peer.storage.withUnsafePointer {
              derive(receivingBytes.octets, sendingBytes.octets, own, secret.octets, $0)
            }
          }
        }
      }
    }
    guard status == 0 else { throw .weakAgreement }
    return ChannelSessionKeys(sending: sending, receiving: receiving)
  }
}

/// The keys of a channel between two organisations, one a direction.
public struct ChannelSessionKeys: ~Copyable, Sendable {
  static let keyByteCount = 32
  /// The nonce before and the tag after the ciphertext.
  public static let overheadByteCount = nonceByteCount + tagByteCount
  private static let nonceByteCount = Int(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
  private static let tagByteCount = Int(crypto_aead_xchacha20poly1305_ietf_ABYTES)

  private let sending: SecretBytes
  private let receiving: SecretBytes

  fileprivate init(sending: consuming SecretBytes, receiving: consuming SecretBytes) {
    self.sending = sending
    self.receiving = receiving
  }

  /// Encrypts to the peer: nonce (24 random bytes) ‖ ciphertext ‖ tag (16), XChaCha20-Poly1305-IETF.
  ///
  /// `associatedData` is authenticated and not contained; it is a canonical encoding of what the box is for.
  public borrowing func seal(_ plaintext: borrowing SecretBytes, associatedData: [UInt8]) -> [UInt8] {
    [UInt8](count: plaintext.count + Self.overheadByteCount) { nonce in
      randombytes_buf(nonce, Self.nonceByteCount)
      let status = plaintext.withUnsafeBytes { message in
        sending.withUnsafeBytes { key in
          crypto_aead_xchacha20poly1305_ietf_encrypt(
            nonce + Self.nonceByteCount, nil, message.octets, UInt64(message.count), associatedData,
            UInt64(associatedData.count), nil, nonce, key.octets)
        }
      }
      precondition(status == 0, "libsodium failed to seal")
    }
  }

  /// Decrypts what the peer sealed for the same `associatedData`.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` if the box is shorter than nonce and tag;
  ///   ``CryptographyError/authenticationFailed``.
  public borrowing func open(_ box: [UInt8], associatedData: [UInt8]) throws(CryptographyError) -> SecretBytes {
    guard box.count >= Self.overheadByteCount else {
      throw .wrongLength(of: .sealedBox, expected: Self.overheadByteCount, actual: box.count)
    }
    var plaintext = SecretBytes(count: box.count - Self.overheadByteCount)
    let status = plaintext.withUnsafeMutableBytes { output in
      receiving.withUnsafeBytes { key in
        box.withUnsafeBytes { bytes in
          crypto_aead_xchacha20poly1305_ietf_decrypt(
            output.octets, nil, nil, bytes.octets + Self.nonceByteCount, UInt64(bytes.count - Self.nonceByteCount),
            associatedData, UInt64(associatedData.count), bytes.octets, key.octets)
        }
      }
    }
    guard status == 0 else { throw .authenticationFailed }
    return plaintext
  }
}
