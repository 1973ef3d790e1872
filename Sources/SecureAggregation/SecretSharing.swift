public import Cryptography

/// Feldman commitments to a polynomial: coefficient k times the base point, for k = 0 … t − 1.
///
/// The first point commits to the shared secret. No point is the identity.
public struct FeldmanCommitments: Hashable, Sendable {
  public let bytes: [UInt8]

  public init(points: [GroupElement]) { bytes = points.flatMap(\.bytes) }
  public init(bytes: [UInt8]) throws(CryptographyError) {
    guard !bytes.isEmpty, bytes.count.isMultiple(of: 32) else { throw .malformedEncoding(.truncated) }
    self.bytes = bytes }
  public var count: Int { bytes.count / 32 }
  var isWellFormed: Bool { (try? points()) != nil }
  func points() throws(CryptographyError) -> [GroupElement] {
    var r: [GroupElement] = []
    for i in 0..<count { r.append(try GroupElement(bytes: bytes[(32*i)..<(32*i+32)])) }
    return r
  }

  /// The commitment to the value of the polynomial at `index`, or nil if it is the identity on the way.
  ///
  /// About t group multiplications.
  func commitment(at index: Int) -> GroupElement? {
    guard let points = try? points(), var value = points.last else { return nil }
    let position = PublicScalar(UInt64(index))
    for point in points.dropLast().reversed() {
      guard let scaled = try? value.multiplied(byPublic: position), let sum = try? scaled.adding(point) else {
        return nil
      }
      value = sum
    }
    return value
  }

  /// Whether the scalar encoded in `share` is the value of the committed polynomial at `index`.
  func verifies(share: [UInt8], at index: Int) -> Bool {
    guard let commitment = commitment(at: index) else { return false }
    return SecretSharing.basePointMultiple(of: share) == commitment
  }
}

/// A polynomial of degree t − 1 over the ristretto255 scalars whose constant is the shared secret.
struct SecretPolynomial: ~Copyable {
  let threshold: Int
  /// Coefficients in ascending order, 32 bytes each, in one guarded allocation.
  private let coefficients: SecretBytes

  /// A polynomial with fresh random coefficients.
  init(threshold: Int) throws(CryptographyError) {
    self.threshold = threshold
    var coefficients = SecretBytes(count: threshold * SecretSharing.scalarByteCount)
    for index in 0..<threshold {
      let scalar = Scalar.random()
      coefficients.copyScalar(scalar, to: index)
    }
    self.coefficients = coefficients
  }

  /// The shared secret.
  borrowing func constant() throws(CryptographyError) -> Scalar { try coefficients.scalar(at: 0) }

  borrowing func commitments() throws(CryptographyError) -> FeldmanCommitments {
    var points: [GroupElement] = []
    for index in 0..<threshold { points.append(try coefficients.scalar(at: index).timesBasePoint()) }
    return FeldmanCommitments(points: points)
  }

  borrowing func writeShare(at index: Int, into secret: inout SecretBytes, slot: Int) {
    if let s = try? share(at: index) { secret.copyScalar(s, to: slot) }
  }
  /// The share for `index` ≥ 1, by Horner's rule.
  borrowing func share(at index: Int) throws(CryptographyError) -> Scalar {
    let position = PublicScalar(UInt64(index))
    var value = try coefficients.scalar(at: threshold - 1)
    for coefficient in (0..<(threshold - 1)).reversed() {
      value = value.multiplied(byPublic: position).adding(try coefficients.scalar(at: coefficient))
    }
    return value
  }
}

/// Shamir sharing over the ristretto255 scalar field.
enum SecretSharing {
  static let scalarByteCount = 32

  /// Lagrange coefficients at zero for distinct non-zero indices.
  static func lagrangeCoefficients(at indices: [Int]) throws(CryptographyError) -> [PublicScalar] {
    var coefficients: [PublicScalar] = []
    for index in indices {
      var numerator = PublicScalar(1)
      var denominator = PublicScalar(1)
      for other in indices where other != index {
        numerator = numerator.multiplied(by: PublicScalar(UInt64(other)))
        denominator = denominator.multiplied(
          by: PublicScalar(UInt64(other)).subtracting(PublicScalar(UInt64(index))))
      }
      coefficients.append(numerator.multiplied(by: try denominator.inverted()))
    }
    return coefficients
  }

  /// The secret from as many shares as coefficients. Nothing is checked but that shares are canonical.
  static func reconstruct(
    shares: [[UInt8]], coefficients: [PublicScalar]
  ) throws(CryptographyError) -> Scalar {
    var secret = Scalar(small: 0)
    for (share, coefficient) in zip(shares, coefficients) {
      secret = secret.adding(try scalar(share).multiplied(byPublic: coefficient))
    }
    return secret
  }

  /// The scalar encoded in released bytes.
  static func scalar(_ bytes: [UInt8]) throws(CryptographyError) -> Scalar {
    try Scalar(canonicalBytes: bytes)
  }

  static func basePointMultiple(of bytes: [UInt8]) -> GroupElement? {
    do throws(CryptographyError) { return try scalar(bytes).timesBasePoint() } catch { return nil }
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

/// The shares one organisation holds in an attempt: for each cohort position a share of z and one of b.
///
/// One guarded allocation of 64 bytes a position, erased when the value ends.
struct ShareVault: ~Copyable {
  private var slab: SecretBytes
  private var held: [Bool]
  func holds(_ slot: Int) -> Bool { held[slot] }
  init(ownerCount: Int) {
    slab = SecretBytes(count: 2 * SecretSharing.scalarByteCount * ownerCount)
    held = Array(repeating: false, count: ownerCount)
  }
  mutating func store(_ plaintext: borrowing SecretBytes, for slot: Int) throws(CryptographyError) {
    store(maskShare: try plaintext.scalar(at: 0), selfMaskShare: try plaintext.scalar(at: 1), for: slot)
  }

  mutating func store(maskShare: borrowing Scalar, selfMaskShare: borrowing Scalar, for position: Int) {
    slab.copyScalar(maskShare, to: 2 * position)
    slab.copyScalar(selfMaskShare, to: 2 * position + 1)
    held[position] = true
  }

  /// The bytes of one kind of share. The caller makes sure that it asks for one kind a position only.
  borrowing func release(_ kind: ShareKind, for position: Int) -> [UInt8] {
    let slot = 2 * position + (kind == .mask ? 0 : 1)
    let start = slot * SecretSharing.scalarByteCount
    return slab.withUnsafeBytes { Array($0[start..<(start + SecretSharing.scalarByteCount)]) }
  }
}

/// Which of the two secrets of an organisation a share belongs to.
public enum ShareKind: String, Hashable, Sendable {
  /// z: released for members of U2 that are not in U3.
  case mask
  /// b: released for members of U3.
  case selfMask = "self-mask"
}
