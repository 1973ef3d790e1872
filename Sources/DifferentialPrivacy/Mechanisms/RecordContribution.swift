import Foundation

/// One organisation's sum of clipped gradients of its examples, for the record unit.
///
/// Each example's gradient is clipped, scaled, conditionally rounded and tested on its own, and only then added: the
/// bound of conditional rounding does not hold for a rounded sum. Adding or removing one example so changes the
/// integer sum by a vector of squared norm at most ``ConditionalRounding/squaredNormBound``, whatever the example is.
///
/// The sum leaves through ``finish(adding:using:)`` only, with noise in it, and can be taken once. The counts are for
/// the organisation itself: they depend on the data and carry no noise.
public struct RecordContribution: ~Copyable {
  /// Sums of so many terms of at most 2³⁰ stay inside 64 bits.
  public static let maximumRecords = 1 << 31

  public let encoding: IntegerEncoding
  public private(set) var recordCount = 0
  /// Examples whose gradient was scaled down.
  public private(set) var clippedCount = 0
  /// Examples whose gradient had a value that is not finite: they contribute zero, so that no example can be told
  /// from the outside by an organisation that stops.
  public private(set) var notFiniteCount = 0
  /// Examples whose rounding did not meet the bound, a chance below 2⁻⁹² each: they contribute zero as well.
  public private(set) var unmetCount = 0

  private(set) var sums: [Int64]
  private var scaled: [Double]
  private var rounded: [Int64]

  public init(encoding: IntegerEncoding) {
    self.encoding = encoding
    sums = [Int64](repeating: 0, count: encoding.dimension)
    scaled = [Double](repeating: 0, count: encoding.dimension)
    rounded = sums
  }

  /// Adds one example's gradient.
  ///
  /// - Parameter randomness: A cryptographically secure source; rounding draws from it.
  /// - Throws: ``MechanismError/shape(expected:found:)``, ``MechanismError/tooManyRecords(limit:)``. The sum is then as
  ///   it was.
  public mutating func add(
    gradient: [Double], using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) {
    // The result is handed out of the closure: it cannot carry a typed error in every compiler.
    let added = gradient.withUnsafeBufferPointer { buffer in
      Result { () throws(MechanismError) in try add(gradient: buffer, using: &randomness) }
    }
    try added.get()
  }

  /// As above, without a copy.
  public mutating func add(
    gradient: UnsafeBufferPointer<Double>, using randomness: inout some RandomNumberGenerator
  ) throws(MechanismError) {
    guard gradient.count == encoding.dimension else {
      throw .shape(expected: encoding.dimension, found: gradient.count)
    }
    guard recordCount < Self.maximumRecords else { throw .tooManyRecords(limit: Self.maximumRecords) }
    recordCount += 1
    let clipping = encoding.clipping
    switch scaled.withUnsafeMutableBufferPointer({ clipping.apply(gradient, into: $0) }) {
    case .within: break
    case .clipped: clippedCount += 1
    case .notFinite: notFiniteCount += 1
    }
    let rounding = encoding.rounding
    let isShort = scaled.withUnsafeBufferPointer { scaled in
      rounded.withUnsafeMutableBufferPointer { rounding.round(scaled, into: $0, using: &randomness) }
    }
    guard isShort else {
      unmetCount += 1
      return
    }
    for index in sums.indices { sums[index] += rounded[index] }
  }

  /// The sum with this organisation's share of the noise; nothing else of it is left.
  ///
  /// - Parameter randomness: A cryptographically secure source.
  public consuming func finish(
    adding noise: NoiseShare, using randomness: inout some RandomNumberGenerator
  ) -> NoisedIntegers {
    NoisedIntegers(sums, adding: noise, using: &randomness)
  }

  /// The sum **without noise**, for a run in which the server adds it (``CentralGaussian``) and is trusted to: nothing but
  /// the secure sum hides it then. For no other use.
  public consuming func finish(trusting _: CentralNoise) -> [Int64] { sums }
}

/// The decoded sum of many contributions of the record unit.
public enum RecordSum {
  /// The sum of all gradients in real units, from the sum modulo 2^bits: noise included, right unless it wrapped.
  ///
  /// - Throws: ``MechanismError/shape(expected:found:)``; ``MechanismError/parameter(_:)`` for `bits` outside 8…32.
  public static func decode(
    words: [UInt32], bits: Int, encoding: IntegerEncoding
  ) throws(MechanismError) -> [Double] {
    guard words.count == encoding.dimension else {
      throw .shape(expected: encoding.dimension, found: words.count)
    }
    return encoding.real(try ModularWords.centred(words, bits: bits))
  }
}
