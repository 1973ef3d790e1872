public import Cryptography

/// Feldman commitments to a polynomial: coefficient k times the base point, for k = 0 … t − 1.
///
/// The first point commits to the shared secret. The bytes are as received: large cohorts look at them only on
/// suspicion. Commitments with bytes that encode no point, or the identity, commit to nothing.
public struct FeldmanCommitments: Hashable, Sendable {
  /// The encodings of the points, 32 bytes each.
  public let bytes: [UInt8]

  public init(points: [GroupElement]) { bytes = points.flatMap(\.bytes) }

  /// Commitments received.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless the length is a multiple of 32, and not 0.
  ///   Whether each 32 bytes encode a point is not looked at.
  public init(bytes: [UInt8]) throws(CryptographyError) {
    let count = max(1, (bytes.count + GroupElement.byteCount - 1) / GroupElement.byteCount)
    guard bytes.count == count * GroupElement.byteCount else {
      throw .wrongLength(of: .groupElement, expected: count * GroupElement.byteCount, actual: bytes.count)
    }
    self.bytes = bytes
  }

  /// Made here, so points they are.
  fileprivate init(made bytes: [UInt8]) { self.bytes = bytes }

  /// The number of points.
  public var count: Int { bytes.count / GroupElement.byteCount }

  /// The commitment to coefficient `index`, decoded anew by every call.
  /// - Throws: ``CryptographyError/identityElement``, ``CryptographyError/invalidEncoding(of:)``.
  func point(at index: Int) throws(CryptographyError) -> GroupElement {
    let start = index * GroupElement.byteCount
    return try GroupElement(bytes: bytes[start..<(start + GroupElement.byteCount)])
  }

  /// All points, decoded anew by every call.
  /// - Throws: ``CryptographyError/identityElement``, ``CryptographyError/invalidEncoding(of:)``.
  func points() throws(CryptographyError) -> [GroupElement] {
    var points: [GroupElement] = []
    points.reserveCapacity(count)
    for index in 0..<count { points.append(try point(at: index)) }
    return points
  }

  /// Whether all points are elements of the group and none is the identity.
  var isWellFormed: Bool {
    do throws(CryptographyError) { return try !points().isEmpty } catch { return false }
  }

  /// The commitment to the value of the polynomial at `index`, or nil if it is the identity on the way or if the
  /// commitments are not well-formed.
  ///
  /// About t group multiplications.
  func commitment(at index: Int) -> GroupElement? {
    do throws(CryptographyError) {
      let points = try points()
      guard var value = points.last else { return nil }
      let position = PublicScalar(UInt64(index))
      for point in points.dropLast().reversed() {
        value = try value.multiplied(byPublic: position).adding(point)
      }
      return value
    } catch {
      return nil
    }
  }

  /// Whether the scalar encoded in `share` is the value of the committed polynomial at `index`.
  func verifies(share: [UInt8], at index: Int) -> Bool {
    guard let value = SecretSharing.basePointMultiple(of: share) else { return false }
    return value == commitment(at: index)
  }
}

/// A polynomial of degree t − 1 over the ristretto255 scalars whose constant is the shared secret.
struct SecretPolynomial: ~Copyable {
  private let polynomial: ScalarPolynomial

  /// A polynomial with fresh random coefficients.
  /// - Parameter threshold: t ≥ 1.
  init(threshold: Int) throws(CryptographyError) { polynomial = ScalarPolynomial(randomCount: threshold) }

  var threshold: Int { polynomial.coefficientCount }

  /// The shared secret.
  borrowing func constant() throws(CryptographyError) -> Scalar { polynomial.constant() }

  borrowing func commitments() throws(CryptographyError) -> FeldmanCommitments {
    FeldmanCommitments(made: try polynomial.timesBasePoint())
  }

  /// The share for `index` ≥ 1.
  borrowing func share(at index: Int) throws(CryptographyError) -> Scalar { polynomial.value(at: UInt64(index)) }

  /// Writes the share for `index` ≥ 1 into the 32-byte slot `slot` of `secret`.
  borrowing func writeShare(at index: Int, into secret: inout SecretBytes, slot: Int) {
    polynomial.writeValue(at: UInt64(index), into: &secret, slot: slot)
  }
}

/// Shamir sharing over the ristretto255 scalar field.
enum SecretSharing {
  static let scalarByteCount = 32

  /// Lagrange coefficients at zero for distinct non-zero indices: for index x, the product of y / (y − x) over all
  /// other indices y. Indices are public; the time depends on them.
  /// - Throws: ``CryptographyError/notInvertible`` if an index is zero or repeated.
  static func lagrangeCoefficients(at indices: [Int]) throws(CryptographyError) -> [PublicScalar] {
    // With the product of all indices above, x joins the product below.
    var numerator = SmallFactors()
    for index in indices { numerator.multiply(by: index) }
    let denominators = indices.enumerated().map { place, index in
      var denominator = SmallFactors()
      denominator.multiply(by: index)
      for (otherPlace, other) in indices.enumerated() where otherPlace != place {
        denominator.multiply(by: other - index)
      }
      return denominator.product()
    }
    let product = numerator.product()
    return try PublicScalar.inverses(of: denominators).map { product.multiplied(by: $0) }
  }

  /// The secret from as many shares as coefficients. Nothing is checked but that shares are canonical.
  static func reconstruct(
    shares: [[UInt8]], coefficients: [PublicScalar]
  ) throws(CryptographyError) -> Scalar {
    try Scalar.weightedSum(of: shares, weights: coefficients)
  }

  /// The scalar encoded in released bytes.
  static func scalar(_ bytes: [UInt8]) throws(CryptographyError) -> Scalar {
    try Scalar(canonicalBytes: bytes)
  }

  static func basePointMultiple(of bytes: [UInt8]) -> GroupElement? {
    do throws(CryptographyError) { return try scalar(bytes).timesBasePoint() } catch { return nil }
  }
}

/// A product of small integers, which are gathered in machine words before they become a scalar.
private struct SmallFactors {
  private var scalar = PublicScalar(1)
  private var full: UInt64?
  private var word: UInt64 = 1
  private var isNegative = false

  mutating func multiply(by factor: Int) {
    if factor < 0 { isNegative.toggle() }
    let (product, overflow) = word.multipliedReportingOverflow(by: UInt64(factor.magnitude))
    guard overflow else {
      word = product
      return
    }
    // Two full words make one product of scalars.
    if let full {
      scalar = scalar.multiplied(by: PublicScalar(product: full, word))
      self.full = nil
    } else {
      full = word
    }
    word = UInt64(factor.magnitude)
  }

  consuming func product() -> PublicScalar {
    let product = scalar.multiplied(by: PublicScalar(product: full ?? 1, word))
    return isNegative ? product.negated() : product
  }
}

extension SecretBytes {
  /// The scalar in the 32-byte slot `slot`.
  borrowing func scalar(at slot: Int) throws(CryptographyError) -> Scalar {
    let start = slot * SecretSharing.scalarByteCount
    return try withUnsafeBytes { (buffer) throws(CryptographyError) -> Scalar in
      try Scalar(
        canonicalBytes: UnsafeRawBufferPointer(rebasing: buffer[start..<(start + SecretSharing.scalarByteCount)]))
    }
  }

  mutating func copyScalar(_ scalar: borrowing Scalar, to slot: Int) {
    let start = slot * SecretSharing.scalarByteCount
    withUnsafeMutableBytes { target in
      scalar.withUnsafeBytes { source in
        UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + SecretSharing.scalarByteCount)])
          .copyMemory(from: source)
      }
    }
  }
}

/// The shares one organisation holds in an attempt: of each owner a share of z and one of b.
///
/// An owner's slot is a rank that the caller keeps. One guarded allocation of 64 bytes an owner, erased when the value
/// ends.
struct ShareVault: ~Copyable {
  /// The shares of an owner, z's first.
  static let pairByteCount = 2 * SecretSharing.scalarByteCount

  private var slab: SecretBytes
  private var filled: [Bool]

  /// A vault for the shares of `ownerCount` owners, none of which it holds.
  init(ownerCount: Int) {
    slab = SecretBytes(count: Self.pairByteCount * ownerCount)
    filled = Array(repeating: false, count: ownerCount)
  }

  func holds(_ slot: Int) -> Bool { filled[slot] }

  mutating func store(maskShare: borrowing Scalar, selfMaskShare: borrowing Scalar, for slot: Int) {
    slab.copyScalar(maskShare, to: 2 * slot)
    slab.copyScalar(selfMaskShare, to: 2 * slot + 1)
    filled[slot] = true
  }

  /// Stores both shares as an owner sent them: z's, then b's.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)``; ``CryptographyError/invalidEncoding(of:)`` if one
  ///   is not a canonical scalar. Nothing is stored then.
  mutating func store(_ plaintext: borrowing SecretBytes, for slot: Int) throws(CryptographyError) {
    guard plaintext.count == Self.pairByteCount else {
      throw .wrongLength(of: .sharePair, expected: Self.pairByteCount, actual: plaintext.count)
    }
    // Both are looked at, so that the time does not tell which is wrong.
    let (first, second) = (plaintext.holdsCanonicalScalar(at: 0), plaintext.holdsCanonicalScalar(at: 1))
    guard first, second else { throw .invalidEncoding(of: .scalar) }
    let start = slot * Self.pairByteCount
    slab.withUnsafeMutableBytes { target in
      plaintext.withUnsafeBytes { source in
        UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + source.count)]).copyMemory(from: source)
      }
    }
    filled[slot] = true
  }

  /// The shares that may be known, by slot: of an owner's two the one of its kind, and nothing where none is held.
  ///
  /// Ends the vault: one kind of each owner's shares leaves it, once, and the other is erased.
  consuming func release(_ kinds: [ShareKind], under proof: consuming ThresholdProof) -> [[UInt8]?] {
    _ = consume proof
    return slab.withUnsafeBytes { bytes in
      zip(kinds, filled).enumerated().map { slot, entry -> [UInt8]? in
        guard entry.1 else { return nil }
        let start = slot * Self.pairByteCount + (entry.0 == .mask ? 0 : SecretSharing.scalarByteCount)
        return Array(bytes[start..<(start + SecretSharing.scalarByteCount)])
      }
    }
  }
}

/// Which of the two secrets of an organisation a share belongs to.
public enum ShareKind: String, Hashable, Sendable {
  /// z: released for members of U2 that are not in U3.
  case mask
  /// b: released for members of U3.
  case selfMask = "self-mask"
}
