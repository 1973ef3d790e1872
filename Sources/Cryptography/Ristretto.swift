import CSodium

/// A non-identity element of the ristretto255 group (RFC 9496): 32 bytes in its one canonical encoding.
public struct GroupElement: Hashable, Sendable {
  public static let byteCount = 32
  fileprivate let storage: Bytes32

  /// An element received.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/identityElement``;
  ///   ``CryptographyError/invalidEncoding(of:)`` if the bytes encode no element.
  public init(bytes: some Collection<UInt8>) throws(CryptographyError) {
    Sodium.requireStarted()
    storage = try Bytes32(bytes, of: .groupElement)
    // libsodium accepts the identity, which encodes as zeros.
    guard storage != Bytes32() else { throw .identityElement }
    guard storage.withUnsafePointer({ crypto_core_ristretto255_is_valid_point($0) }) == 1 else {
      throw .invalidEncoding(of: .groupElement)
    }
  }

  /// The result of a group operation.
  /// - Throws: ``CryptographyError/identityElement``.
  fileprivate init(result: Bytes32) throws(CryptographyError) {
    guard result != Bytes32() else { throw .identityElement }
    storage = result
  }

  /// 32 bytes.
  public var bytes: [UInt8] { storage.array }

  /// The sum of two elements. Public data only.
  /// - Throws: ``CryptographyError/identityElement`` if one is the inverse of the other.
  public func adding(_ other: GroupElement) throws(CryptographyError) -> GroupElement {
    let sum = try Bytes32 { (output) throws(CryptographyError) in
      let status = storage.withUnsafePointer { left in
        other.storage.withUnsafePointer { crypto_core_ristretto255_add(output, left, $0) }
      }
      guard status == 0 else { throw .invalidEncoding(of: .groupElement) }
    }
    return try GroupElement(result: sum)
  }

  /// The product with a secret scalar, as an element that may be published. For a shared secret use
  /// ``Scalar/sharedSecret(with:)``.
  /// - Throws: ``CryptographyError/identityElement`` if the scalar is zero.
  public func multiplied(by scalar: borrowing Scalar) throws(CryptographyError) -> GroupElement {
    try scalar.withUnsafeBytes { (bytes) throws(CryptographyError) in try multiplied(byBytes: bytes.octets) }
  }

  /// The product with a public scalar.
  /// - Throws: ``CryptographyError/identityElement`` if the scalar is zero.
  public func multiplied(byPublic scalar: PublicScalar) throws(CryptographyError) -> GroupElement {
    try scalar.storage.withUnsafePointer { (bytes) throws(CryptographyError) in try multiplied(byBytes: bytes) }
  }

  private func multiplied(byBytes scalar: UnsafePointer<UInt8>) throws(CryptographyError) -> GroupElement {
    let product = try Bytes32 { (output) throws(CryptographyError) in
      // The element is valid, so the only failure is a product that is the identity.
      let status = storage.withUnsafePointer { crypto_scalarmult_ristretto255(output, scalar, $0) }
      guard status == 0 else { throw .identityElement }
    }
    return try GroupElement(result: product)
  }

  /// The one-way map of RFC 9496 §4.3.4 from 64 uniform bytes; for test vectors.
  static func fromUniform(_ bytes: [UInt8]) throws(CryptographyError) -> GroupElement {
    precondition(bytes.count == 64, "the one-way map takes 64 bytes")
    Sodium.requireStarted()
    let element = Bytes32 { output in
      let status = crypto_core_ristretto255_from_hash(output, bytes)
      precondition(status == 0, "libsodium failed to map bytes to the group")
    }
    return try GroupElement(result: element)
  }
}

/// A secret integer modulo the order of the ristretto255 group, in guarded memory. All arithmetic is constant in time.
public struct Scalar: ~Copyable, Sendable {
  public static let byteCount = 32
  /// Little-endian and below the group order.
  private var storage: SecretBytes

  /// Uniform and not zero.
  public static func random() -> Scalar {
    Scalar { crypto_core_ristretto255_scalar_random($0.octets) }
  }

  /// A scalar in its canonical encoding: 32 bytes, little-endian, below the group order. Zero is a scalar.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/invalidEncoding(of:)`` if
  ///   the number is not below the order.
  public init(canonicalBytes: UnsafeRawBufferPointer) throws(CryptographyError) {
    guard canonicalBytes.count == Self.byteCount else {
      throw .wrongLength(of: .scalar, expected: Self.byteCount, actual: canonicalBytes.count)
    }
    guard ScalarEncoding.isCanonical(canonicalBytes) else { throw .invalidEncoding(of: .scalar) }
    storage = SecretBytes.copying(canonicalBytes)
  }

  /// A scalar whose bytes were released or received and so are no secret any more.
  /// - Throws: as for a buffer.
  public init(canonicalBytes: [UInt8]) throws(CryptographyError) {
    var copy = SecretBytes(count: canonicalBytes.count)
    copy.withUnsafeMutableBytes { $0.copyBytes(from: canonicalBytes) }
    self = try copy.withUnsafeBytes { (bytes) throws(CryptographyError) in try Scalar(canonicalBytes: bytes) }
  }

  public init(small: UInt32) {
    self.init { $0.storeBytes(of: small.littleEndian, as: UInt32.self) }
  }

  /// What `body` writes into 32 zero bytes, in canonical form.
  init(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
    Sodium.requireStarted()
    storage = SecretBytes(count: Self.byteCount)
    storage.withUnsafeMutableBytes(body)
  }

  public borrowing func adding(_ other: borrowing Scalar) -> Scalar {
    combined(with: other, crypto_core_ristretto255_scalar_add)
  }

  public borrowing func subtracting(_ other: borrowing Scalar) -> Scalar {
    combined(with: other, crypto_core_ristretto255_scalar_sub)
  }

  public borrowing func multiplied(by other: borrowing Scalar) -> Scalar {
    combined(with: other, crypto_core_ristretto255_scalar_mul)
  }

  public borrowing func multiplied(byPublic other: PublicScalar) -> Scalar {
    withUnsafeBytes { left in
      other.storage.withUnsafePointer { right in
        Scalar { crypto_core_ristretto255_scalar_mul($0.octets, left.octets, right) }
      }
    }
  }

  private borrowing func combined(
    with other: borrowing Scalar,
    _ operation: (UnsafeMutablePointer<UInt8>, UnsafePointer<UInt8>, UnsafePointer<UInt8>) -> Void
  ) -> Scalar {
    withUnsafeBytes { left in
      other.withUnsafeBytes { right in
        Scalar { operation($0.octets, left.octets, right.octets) }
      }
    }
  }

  /// The multiplicative inverse.
  /// - Throws: ``CryptographyError/notInvertible`` for zero.
  public borrowing func inverted() throws(CryptographyError) -> Scalar {
    var status: Int32 = -1
    let inverse = withUnsafeBytes { bytes in
      Scalar { status = crypto_core_ristretto255_scalar_invert($0.octets, bytes.octets) }
    }
    guard status == 0 else { throw .notInvertible }
    return inverse
  }

  /// A second scalar of the same value.
  public borrowing func clone() -> Scalar {
    withUnsafeBytes { bytes in Scalar { $0.copyMemory(from: bytes) } }
  }

  /// Reads the canonical encoding. The pointer is valid only during the call.
  public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try storage.withUnsafeBytes(body)
  }

  /// The public key, and commitment, of this scalar.
  /// - Throws: ``CryptographyError/identityElement`` for zero.
  public borrowing func timesBasePoint() throws(CryptographyError) -> GroupElement {
    let product = try Bytes32 { (output) throws(CryptographyError) in
      let status = withUnsafeBytes { crypto_scalarmult_ristretto255_base(output, $0.octets) }
      guard status == 0 else { throw .identityElement }
    }
    return try GroupElement(result: product)
  }

  /// The Diffie-Hellman secret with a public key: 32 bytes, to derive keys from and for nothing else.
  /// - Throws: ``CryptographyError/identityElement`` for the scalar zero.
  public borrowing func sharedSecret(with element: GroupElement) throws(CryptographyError) -> SecretBytes {
    var shared = SecretBytes(count: GroupElement.byteCount)
    let status = shared.withUnsafeMutableBytes { output in
      withUnsafeBytes { secret in
        element.storage.withUnsafePointer { crypto_scalarmult_ristretto255(output.octets, secret.octets, $0) }
      }
    }
    guard status == 0 else { throw .identityElement }
    return shared
  }
}

/// An integer modulo the order of the ristretto255 group that is not secret: share indices, Lagrange coefficients.
public struct PublicScalar: Hashable, Sendable {
  public static let byteCount = 32
  let storage: Bytes32

  public init(_ value: UInt64) {
    var storage = Bytes32()
    storage.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, as: UInt64.self) }
    self.storage = storage
  }

  /// The product of two integers.
  public init(product left: UInt64, _ right: UInt64) {
    let (high, low) = left.multipliedFullWidth(by: right)
    var storage = Bytes32()
    storage.withUnsafeMutableBytes {
      $0.storeBytes(of: low.littleEndian, as: UInt64.self)
      $0.storeBytes(of: high.littleEndian, toByteOffset: 8, as: UInt64.self)
    }
    self.storage = storage
  }

  /// A scalar in its canonical encoding.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/invalidEncoding(of:)``.
  public init(canonicalBytes: some Collection<UInt8>) throws(CryptographyError) {
    storage = try Bytes32(canonicalBytes, of: .scalar)
    guard storage.withUnsafeBytes({ ScalarEncoding.isCanonical($0) }) else { throw .invalidEncoding(of: .scalar) }
  }

  private init(storage: Bytes32) { self.storage = storage }

  /// 32 bytes, little-endian.
  public var bytes: [UInt8] { storage.array }

  public func adding(_ other: PublicScalar) -> PublicScalar {
    combined(with: other, crypto_core_ristretto255_scalar_add)
  }

  public func subtracting(_ other: PublicScalar) -> PublicScalar {
    combined(with: other, crypto_core_ristretto255_scalar_sub)
  }

  public func multiplied(by other: PublicScalar) -> PublicScalar {
    combined(with: other, crypto_core_ristretto255_scalar_mul)
  }

  private func combined(
    with other: PublicScalar,
    _ operation: (UnsafeMutablePointer<UInt8>, UnsafePointer<UInt8>, UnsafePointer<UInt8>) -> Void
  ) -> PublicScalar {
    Sodium.requireStarted()
    return storage.withUnsafePointer { left in
      other.storage.withUnsafePointer { right in
        PublicScalar(storage: Bytes32 { operation($0, left, right) })
      }
    }
  }

  /// The negative.
  public func negated() -> PublicScalar {
    Sodium.requireStarted()
    return storage.withUnsafePointer { value in
      PublicScalar(storage: Bytes32 { crypto_core_ristretto255_scalar_negate($0, value) })
    }
  }

  /// The multiplicative inverses of `scalars`, by one inversion and three products each (Montgomery's trick).
  /// - Throws: ``CryptographyError/notInvertible`` if one is zero.
  public static func inverses(of scalars: [PublicScalar]) throws(CryptographyError) -> [PublicScalar] {
    // The product of all before each.
    var inverses: [PublicScalar] = []
    inverses.reserveCapacity(scalars.count)
    var product = PublicScalar(1)
    for scalar in scalars {
      inverses.append(product)
      product = product.multiplied(by: scalar)
    }
    var inverse = try product.inverted()
    for index in scalars.indices.reversed() {
      inverses[index] = inverses[index].multiplied(by: inverse)
      inverse = inverse.multiplied(by: scalars[index])
    }
    return inverses
  }

  /// The multiplicative inverse.
  /// - Throws: ``CryptographyError/notInvertible`` for zero.
  public func inverted() throws(CryptographyError) -> PublicScalar {
    Sodium.requireStarted()
    let inverse = try Bytes32 { (output) throws(CryptographyError) in
      let status = storage.withUnsafePointer { crypto_core_ristretto255_scalar_invert(output, $0) }
      guard status == 0 else { throw .notInvertible }
    }
    return PublicScalar(storage: inverse)
  }
}

enum ScalarEncoding {
  /// The order of the group, less one.
  private static let largest = PublicScalar(1).negated()

  /// Whether 32 bytes are a number below the group order. Constant in time.
  static func isCanonical(_ bytes: UnsafeRawBufferPointer) -> Bool {
    precondition(bytes.count == Scalar.byteCount, "a scalar has 32 bytes")
    return largest.storage.withUnsafePointer { sodium_compare(bytes.octets, $0, bytes.count) <= 0 }
  }
}
