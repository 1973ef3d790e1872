import Foundation

/// How the vector of one unit (a record, an organisation) becomes an integer vector of bounded norm, and how a sum of
/// such vectors becomes real again.
///
/// The norm bounds, and so the noise and the charge, are in integer units. A new clip with the same integer clip, as
/// adaptive clipping needs it, leaves them as they are.
public struct IntegerEncoding: Hashable, Sendable {
  public let clipping: NormClipping
  public let rounding: ConditionalRounding

  /// Largest L2 norm in real units.
  public var clip: Double { clipping.clip }
  /// s: integer units in a real one.
  public var scale: Double { clipping.scale }
  public var dimension: Int { rounding.dimension }

  /// - Parameters:
  ///   - clip: Largest L2 norm of one unit's vector, real units, 2⁻⁴⁰…2⁴⁰.
  ///   - scaleExponent: log₂ of the scale, such that clip · scale is within 1…2³⁰.
  /// - Throws: ``MechanismError/parameter(_:)``
  public init(
    dimension: Int, clip: Double, scaleExponent: Int, bias: ConditionalRounding.Bias
  ) throws(MechanismError) {
    guard (-80...80).contains(scaleExponent) else { throw .parameter(.scale) }
    guard clip >= 0x1p-40, clip <= 0x1p40 else { throw .parameter(.clip) }
    let scale = Double(sign: .plus, exponent: scaleExponent, significand: 1)
    clipping = NormClipping(clip: clip, scale: scale)
    rounding = try ConditionalRounding(dimension: dimension, integerClip: clip * scale, bias: bias)
  }

  private init(clipping: NormClipping, rounding: ConditionalRounding) {
    self.clipping = clipping
    self.rounding = rounding
  }

  /// The same integers for another clip: the scale changes in proportion, the sensitivity not at all.
  ///
  /// - Throws: ``MechanismError/parameter(_:)`` for a clip outside 2⁻⁴⁰…2⁴⁰.
  public func reclipped(to clip: Double) throws(MechanismError) -> IntegerEncoding {
    guard clip >= 0x1p-40, clip <= 0x1p40 else { throw .parameter(.clip) }
    let clipping = NormClipping(clip: clip, scale: rounding.integerClip / clip)
    return IntegerEncoding(clipping: clipping, rounding: rounding)
  }

  /// A sum of integer vectors in real units.
  public func real(_ sum: [Int64]) -> [Double] { sum.map { Double($0) / scale } }
}

/// Integers in the rings of the secure sum.
enum ModularWords {
  static let bits = 8...32

  /// Two's complement in the low `bits` bits, upper bits zero. What does not fit wraps.
  static func words(_ values: [Int64], bits: Int) throws(MechanismError) -> [UInt32] {
    guard Self.bits.contains(bits) else { throw .parameter(.bits) }
    let mask = UInt32.max >> UInt32(32 - bits)
    return values.map { UInt32(truncatingIfNeeded: $0) & mask }
  }

  /// The representatives in −2^(bits−1) ..< 2^(bits−1).
  static func centred(_ words: [UInt32], bits: Int) throws(MechanismError) -> [Int64] {
    guard Self.bits.contains(bits) else { throw .parameter(.bits) }
    let shift = UInt32(32 - bits)
    return words.map { Int64(Int32(bitPattern: $0 << shift) >> Int32(shift)) }
  }
}
