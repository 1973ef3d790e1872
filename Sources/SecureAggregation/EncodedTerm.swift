import Cryptography

/// One organisation's term of the sum as integers: made once for an opening, masked in every attempt.
///
/// Implements §Encoding of values. This is plaintext: it never leaves the organisation. Whoever stores it is to
/// protect it; this type does not.
public struct EncodedTerm: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
  /// Coordinates in Z_{2^bits}: two's complement in the low `bits` bits, upper bits zero.
  public let tensors: [UInt32]
  /// Counters in Z_{2^64}: two's complement.
  public let counters: [UInt64]

  /// Clips, scales and rounds `values`; checks every counter against its bound.
  ///
  /// - Parameters:
  ///   - values: One value a coordinate, already weighted. Values outside [−clip, clip], infinities included, are
  ///     clipped.
  ///   - counters: All groups in the order of the parameters.
  ///   - randomness: A cryptographically secure source; used by stochastic rounding only.
  /// - Returns: The term and the number of coordinates that were clipped.
  /// - Throws: ``AggregationError/misuse(_:)`` for a wrong shape, a value that is not a number, or a counter out
  ///   of bounds.
  public static func encode(
    values: [Double], counters: [Int64], context: AggregationContext,
    randomness: inout some RandomNumberGenerator
  ) throws(AggregationError) -> (term: EncodedTerm, clippedCount: Int) {
    let parameters = context.parameters
    guard case .clipped = parameters.encoding else { throw .misuse(.otherEncoding) }
    guard values.count == parameters.tensorCount, counters.count == parameters.counterCount else {
      throw .misuse(.wrongTermShape(tensors: values.count, counters: counters.count))
    }
    let encoded = try encode(counters, groups: parameters.counters)
    let mask = wordMask(bits: parameters.bits)
    let clip = parameters.clip
    let scale = context.scale
    let stochastic = parameters.rounding == .stochastic
    var words = [UInt32](repeating: 0, count: values.count)
    var clipped = 0
    for (index, value) in values.enumerated() {
      guard !value.isNaN else { throw .misuse(.valueIsNotANumber(index: index)) }
      if value.magnitude > clip { clipped += 1 }
      let scaled = min(max(value, -clip), clip) * scale
      let rounded: Double
      if stochastic {
        let floor = scaled.rounded(.down)
        let uniform = Double(randomness.next() as UInt64 >> 11) * 0x1p-53
        rounded = uniform < scaled - floor ? floor + 1 : floor
      } else {
        rounded = scaled.rounded(.toNearestOrEven)
      }
      words[index] = UInt32(truncatingIfNeeded: Int64(rounded)) & mask
    }
    return (EncodedTerm(tensors: words, counters: encoded), clipped)
  }

  /// As above with the keystream of a fresh random seed.
  public static func encode(
    values: [Double], counters: [Int64], context: AggregationContext
  ) throws(AggregationError) -> (term: EncodedTerm, clippedCount: Int) {
    var randomness: KeystreamRandomness
    do throws(CryptographyError) {
      randomness = try KeystreamRandomness(generator: context.parameters.generator)
    } catch { throw .local(error) }
    let result = try encode(values: values, counters: counters, context: context, randomness: &randomness)
    do throws(CryptographyError) { try randomness.check() } catch { throw .local(error) }
    return result
  }

  /// Takes the integers of a mechanism of differential privacy, noise included, modulo 2^bits.
  ///
  /// - Parameters:
  ///   - integers: One a coordinate, in units of 1/scale.
  ///   - counters: All groups in the order of the parameters, noise included.
  /// - Throws: ``AggregationError/misuse(_:)`` for a wrong shape, a counter out of bounds, or a context whose coordinates
  ///   are clipped values.
  public init(
    integers: [Int64], counters: [Int64], context: AggregationContext
  ) throws(AggregationError) {
    let parameters = context.parameters
    guard case .integers = parameters.encoding else { throw .misuse(.otherEncoding) }
    guard integers.count == parameters.tensorCount, counters.count == parameters.counterCount else {
      throw .misuse(.wrongTermShape(tensors: integers.count, counters: counters.count))
    }
    let mask = Self.wordMask(bits: parameters.bits)
    self.init(
      tensors: integers.map { UInt32(truncatingIfNeeded: $0) & mask },
      counters: try Self.encode(counters, groups: parameters.counters))
  }

  /// Canonical bytes, for the organisation's own store.
  public func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/encoded-term")
    encoder.append(WordCoding.bytes(tensors))
    encoder.append(WordCoding.bytes(counters))
    return encoder.finish()
  }

  /// A stored term.
  /// - Throws: ``Misuse/storedTermIsCorrupt`` if the bytes are not a term within the parameters of `context`.
  public init(decoding bytes: [UInt8], context: AggregationContext) throws(AggregationError) {
    let parameters = context.parameters
    let tensorBytes: [UInt8]
    let counterBytes: [UInt8]
    do throws(CryptographyError) {
      var decoder = try CanonicalDecoder(bytes, label: "bauta/v1/encoded-term")
      tensorBytes = try decoder.bytes(maximum: 4 * parameters.tensorCount)
      counterBytes = try decoder.bytes(maximum: 8 * parameters.counterCount)
      try decoder.finish()
    } catch {
      throw .misuse(.storedTermIsCorrupt)
    }
    guard tensorBytes.count.isMultiple(of: 4), counterBytes.count.isMultiple(of: 8) else {
      throw .misuse(.storedTermIsCorrupt)
    }
    self.init(tensors: WordCoding.words(tensorBytes), counters: WordCoding.words(counterBytes))
    guard isWithinBounds(context) else { throw .misuse(.storedTermIsCorrupt) }
  }

  init(tensors: [UInt32], counters: [UInt64]) {
    self.tensors = tensors
    self.counters = counters
  }

  /// Whether the shape is that of the parameters and every integer within its bound.
  func isWithinBounds(_ context: AggregationContext) -> Bool {
    let parameters = context.parameters
    guard tensors.count == parameters.tensorCount, counters.count == parameters.counterCount else { return false }
    let mask = Self.wordMask(bits: parameters.bits)
    guard tensors.allSatisfy({ $0 & ~mask == 0 }) else { return false }
    if let largest = context.largestCoordinate {
      guard tensors.allSatisfy({ WordCoding.centred($0, bits: parameters.bits).magnitude <= largest.magnitude })
      else { return false }
    }
    return (try? Self.encode(counters.map { Int64(bitPattern: $0) }, groups: parameters.counters)) != nil
  }

  /// The shape only: a term is never printed.
  public var description: String { "EncodedTerm(\(tensors.count) coordinates, \(counters.count) counters)" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }

  static func wordMask(bits: Int) -> UInt32 { UInt32.max >> UInt32(32 - bits) }

  private static func encode(_ counters: [Int64], groups: [CounterGroup]) throws(AggregationError) -> [UInt64] {
    var start = 0
    for group in groups {
      for (index, value) in counters[start..<(start + group.count)].enumerated() {
        guard value.magnitude <= group.bound, group.isSigned || value >= 0 else {
          throw .misuse(.counterOutOfBounds(group: group.name, index: index))
        }
      }
      start += group.count
    }
    return counters.map { UInt64(bitPattern: $0) }
  }
}

/// Integers as little-endian bytes, and coordinates as centred integers.
enum WordCoding {
  static func bytes<Word: FixedWidthInteger>(_ words: [Word]) -> [UInt8] {
    let size = MemoryLayout<Word>.size
    return [UInt8](unsafeUninitializedCapacity: words.count * size) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      for (index, word) in words.enumerated() {
        raw.storeBytes(of: word.littleEndian, toByteOffset: index * size, as: Word.self)
      }
      count = words.count * size
    }
  }

  /// Whole words only; a remainder is dropped, so check the length first.
  static func words<Word: FixedWidthInteger>(_ bytes: [UInt8]) -> [Word] {
    let size = MemoryLayout<Word>.size
    return bytes.withUnsafeBytes { raw in
      (0..<(raw.count / size)).map {
        Word(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * size, as: Word.self))
      }
    }
  }

  /// The representative of a coordinate in −2^(bits−1) ..< 2^(bits−1).
  static func centred(_ word: UInt32, bits: Int) -> Int64 {
    let shift = UInt32(32 - bits)
    return Int64(Int32(bitPattern: word << shift) >> Int32(shift))
  }
}
