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
    let shard = shards[Int(fact.withUnsafeBytes { $0[0] }) % Self.shardCount]
    if shard.known.withLock({ $0.contains(fact) }) { return true }
    guard establish() else { return false }
    shard.known.withLock { _ = $0.insert(fact) }
    return true
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
