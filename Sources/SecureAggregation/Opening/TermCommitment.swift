public import Cryptography
import Synchronization

public typealias TermCommitment = Digest<CommitmentRole>

/// The salted commitment to a term that stands in the record of every masked input.
///
/// H(canonical("bauta/v1/term-commitment", salt, coordinates, counters)): 4 bytes a coordinate and 8 a counter,
/// little-endian. Hiding as long as the salt is secret: without it the commitment tells nothing of the term, not even
/// whether a guessed one is right.
public enum TermCommitting {
  public static let saltByteCount = 32

  /// A new salt. Who drops it has erased the link between record and term.
  public static func makeSalt() -> SecretBytes { SecretBytes(randomCount: saltByteCount) }

  /// The commitment to a term, which is read once, in order.
  public static func commitment(to term: some TermSource, salt: borrowing SecretBytes) -> TermCommitment {
    var committer = TermCommitter(salt: salt, tensorCount: term.tensorCount, counterCount: term.counterCount)
    term.forEachPiece { committer.append($0) }
    return committer.finish()
  }
}

/// Hashes a term that comes in pieces: all coordinates in order, then all counters.
struct TermCommitter: ~Copyable {
  private var hasher: SHA256Hasher
  private let counterCount: Int
  private var tensorBytesLeft: Int

  init(salt: borrowing SecretBytes, tensorCount: Int, counterCount: Int) {
    var encoder = CanonicalEncoder("bauta/v1/term-commitment")
    encoder.append(UInt64(salt.count))
    var hasher = SHA256Hasher()
    hasher.update(encoder.finish())
    salt.withUnsafeBytes { hasher.update($0) }
    Self.update(&hasher, length: 4 * tensorCount)
    if tensorCount == 0 { Self.update(&hasher, length: 8 * counterCount) }
    self.hasher = hasher
    self.counterCount = counterCount
    tensorBytesLeft = 4 * tensorCount
  }

  /// - Parameter bytes: little-endian, of coordinates or of counters; not empty.
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    hasher.update(bytes)
    guard tensorBytesLeft > 0 else { return }
    tensorBytesLeft -= bytes.count
    if tensorBytesLeft == 0 { Self.update(&hasher, length: 8 * counterCount) }
  }

  /// In place, so that no second copy of the term lies about; the words are as before afterwards.
  mutating func append(words: UnsafeMutableBufferPointer<some FixedWidthInteger>) {
    for index in words.indices { words[index] = words[index].littleEndian }
    append(UnsafeRawBufferPointer(words))
    for index in words.indices { words[index] = .init(littleEndian: words[index]) }
  }

  consuming func finish() -> TermCommitment { hasher.finish(as: CommitmentRole.self) }

  private static func update(_ hasher: inout SHA256Hasher, length: Int) {
    withUnsafeBytes(of: UInt64(length).bigEndian) { hasher.update($0) }
  }
}

/// A term that is committed to while it is read, once and in order: with one lane, as the writer of masked inputs reads.
final class CommittingSource<Base: TermSource>: TermSource {
  private let base: Base
  // One lane reads; the lock is for the compiler, and costs nothing beside the hash.
  private let committer: Mutex<TermCommitter?>

  init(_ base: Base, salt: borrowing SecretBytes) {
    self.base = base
    committer = Mutex(TermCommitter(salt: salt, tensorCount: base.tensorCount, counterCount: base.counterCount))
  }

  var tensorCount: Int { base.tensorCount }
  var counterCount: Int { base.counterCount }

  func copyTensors(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt32>) {
    base.copyTensors(range, into: buffer)
    commit(UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
  }

  func copyCounters(_ range: Range<Int>, into buffer: UnsafeMutableBufferPointer<UInt64>) {
    base.copyCounters(range, into: buffer)
    commit(UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
  }

  private func commit(_ words: UnsafeMutableBufferPointer<some FixedWidthInteger>) {
    // The compiler holds that what the lock guards might keep the pointer; it is the lane's, and only used in this call.
    nonisolated(unsafe) let words = words
    committer.withLock { $0?.append(words: words) }
  }

  /// Once everything was read; nil the second time.
  func finish() -> TermCommitment? { committer.withLock { $0.take() }?.finish() }
}
