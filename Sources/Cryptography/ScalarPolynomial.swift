import CSodium

/// A polynomial over the integers modulo the order of the ristretto255 group, with secret coefficients.
///
/// All arithmetic is constant in time; where it is evaluated is public. Nothing is allocated or checked a step: the
/// coefficients are canonical from the start.
public struct ScalarPolynomial: ~Copyable, Sendable {
  public let coefficientCount: Int
  /// In ascending order of their power, 32 bytes each, in one guarded allocation.
  private let coefficients: SecretBytes

  /// `randomCount` ≥ 1 coefficients, uniform.
  public init(randomCount: Int) {
    precondition(randomCount > 0, "a polynomial has a coefficient")
    Sodium.requireStarted()
    coefficientCount = randomCount
    // As libsodium documents it for many scalars: 64 random bytes each, reduced, with a bias below 2⁻²⁵⁶.
    let wideByteCount = Int(crypto_core_ristretto255_NONREDUCEDSCALARBYTES)
    let wide = SecretBytes(randomCount: randomCount * wideByteCount)
    var reduced = SecretBytes(count: randomCount * Scalar.byteCount)
    reduced.withUnsafeMutableBytes { output in
      wide.withUnsafeBytes { input in
        for index in 0..<randomCount {
          crypto_core_ristretto255_scalar_reduce(
            output.octets + index * Scalar.byteCount, input.octets + index * wideByteCount)
        }
      }
    }
    coefficients = reduced
  }

  /// The value at zero.
  public borrowing func constant() -> Scalar {
    coefficients.withUnsafeBytes { bytes in
      Scalar { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<Scalar.byteCount])) }
    }
  }

  /// The products of the coefficients with the base point, in ascending order, 32 bytes each. Public.
  /// - Throws: ``CryptographyError/identityElement`` if a coefficient is zero.
  public borrowing func timesBasePoint() throws(CryptographyError) -> [UInt8] {
    var isIdentity = false
    let products = [UInt8](count: coefficients.count) { output in
      coefficients.withUnsafeBytes { bytes in
        for start in stride(from: 0, to: bytes.count, by: Scalar.byteCount) {
          isIdentity = crypto_scalarmult_ristretto255_base(output + start, bytes.octets + start) != 0 || isIdentity
        }
      }
    }
    guard !isIdentity else { throw .identityElement }
    return products
  }

  /// The value at `position`.
  public borrowing func value(at position: UInt64) -> Scalar {
    var value = SecretBytes(count: Scalar.byteCount)
    writeValue(at: position, into: &value, slot: 0)
    return value.withUnsafeBytes { bytes in Scalar { $0.copyMemory(from: bytes) } }
  }

  /// Writes the value at `position` to the bytes 32 · `slot` … 32 · `slot` + 31 of `secret`, by Horner's rule.
  public borrowing func writeValue(at position: UInt64, into secret: inout SecretBytes, slot: Int) {
    let position = PublicScalar(position)
    // libsodium does not promise that a result may overwrite an operand, so product and sum have their own places.
    var work = SecretBytes(count: 2 * Scalar.byteCount)
    work.withUnsafeMutableBytes { work in
      let (sum, product) = (work.octets, work.octets + Scalar.byteCount)
      coefficients.withUnsafeBytes { bytes in
        position.storage.withUnsafePointer { position in
          let last = (coefficientCount - 1) * Scalar.byteCount
          sum.update(from: bytes.octets + last, count: Scalar.byteCount)
          for start in stride(from: last - Scalar.byteCount, through: 0, by: -Scalar.byteCount) {
            crypto_core_ristretto255_scalar_mul(product, sum, position)
            crypto_core_ristretto255_scalar_add(sum, product, bytes.octets + start)
          }
        }
      }
      secret.withUnsafeMutableBytes { target in
        let start = slot * Scalar.byteCount
        UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + Scalar.byteCount)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: work[..<Scalar.byteCount]))
      }
    }
  }
}

extension Scalar {
  /// The sum of the products of released scalars, 32 bytes each, with as many public weights.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` or ``CryptographyError/invalidEncoding(of:)`` for
  ///   the first scalar that is not in its canonical encoding.
  public static func weightedSum(
    of released: [[UInt8]], weights: [PublicScalar]
  ) throws(CryptographyError) -> Scalar {
    precondition(released.count == weights.count, "a scalar has one weight")
    Sodium.requireStarted()
    var work = SecretBytes(count: 3 * byteCount)
    let fault = work.withUnsafeMutableBytes { work -> CryptographyError? in
      var (sum, next) = (work.octets, work.octets + byteCount)
      let product = work.octets + 2 * byteCount
      for (scalar, weight) in zip(released, weights) {
        guard scalar.count == byteCount else {
          return .wrongLength(of: .scalar, expected: byteCount, actual: scalar.count)
        }
        let isCanonical = scalar.withUnsafeBytes { bytes in
          guard ScalarEncoding.isCanonical(bytes) else { return false }
          weight.storage.withUnsafePointer { crypto_core_ristretto255_scalar_mul(product, bytes.octets, $0) }
          return true
        }
        guard isCanonical else { return .invalidEncoding(of: .scalar) }
        crypto_core_ristretto255_scalar_add(next, sum, product)
        swap(&sum, &next)
      }
      // The caller reads the first place.
      if sum != work.octets { work.octets.update(from: sum, count: byteCount) }
      return nil
    }
    if let fault { throw fault }
    return work.withUnsafeBytes { bytes in
      Scalar { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])) }
    }
  }
}

extension SecretBytes {
  /// Whether the bytes 32 · `slot` … 32 · `slot` + 31 are a scalar in its canonical encoding. Constant in time.
  public borrowing func holdsCanonicalScalar(at slot: Int) -> Bool {
    let start = slot * Scalar.byteCount
    return withUnsafeBytes {
      ScalarEncoding.isCanonical(UnsafeRawBufferPointer(rebasing: $0[start..<(start + Scalar.byteCount)]))
    }
  }
}
