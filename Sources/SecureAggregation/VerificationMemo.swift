import Cryptography
import Synchronization

/// Remembers what was verified, for a process that plays many organisations.
///
/// In a simulation every client verifies the same signatures: (key, message, signature) is a deterministic function's
/// argument, so a result that was computed once holds for all of them. Only successes are remembered. A client of one
/// organisation needs none, and has none unless a program binds one:
///
/// ```swift
/// VerificationMemo.$current.withValue(memo) { … }
/// ```
public final class VerificationMemo: Sendable {
  @TaskLocal public static var current: VerificationMemo?

  /// Shards, so that two cores seldom wait for each other.
  private static let shardCount = 16
  private let shards: [Shard] = (0..<shardCount).map { _ in Shard() }

  private final class Shard: Sendable {
    let known = Mutex<Set<SHA256Digest>>([])
  }

  public init() {}

  /// Whether `fact` was established before, or `establish` does it now.
  func holds(_ fact: SHA256Digest, _ establish: () -> Bool) -> Bool {
    let shard = shard(of: fact)
    if shard.known.withLock({ $0.contains(fact) }) { return true }
    guard establish() else { return false }
    shard.known.withLock { _ = $0.insert(fact) }
    return true
  }

  /// Whether all of these signatures by these signers were verified before, as a whole. Each client is shown the same
  /// ones, more than half of the cohort.
  ///
  /// The cohort is not part of the fact: the payload holds the transcript, and that holds the context.
  func knows(_ signatures: [Signature], of payload: SignedPayload, signers: MemberSet) -> Bool {
    let fact = Self.fact(signatures, of: payload, signers: signers)
    return shard(of: fact).known.withLock { $0.contains(fact) }
  }

  /// Remembers that all of these signatures were verified.
  func note(_ signatures: [Signature], of payload: SignedPayload, signers: MemberSet) {
    let fact = Self.fact(signatures, of: payload, signers: signers)
    shard(of: fact).known.withLock { _ = $0.insert(fact) }
  }

  private func shard(of fact: SHA256Digest) -> Shard {
    shards[Int(fact.withUnsafeBytes { $0[0] }) % Self.shardCount]
  }

  private static func fact(_ signatures: [Signature], of payload: SignedPayload, signers: MemberSet) -> SHA256Digest {
    var encoder = CanonicalEncoder("bauta/v1/verified-signatures")
    encoder.append(payload.canonical)
    encoder.append(signers)
    encoder.append(UInt64(signatures.count))
    var hasher = SHA256Hasher()
    hasher.update(encoder.finish())
    // Of one length each.
    for signature in signatures { hasher.update(signature.bytes) }
    return hasher.finish(as: PlainRole.self)
  }

  /// Whether a signature verifies, under the present memo if there is one.
  static func verifies(
    _ signature: Signature, of payload: SignedPayload, by key: IdentityVerifyingKey
  ) -> Bool {
    func verify() -> Bool { key.verify(signature, label: payload.label, canonical: payload.canonical) }
    guard let memo = current else { return verify() }
    var hasher = SHA256Hasher()
    hasher.update(key.bytes)
    hasher.update(signature.bytes)
    // The canonical bytes begin with the label and its length.
    hasher.update(payload.canonical)
    return memo.holds(hasher.finish(as: PlainRole.self), verify)
  }
}
