import Cryptography

/// A set of members of a cohort, one bit for each position in the sorted cohort.
///
/// U1 … U4 travel and are hashed in this form: everybody is told of everybody in n/8 bytes, also where a client checks
/// the signatures of its neighbours only. It means something only beside the context that fixes the cohort.
public struct MemberSet: Hashable, Sendable {
  /// n: positions are 0 ..< cohortCount.
  public let cohortCount: Int
  private var words: [UInt64]

  /// The empty set.
  public init(cohortCount: Int) {
    self.cohortCount = cohortCount
    words = [UInt64](repeating: 0, count: (cohortCount + 63) / 64)
  }

  public init(cohortCount: Int, positions: some Sequence<Int>) {
    self.init(cohortCount: cohortCount)
    for position in positions { insert(position) }
  }

  /// A set received.
  /// - Throws: ``CryptographyError/wrongLength(of:expected:actual:)`` unless there is a bit for each position in whole
  ///   bytes; ``CryptographyError/malformedEncoding(_:)`` if a bit after the last position is set.
  init(bytes: [UInt8], cohortCount: Int) throws(CryptographyError) {
    self.init(cohortCount: cohortCount)
    guard bytes.count == Self.byteCount(cohortCount: cohortCount) else { throw .malformedEncoding(.fieldTooLong) }
    for (index, byte) in bytes.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(8 * (index % 8)) }
    if cohortCount % 64 != 0, let last = words.last, last >> UInt64(cohortCount % 64) != 0 {
      throw .malformedEncoding(.trailingBytes)
    }
  }

  /// Position p is bit p mod 8 of byte p / 8.
  var bytes: [UInt8] {
    (0..<Self.byteCount(cohortCount: cohortCount)).map {
      UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64(8 * ($0 % 8)))
    }
  }

  static func byteCount(cohortCount: Int) -> Int { (cohortCount + 7) / 8 }

  public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
  public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  /// False for a position outside the cohort.
  public func contains(_ position: Int) -> Bool {
    position >= 0 && position < cohortCount && words[position / 64] >> UInt64(position % 64) & 1 == 1
  }

  mutating func insert(_ position: Int) {
    precondition(position >= 0 && position < cohortCount, "a position is outside the cohort")
    words[position / 64] |= 1 << UInt64(position % 64)
  }

  func inserting(_ position: Int) -> MemberSet {
    var copy = self
    copy.insert(position)
    return copy
  }

  /// Members before `position`: where a member stands in a list of the set.
  func rank(of position: Int) -> Int {
    let whole = words[..<(position / 64)].reduce(0) { $0 + $1.nonzeroBitCount }
    return whole + (words[position / 64] & (1 << UInt64(position % 64) &- 1)).nonzeroBitCount
  }

  /// Members in cohort order.
  public var positions: [Int] {
    var positions: [Int] = []
    positions.reserveCapacity(count)
    for (index, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        positions.append(64 * index + rest.trailingZeroBitCount)
        rest &= rest - 1
      }
    }
    return positions
  }

  public func isSubset(of other: MemberSet) -> Bool {
    cohortCount == other.cohortCount && zip(words, other.words).allSatisfy { $0 & ~$1 == 0 }
  }

  public func subtracting(_ other: MemberSet) -> MemberSet {
    var difference = self
    for index in words.indices where index < other.words.count { difference.words[index] &= ~other.words[index] }
    return difference
  }
}

extension CanonicalEncoder {
  mutating func append(_ set: MemberSet) { append(set.bytes) }
}

extension CanonicalDecoder {
  mutating func members(of context: AggregationContext) throws(CryptographyError) -> MemberSet {
    let count = context.cohort.count
    return try MemberSet(bytes: try bytes(maximum: MemberSet.byteCount(cohortCount: count)), cohortCount: count)
  }

  /// Hashes that complete a Merkle tree over members of the cohort.
  mutating func siblings(of context: AggregationContext) throws(CryptographyError) -> [SHA256Digest] {
    try list(maximum: context.cohort.count) {
      (decoder: inout CanonicalDecoder) throws(CryptographyError) -> SHA256Digest in try decoder.digest()
    }
  }
}

extension AggregationContext {
  func names(_ set: MemberSet) -> [OrganizationName] { set.positions.map { cohort[$0].name } }

  /// Everybody.
  var everyone: MemberSet { MemberSet(cohortCount: cohort.count, positions: cohort.indices) }
}
