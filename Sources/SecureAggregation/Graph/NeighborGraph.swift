public import Cryptography

public enum BeaconRole: DigestRole {}

/// The common randomness of an attempt, which no single participant chooses.
public typealias BeaconDigest = Digest<BeaconRole>

/// The Harary graph H(k, n) on a uniformly random permutation of the cohort positions.
///
/// The positions stand in a circle in the order of the permutation; each has the k/2 before it and the k/2 after it
/// for neighbours. The graph is k-connected. It is a function of the seed, n and k; public, like the seed.
///
/// The permutation is as random as the seed: whoever can try many seeds chooses among as many graphs.
struct NeighborGraph: Hashable, Sendable {
  /// k: even, 2 … n − 1.
  let neighborCount: Int
  /// The cohort position at each place of the circle.
  private let circle: [UInt16]
  /// The place of each cohort position.
  private let places: [UInt16]

  /// n.
  var count: Int { circle.count }

  /// - Parameters:
  ///   - n: organisations in the cohort, in ``RegularGraphParameters/organizationCounts``.
  ///   - k: neighbours of each; even, 2 … n − 1.
  /// - Throws: ``CryptographyError/invalidDerivation`` if n or k is out of range; errors of the key derivation and the
  ///   keystream.
  init(count n: Int, neighborCount k: Int, seed: BeaconDigest) throws(CryptographyError) {
    guard RegularGraphParameters.organizationCounts.contains(n), k >= 2, k < n, k.isMultiple(of: 2) else {
      throw .invalidDerivation
    }
    neighborCount = k
    circle = try Self.permutation(count: n, seed: seed)
    var places = [UInt16](repeating: 0, count: n)
    for (place, position) in circle.enumerated() { places[Int(position)] = UInt16(place) }
    self.places = places
  }

  /// The k neighbours of a cohort position, as cohort positions in ascending order. The position is in 0 ..< n.
  func neighbors(of position: Int) -> [Int] {
    let place = Int(places[position])
    var found: [Int] = []
    found.reserveCapacity(neighborCount)
    for step in 1...(neighborCount / 2) {
      found.append(Int(circle[(place + step) % count]))
      found.append(Int(circle[(place + count - step) % count]))
    }
    found.sort()
    return found
  }

  /// Whether two cohort positions, both in 0 ..< n, are neighbours; nobody is their own. In constant time.
  func areNeighbors(_ first: Int, _ second: Int) -> Bool {
    let distance = abs(Int(places[first]) - Int(places[second]))
    return (1...(neighborCount / 2)).contains(min(distance, count - distance))
  }

  /// Fisher–Yates from the last place down, with draws from the keystream of HKDF(seed, n).
  private static func permutation(count: Int, seed: BeaconDigest) throws(CryptographyError) -> [UInt16] {
    var info = CanonicalEncoder("bauta/v1/graph-permutation")
    info.append(UInt64(count))
    // The seed is public; the container is what the key derivation takes.
    var input = SecretBytes(count: BeaconDigest.byteCount)
    input.withUnsafeMutableBytes { $0.copyBytes(from: seed.bytes) }
    let key = try deriveKey(from: input, salt: [], info: info.finish(), count: MaskSeed.byteCount)
    var draws = KeystreamDraws(try MaskStream(seed: try MaskSeed(key), generator: .aes256CTR))
    var order = (0..<count).map { UInt16($0) }
    for last in stride(from: count - 1, through: 1, by: -1) {
      order.swapAt(last, try draws.next(below: UInt32(last + 1)))
    }
    return order
  }
}

/// Uniform whole numbers from a public keystream, read as 32-bit little-endian words.
private struct KeystreamDraws: ~Copyable {
  private static let blockWordCount = 1024

  private var stream: MaskStream
  private var block = [UInt32](repeating: 0, count: blockWordCount)
  private var used = blockWordCount

  init(_ stream: consuming MaskStream) { self.stream = stream }

  /// A number in 0 ..< bound, for bound ≥ 1: the high half of word · bound, without the words that would give some
  /// numbers one chance more (Lemire 2019, "Fast Random Integer Generation in an Interval").
  mutating func next(below bound: UInt32) throws(CryptographyError) -> Int {
    var product = UInt64(try word()) * UInt64(bound)
    if UInt32(truncatingIfNeeded: product) < bound {
      let excess = (0 &- bound) % bound
      while UInt32(truncatingIfNeeded: product) < excess { product = UInt64(try word()) * UInt64(bound) }
    }
    return Int(product >> 32)
  }

  private mutating func word() throws(CryptographyError) -> UInt32 {
    if used == Self.blockWordCount {
      try Self.refill(&block, from: &stream)
      used = 0
    }
    defer { used += 1 }
    return UInt32(littleEndian: block[used])
  }
  private static func refill(
    _ block: inout [UInt32], from stream: inout MaskStream
  ) throws(CryptographyError) {
    try block.withUnsafeMutableBufferPointer { (words) throws(CryptographyError) in
      try stream.fill(UnsafeMutableRawBufferPointer(words))
    }
  }
}
