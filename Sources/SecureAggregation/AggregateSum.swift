public import Cryptography

/// The sum over U3, and nothing about any term.
public struct AggregateSum: Hashable, Sendable {
  /// The coordinates of the sum in Z_{2^bits}.
  public let words: [UInt32]
  /// The counters of the sum.
  public let counters: [Int64]
  /// U3 in cohort order.
  public let survivors: [OrganizationName]
  /// Root over the hashes of the masked inputs of U3, as every survivor signed it.
  public let maskedInputRoot: MaskedInputRoot
  /// The attempt.
  public let context: ContextDigest
  private let bits: Int
  private let scale: Double

  /// The coordinates as integers in −2^(bits−1) ..< 2^(bits−1).
  public var integers: [Int64] { words.map { WordCoding.centred($0, bits: bits) } }

  /// The sums of the encoded values: centred coordinates divided by the scale.
  public var tensors: [Double] { words.map { Double(WordCoding.centred($0, bits: bits)) / scale } }

  /// Over everything but the decoding, so that equal digests mean equal sums of the same attempt.
  public var digest: AggregateHash { AggregateHash(hashing: encoded()) }

  /// - Parameters:
  ///   - words: Coordinates; bits above the width of the plan are dropped.
  ///   - counters: Counters in Z_{2^64}.
  ///   - survivors: U3.
  /// - Throws: ``AggregationError/misuse(_:)`` for a wrong shape or names outside the cohort,
  ///   ``RecoveryFault/sumOutOfRange`` if terms within their bounds cannot have this sum.
  public init(
    words: [UInt32], counters: [UInt64], survivors: [OrganizationName], maskedInputRoot: MaskedInputRoot,
    context: AggregationContext
  ) throws(AggregationError) {
    let parameters = context.parameters
    guard words.count == parameters.tensorCount, counters.count == parameters.counterCount else {
      throw .misuse(.wrongTermShape(tensors: words.count, counters: counters.count))
    }
    if let stranger = survivors.first(where: { context.position(of: $0) == nil }) {
      throw .misuse(.notInCohort(stranger))
    }
    let bits = parameters.bits
    let mask = EncodedTerm.wordMask(bits: bits)
    self.words = words.map { $0 & mask }
    self.counters = counters.map { Int64(bitPattern: $0) }
    let present = Set(survivors)
    self.survivors = context.cohort.map(\.name).filter { present.contains($0) }
    self.maskedInputRoot = maskedInputRoot
    self.context = context.digest
    self.bits = bits
    self.scale = context.scale
    guard isWithinBounds(context) else { throw .unrecoverable(.sumOutOfRange) }
  }

  /// Canonical bytes, for publishing.
  public func encoded() -> [UInt8] {
    var encoder = CanonicalEncoder("bauta/v1/aggregate")
    encoder.append(context)
    encoder.append(list: survivors) { (encoder: inout CanonicalEncoder, name: OrganizationName) in
      encoder.append(name)
    }
    encoder.append(maskedInputRoot)
    encoder.append(WordCoding.bytes(words))
    encoder.append(WordCoding.bytes(counters))
    return encoder.finish()
  }

  /// A published sum, checked as in the other initialiser.
  /// - Throws: ``AggregationError/misbehaviour(_:by:)`` blaming the server.
  public init(decoding bytes: [UInt8], context: AggregationContext) throws(AggregationError) {
    let parameters = context.parameters
    let digest: ContextDigest
    let survivors: [OrganizationName]
    let root: MaskedInputRoot
    let tensorBytes: [UInt8]
    let counterBytes: [UInt8]
    do throws(CryptographyError) {
      var decoder = try CanonicalDecoder(bytes, label: "bauta/v1/aggregate")
      digest = try decoder.digest()
      survivors = try decoder.list(maximum: context.cohort.count) {
        (decoder: inout CanonicalDecoder) throws(CryptographyError) in try decoder.organization()
      }
      root = try decoder.digest()
      tensorBytes = try decoder.bytes(maximum: 4 * parameters.tensorCount)
      counterBytes = try decoder.bytes(maximum: 8 * parameters.counterCount)
      try decoder.finish()
    } catch {
      throw .misbehaviour(.malformed(nil, reason: error.code), by: .server)
    }
    guard digest == context.digest else { throw .misbehaviour(.malformed(nil, reason: "context"), by: .server) }
    try CohortOrder.positions(of: survivors, in: context, kind: .survivors)
    guard tensorBytes.count == 4 * parameters.tensorCount, counterBytes.count == 8 * parameters.counterCount else {
      throw .misbehaviour(.malformed(nil, reason: "length"), by: .server)
    }
    let words: [UInt32] = WordCoding.words(tensorBytes)
    let mask = EncodedTerm.wordMask(bits: parameters.bits)
    guard words.allSatisfy({ $0 & ~mask == 0 }) else {
      throw .misbehaviour(.malformed(nil, reason: "non-canonical-word"), by: .server)
    }
    try self.init(
      words: words, counters: WordCoding.words(counterBytes), survivors: survivors, maskedInputRoot: root,
      context: context)
  }

  private func isWithinBounds(_ context: AggregationContext) -> Bool {
    let members = UInt64(survivors.count)
    if let largest = context.largestCoordinate {
      let limit = largest.magnitude * members
      guard words.allSatisfy({ WordCoding.centred($0, bits: bits).magnitude <= limit }) else { return false }
    }
    var start = 0
    for group in context.parameters.counters {
      let limit = group.bound * members
      let values = counters[start..<(start + group.count)]
      guard values.allSatisfy({ $0.magnitude <= limit && (group.isSigned || $0 >= 0) }) else { return false }
      start += group.count
    }
    return true
  }
}
